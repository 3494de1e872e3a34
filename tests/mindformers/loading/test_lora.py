"""LoRA adapters at the entries: merged, reported, converted, and refused where they can't be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.mindformers.loading.transfer.stock import bits, build, differences
from tests.support.checkpoints import TINY_MOE, write_checkpoint
from tests.support.lora import PROJECTIONS, edit_adapter_config, merge_into, write_adapter
from tests.support.quantized import write_quantized

import mf_qwen3_patch
from mf_qwen3_patch import CheckpointWarning, IncompleteCheckpoint, UnsupportedCheckpoint
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mindformers import AutoConfig, AutoModel, AutoTokenizer

MICRO = Path(mf_qwen3_patch.__file__).parent / "micro_qwen3"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")
MODELS: dict[str, dict[str, Any]] = {"dense": {}, "mixture of experts": TINY_MOE, "tied": {"tie": True}}


def write_model(directory: Path, adapter: Path | None = None, **options: Any) -> tuple[Path, Path, Path]:
    """Write a base model, its adapter, and the merged model."""
    base, plain = (write_checkpoint(directory / name, **options) for name in ("base", "plain"))
    adapter = adapter or directory / "adapter"
    merge_into(plain, write_adapter(adapter, base, PROJECTIONS))
    return base, adapter, plain


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shards", [1, 3])
def test_an_adapters_directory_loads_its_base_merged(model: str, shards: int, tmp_path: Path) -> None:
    _, adapter, plain = write_model(tmp_path, shards=shards, **MODELS[model])

    found = AutoModel.from_pretrained(str(adapter))

    assert differences(bits(AutoModel.from_pretrained(str(plain))), bits(found)) == {}
    assert found.mf_qwen3_report.warnings == ()


def test_an_adapter_is_named_by_a_keyword_and_reported(tmp_path: Path) -> None:
    base, adapter, plain = write_model(tmp_path)

    found = AutoModel.from_pretrained(str(base), adapter=adapter)

    assert differences(bits(AutoModel.from_pretrained(str(plain))), bits(found)) == {}
    report = found.mf_qwen3_report
    assert report.merged == {"LoRA->float32": 14}
    assert "merged                LoRA → float32, 14 tensors" in str(report)
    assert json.loads(report.to_json())["merged"] == {"LoRA->float32": 14}
    assert report.files == ("model.safetensors", "adapter_model.safetensors")
    assert (report.ignored, report.warnings) == ({}, ())


def test_an_adapter_beside_the_model_is_merged(tmp_path: Path) -> None:
    base, _, plain = write_model(tmp_path, tmp_path / "base")

    found = AutoModel.from_pretrained(str(base))

    assert differences(bits(AutoModel.from_pretrained(str(plain))), bits(found)) == {}
    assert found.mf_qwen3_report.warnings == ()


def test_stray_weights_of_an_adapter_are_ignored_with_a_warning(tmp_path: Path) -> None:
    base, _, _ = write_model(tmp_path, tmp_path / "base")
    (base / "adapter_config.json").unlink()

    with pytest.warns(CheckpointWarning, match="adapter_model.safetensors"):
        found = AutoModel.from_pretrained(str(base))

    expected = AutoModel.from_pretrained(str(write_checkpoint(tmp_path / "alone")))
    assert differences(bits(expected), bits(found)) == {}


def by_path(model: Any, base: Path, adapter: Path) -> None:
    model.load_weights(str(adapter))


def by_keyword(model: Any, base: Path, adapter: Path) -> None:
    mf_qwen3_patch.load_weights(model, base, adapter=adapter)


@pytest.mark.parametrize("load", [by_path, by_keyword])
@pytest.mark.parametrize("model", ["dense", "mixture of experts"])
def test_load_weights_merges_it(load: Callable[[Any, Path, Path], None], model: str, tmp_path: Path) -> None:
    base, adapter, plain = write_model(tmp_path, **MODELS[model])
    found, expected = build(base), build(plain)

    load(found, base, adapter)
    expected.load_weights(str(plain))

    assert differences(bits(expected), bits(found)) == {}


def test_every_value_of_it_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, adapter, _ = write_model(tmp_path)
    monkeypatch.setenv("MF_QWEN3_PATCH", "strict")

    report = AutoModel.from_pretrained(str(base), adapter=str(adapter)).mf_qwen3_report

    assert report.verification.rows_compared == report.verification.rows


def test_a_quantized_base_is_dequantized_and_merged(tmp_path: Path) -> None:
    quantized, plain = write_quantized(tmp_path, "FP8, blocks")
    adapter = tmp_path / "adapter"
    merge_into(plain, write_adapter(adapter, plain, PROJECTIONS, base_model_name_or_path="quantized"))

    found = AutoModel.from_pretrained(str(quantized), adapter=adapter)

    assert differences(bits(AutoModel.from_pretrained(str(plain))), bits(found)) == {}


@pytest.mark.parametrize("layout", ["inference", "training"])
@pytest.mark.parametrize("model", ["dense", "mixture of experts"])
def test_converted_it_is_merged(layout: Any, model: str, tmp_path: Path) -> None:
    base, adapter, plain = write_model(tmp_path, **MODELS[model])

    done = convert_to_mindformers(base, tmp_path / "mf", adapter=adapter, layout=layout, progress=False)
    convert_to_mindformers(plain, tmp_path / "expected", layout=layout, progress=False)

    assert done.adapter == str(adapter)
    assert done.ignored == ()
    found, expected = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("mf", "expected"))
    assert found == expected


def test_converted_for_ranks_each_has_its_slices_of_the_merged_model(tmp_path: Path) -> None:
    _, adapter, plain = write_model(tmp_path)

    convert_to_mindformers(adapter, tmp_path / "mf", ranks=2, progress=False)
    convert_to_mindformers(plain, tmp_path / "expected", ranks=2, progress=False)

    for rank in range(2):
        found, expected = (
            (tmp_path / name / f"rank_{rank}" / "model.safetensors").read_bytes() for name in ("mf", "expected")
        )
        assert found == expected


def test_config_and_tokenizer_of_an_adapter_are_its_bases(tmp_path: Path) -> None:
    base, adapter, _ = write_model(tmp_path)
    for name in TOKENIZER_FILES:
        shutil.copy(MICRO / name, base / name)

    assert AutoConfig.from_pretrained(str(adapter)).hidden_size == 80
    assert AutoTokenizer.from_pretrained(str(adapter)).encode("a") == AutoTokenizer.from_pretrained(str(base)).encode(
        "a"
    )


@pytest.mark.parametrize("name", ["nowhere/of-it", "/nowhere/of-it/at-all"])
def test_a_base_that_is_not_there_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, adapter, _ = write_model(tmp_path)
    edit_adapter_config(adapter, base_model_name_or_path=name)

    with pytest.raises(IncompleteCheckpoint, match=rf"the base model .* names is not here(?s:.)*{name}(?s:.)*adapter="):
        mf_qwen3_patch.load_weights(build(base), adapter)
    with pytest.raises(IncompleteCheckpoint, match=f"names is not here(?s:.)*{name}"):
        mf_qwen3_patch.preflight(adapter)


def test_two_adapters_are_refused(tmp_path: Path) -> None:
    _, adapter, _ = write_model(tmp_path, tmp_path / "base")
    write_adapter(tmp_path / "other", tmp_path / "base")

    with pytest.raises(UnsupportedCheckpoint, match="there are two adapters"):
        AutoModel.from_pretrained(str(adapter), adapter=tmp_path / "other")
