"""``convert`` and ``export`` of a mixture of experts: what experts add to what ``test_convert`` and ``test_export`` say."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
from mindformers.models.qwen3_moe.modeling_qwen3_moe_infer import InferenceQwen3MoeForCausalLM
from tests.faults.catalog import Fault
from tests.faults.moe import MOE_FAULTS
from tests.mindformers.convert.test_to_huggingface import (
    ALL_INFERENCE,
    ALL_TRAINING,
    as_mindformers_saves_it,
    tensors_of,
)
from tests.mindformers.convert.test_to_mindformers import all_tensors, load_as_stock_does
from tests.mindformers.loading.test_reference_data import CASES, generate
from tests.mindformers.loading.transfer.stock import as_rank, bits, build, differences, load_with_shim, load_with_stock
from tests.support.checkpoints import (
    TINY_MOE,
    decode,
    edit_config,
    edit_weights,
    encode,
    weight_files,
    write_checkpoint,
    zeros,
)

from mf_qwen3_patch.checkpoint.writing.safetensors_writer import NewFile
from mf_qwen3_patch.cli.main import main
from mf_qwen3_patch.convert.to_huggingface import Layouts, export_to_huggingface
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.errors import CheckpointError, ConfigMismatch, IncompleteCheckpoint, UnsupportedCheckpoint
from mf_qwen3_patch.loading.runtime.parameters import to_numpy

EXPERTS, FFN, HIDDEN = 6, 40, 80
WEIGHT1, WEIGHT2 = (f"decoder.layers.1.mlp.experts.weight{number}" for number in (1, 2))
ROUTER = "decoder.layers.0.mlp.router.weight"
EXPERT = "model.layers.1.mlp.experts.4"


def moe(directory: Path, **options: Any) -> Path:
    return write_checkpoint(directory, **TINY_MOE, **options)


def values(directory: Path) -> dict[str, np.ndarray]:
    return {name: decode(raw) for name, raw in all_tensors(directory).items()}


def test_experts_are_stacked_transposed_with_gate_before_up(tmp_path: Path) -> None:
    """Written down apart from the code under test."""
    directory = moe(tmp_path / "hf", dtype="BF16", shards=3)
    convert_to_mindformers(directory, tmp_path / "inference")
    convert_to_mindformers(directory, tmp_path / "training", layout="training")
    source, inference, training = (values(tmp_path / made) for made in ("hf", "inference", "training"))

    assert inference[WEIGHT1].shape == (EXPERTS, HIDDEN, 2 * FFN)
    assert inference[WEIGHT2].shape == (EXPERTS, FFN, HIDDEN)
    for expert in range(EXPERTS):
        gate, up, down = (
            source[f"model.layers.1.mlp.experts.{expert}.{part}_proj.weight"] for part in ("gate", "up", "down")
        )
        for row in range(FFN):
            np.testing.assert_array_equal(inference[WEIGHT1][expert, :, row], gate[row])
            np.testing.assert_array_equal(inference[WEIGHT1][expert, :, FFN + row], up[row])
            np.testing.assert_array_equal(inference[WEIGHT2][expert, row], down[:, row])
    for name in (WEIGHT1, WEIGHT2):
        np.testing.assert_array_equal(training[name], inference[name].reshape(-1, inference[name].shape[-1]))
    np.testing.assert_array_equal(inference[ROUTER], source["model.layers.0.mlp.gate.weight"])


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_the_files_hold_what_convert_weight_dict_returns(dtype: str, tmp_path: Path) -> None:
    directory = moe(tmp_path / "hf", dtype=dtype)
    convert_to_mindformers(directory, tmp_path / "mf")
    (file,) = weight_files(directory)
    source = mindspore.load_checkpoint(str(file), format="safetensors")
    expected = InferenceQwen3MoeForCausalLM.convert_weight_dict(source)

    found = all_tensors(tmp_path / "mf")
    assert {name: raw.shape for name, raw in found.items()} == {name: own.shape for name, own in expected.items()}
    assert [name for name, raw in found.items() if raw.data != to_numpy(expected[name]).tobytes()] == []


@pytest.mark.parametrize("ranks", [2, 4])
def test_each_rank_gets_what_the_loader_reads_for_it(ranks: int, tmp_path: Path) -> None:
    directory = moe(tmp_path / "hf", dtype="F16", shards=2)
    convert_to_mindformers(directory, tmp_path / "ranks", ranks=ranks)
    for rank in range(ranks):
        with as_rank(rank, ranks):
            expected, found = build(directory, "float16"), build(directory, "float16")
            load_with_shim(expected, directory)
            load_as_stock_does(found, weight_files(tmp_path / "ranks" / f"rank_{rank}"))
        assert differences(bits(expected), bits(found)) == {}, f"rank {rank} of {ranks}"


def _not_transposed(stack: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(stack.transpose(0, 2, 1)).reshape(stack.shape)


def _gate_and_up_swapped(stack: np.ndarray) -> np.ndarray:
    return np.roll(stack, stack.shape[2] // 2, axis=2)


def _the_next_experts(stack: np.ndarray) -> np.ndarray:
    return np.roll(stack, 1, axis=0)


@pytest.mark.parametrize(
    ("weight", "wrong"),
    [
        ("weight1", None),
        ("weight1", _not_transposed),
        ("weight1", _gate_and_up_swapped),
        ("weight1", _the_next_experts),
        ("weight2", _not_transposed),
        ("weight2", _the_next_experts),
    ],
)
def test_the_tokens_are_huggingfaces_and_those_of_no_other_stack(
    weight: str, wrong: Callable[[np.ndarray], np.ndarray] | None, tmp_path: Path
) -> None:
    """Each wrong stack has the right names, shapes and numbers; stock loads it without a word."""
    case = CASES["moe"]
    convert_to_mindformers(case.directory, tmp_path / "mf")
    if wrong is not None:
        edit_weights(
            tmp_path / "mf",
            lambda tensors: tensors.update(
                {
                    name: encode(wrong(decode(raw)), raw.dtype)
                    for name, raw in tensors.items()
                    if name.endswith(f".{weight}")
                }
            ),
        )
    network = build(case.directory)
    load_as_stock_does(network, weight_files(tmp_path / "mf"))
    found = [generate(network, [prompt], case)[0] for prompt in case.prompts]
    assert (found == case.sequences) == (wrong is None)


def test_no_more_than_a_few_experts_matrices_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"hidden_size": 256, "moe_intermediate_size": 256, "num_experts": 16, "num_hidden_layers": 1}
    directory = write_checkpoint(tmp_path / "hf", **(TINY_MOE | sizes))
    matrix = 256 * 256 * 4
    peaks = []

    def measured(self: NewFile, directory: Path, wrote: Callable[[int], object]) -> None:
        tracemalloc.start()
        try:
            write(self, directory, wrote)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    write = NewFile.write
    monkeypatch.setattr(NewFile, "write", measured)
    for layout in ("inference", "training"):
        convert_to_mindformers(directory, tmp_path / layout, layout=layout)
        export_to_huggingface(tmp_path / layout, tmp_path / f"{layout} back")
        assert all_tensors(tmp_path / f"{layout} back") == all_tensors(directory)
    assert len(peaks) == 4
    # Gate and up, merged, and transposed; all of them are 32 matrices.
    assert max(peaks) < 8 * matrix, [peak / matrix for peak in peaks]


@pytest.mark.parametrize("fault", MOE_FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_one_error_and_no_directory(fault: Fault, tmp_path: Path) -> None:
    directory = moe(tmp_path / "hf", shards=4)
    fault.make(directory)
    with pytest.raises(CheckpointError) as caught:
        convert_to_mindformers(directory, tmp_path / "mf", ranks=fault.ranks)
    assert type(caught.value) is fault.error
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_experts_of_mixed_dtypes_need_one_to_be_named(tmp_path: Path) -> None:
    directory = moe(tmp_path / "hf")
    name = f"{EXPERT}.up_proj.weight"
    edit_weights(directory, lambda tensors: tensors.update({name: encode(decode(tensors[name]), "BF16")}))
    with pytest.raises(
        UnsupportedCheckpoint, match=rf"experts\.0\.gate_proj\.weight and {EXPERT}\.up.* differ in dtype"
    ):
        convert_to_mindformers(directory, tmp_path / "mf")
    convert_to_mindformers(directory, tmp_path / "mf", dtype="float32")
    export_to_huggingface(tmp_path / "mf", tmp_path / "back")
    np.testing.assert_array_equal(values(tmp_path / "back")[name], values(directory)[name])


def test_an_expert_beyond_the_routers_is_named_and_left_behind(tmp_path: Path) -> None:
    directory = moe(tmp_path / "hf")
    extra = "model.layers.0.mlp.experts.6.up_proj.weight"
    edit_weights(directory, lambda tensors: tensors.update({extra: zeros(FFN, HIDDEN)}))
    done = convert_to_mindformers(directory, tmp_path / "mf")
    assert done.ignored == (extra,)
    export_to_huggingface(tmp_path / "mf", tmp_path / "back")
    assert all_tensors(tmp_path / "back").keys() == all_tensors(directory).keys() - {extra}


@pytest.mark.parametrize(
    ("layout", "layouts"),
    [
        ("training", ALL_TRAINING),
        ("inference", ALL_INFERENCE),
        ("inference", Layouts("inference", "training", "training")),
    ],
    ids=["training", "inference", "training with contiguous attention"],
)
def test_what_mindformers_saved_is_exported_when_the_layout_is_said(
    layout: Any, layouts: Layouts, tmp_path: Path
) -> None:
    saved = as_mindformers_saves_it(tmp_path, layout, dtype="BF16", **TINY_MOE)
    if layouts.experts != layout:  # of the training layout take the shape of the experts, of the other the attention
        edit_weights(saved, _flatten)
    export_to_huggingface(saved, tmp_path / "back", layouts=layouts, config=tmp_path / "hf")
    assert tensors_of(tmp_path / "back") == tensors_of(tmp_path / "hf")


def _flatten(tensors: dict[str, Any]) -> None:
    for name, raw in tensors.items():
        if len(raw.shape) == 3:
            tensors[name] = type(raw)(raw.dtype, (raw.shape[0] * raw.shape[1], raw.shape[2]), raw.data)


@pytest.mark.parametrize(("true", "said"), [("inference", ALL_TRAINING), ("training", ALL_INFERENCE)])
def test_a_layout_that_the_experts_contradict_is_an_error(true: Any, said: Layouts, tmp_path: Path) -> None:
    """In a dense model nothing shows it."""
    saved = as_mindformers_saves_it(tmp_path, true, **TINY_MOE)
    with pytest.raises(
        ConfigMismatch, match=rf"has the shape of the {true} layout[\s\S]*say --layout {true}"
    ) as caught:
        export_to_huggingface(saved, tmp_path / "back", layouts=said, config=tmp_path / "hf")
    assert len(caught.value.problems) == 1
    assert not (tmp_path / "back").exists()


def _dense(hf: Path) -> None:
    edit_config(hf, *TINY_MOE, model_type="qwen3", architectures=["Qwen3ForCausalLM"])


@pytest.mark.parametrize(
    ("spoil", "kind", "text"),
    [
        (lambda saved, hf: edit_weights(saved, lambda tensors: tensors.pop(WEIGHT2)), IncompleteCheckpoint,
         rf"{WEIGHT2} is in no file[\s\S]*\[240, 80\]"),
        (lambda saved, hf: edit_weights(saved, lambda tensors: tensors.pop(ROUTER)), IncompleteCheckpoint,
         f"{ROUTER} is in no file"),
        (lambda saved, hf: edit_config(hf, num_experts=4), ConfigMismatch, "another shape than config.json implies"),
        (lambda saved, hf: edit_config(hf, num_experts=10**9), ConfigMismatch,
         "num_experts: 1000000000, which is more than the files can hold"),
        (lambda saved, hf: edit_config(hf, moe_intermediate_size=20), ConfigMismatch, "another shape"),
        (lambda saved, hf: edit_config(hf, mlp_only_layers=[0]), UnsupportedCheckpoint, r"mlp_only_layers to \[0\]"),
        (lambda saved, hf: edit_config(hf, decoder_sparse_step=2), UnsupportedCheckpoint, "decoder_sparse_step to 2"),
        (lambda saved, hf: _dense(hf), UnsupportedCheckpoint,
         "describes Qwen3, but the parameters are those of a Qwen3 mixture of experts"),
    ],
    ids=["experts missing", "router missing", "fewer experts", "absurdly many experts", "smaller experts",
         "dense layers by name", "dense layers by step", "a dense model's config"],
)  # fmt: skip
def test_what_cannot_be_exported_rightly_is_an_error(
    spoil: Any, kind: type[CheckpointError], text: str, tmp_path: Path
) -> None:
    saved = as_mindformers_saves_it(tmp_path, **TINY_MOE)
    spoil(saved, tmp_path / "hf")
    with pytest.raises(kind, match=text):
        export_to_huggingface(saved, tmp_path / "back", layouts=ALL_TRAINING, config=tmp_path / "hf")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("layout", ["inference", "training"])
def test_a_network_of_the_other_kind_takes_neither(layout: Any, tmp_path: Path) -> None:
    dense, experts = write_checkpoint(tmp_path / "dense"), moe(tmp_path / "experts")
    for source, network in ((dense, experts), (experts, dense)):
        convert_to_mindformers(source, tmp_path / f"{source.name} mf", layout=layout)
        with pytest.raises(UnsupportedCheckpoint, match="but the model that they are loaded into is") as caught:
            build(network).load_weights(str(tmp_path / f"{source.name} mf"))
        assert len(caught.value.problems) == 1


def test_what_stock_cannot_load_on_the_cpu_is_loaded_in_either_layout(tmp_path: Path) -> None:
    """Stock fails halfway on bfloat16 experts in the training layout."""
    directory = moe(tmp_path / "hf", dtype="BF16")
    for layout in ("inference", "training"):
        convert_to_mindformers(directory, tmp_path / layout, layout=layout)
    network, expected = build(directory, "bfloat16"), build(directory, "bfloat16")
    load_with_shim(expected, directory)
    network.load_weights(str(tmp_path / "inference"))
    assert differences(bits(expected), bits(network)) == {}
    network = build(directory, "bfloat16")
    network.load_weights(str(tmp_path / "training"))
    assert differences(bits(expected), bits(network)) == {}
    with pytest.raises(RuntimeError, match="is invalid"):
        load_with_stock(build(directory, "bfloat16"), tmp_path / "training")


def test_the_commands(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    directory = moe(tmp_path / "hf", dtype="BF16", shards=2)
    back, made = tmp_path / "back", tmp_path / "mf"
    assert main(["convert", str(directory), str(made), "--layout", "training"]) == 0
    assert "21 parameters in the training layout" in "".join(capfd.readouterr())
    assert main(["export", str(made), str(back)]) == 0
    assert f"{len(all_tensors(directory))} tensors from the training layout" in "".join(capfd.readouterr())
    assert all_tensors(back) == all_tensors(directory)
    assert (back / "config.json").read_bytes() == (directory / "config.json").read_bytes()
    assert main(["convert", str(directory), str(tmp_path / "ranks"), "--tp", "2"]) == 0
    assert "21 parameters for each of 2 ranks in the inference layout" in "".join(capfd.readouterr())
