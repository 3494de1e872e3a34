"""Every fault of the catalog, through the real loaders: one clear error, and a model that is as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mindformers.models.qwen3 import Qwen3ForCausalLM
from tests.faults.catalog import FAULTS, SHARDS, Fault
from tests.support.checkpoints import write_checkpoint

from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.files.directory import Directory
from mf_qwen3_patch.errors import CheckpointError
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.loading.runtime.network import build_config, build_model
from mindformers import AutoModel

# Absurd dimensions would only keep stock busy building.
LARGEST = 5000


@pytest.fixture(scope="module")
def good_model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return AutoModel.from_pretrained(write_checkpoint(tmp_path_factory.mktemp("good"), shards=SHARDS))


def values(model: Any) -> dict[str, bytes]:
    return {parameter.name: parameter.asnumpy().tobytes() for parameter in model.get_parameters()}


def contents(model: Any) -> dict[str, Any]:
    """Everything about the parameters that a load may not touch before it is sure to succeed."""
    return {
        parameter.name: (id(parameter), parameter.dtype, parameter.shape, parameter.asnumpy().tobytes())
        for parameter in model.get_parameters()
    }


def weights(directory: Path) -> dict[str, Any]:
    """The files that hold the weights and their index, and whatever else is there but config.json."""
    return {
        path.name: path.read_bytes() if path.is_file() else None
        for path in directory.iterdir()
        if path.name != "config.json"
    }


def model_that_the_config_describes(directory: Path, otherwise: Any) -> Any:
    """Build what stock would build from the broken config.json, if that can be built at all."""
    try:
        config = normalize(Directory(directory).config())
        values = config.values
        if (
            config.invalid
            or values["num_hidden_layers"] > 50
            or max(values[name] for name in QWEN3.schema.dimensions) > LARGEST
        ):
            return otherwise
        model = build_model(build_config({**values, "params_dtype": "float32", "compute_dtype": "float32"}))
    except Exception:  # noqa: BLE001 - a config that stock cannot build a model from
        return otherwise
    model.init_parameters_data()
    return model


def refusal_of(model: Any, directory: Path) -> CheckpointError | None:
    try:
        model.load_weights(str(directory))
    except CheckpointError as error:
        return error
    return None


@pytest.mark.sweep
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.ranks == 1], ids=lambda fault: fault.name)
def test_fault(fault: Fault, good_model: Any, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model", shards=SHARDS)
    overrides = fault.make(directory) or {}

    with pytest.raises(CheckpointError) as error:
        Qwen3ForCausalLM.from_pretrained(directory, **overrides)
    assert type(error.value) is fault.error
    for text in fault.says:
        assert text in str(error.value)

    if overrides:
        return  # load_weights takes none
    model = model_that_the_config_describes(directory, good_model)
    before = contents(model)
    refusal = refusal_of(model, directory)
    if refusal is None:
        # Only config.json is at fault, and the model was built with values that fit the weights.
        assert weights(directory) == weights(write_checkpoint(tmp_path / "good", shards=SHARDS))
        assert values(model) == values(good_model)
    else:
        error_type, says = fault.in_load_weights or (fault.error, fault.says)
        assert type(refusal) is error_type
        for text in says:
            assert text in str(refusal)
        assert contents(model) == before
