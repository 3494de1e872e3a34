"""What the fast loader does not know goes through MindFormers' own, under the same checks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindformers.parallel_core.inference.tensor_parallel.layers import ColumnParallelLinear
from mindformers.tools.logger import get_logger
from tests.mindformers.loading.transfer.stock import as_process, as_rank, bits, build, differences, load_with_shim
from tests.support.checkpoints import edit_weights, write_checkpoint
from tests.support.processes import ROOT

import mf_qwen3_patch.loading.transfer.planner as planning
from mf_qwen3_patch.errors import CheckpointError, LoadNotProven
from mindformers import AutoModel

REFERENCE = ROOT / "tests" / "reference_data" / "checkpoints"


@pytest.fixture
def on_310p(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planner is told that it is such a device; MindFormers loads as it does on every other."""
    monkeypatch.setattr(planning, "is_310p", lambda: True)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Keep(logging.INFO)
    get_logger().addHandler(handler)
    yield lines
    get_logger().removeHandler(handler)


def loaded_fast(directory: Path) -> dict[str, np.ndarray]:
    """Return what the parameters are when the fast loader loads them."""
    network = build(directory)
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(planning, "is_310p", lambda: False)
        load_with_shim(network, directory)
    return bits(network)


def in_one_file(directory: Path) -> Path:
    return write_checkpoint(directory)


def tied_in_three_shards(directory: Path) -> Path:
    return write_checkpoint(directory, tie=True, shards=3, dtype="BF16")


def of_experts(_: Path) -> Path:
    return REFERENCE / "moe"


CHECKPOINTS = [in_one_file, tied_in_three_shards, of_experts]


@pytest.mark.usefixtures("on_310p")
@pytest.mark.parametrize("make", CHECKPOINTS)
def test_a_310p_loads_the_same_bits(make: Callable[[Path], Path], tmp_path: Path, logged: list[str]) -> None:
    directory = make(tmp_path / "hf")
    network = build(directory)
    network.load_weights(str(directory))

    assert differences(loaded_fast(directory), bits(network)) == {}
    assert [line for line in logged if "loading with MindFormers' own loader: an Ascend 310P" in line]
    report = network.mf_qwen3_report
    assert report.loader == "MindFormers' own loader: an Ascend 310P keeps its weights in a format of its own (NZ)"
    assert report.verification is not None
    assert report.verification.parameters == report.parameters
    assert report.verification.unverifiable == ()


@pytest.mark.usefixtures("on_310p")
def test_from_pretrained_does_so_too(tmp_path: Path) -> None:
    directory = in_one_file(tmp_path / "hf")
    model = AutoModel.from_pretrained(directory)

    assert differences(loaded_fast(directory), bits(model)) == {}
    assert "310P" in model.mf_qwen3_report.loader


@pytest.mark.usefixtures("on_310p")
def test_each_rank_gets_its_slices(tmp_path: Path) -> None:
    directory = in_one_file(tmp_path / "hf")
    for rank in range(2):
        with as_rank(rank, 2):
            network = build(directory)
            network.load_weights(str(directory))
            expected = loaded_fast(directory)

        assert differences(expected, bits(network)) == {}, f"rank {rank}"


def test_an_unknown_kind_of_layer_is_loaded_too(tmp_path: Path, logged: list[str]) -> None:
    class Quantized(ColumnParallelLinear):
        pass

    directory = in_one_file(tmp_path / "hf")
    network = build(directory)
    network.model.output_layer.__class__ = Quantized
    network.load_weights(str(directory))

    assert differences(loaded_fast(directory), bits(network)) == {}
    assert [line for line in logged if "belongs to a Quantized, an unknown kind of layer" in line]


@pytest.mark.usefixtures("on_310p")
@pytest.mark.parametrize(
    "shared", [{"tensor": 2, "expert": 2}, {"data": 2, "expert": 2}, {"pipeline": 2}], ids=["TP+EP", "DP+EP", "PP"]
)
def test_ranks_with_layers_and_experts_of_their_own_are_verified(shared: dict[str, int]) -> None:
    for number in range(2):
        with as_process(number, **shared):
            network = build(REFERENCE / "moe")
            network.load_weights(str(REFERENCE / "moe"))
            expected = loaded_fast(REFERENCE / "moe")

        assert differences(expected, bits(network)) == {}, f"process {number}"
        assert network.mf_qwen3_report.verification.unverifiable == ()


@pytest.mark.usefixtures("on_310p")
def test_a_checkpoint_that_lacks_a_tensor_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    directory = in_one_file(tmp_path / "hf")
    network = build(directory)
    before = bits(network)
    edit_weights(directory, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))

    with pytest.raises(CheckpointError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        network.load_weights(str(directory))
    assert differences(before, bits(network)) == {}


@pytest.mark.usefixtures("on_310p")
def test_what_mindformers_leaves_out_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MindFormers logs it and goes on."""
    directory = in_one_file(tmp_path / "hf")
    network: Any = build(directory)
    stock = network.model.load_weights
    left_out = "decoder.final_layernorm.weight"
    monkeypatch.setattr(network.model, "load_weights", lambda *arguments: set(stock(*arguments)) - {left_out})

    with pytest.raises(LoadNotProven, match=rf"did not load 1 of \d+ parameters: {left_out}"):
        network.load_weights(str(directory))
