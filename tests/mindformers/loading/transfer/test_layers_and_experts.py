"""Pipeline stages and expert-parallel ranks: each gets its own layers and experts, as stock's own loader gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.mindformers.loading.transfer.stock import as_process, bits, build, differences, load_with_stock
from tests.support.checkpoints import TINY_MOE, edit_weights, write_checkpoint, zeros

from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint
from mf_qwen3_patch.loading.report import LoadReport
from mindformers import AutoModel

_FIVE_LAYERS = {"num_hidden_layers": 5}
_EIGHT_EXPERTS = {**TINY_MOE, "num_experts": 8}

Shared = Mapping[str, int]


def loaded(directory: Path, shared: Shared, **overrides: Any) -> Iterator[tuple[int, Any]]:
    """Yield the network of each process, loaded by the shim, once it is what stock makes of it."""
    for number in range(shared.get("tensor", 1) * shared.get("pipeline", 1) * shared.get("data", 1)):
        with as_process(number, **shared):
            stock, shim = build(directory, **overrides), build(directory, **overrides)
            load_with_stock(stock, directory)
            shim.load_weights(str(directory))
            assert differences(bits(stock), bits(shim)) == {}, f"process {number} of {shared}"
            assert shim.mf_qwen3_report.loader == "mf_qwen3_patch"
            yield number, shim


def tensors_of(directory: Path) -> set[str]:
    return set(open_checkpoint(directory).tensors)


@pytest.mark.parametrize(
    ("shared", "layers", "overrides"),
    [
        ({"pipeline": 2}, [[0, 1], [2, 3, 4]], {"offset": [0, 1]}),
        ({"pipeline": 2}, [[0, 1, 2], [3, 4]], {}),
        ({"pipeline": 3}, [[0, 1], [2, 3], [4]], {}),
        ({"tensor": 2, "pipeline": 2}, [[0, 1, 2], [0, 1, 2], [3, 4], [3, 4]], {}),
    ],
    ids=["offset", "PP2", "PP3", "TP2+PP2"],
)
def test_each_stage_gets_its_own_layers(
    shared: Shared, layers: list[list[int]], overrides: Mapping[str, Any], tmp_path: Path
) -> None:
    directory = write_checkpoint(tmp_path / "hf", shards=3, dtype="BF16", **_FIVE_LAYERS)
    for number, network in loaded(directory, shared, **overrides):
        names = [name.split(".") for name in bits(network) if ".layers." in name]
        assert sorted({int(name[2]) for name in names}) == layers[number]
        report: LoadReport = network.mf_qwen3_report
        assert (report.pipeline_stage, report.pipeline_parallel) == (
            number // shared.get("tensor", 1),
            shared["pipeline"],
        )
        assert report.on_other_ranks == 11 * (5 - len(layers[number]))
        assert report.ignored == {}
        assert report.warnings == ()


def test_the_first_stage_has_the_embedding_and_the_last_one_the_head(tmp_path: Path) -> None:
    """As serving engines build them."""
    directory = write_checkpoint(tmp_path / "hf", **_FIVE_LAYERS)
    ends = {"embedding.word_embeddings.weight": 0, "output_layer.weight": 1}
    for number in range(2):
        with as_process(number, pipeline=2):
            at_end = {"pre_process": number == 0, "post_process": number == 1}
            stock, shim = build(directory, **at_end), build(directory, **at_end)
            load_with_stock(stock, directory)
            shim.load_weights(str(directory))
            mine = bits(shim)
            assert differences(bits(stock), mine) == {}
            assert [name for name in ends if name in mine] == [name for name, stage in ends.items() if stage == number]
            assert shim.mf_qwen3_report.ignored == {}
            # One of the ends, and the layers of the other stage.
            assert shim.mf_qwen3_report.on_other_ranks == 1 + 11 * (2 if number == 0 else 3)


@pytest.mark.parametrize(
    "shared",
    [
        {"tensor": 2, "expert": 2},
        {"data": 2, "expert": 2},
        {"tensor": 4, "expert": 2},
        {"data": 2},
        pytest.param({"tensor": 2, "data": 2, "expert": 4}, marks=pytest.mark.sweep),
        pytest.param({"tensor": 2, "data": 2, "expert": 2}, marks=pytest.mark.sweep),
        pytest.param({"data": 4, "expert": 4}, marks=pytest.mark.sweep),
        pytest.param({"tensor": 2, "pipeline": 2, "expert": 2}, marks=pytest.mark.sweep),
    ],
    ids=lambda shared: "+".join(f"{name}{count}" for name, count in shared.items()),
)
def test_each_rank_gets_its_own_experts(shared: Shared, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", shards=3, dtype="BF16", **_EIGHT_EXPERTS)
    held = 8 // shared.get("expert", 1)
    for number, network in loaded(directory, shared):
        values = bits(network)
        layers = [name for name in values if name.endswith(".weight1")]
        assert {len(values[name]) for name in layers} == {held}, f"process {number}"
        report: LoadReport = network.mf_qwen3_report
        # The other stage's layers have 9 tensors beside those of the experts.
        absent = 2 - len(layers)
        assert report.on_other_ranks == len(layers) * 3 * (8 - held) + absent * (9 + 3 * 8)
        assert report.expert_parallel == shared.get("expert", 1)
        assert report.ignored == {}


def test_all_ranks_together_verify_every_tensor(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", dtype="BF16", **_EIGHT_EXPERTS)
    count, shared = len(tensors_of(directory)), {"tensor": 2, "pipeline": 2, "expert": 2}
    held = [count - network.mf_qwen3_report.on_other_ranks for _, network in loaded(directory, shared)]
    outer, layer, experts = 3, 9, 3 * 4
    assert held == [outer + layer + experts] * 4


def test_a_tensor_that_one_stage_lacks_is_an_error_on_all(tmp_path: Path) -> None:
    """No rank loads its part of a model that is broken elsewhere."""
    directory = write_checkpoint(tmp_path / "hf", **_FIVE_LAYERS)
    edit_weights(directory, lambda tensors: tensors.pop("model.layers.4.mlp.up_proj.weight"))
    for number in range(2):
        with as_process(number, pipeline=2):
            network = build(directory)
            before = bits(network)
            with pytest.raises(IncompleteCheckpoint, match=r"model\.layers\.4\.mlp\.up_proj\.weight"):
                network.load_weights(str(directory))
            assert differences(before, bits(network)) == {}


def test_what_no_rank_wants_is_still_ignored(tmp_path: Path) -> None:
    """A tied model has no head on any stage, and no stage a tensor that Qwen3 does not know."""
    directory = write_checkpoint(tmp_path / "hf", tie=True, **_FIVE_LAYERS)
    extra = {"lm_head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"}

    def add(tensors: dict[str, Any]) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = zeros(16)

    edit_weights(directory, add)
    for _, network in loaded(directory, {"pipeline": 2}):
        assert set(network.mf_qwen3_report.ignored) == extra


def test_experts_that_cannot_be_shared_out_are_refused(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", **_EIGHT_EXPERTS)
    with as_process(0, data=3, expert=3), pytest.raises(ConfigMismatch, match="num_experts 8"):
        AutoModel.from_pretrained(directory)


def test_a_pipeline_is_not_taken_for_tensor_parallelism(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Launch variables count only before there are groups."""
    directory = write_checkpoint(tmp_path / "hf", **_FIVE_LAYERS)
    monkeypatch.setenv("MS_WORKER_NUM", "2")
    with as_process(1, pipeline=2):
        report: LoadReport = AutoModel.from_pretrained(directory).mf_qwen3_report

    assert (report.tensor_parallel, report.pipeline_parallel, report.pipeline_stage, report.global_rank) == (1, 2, 1, 1)
