"""``InferenceQwen3MoeForCausalLM.convert_weight_dict``: in the layout of the inference experts, proven by tokens."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
from mindformers.models.qwen3_moe.modeling_qwen3_moe_infer import InferenceQwen3MoeForCausalLM
from mindspore import Parameter
from tests.mindformers.loading.test_reference_data import CASES, generate
from tests.mindformers.loading.transfer.stock import bits, build, differences, load_with_stock
from tests.support.checkpoints import TINY_MOE, write_checkpoint

from mf_qwen3_patch import ConfigMismatch, IncompleteCheckpoint, UnsupportedCheckpoint

MOE_CASES = [name for name in CASES if name.startswith("moe")]


def weights(directory: Path) -> dict[str, Any]:
    source: dict[str, Any] = {}
    for file in sorted(directory.glob("*.safetensors")):
        source |= mindspore.load_checkpoint(str(file), format="safetensors")
    return source


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return weights(write_checkpoint(tmp_path_factory.mktemp("moe"), **TINY_MOE))


@pytest.mark.parametrize("name", ["moe", "moe_eight_experts", "moe_top1"])
def test_tokens_are_huggingfaces(name: str) -> None:
    case = CASES[name]
    network = build(case.directory)
    converted = InferenceQwen3MoeForCausalLM.convert_weight_dict(weights(case.directory))

    assert mindspore.load_param_into_net(network, converted) == ([], [])
    assert [generate(network, [prompt], case)[0] for prompt in case.prompts] == case.sequences


def test_tokens_differ_in_the_layout_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: it is the layout that makes the tokens."""
    from mf_qwen3_patch.loading import weight_dict

    case = CASES["moe"]
    config = {"kv_channels": 8, "num_query_groups": 2, "num_attention_heads": 4}
    training = {**weight_dict._INFERENCE_LAYOUT, "use_contiguous_weight_layout_attention": False, **config}
    monkeypatch.setattr(weight_dict, "_INFERENCE_LAYOUT", training)
    network = build(case.directory)
    converted = InferenceQwen3MoeForCausalLM.convert_weight_dict(weights(case.directory))

    assert mindspore.load_param_into_net(network, converted) == ([], [])
    assert [generate(network, [prompt], case)[0] for prompt in case.prompts] != case.sequences


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_it_gives_what_stocks_loader_loads(dtype: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", dtype=dtype, shards=2, **TINY_MOE)
    stock, converted = build(directory), build(directory)
    load_with_stock(stock, directory)
    parameters = InferenceQwen3MoeForCausalLM.convert_weight_dict(weights(directory))

    assert all(isinstance(parameter, Parameter) for parameter in parameters.values())
    assert not any(parameter.requires_grad for parameter in parameters.values())
    widened = {
        name: Parameter(value.astype(mindspore.float32), name=name, requires_grad=False)
        for name, value in parameters.items()
    }
    assert mindspore.load_param_into_net(converted, widened) == ([], [])
    assert differences(bits(stock), bits(converted)) == {}


def test_it_gives_the_names_and_shapes_of_the_network(source: dict[str, Any]) -> None:
    converted = InferenceQwen3MoeForCausalLM.convert_weight_dict(source)

    assert len(converted) == 3 + 2 * 9
    assert converted["decoder.layers.1.mlp.experts.weight1"].shape == (6, 80, 80)
    assert converted["decoder.layers.1.mlp.experts.weight2"].shape == (6, 40, 80)
    assert converted["decoder.layers.1.mlp.router.weight"].shape == (6, 80)
    again = InferenceQwen3MoeForCausalLM.convert_weight_dict(converted)
    assert {name: value.shape for name, value in again.items()} == {n: v.shape for n, v in converted.items()}


@pytest.mark.parametrize(
    ("dropped", "error", "says"),
    [
        ("model.layers.1.mlp.experts.3.up_proj.weight", IncompleteCheckpoint, "decoder.layers.1.mlp.experts.weight1"),
        ("model.layers.1.mlp.experts.3.down_proj.weight", IncompleteCheckpoint, "experts.3.linear_fc2.weight"),
        ("model.layers.0.mlp.experts.5.", IncompleteCheckpoint, "decoder.layers.0.mlp.experts.5.gating.weight"),
        ("model.layers.0.self_attn.v_proj", IncompleteCheckpoint, "linear_qkv"),
    ],
)
def test_what_is_missing_is_named(dropped: str, error: type[Exception], says: str, source: dict[str, Any]) -> None:
    given = {name: value for name, value in source.items() if not name.startswith(dropped)}

    with pytest.raises(error, match=says):
        InferenceQwen3MoeForCausalLM.convert_weight_dict(given)


def test_parts_that_do_not_fit_are_named(source: dict[str, Any]) -> None:
    name = "model.layers.0.mlp.experts.2.up_proj.weight"
    with pytest.raises(ConfigMismatch, match=r"experts\.2\.up_proj"):
        InferenceQwen3MoeForCausalLM.convert_weight_dict(source | {name: np.zeros((40, 79), np.float32)})


def test_a_file_without_a_router_cannot_be_converted_by_itself(source: dict[str, Any]) -> None:
    import threading

    part = {name: value for name, value in source.items() if ".experts." in name}
    with pytest.raises(UnsupportedCheckpoint, match="no router to tell how many"):
        InferenceQwen3MoeForCausalLM.convert_weight_dict(part, qkv_dict={}, condition=threading.Condition())


def test_two_files_are_converted_side_by_side(source: dict[str, Any]) -> None:
    """As MindFormers' processes do, which share what the other one needs."""
    import threading

    router = {name: value for name, value in source.items() if "mlp.gate.weight" in name}
    first = {name: value for name, value in source.items() if ".experts.0." in name or ".experts.1." in name} | router
    second = {name: value for name, value in source.items() if name not in first} | router
    shared: dict[str, Any] = {}
    condition = threading.Condition()
    results: list[dict[str, Parameter]] = []

    def convert(part: dict[str, Any]) -> None:
        results.append(InferenceQwen3MoeForCausalLM.convert_weight_dict(part, qkv_dict=shared, condition=condition))

    threads = [threading.Thread(target=convert, args=(part,)) for part in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    both = results[0] | results[1]
    whole = InferenceQwen3MoeForCausalLM.convert_weight_dict(source)

    assert both.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(both[name].asnumpy(), value.asnumpy())


def test_the_index_is_converted_to_the_same_names(source: dict[str, Any]) -> None:
    converted = InferenceQwen3MoeForCausalLM.convert_weight_dict(source)
    names = InferenceQwen3MoeForCausalLM.convert_map_dict(dict.fromkeys(source, "model.safetensors"), qkv_concat=True)

    assert names.keys() == converted.keys()


def test_the_bound_method_pickles() -> None:
    method = InferenceQwen3MoeForCausalLM.convert_weight_dict
    assert pickle.loads(pickle.dumps(method)) == method
