"""The four problems that stop people: each seen in stock MindFormers, and cured by the import."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.checkpoints import write_checkpoint
from tests.support.processes import Finished, run_script

_CONTEXT = """
    import sys
    if sys.argv[2] == "shim":
        import mf_qwen3_patch
    import mindspore as ms, numpy as np
    from mindformers import build_context
    build_context({"use_legacy": False, "run_mode": "predict", "context": {"mode": 1, "device_target": "CPU"}, "parallel": {}})
    from mindformers.models.qwen3 import Qwen3Config
    from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
    directory = sys.argv[1]
    kinds = dict(params_dtype="float32", compute_dtype="float32")
    def attempt(function):
        try:
            return ["returned", function()]
        except Exception as error:
            return [type(error).__name__, str(error)]
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("hf"))


def with_and_without(script: str, directory: Path, cwd: Path) -> tuple[Finished, Finished]:
    stock, shim = (
        run_script(_CONTEXT + script, directory, who, cwd=cwd, env={"ENFORCE_EAGER": "true"})
        for who in ("stock", "shim")
    )
    return stock, shim


def test_problem_1_the_inference_class_has_no_convert_weight_dict(directory: Path, tmp_path: Path) -> None:
    script = """
    source = ms.load_checkpoint(directory + "/model.safetensors", format="safetensors")
    give(attempt(lambda: sorted(InferenceQwen3ForCausalLM.convert_weight_dict(source))[:2]))
    """
    stock, shim = with_and_without(script, directory, tmp_path)

    assert stock.result == [
        "RuntimeError",
        "InferenceQwen3ForCausalLM does not implemented convert_weight_dict method.",
    ]
    assert shim.result == [
        "returned",
        ["decoder.final_layernorm.weight", "decoder.layers.0.input_layernorm.weight"],
    ]


@pytest.mark.sweep
def test_problem_2_hidden_size_of_the_yaml_contradicts_the_weights(directory: Path, tmp_path: Path) -> None:
    script = """
    config = Qwen3Config(vocab_size=160, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=512, **kinds)
    model = InferenceQwen3ForCausalLM(config)
    give(attempt(lambda: model.load_weights(directory)))
    """
    stock, shim = with_and_without(script, directory, tmp_path)

    # Stock names neither the file nor the field.
    assert stock.result[0] in ("ValueError", "RuntimeError")
    assert "hidden_size" not in stock.result[1]
    assert "model.safetensors" not in stock.result[1]
    assert shim.result[0] == "ConfigMismatch"
    for fact in ("hidden_size", "64", "80", "model.safetensors", "model.embed_tokens.weight"):
        assert fact in shim.result[1]


@pytest.mark.sweep
def test_problem_2_config_json_beside_the_weights_is_used_by_itself(directory: Path, tmp_path: Path) -> None:
    script = """
    from mindformers import AutoModel
    give(attempt(lambda: AutoModel.from_pretrained(directory).config.hidden_size))
    """
    stock, shim = with_and_without(script, directory, tmp_path)

    assert stock.result[0] != "returned"
    assert shim.result == ["returned", 80]


@pytest.mark.sweep
def test_problem_3_names_are_mapped_but_not_merged(directory: Path, tmp_path: Path) -> None:
    script = """
    config = Qwen3Config(vocab_size=160, hidden_size=80, intermediate_size=96, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=512, **kinds)
    model = InferenceQwen3ForCausalLM(config)
    source = ms.load_checkpoint(directory + "/model.safetensors", format="safetensors")
    if sys.argv[2] == "shim":
        converted = InferenceQwen3ForCausalLM.convert_weight_dict(source)
    else:  # the map is all that the inference class offers
        converted = {model.convert_name(name): value for name, value in source.items()}
    not_loaded, left_over = ms.load_param_into_net(model, converted)
    give([sorted(not_loaded), sorted(set(converted) - {p.name for p in model.get_parameters()})])
    """
    stock, shim = with_and_without(script, directory, tmp_path)

    not_loaded, left_over = stock.result
    assert {name.split(".")[-2] for name in not_loaded} == {"linear_qkv", "linear_fc1"}
    assert {name.split(".")[-2] for name in left_over} == {
        "linear_q",
        "linear_k",
        "linear_v",
        "gating",
        "hidden",
    }
    assert shim.result == [[], []]


def test_problem_4_the_conversion_leaves_numpy_arrays(directory: Path, tmp_path: Path) -> None:
    script = """
    config = Qwen3Config(vocab_size=160, hidden_size=80, intermediate_size=96, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=512, **kinds)
    model = InferenceQwen3ForCausalLM(config)
    source = ms.load_checkpoint(directory + "/model.safetensors", format="safetensors")
    if sys.argv[2] == "shim":
        converted = InferenceQwen3ForCausalLM.convert_weight_dict(source)
    else:  # the training class's conversion, borrowed by hand
        from mindformers.models.qwen3.modeling_qwen3_train import TrainingQwen3ForCausalLM
        converted = TrainingQwen3ForCausalLM.convert_weight_dict(model, source)
    give(attempt(lambda: ms.load_param_into_net(model, converted)))
    """
    from mindformers.parallel_core.utils.model_mixin import TrainModelMixin

    # The borrowed method needs the mixin's concat methods on the inference model.
    lend = """
    from mindformers.parallel_core.utils.model_mixin import TrainModelMixin
    for name in vars(TrainModelMixin):
        if name.startswith("concat"):
            setattr(InferenceQwen3ForCausalLM, name, vars(TrainModelMixin)[name])
    """
    assert any(name.startswith("concat") for name in vars(TrainModelMixin))
    stock, shim = with_and_without(lend + script, directory, tmp_path)

    assert stock.result[0] == "TypeError"
    assert stock.result[1].startswith("For 'parameter_dict', the element")
    assert "but got <class 'str'> and <class 'numpy.ndarray'>" in stock.result[1]
    assert shim.result == ["returned", [[], []]]
