"""A checkpoint that MindFormers merged itself loads as MindFormers' own loader loads it, checked and verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.mindformers.loading.entries import edit_files, write_noted
from tests.mindformers.loading.transfer.stock import as_process, as_rank, bits, build, differences, load_with_stock
from tests.support.checkpoints import TINY_MOE, Raw, read_safetensors, weight_files, write_checkpoint

from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.errors import CheckpointWarning, UnsupportedCheckpoint
from mf_qwen3_patch.families.layout import Layout
from mindformers import AutoModel


def merged(root: Path, *, split: bool = False, config: bool = True, **options: Any) -> tuple[Path, Path]:
    """Return a HuggingFace directory, and what MindFormers' tools make of it: no note of the layout."""
    source = write_checkpoint(root / "hf", shards=2, **options)
    target = root / "merged"
    convert_to_mindformers(source, target, layout="training", max_shard_bytes=120_000, progress=False)
    for file in weight_files(target):
        write_noted(file, read_safetensors(file), {"format": "np"})
    (target / "mf_qwen3_patch.manifest.json").unlink()
    if not config:
        (target / "config.json").unlink()
    return source, target


@pytest.mark.parametrize("config", [True, False], ids=["with config.json", "without"])
@pytest.mark.parametrize("family", [{}, {"tie": True}, TINY_MOE], ids=["dense", "tied", "experts"])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_same_bits_as_stock(ranks: int, family: dict[str, Any], config: bool, tmp_path: Path) -> None:
    """With 4 ranks the key/value heads are replicated: a rank's queries are a part of a block."""
    source, directory = merged(tmp_path, config=config, **family)
    for rank in range(ranks):
        with as_rank(rank, ranks):
            stock, shim, huggingface = build(source), build(source), build(source)
            load_with_stock(stock, directory)
            with pytest.warns(CheckpointWarning, match="the training layout is assumed") as caught:
                shim.load_weights(str(directory))
            huggingface.load_weights(str(source))

        assert differences(bits(stock), bits(shim)) == {}, f"rank {rank}"
        assert differences(bits(huggingface), bits(shim)) == {}, f"rank {rank}"
        assert len(caught) == 1
        report = shim.mf_qwen3_report
        assert (report.directory, report.parameters) == (str(directory), len(bits(shim)))
        assert report.verification.slices >= report.parameters


@pytest.mark.parametrize("layout", ["training", "inference"])
@pytest.mark.parametrize(
    ("shared", "family"),
    [
        ({"pipeline": 2}, {"num_hidden_layers": 3}),
        ({"tensor": 2, "expert": 2}, TINY_MOE),
        ({"data": 2, "expert": 2}, TINY_MOE),
    ],
    ids=["PP", "TP+EP", "DP+EP"],
)
def test_ranks_with_layers_and_experts_of_their_own_get_them_from_whole_files(
    shared: dict[str, int], family: dict[str, Any], layout: Layout, tmp_path: Path
) -> None:
    source = write_checkpoint(tmp_path / "hf", **family)
    convert_to_mindformers(source, tmp_path / "whole", layout=layout, progress=False)
    for number in range(2):
        with as_process(number, **shared):
            huggingface, converted = build(source), build(source)
            huggingface.load_weights(str(source))
            converted.load_weights(str(tmp_path / "whole"))

        assert differences(bits(huggingface), bits(converted)) == {}, f"process {number}"
        report = converted.mf_qwen3_report
        assert (report.loader, report.ignored) == ("mf_qwen3_patch", {})


def test_stages_take_the_slices_of_their_tensor_parallel_rank(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf", num_hidden_layers=3)
    convert_to_mindformers(source, tmp_path / "sliced", ranks=2, progress=False)
    for number in range(4):
        with as_process(number, tensor=2, pipeline=2):
            huggingface, converted = build(source), build(source)
            huggingface.load_weights(str(source))
            converted.load_weights(str(tmp_path / "sliced"))

        assert differences(bits(huggingface), bits(converted)) == {}, f"process {number}"


def test_experts_that_are_sliced_already_are_not_shared_out(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf", **TINY_MOE)
    convert_to_mindformers(source, tmp_path / "sliced", ranks=2, progress=False)
    with as_process(0, tensor=2, expert=2):
        model = build(source)
        with pytest.raises(UnsupportedCheckpoint, match="shared here among 2 expert-parallel and 1 data-parallel"):
            model.load_weights(str(tmp_path / "sliced"))


def test_an_optimizers_state_is_ignored_with_a_warning(tmp_path: Path) -> None:
    source, directory = merged(tmp_path)
    edit_files(directory, lambda tensors: tensors.update({"adam_m.output_layer.weight": Raw("F32", (2,), bytes(8))}))
    (directory / "model.safetensors.index.json").unlink()
    for file in weight_files(directory)[1:]:  # of each tensor there may be one
        write_noted(file, {n: r for n, r in read_safetensors(file).items() if "adam" not in n}, {"format": "np"})
    expected, model = build(source), build(source)
    expected.load_weights(str(source))

    with pytest.warns(CheckpointWarning, match=r"Qwen3 has no such parameters: adam_m\.output_layer\.weight"):
        model.load_weights(str(directory))

    assert differences(bits(expected), bits(model)) == {}


def test_from_pretrained_does_not_guess(tmp_path: Path) -> None:
    """Stock has no such entry whose guess would have to be kept."""
    _, directory = merged(tmp_path)

    with pytest.raises(UnsupportedCheckpoint, match="headers can't tell the training from the inference layout"):
        AutoModel.from_pretrained(directory)
