"""A checkpoint with an adapter, and every adapter that can't be merged."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.faults.lora import FAULTS, AdapterFault
from tests.support.checkpoints import TINY_MOE, encode, write_checkpoint
from tests.support.lora import PREFIX, edit_adapter, edit_adapter_config, write_adapter

from mf_qwen3_patch.checkpoint.adapter.merge import merged
from mf_qwen3_patch.checkpoint.adapter.settings import read_settings
from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.checkpoint.files.directory import Directory
from mf_qwen3_patch.checkpoint.location.resolve import Location
from mf_qwen3_patch.errors import InvalidValues, UnsupportedCheckpoint
from mf_qwen3_patch.families.qwen3 import QWEN3

Q = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "base", shards=3)


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Path:
    write_adapter(tmp_path / "adapter", base)
    return tmp_path / "adapter"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_one_problem_that_names_it(fault: AdapterFault, base: Path, adapter: Path) -> None:
    assert preflight(base, adapter=adapter).problems == ()
    fault.make(adapter)

    (problem,) = preflight(base, adapter=adapter).problems

    assert problem.kind is fault.error, str(problem)
    for text in fault.says:
        assert text in str(problem), str(problem)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("factor", ["lora_A", "lora_B"])
def test_what_is_not_finite_is_refused_by_the_factors_name(
    value: float, factor: str, base: Path, adapter: Path
) -> None:
    name, shape = f"{PREFIX}{Q}.{factor}.weight", (4, 80) if factor == "lora_A" else (128, 4)
    values = np.zeros(shape)
    values[2, 3] = value
    edit_adapter(adapter, lambda found: found.update({name: encode(values, "F32")}))

    with open_checkpoint(Directory(base, Directory(adapter))) as opened:
        checkpoint = merged(opened, QWEN3, tied=False)
        tensor = checkpoint.tensors[f"{Q}.weight"]
        assert isinstance(tensor, ComputedTensor)
        with pytest.raises(InvalidValues, match=re.escape(name)):
            tensor.encoding.read(checkpoint.file, range(128), range(80))


@pytest.mark.parametrize("change", ["embed_tokens", "lm_head"])
def test_a_tied_model_is_not_changed_at_one_end(change: str, tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base", tie=True)
    write_adapter(tmp_path / "adapter", base, r".*(q_proj|embed_tokens)")
    if change == "lm_head":
        edit_adapter(
            tmp_path / "adapter",
            lambda found: (
                [found.pop(name) for name in list(found) if "embed" in name]
                and found.update({f"{PREFIX}lm_head.weight": encode(np.zeros((160, 80)), "F32")})
            ),
        )

    (problem,) = preflight(base, adapter=tmp_path / "adapter").problems

    assert problem.kind is UnsupportedCheckpoint
    assert f"changes {'model.' if change == 'embed_tokens' else ''}{change}, but the base model ties" in problem.summary


@pytest.mark.parametrize(
    ("name", "warned"),
    [("base", False), ("Qwen/BASE", False), ("/elsewhere/base", False), ("Qwen/Qwen3-8B", True), ("", False)],
)
def test_another_base_is_warned_of(name: str, warned: bool, base: Path, adapter: Path) -> None:
    edit_adapter_config(adapter, base_model_name_or_path=name)

    result = preflight(base, adapter=adapter)

    assert result.problems == ()
    assert [name in warning and "same model" in warning for warning in result.warnings] == [True] * warned


def test_a_base_in_a_hub_cache_is_known_by_its_name(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "models--Qwen--Qwen3-8B" / "snapshots" / "0123")
    write_adapter(tmp_path / "adapter", base, base_model_name_or_path="Qwen/Qwen3-8B")

    assert preflight(base, adapter=tmp_path / "adapter").warnings == ()


def test_of_a_base_with_a_file_missing_only_that_is_the_problem(base: Path, adapter: Path) -> None:
    (base / "model-00002-of-00003.safetensors").unlink()

    (problem,) = preflight(base, adapter=adapter).problems

    assert problem.file == "model-00002-of-00003.safetensors"


def test_an_adapter_that_is_its_own_base_is_refused(base: Path, adapter: Path) -> None:
    edit_adapter_config(adapter, base_model_name_or_path=str(adapter))

    assert not Location(adapter).says_qwen3()
    with pytest.raises(UnsupportedCheckpoint, match="there are two adapters"):
        preflight(adapter)


def test_experts_are_merged_one_by_one(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base", **TINY_MOE)
    expected = write_adapter(tmp_path / "adapter", base, r".*experts\.[0-9]+\..*_proj")

    result = preflight(tmp_path / "adapter")

    assert result.problems == ()
    assert result.checkpoint.adapted == len(expected) == 2 * 6 * 3


def test_settings_of_an_older_peft_have_its_defaults() -> None:
    settings, problems = read_settings({"r": 16, "lora_alpha": 4, "target_modules": ["q_proj"], "future": {"x": 1}})

    assert problems == []
    assert settings is not None
    assert settings.scaling_of(Q) == 0.25
    assert settings.is_target(Q)
    assert not settings.is_target("model.layers.0.self_attn.xq_proj")
