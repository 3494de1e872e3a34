"""A checkpoint that MindFormers merged itself loads as MindFormers' own loader loads it, checked and verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.mindformers.loading.entries import edit_files, write_noted
from tests.mindformers.loading.transfer.stock import as_rank, bits, build, differences, load_with_stock
from tests.support.checkpoints import TINY_MOE, Raw, read_safetensors, weight_files, write_checkpoint

from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.errors import CheckpointWarning, UnsupportedCheckpoint
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
