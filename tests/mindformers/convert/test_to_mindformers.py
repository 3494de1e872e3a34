"""``convert``: what it writes is what stock MindFormers makes of the HuggingFace directory, bit for bit."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mindspore
import numpy as np
import pytest
from mindformers.models.qwen3.modeling_qwen3_train import TrainingQwen3ForCausalLM
from mindformers.models.qwen3_moe.modeling_qwen3_moe_train import TrainingQwen3MoeForCausalLM
from mindformers.parallel_core.utils.model_mixin import TrainModelMixin
from tests.mindformers.loading.transfer.stock import as_rank, bits, build, differences, load_with_stock
from tests.support.checkpoints import (
    TINY_MOE,
    Raw,
    decode,
    edit_config,
    edit_weights,
    encode,
    read_json,
    read_safetensors,
    tensor_shapes,
    weight_files,
    write_checkpoint,
    write_json,
)
from tests.support.processes import run_script

from mf_qwen3_patch.checkpoint.files.safetensors_header import read_header
from mf_qwen3_patch.checkpoint.writing.manifest import MANIFEST_NAME
from mf_qwen3_patch.convert.to_huggingface import export_to_huggingface
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.errors import CheckpointError, InvalidValues, UnsupportedCheckpoint
from mf_qwen3_patch.loading.weight_dict import convert_name

SHARD = 40_000

CASES: dict[str, dict[str, Any]] = {
    "float32": {"dtype": "F32"},
    "float16, tied": {"dtype": "F16", "tie": True},
    "bfloat16, shards": {"dtype": "BF16", "shards": 3},
    "every head its own key": {"dtype": "BF16", "num_key_value_heads": 4},
    "one key for all, tied, shards": {"dtype": "F32", "tie": True, "shards": 2, "num_key_value_heads": 1},
    "config of transformers 5": {"dtype": "BF16", "dialect": "5"},
    "experts": {"dtype": "F32", **TINY_MOE},
    "experts, bfloat16, shards": {"dtype": "BF16", "shards": 3, **TINY_MOE},
    "experts, float16, tied, every head its own key": {
        "dtype": "F16",
        "tie": True,
        "num_key_value_heads": 4,
        **TINY_MOE,
    },
    "experts, config of transformers 5": {"dtype": "BF16", "dialect": "5", **TINY_MOE},
}
FAMILIES = [pytest.param({}, id="dense"), pytest.param(TINY_MOE, id="experts")]


@pytest.fixture(params=CASES)
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "hf", **CASES[request.param])


def all_tensors(directory: Path) -> dict[str, Raw]:
    """The tensors of every file; none may be in two."""
    found: dict[str, Raw] = {}
    for file in weight_files(directory):
        tensors = read_safetensors(file)
        assert not tensors.keys() & found.keys()
        found |= tensors
    return found


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def network(directory: Path) -> Any:
    config = read_json(directory / "config.json")
    theta = {"rope_theta": 1_000_000} if "rope_parameters" in config else {}
    plain = {name: value for name, value in config.items() if name not in ("rope_parameters", "layer_types", "dtype")}
    stripped = directory.parent / "for stock"
    stripped.mkdir(exist_ok=True)
    write_json(stripped / "config.json", {**plain, **theta})
    return build(stripped)


def load_as_stock_does(model: Any, files: list[Path]) -> None:
    """``load_checkpoint`` and ``load_param_into_net``."""
    parameters: dict[str, Any] = {}
    for file in files:
        parameters |= mindspore.load_checkpoint(str(file), format="safetensors")
    assert mindspore.load_param_into_net(model, parameters)[0] == []


def test_every_way_of_loading_it_gives_what_stock_makes_of_the_source(directory: Path, tmp_path: Path) -> None:
    before = contents(directory)
    convert_to_mindformers(directory, tmp_path / "mf", max_shard_bytes=SHARD)
    convert_to_mindformers(directory, tmp_path / "training", layout="training", max_shard_bytes=SHARD)
    expected = network(directory)
    load_with_stock(expected, directory)

    by_stock = network(directory)
    load_as_stock_does(by_stock, weight_files(tmp_path / "mf"))
    assert differences(bits(expected), bits(by_stock)) == {}

    by_the_shim = network(directory)
    by_the_shim.load_weights(str(tmp_path / "mf"))
    assert differences(bits(expected), bits(by_the_shim)) == {}

    training_by_stock = network(directory)
    load_with_stock(training_by_stock, tmp_path / "training")
    assert differences(bits(expected), bits(training_by_stock)) == {}

    training_by_the_shim = network(directory)
    training_by_the_shim.load_weights(str(tmp_path / "training"))
    assert differences(bits(expected), bits(training_by_the_shim)) == {}
    assert contents(directory) == before
    assert len(weight_files(tmp_path / "mf")) > 2


@pytest.mark.parametrize("layout", ["inference", "training"])
def test_there_and_back_every_tensor_is_the_same_bytes(directory: Path, layout: Any, tmp_path: Path) -> None:
    write_json(directory / "generation_config.json", {"do_sample": False})
    (directory / "merges.txt").write_bytes(b"#version: 0.2\n")
    (directory / "modeling_custom.py").write_text("raise SystemExit\n")
    convert_to_mindformers(directory, tmp_path / "mf", layout=layout, max_shard_bytes=SHARD)
    export_to_huggingface(tmp_path / "mf", tmp_path / "back", max_shard_bytes=2 * SHARD)

    assert all_tensors(tmp_path / "back") == all_tensors(directory)
    for name in ("config.json", "generation_config.json", "merges.txt"):
        assert (tmp_path / "back" / name).read_bytes() == (directory / name).read_bytes()
    assert not (tmp_path / "mf" / "modeling_custom.py").exists()
    index = read_json(tmp_path / "back" / "model.safetensors.index.json")["weight_map"]
    assert {
        name: file for file in set(index.values()) for name in read_header(tmp_path / "back" / file).tensors
    } == index


@pytest.mark.parametrize(
    ("training_class", "options"),
    [(TrainingQwen3ForCausalLM, {}), (TrainingQwen3MoeForCausalLM, TINY_MOE)],
    ids=["dense", "experts"],
)
def test_the_training_layout_is_that_of_the_training_class_with_its_default_flags(
    training_class: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    directory = write_checkpoint(tmp_path / "hf", num_attention_heads=8, num_key_value_heads=2, **options)
    convert_to_mindformers(directory, tmp_path / "mf", layout="training")
    config = read_json(directory / "config.json")

    class Host(TrainModelMixin):
        transformer_config = SimpleNamespace(
            use_contiguous_weight_layout_attention=False,
            use_interleaved_weight_layout_mlp=True,
            kv_channels=config["head_dim"],
            num_query_groups=config["num_key_value_heads"],
            num_attention_heads=config["num_attention_heads"],
            ffn_hidden_size=config["intermediate_size"],
            num_layers=config["num_hidden_layers"],
            hidden_size=config["hidden_size"],
            num_moe_experts=config.get("num_experts"),
            moe_ffn_hidden_size=config.get("moe_intermediate_size"),
        )

        def convert_name(self, name: str) -> str:
            return convert_name(training_class, name)

        def get_gpt_transformer_config(self) -> Any:
            return self.transformer_config

    source = {name: decode(raw) for name, raw in all_tensors(directory).items()}
    expected = training_class.convert_weight_dict(Host(), source)
    found = {name: decode(raw) for name, raw in all_tensors(tmp_path / "mf").items()}

    assert {name: array.shape for name, array in found.items()} == {name: expected[name].shape for name in expected}
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_rank_gets_the_slices_that_stock_gives_it(
    family: dict[str, Any], ranks: int, tie: bool, tmp_path: Path
) -> None:
    # Two key/value heads: with four ranks, two ranks hold the same one.
    directory = write_checkpoint(tmp_path / "hf", dtype="BF16", tie=tie, shards=2, num_attention_heads=8, **family)
    convert_to_mindformers(directory, tmp_path / "ranks", ranks=ranks, max_shard_bytes=SHARD)
    convert_to_mindformers(directory, tmp_path / "training", layout="training", max_shard_bytes=SHARD)
    # With a config.json there, run_mindformer.py would take it for a model without weights, and run that.
    found = {path.name for path in (tmp_path / "ranks").iterdir()}
    assert found == {MANIFEST_NAME, *(f"rank_{rank}" for rank in range(ranks))}
    for rank in range(ranks):
        (file,) = weight_files(tmp_path / "ranks" / f"rank_{rank}")
        with as_rank(rank, ranks):
            expected, by_stock, by_the_shim, training = (build(directory) for _ in range(4))
            load_with_stock(expected, directory)
            load_as_stock_does(by_stock, [file])
            by_the_shim.load_weights(str(tmp_path / "ranks"))
            load_with_stock(training, tmp_path / "training")
        for model in (by_stock, by_the_shim, training):
            assert differences(bits(expected), bits(model)) == {}, f"rank {rank} of {ranks}"


@pytest.mark.parametrize("family", FAMILIES)
def test_files_for_other_ranks_are_refused(family: dict[str, Any], tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", **family)
    convert_to_mindformers(directory, tmp_path / "two", ranks=2)
    convert_to_mindformers(directory, tmp_path / "whole")
    with pytest.raises(UnsupportedCheckpoint, match="sliced for 2 tensor-parallel ranks"):
        build(directory).load_weights(str(tmp_path / "two"))
    with as_rank(0, 4):
        model = build(directory)
        with pytest.raises(UnsupportedCheckpoint, match="convert it with --tp 4"):
            model.load_weights(str(tmp_path / "two"))
        # Whole parameters each rank slices itself.
        model.load_weights(str(tmp_path / "whole"))
        expected = build(directory)
        expected.load_weights(str(directory))
        assert differences(bits(expected), bits(model)) == {}
    with pytest.raises(ValueError, match="training layout is not cut"):
        convert_to_mindformers(directory, tmp_path / "no", ranks=2, layout="training")


@pytest.mark.parametrize(
    ("family", "misread_parameters"),
    [({}, {"linear_qkv", "linear_fc1"}), (TINY_MOE, {"linear_qkv"})],
    ids=["dense", "experts"],
)
def test_stocks_own_load_weights_takes_the_inference_layout_for_the_training_layout(
    family: dict[str, Any], misread_parameters: set[str], tmp_path: Path
) -> None:
    """Why there are two layouts to choose from, and why the files say which."""
    directory = write_checkpoint(tmp_path / "hf", **family)
    convert_to_mindformers(directory, tmp_path / "mf")
    expected, misread = build(directory), build(directory)
    load_with_stock(expected, directory)
    load_with_stock(misread, tmp_path / "mf")

    wrong = differences(bits(expected), bits(misread))
    assert {name.split(".")[-2] for name in wrong} == misread_parameters


@pytest.mark.parametrize(("source", "target"), [("F32", "bfloat16"), ("BF16", "float32"), ("F32", "float16")])
@pytest.mark.parametrize("family", FAMILIES)
def test_another_dtype_is_rounded_to_nearest_even_and_noted_in_the_config(
    family: dict[str, Any], source: str, target: str, tmp_path: Path
) -> None:
    directory = write_checkpoint(tmp_path / "hf", dtype=source, **family)
    convert_to_mindformers(directory, tmp_path / "mf", dtype=target)
    export_to_huggingface(tmp_path / "mf", tmp_path / "back")

    code = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}[target]
    expected = {name: encode(decode(raw), code) for name, raw in all_tensors(directory).items()}
    assert all_tensors(tmp_path / "back") == expected
    for made in ("mf", "back"):
        config = read_json(tmp_path / made / "config.json")
        assert config == {**read_json(directory / "config.json"), "torch_dtype": target}


def test_a_value_that_overflows_is_warned_of(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf")
    edit_weights(directory, lambda tensors: tensors.update(spoilt(tensors, 1e30)))
    done = convert_to_mindformers(directory, tmp_path / "mf", dtype="float16")
    assert any("model.norm.weight (1)" in warning and "too large for float16" in warning for warning in done.warnings)


def spoilt(tensors: dict[str, Raw], value: float, name: str = "model.norm.weight") -> dict[str, Raw]:
    values = decode(tensors[name]).copy()
    values.flat[3] = value
    return {name: encode(values, tensors[name].dtype)}


def test_a_tied_checkpoint_that_holds_a_head_keeps_it(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", tie=True)
    edit_weights(directory, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"]}))
    convert_to_mindformers(directory, tmp_path / "mf", layout="training")
    export_to_huggingface(tmp_path / "mf", tmp_path / "back")
    assert all_tensors(tmp_path / "back") == all_tensors(directory)


def test_tensors_that_qwen3_does_not_have_are_named(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf")
    frequencies = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit_weights(directory, lambda tensors: tensors.update({frequencies: encode(np.ones(4), "F32")}))
    done = convert_to_mindformers(directory, tmp_path / "mf")
    assert done.ignored == (frequencies,)
    assert len(all_tensors(tmp_path / "mf")) == done.parameters == 19


def _drop_a_tensor(directory: Path) -> None:
    edit_weights(directory, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))


def _mix_dtypes(directory: Path) -> None:
    key = "model.layers.1.self_attn.k_proj.weight"
    edit_weights(directory, lambda tensors: tensors.update({key: encode(decode(tensors[key]), "BF16")}))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_drop_a_tensor, "model.layers.1.mlp.up_proj.weight"),
        (lambda hf: edit_weights(hf, lambda tensors: tensors.update(spoilt(tensors, np.nan))), "NaN or infinity"),
        (_mix_dtypes, "differ in dtype"),
        (
            lambda hf: edit_config(hf, model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"]),
            "describes a Qwen3 mixture of experts .*, but the weights are those of Qwen3",
        ),
        (lambda hf: edit_config(hf, hidden_size=64), "hidden_size"),
        (lambda hf: (hf / "config.json").unlink(), "config.json"),
    ],
    ids=["a tensor is missing", "NaN", "mixed dtypes", "another family's config", "wrong config", "no config"],
)
def test_what_cannot_be_converted_rightly_is_an_error_and_no_directory(spoil: Any, text: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf")
    spoil(directory)
    with pytest.raises(CheckpointError, match=text) as caught, warnings.catch_warnings():
        convert_to_mindformers(directory, tmp_path / "mf")
    assert not (tmp_path / "mf").exists()
    if isinstance(caught.value, InvalidValues):
        assert caught.value.problems[0].tensor == "model.norm.weight"


def test_a_lost_file_is_an_error_in_either_layout(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf")
    for layout in ("inference", "training"):
        convert_to_mindformers(directory, tmp_path / layout, layout=layout, max_shard_bytes=SHARD)
        weight_files(tmp_path / layout)[1].unlink()
        with pytest.raises(CheckpointError, match=r"is not there; . of 19 tensors went with it"):
            build(directory).load_weights(str(tmp_path / layout))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_names_are_those_of_the_networks_parameters(family: dict[str, Any], tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", tie=True, **family)
    convert_to_mindformers(directory, tmp_path / "mf")
    shapes = {name: raw.shape for name, raw in all_tensors(tmp_path / "mf").items()}
    assert shapes == {parameter.name: tuple(parameter.shape) for parameter in build(directory).get_parameters()}
    assert "lm_head.weight" not in tensor_shapes(read_json(directory / "config.json"))


@pytest.mark.parametrize(
    ("family", "classes", "parameters"),
    [
        ({}, ("qwen3", "Qwen3Config", "InferenceQwen3ForCausalLM"), 19),
        (TINY_MOE, ("qwen3_moe", "Qwen3MoeConfig", "InferenceQwen3MoeForCausalLM"), 21),
    ],
    ids=["dense", "experts"],
)
def test_mindformers_alone_loads_both_layouts(
    family: dict[str, Any], classes: tuple[str, str, str], parameters: int, tmp_path: Path
) -> None:
    """In an interpreter without the shim."""
    directory = write_checkpoint(tmp_path / "hf", dtype="BF16", shards=2, **family)
    convert_to_mindformers(directory, tmp_path / "inference", max_shard_bytes=SHARD)
    convert_to_mindformers(directory, tmp_path / "training", layout="training", max_shard_bytes=SHARD)
    script = """
        import glob, importlib, json, sys
        import mindspore, numpy
        from mindformers import build_context

        hf, inference, training, package, config_class, network_class = sys.argv[1:]
        package = importlib.import_module("mindformers.models." + package)
        build_context({"use_legacy": False, "run_mode": "predict", "use_parallel": False,
                       "context": {"mode": 1, "device_target": "CPU"}, "parallel_config": {}})
        config = json.load(open(hf + "/config.json"))
        del config["torch_dtype"], config["transformers_version"]

        def network():
            dtypes = {"params_dtype": "float32", "compute_dtype": "float32"}
            settings = getattr(package, config_class)(**config, **dtypes, seq_length=128)
            return getattr(package, network_class)(settings)

        def values(model):
            return {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}

        expected, by_dict, by_directory = network(), network(), network()
        expected.load_weights(hf)
        loaded = {}
        for file in glob.glob(inference + "/*.safetensors"):
            loaded |= mindspore.load_checkpoint(file, format="safetensors")
        mindspore.load_param_into_net(by_dict, loaded)
        by_directory.load_weights(training)
        outcome = [
            sorted(name for name, value in values(expected).items() if not numpy.array_equal(value, values(model)[name]))
            for model in (by_dict, by_directory)
        ]
        assert "mf_qwen3_patch" not in sys.modules
        give([len(values(expected)), *outcome])
    """
    arguments = (directory, tmp_path / "inference", tmp_path / "training", *classes)
    assert run_script(script, *arguments, cwd=tmp_path, env={"RUN_MODE": "predict"}).result == [parameters, [], []]
