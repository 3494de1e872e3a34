"""``InferenceQwen3ForCausalLM.convert_weight_dict`` for those who call it themselves."""

from __future__ import annotations

import inspect
import pickle
import threading
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
from mindspore import Parameter, Tensor
from mindspore.common import np_dtype
from safetensors.numpy import save_file
from tests.support.processes import run_script

from mf_qwen3_patch import ConfigMismatch, IncompleteCheckpoint, InvalidValues, UnsupportedCheckpoint

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB = 8, 4, 2, 6, 10, 16
QKV_0 = "decoder.layers.0.self_attention.linear_qkv.weight"
FC1_1 = "decoder.layers.1.mlp.linear_fc1.weight"

CONTAINERS = {
    "Parameters": lambda name, array: Parameter(Tensor.from_numpy(array), name="anything"),
    "Tensors": lambda name, array: Tensor.from_numpy(array),
    "numpy arrays": lambda name, array: array,
    "a mix": lambda name, array: (
        Tensor.from_numpy(array) if "q_proj" in name else Parameter(Tensor.from_numpy(array)) if "up" in name else array
    ),
}
DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": np_dtype.bfloat16}


def weights(dtype: Any = np.float32) -> dict[str, np.ndarray]:
    """A two-layer Qwen3 in HuggingFace names."""
    shapes = {
        "model.embed_tokens.weight": (VOCAB, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (VOCAB, HIDDEN),
    }
    for layer in range(2):
        shapes |= {
            f"model.layers.{layer}.{name}.weight": shape
            for name, shape in {
                "self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN),
                "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
                "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
                "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
                "self_attn.q_norm": (HEAD_DIM,),
                "self_attn.k_norm": (HEAD_DIM,),
                "mlp.gate_proj": (FFN, HIDDEN),
                "mlp.up_proj": (FFN, HIDDEN),
                "mlp.down_proj": (HIDDEN, FFN),
                "input_layernorm": (HIDDEN,),
                "post_attention_layernorm": (HIDDEN,),
            }.items()
        }
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape, np.float32).astype(dtype) for name, shape in shapes.items()}


def layer(number: int, *names: str) -> list[str]:
    return [f"model.layers.{number}.{name}.weight" for name in names]


def wide(array: Any) -> np.ndarray:
    return np.asarray(array.asnumpy() if isinstance(array, Tensor) else array).astype(np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_and_dtype_becomes_named_parameters_in_the_inference_layout(container: str, dtype: str) -> None:
    source = weights(DTYPES[dtype])
    given = {name: CONTAINERS[container](name, array) for name, array in source.items()}

    converted = InferenceQwen3ForCausalLM.convert_weight_dict(given)

    assert all(isinstance(parameter, Parameter) for parameter in converted.values())
    assert all(parameter.name == name for name, parameter in converted.items())
    assert not any(parameter.requires_grad for parameter in converted.values())
    assert {str(parameter.dtype).lower() for parameter in converted.values()} == {dtype}
    q, k, v = (wide(source[name]) for name in layer(0, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"))
    gate, up = (wide(source[name]) for name in layer(1, "mlp.gate_proj", "mlp.up_proj"))
    np.testing.assert_array_equal(wide(converted[QKV_0]), np.concatenate([q, k, v]))
    np.testing.assert_array_equal(wide(converted[FC1_1]), np.concatenate([gate, up]))
    np.testing.assert_array_equal(
        wide(converted["embedding.word_embeddings.weight"]), wide(source["model.embed_tokens.weight"])
    )
    assert len(converted) == 3 + 2 * 8
    assert not [name for name in converted if "linear_q." in name or "gating" in name or name.startswith("model.")]


def test_the_layout_flags_of_a_config_do_not_matter() -> None:
    class TrainingConfig:
        use_contiguous_weight_layout_attention = False
        use_interleaved_weight_layout_mlp = True

    plain = InferenceQwen3ForCausalLM.convert_weight_dict(weights())
    with_config = InferenceQwen3ForCausalLM.convert_weight_dict(weights(), model_config=TrainingConfig())

    for name in (QKV_0, FC1_1):
        np.testing.assert_array_equal(wide(plain[name]), wide(with_config[name]))


def test_the_source_dict_is_left_as_it_was() -> None:
    source = {name: Parameter(Tensor.from_numpy(array), name="mine") for name, array in weights().items()}
    before = dict(source)

    InferenceQwen3ForCausalLM.convert_weight_dict(source)

    assert list(source) == list(before)
    assert all(source[name] is before[name] and source[name].name == "mine" for name in source)


def test_mindformers_names_pass_through() -> None:
    once = InferenceQwen3ForCausalLM.convert_weight_dict(weights())
    twice = InferenceQwen3ForCausalLM.convert_weight_dict(once)

    assert list(twice) == list(once)
    for name, parameter in once.items():
        np.testing.assert_array_equal(wide(twice[name]), wide(parameter))


def test_bookkeeping_entries_pass_through() -> None:
    converted = InferenceQwen3ForCausalLM.convert_weight_dict(weights() | {"global_step": "7"})  # type: ignore[dict-item]

    assert converted["global_step"] == "7"


@pytest.mark.parametrize(
    ("missing", "parameter"),
    [
        ("model.layers.1.self_attn.k_proj.weight", "decoder.layers.1.self_attention.linear_qkv.weight"),
        ("model.layers.0.self_attn.v_proj.weight", "decoder.layers.0.self_attention.linear_qkv.weight"),
        ("model.layers.0.self_attn.q_proj.weight", "decoder.layers.0.self_attention.linear_qkv.weight"),
        ("model.layers.1.mlp.up_proj.weight", "decoder.layers.1.mlp.linear_fc1.weight"),
        ("model.layers.1.mlp.gate_proj.weight", "decoder.layers.1.mlp.linear_fc1.weight"),
    ],
)
def test_a_part_without_its_siblings_is_an_error_that_names_layer_and_tensor(missing: str, parameter: str) -> None:
    source = weights()
    del source[missing]

    with pytest.raises(IncompleteCheckpoint) as error:
        InferenceQwen3ForCausalLM.convert_weight_dict(source)

    assert missing in str(error.value)
    assert parameter in str(error.value)


def test_parts_of_different_width_are_an_error() -> None:
    source = weights()
    name = "model.layers.0.self_attn.k_proj.weight"
    source[name] = source[name][:, :-1]

    with pytest.raises(ConfigMismatch) as error:
        InferenceQwen3ForCausalLM.convert_weight_dict(source)

    assert name in str(error.value)
    assert str([HIDDEN]) in str(error.value)
    assert str([HIDDEN - 1]) in str(error.value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_or_infinity_is_an_error_that_names_the_tensor(dtype: str, value: float) -> None:
    source = weights(DTYPES[dtype])
    source["model.norm.weight"][3] = value

    with pytest.raises(InvalidValues, match=r"model\.norm\.weight") as error:
        InferenceQwen3ForCausalLM.convert_weight_dict(source)

    assert "decoder.final_layernorm.weight" in str(error.value)
    assert len(error.value.problems) == 1


def test_quantized_weights_are_refused() -> None:
    source = weights() | {"model.layers.0.mlp.up_proj.weight_scale_inv": np.ones((1, 1), np.float32)}

    with pytest.raises(UnsupportedCheckpoint, match="weight_scale_inv"):
        InferenceQwen3ForCausalLM.convert_weight_dict(source)


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight",
        "model.layers.0.self_attn.q_proj.lora_B.default.weight",
        "model.embed_tokens.lora_embedding_A",
    ],
)
def test_a_lora_adapter_is_refused(name: str) -> None:
    source = weights() | {name: np.ones((2, 2), np.float32)}

    with pytest.raises(UnsupportedCheckpoint, match="belong to a LoRA adapter") as error:
        InferenceQwen3ForCausalLM.convert_weight_dict(source)
    assert name in str(error.value)
    assert "merge_and_unload" in str(error.value)


def test_two_files_exchange_their_parts_through_the_shared_dict() -> None:
    source = weights()
    first = {name: array for name, array in source.items() if "k_proj" not in name and "up_proj" not in name}
    second = {name: array for name, array in source.items() if name not in first}
    shared: dict[str, Any] = {}
    condition = threading.Condition()
    results: dict[int, dict[str, Any]] = {}

    def convert(number: int, part: dict[str, Any]) -> None:
        results[number] = InferenceQwen3ForCausalLM.convert_weight_dict(
            part, model_config=None, qkv_dict=shared, condition=condition
        )

    threads = [threading.Thread(target=convert, args=pair) for pair in ((0, first), (1, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()

    together = InferenceQwen3ForCausalLM.convert_weight_dict(source)
    merged = results[0] | results[1]
    assert merged.keys() == together.keys()
    for name in together:
        np.testing.assert_array_equal(wide(merged[name]), wide(together[name]))


def test_the_bound_method_pickles() -> None:
    method = pickle.loads(pickle.dumps(InferenceQwen3ForCausalLM.convert_weight_dict))

    assert method.__self__ is InferenceQwen3ForCausalLM
    assert list(inspect.signature(method).parameters) == ["source_dict", "kwargs"]


def test_the_weight_map_is_converted_to_merged_names() -> None:
    weight_map = {name: f"shard-{number % 2}.safetensors" for number, name in enumerate(weights())}

    converted = InferenceQwen3ForCausalLM.convert_map_dict(weight_map, qkv_concat=True)

    assert converted.keys() == InferenceQwen3ForCausalLM.convert_weight_dict(weights()).keys()
    assert converted[QKV_0] == weight_map["model.layers.0.self_attn.q_proj.weight"]
    assert converted[FC1_1] == weight_map["model.layers.1.mlp.gate_proj.weight"]


def test_the_name_map_leads_from_mindformers_names_to_those_in_the_files(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "model.safetensors")

    names = InferenceQwen3ForCausalLM.obtain_name_map([str(tmp_path / "model.safetensors")])

    assert set(names.values()) == set(weights())
    assert names["decoder.layers.0.self_attention.linear_k.weight"] == "model.layers.0.self_attn.k_proj.weight"


def test_a_converted_dict_loads_into_the_network_without_rest(tmp_path: Path) -> None:
    converted = InferenceQwen3ForCausalLM.convert_weight_dict(weights())
    net = mindspore.nn.Cell()
    for name, parameter in converted.items():
        net.insert_param_to_cell(
            name.replace(".", "_"), Parameter(Tensor(np.zeros(parameter.shape, np.float32)), name=name)
        )

    assert mindspore.load_param_into_net(net, converted) == ([], [])


def test_a_bare_script_needs_no_context(tmp_path: Path) -> None:
    script = """
        import mf_qwen3_patch
        import numpy as np
        from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
        from mindformers.core.context.build_context import Context
        parts = {f"model.layers.0.self_attn.{n}_proj.weight": np.full((2, 3), i, np.float32) for i, n in enumerate("qkv")}
        converted = InferenceQwen3ForCausalLM.convert_weight_dict(parts)
        give([Context.is_exists(), {name: p.asnumpy()[:, 0].tolist() for name, p in converted.items()}])
    """
    assert run_script(script, cwd=tmp_path).result == [False, {QKV_0: [0, 0, 1, 1, 2, 2]}]
