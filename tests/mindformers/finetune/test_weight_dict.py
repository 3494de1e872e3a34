"""``convert_weight_dict`` of the training classes: Parameters, in the network's layout; and no wait without end."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mindspore
import numpy as np
import pytest
from mindformers.models.qwen3.modeling_qwen3_train import TrainingQwen3ForCausalLM
from mindformers.models.qwen3_moe.modeling_qwen3_moe_train import TrainingQwen3MoeForCausalLM
from mindspore import Parameter
from tests.support.checkpoints import TINY_MOE, decode, read_safetensors, write_checkpoint
from tests.support.finetuning import training_parameters

import mf_qwen3_patch
from mf_qwen3_patch import IncompleteCheckpoint, UnsupportedCheckpoint
from mf_qwen3_patch.loading.runtime.context import ensure_inference_context

CLASSES = {"dense": (TrainingQwen3ForCausalLM, {}), "moe": (TrainingQwen3MoeForCausalLM, TINY_MOE)}


@pytest.fixture(autouse=True)
def _context() -> None:
    ensure_inference_context()


def _network(cls: Any, moe: bool) -> Any:
    """Return a network of the class that has what the conversion asks for, and no parameters."""
    network = cls.__new__(cls)
    switches = SimpleNamespace(
        use_contiguous_weight_layout_attention=False,
        use_interleaved_weight_layout_mlp=True,
        kv_channels=32,
        num_query_groups=2,
        num_attention_heads=4,
        ffn_hidden_size=96,
        num_layers=2,
        num_moe_experts=6 if moe else None,
        hidden_size=80,
        moe_ffn_hidden_size=40,
    )
    object.__setattr__(network, "transformer_config", switches)
    return network


def _weights(directory: Path) -> dict[str, np.ndarray]:
    return {name: decode(raw) for name, raw in read_safetensors(directory / "model.safetensors").items()}


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("parameters", [False, True])
def test_it_returns_named_parameters(kind: str, parameters: bool, tmp_path: Path) -> None:
    cls, config = CLASSES[kind]
    directory = write_checkpoint(tmp_path / "hf", **config)
    network = _network(cls, kind == "moe")
    source: dict[str, Any] = _weights(directory)
    if parameters:
        source = mindspore.load_checkpoint(str(directory / "model.safetensors"), format="safetensors")
    converted = network.convert_weight_dict(source, model_config=None)

    expected = training_parameters(directory, network.get_gpt_transformer_config())
    assert converted.keys() == expected.keys()
    for name, value in converted.items():
        assert isinstance(value, Parameter)
        assert (value.name, value.requires_grad) == (name, True)
        np.testing.assert_array_equal(value.asnumpy(), expected[name])


def test_what_cannot_be_merged_is_refused(tmp_path: Path) -> None:
    network, source = _network(TrainingQwen3ForCausalLM, moe=False), _weights(write_checkpoint(tmp_path / "hf"))
    missing = "model.layers.0.self_attn.k_proj.weight"
    with pytest.raises(IncompleteCheckpoint, match=missing):
        network.convert_weight_dict({name: value for name, value in source.items() if name != missing})
    with pytest.raises(UnsupportedCheckpoint, match="weight_scale_inv"):
        network.convert_weight_dict(source | {"model.layers.0.mlp.up_proj.weight_scale_inv": np.ones((1, 1))})


def test_a_missing_expert_is_refused(tmp_path: Path) -> None:
    network = _network(TrainingQwen3MoeForCausalLM, moe=True)
    source = _weights(write_checkpoint(tmp_path / "hf", **TINY_MOE))
    lost = [name for name in source if name.startswith("model.layers.1.mlp.experts.5.")]
    with pytest.raises(IncompleteCheckpoint, match="3 of the experts' weights are missing"):
        network.convert_weight_dict({name: value for name, value in source.items() if name not in lost})


def test_a_part_that_is_in_no_file_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_WAIT", "1")
    network, source = _network(TrainingQwen3ForCausalLM, moe=False), _weights(write_checkpoint(tmp_path / "hf"))
    lost = {name: source.pop(name) for name in list(source) if name.endswith(("k_proj.weight", "up_proj.weight"))}
    with pytest.raises(IncompleteCheckpoint, match="is in no file: it was waited for 1 s"):
        network.convert_weight_dict(source, qkv_dict={}, condition=threading.Condition())

    # What another process has put there is taken, and arrays stay arrays, as MindFormers writes them.
    shared = {network.convert_name(name): value for name, value in lost.items()}
    converted = network.convert_weight_dict(source, qkv_dict=shared, condition=threading.Condition())
    assert not shared
    assert all(isinstance(value, np.ndarray) for value in converted.values())


def test_deactivate_puts_stocks_back() -> None:
    ours = TrainingQwen3ForCausalLM.convert_weight_dict
    mf_qwen3_patch.deactivate()
    try:
        assert TrainingQwen3ForCausalLM.convert_weight_dict is not ours
    finally:
        mf_qwen3_patch.activate()
