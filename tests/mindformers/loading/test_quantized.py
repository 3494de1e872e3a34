"""A quantized checkpoint at the entries: loaded, reported, converted, and refused where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.faults.quantized import VALUE_FAULTS, ValueFault
from tests.mindformers.loading.transfer.stock import bits, build, differences
from tests.support.checkpoints import TINY_MOE, write_checkpoint
from tests.support.quantized import write_quantized

import mf_qwen3_patch
from mf_qwen3_patch import CheckpointError, UnsupportedCheckpoint
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.loading.transfer import planner
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible
from mindformers import AutoModel

FP8 = "FP8, blocks"


def test_from_pretrained_loads_it_and_says_so(tmp_path: Path) -> None:
    quantized, plain = write_quantized(tmp_path, FP8, dtype="BF16")

    model = AutoModel.from_pretrained(str(quantized))

    assert differences(bits(AutoModel.from_pretrained(str(plain))), bits(model)) == {}
    report = model.mf_qwen3_report
    assert report.dequantized == {"FP8->float32": 14}
    assert report.tensors == 25
    assert report.casts == {"BF16->float32": 11}
    assert "dequantized           FP8 → float32, 14 tensors" in str(report)
    assert json.loads(report.to_json())["dequantized"] == {"FP8->float32": 14}
    assert report.ignored == {}
    assert report.warnings == ()


def test_load_weights_loads_it(tmp_path: Path) -> None:
    quantized, plain = write_quantized(tmp_path, FP8, **TINY_MOE)
    model, expected = build(quantized), build(plain)

    model.load_weights(str(quantized))
    expected.load_weights(str(plain))

    assert differences(bits(expected), bits(model)) == {}


def test_dequantize_false_refuses_it(tmp_path: Path) -> None:
    quantized, _ = write_quantized(tmp_path, FP8)

    with pytest.raises(UnsupportedCheckpoint, match="the weights are quantized"):
        AutoModel.from_pretrained(str(quantized), dequantize=False)
    with pytest.raises(UnsupportedCheckpoint, match="the weights are quantized"):
        mf_qwen3_patch.load_weights(build(quantized), quantized, dequantize=False)


def test_the_environment_refuses_it_unless_the_call_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized, _ = write_quantized(tmp_path, FP8)
    monkeypatch.setenv("MF_QWEN3_PATCH_DEQUANTIZE", "0")

    with pytest.raises(UnsupportedCheckpoint, match="the weights are quantized"):
        AutoModel.from_pretrained(str(quantized))
    assert AutoModel.from_pretrained(str(quantized), dequantize=True).mf_qwen3_report.dequantized


@pytest.mark.parametrize("kind", [FP8, "AWQ"])
@pytest.mark.parametrize("layout", ["inference", "training"])
def test_converted_it_is_not_quantized_any_more(kind: str, layout: str, tmp_path: Path) -> None:
    quantized, plain = write_quantized(tmp_path, kind, dtype="BF16")

    done = convert_to_mindformers(quantized, tmp_path / "mf", layout=layout, progress=False)  # type: ignore[arg-type]
    convert_to_mindformers(plain, tmp_path / "expected", layout=layout, dtype="bfloat16", progress=False)  # type: ignore[arg-type]

    assert done.ignored == ()
    config = json.loads((tmp_path / "mf" / "config.json").read_bytes())
    assert "quantization_config" not in config
    assert config["torch_dtype"] == "bfloat16"
    found, expected = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("mf", "expected"))
    assert found == expected


def test_converted_for_ranks_it_is_that_of_the_plain_one(tmp_path: Path) -> None:
    quantized, plain = write_quantized(tmp_path, "GPTQ, asymmetric, act-order", dtype="BF16", **TINY_MOE)

    convert_to_mindformers(quantized, tmp_path / "mf", ranks=2, dtype="float16", progress=False)
    convert_to_mindformers(plain, tmp_path / "expected", ranks=2, dtype="float16", progress=False)

    for rank in range(2):
        found, expected = (
            (tmp_path / name / f"rank_{rank}" / "model.safetensors").read_bytes() for name in ("mf", "expected")
        )
        assert found == expected


def test_what_only_mindformers_can_load_is_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized, _ = write_quantized(tmp_path, FP8)

    def not_possible() -> None:
        raise PlanNotPossible("a reason")

    monkeypatch.setattr(planner, "_refuse_formats_of_their_own", not_possible)

    with pytest.raises(UnsupportedCheckpoint, match=r"quantized \(FP8\).*(?s:.)*--layout training.*a reason"):
        AutoModel.from_pretrained(str(quantized))


@pytest.mark.parametrize("fault", VALUE_FAULTS, ids=lambda fault: fault.name)
def test_a_fault_that_only_the_values_show_is_one_error_at_every_entry(fault: ValueFault, tmp_path: Path) -> None:
    good = write_checkpoint(tmp_path / "good")
    model = AutoModel.from_pretrained(str(good))
    before = bits(model)
    directory = write_checkpoint(tmp_path / "quantized")
    fault.make(directory)

    def convert() -> None:
        convert_to_mindformers(directory, tmp_path / "mf", progress=False)

    for entry in (
        lambda: AutoModel.from_pretrained(str(directory)),
        lambda: model.load_weights(str(directory)),
        convert,
    ):
        with pytest.raises(CheckpointError) as caught:
            entry()
        message = str(caught.value)
        assert type(caught.value) is fault.error, message
        assert len(caught.value.problems) == 1, message
        for text in fault.says:
            assert text in message, message
    assert differences(before, bits(model)) == {}


def test_a_network_with_mindformers_own_quantization_is_left_to_mindformers(tmp_path: Path) -> None:
    """Building one needs packages for Ascend; what tells it is the settings that stock keeps on the network."""
    directory = write_checkpoint(tmp_path / "hf")
    model, expected = build(directory), build(directory)
    expected.load_weights(str(directory))
    model.quant_config = {"quantization": "golden-stick"}

    model.load_weights(str(directory))

    assert differences(bits(expected), bits(model)) == {}
    assert hasattr(expected, "mf_qwen3_report")
    assert not hasattr(model, "mf_qwen3_report")
