"""``save_pretrained`` of a loaded model, and what can read it back."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindformers.models.qwen3 import Qwen3ForCausalLM
from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
from safetensors.numpy import load_file
from tests.support.checkpoints import TINY_MOE, read_safetensors, weight_files, write_checkpoint
from tests.support.processes import ROOT

import mf_qwen3_patch
from mf_qwen3_patch.loading.runtime.network import build_config, build_model
from mindformers import AutoModel

REFERENCE = ROOT / "tests" / "reference_data" / "checkpoints"


def _parameters(model: Any) -> dict[str, np.ndarray]:
    return {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}


def _bytes_of_tensors(directory: Path) -> dict[str, bytes]:
    return {name: raw.data for file in weight_files(directory) for name, raw in read_safetensors(file).items()}


@pytest.mark.parametrize("kind", [{}, {"tie": True}, {"dtype": "F16"}, TINY_MOE, {"num_key_value_heads": 4}], ids=str)
@pytest.mark.parametrize("size", ["5GB", "30KB", 20_000])
def test_the_tensors_are_the_ones_that_were_loaded(kind: dict[str, Any], size: Any, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf", **kind)
    model = AutoModel.from_pretrained(path)
    model.save_pretrained(tmp_path / "saved", max_shard_size=size)

    assert _bytes_of_tensors(tmp_path / "saved") == _bytes_of_tensors(path)
    again = AutoModel.from_pretrained(tmp_path / "saved")
    before, after = _parameters(model), _parameters(again)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    settings = [m.generation_config.to_dict() | {"_from_model_config": None} for m in (model, again)]
    assert settings[0] == settings[1]
    assert (len(weight_files(tmp_path / "saved")) == 1) is (size == "5GB")


@pytest.mark.parametrize("name", ["micro_qwen3", "yarn", "moe_yarn", "moe_tied", "bf16", "wide_heads", "sharded"])
def test_it_says_the_same_again(name: str, tmp_path: Path) -> None:
    path = Path(mf_qwen3_patch.__file__).with_name(name) if name == "micro_qwen3" else REFERENCE / name
    model = AutoModel.from_pretrained(path)
    model.save_pretrained(tmp_path / "saved")
    again = Qwen3ForCausalLM.from_pretrained(tmp_path / "saved") if "moe" not in name else None
    again = again or AutoModel.from_pretrained(tmp_path / "saved")

    prompts = [[5, 6, 7], [8, 9, 10]]
    said = [
        [tokens.tolist() for tokens in m.generate(prompts, max_new_tokens=6, do_sample=False)] for m in (model, again)
    ]
    assert said[0] == said[1]


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.oracle
@pytest.mark.parametrize("name", ["yarn", "yarn_by_every_setting", "moe_yarn", "tied", "gqa2"])
def test_transformers_reads_it_and_computes_the_same(name: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM as HuggingFaceModel

    AutoModel.from_pretrained(REFERENCE / name).save_pretrained(tmp_path / "saved")
    ids = torch.arange(5, 45).reshape(2, 20)
    logits = []
    for path in (REFERENCE / name, tmp_path / "saved"):
        model, info = HuggingFaceModel.from_pretrained(path, torch_dtype=torch.float32, output_loading_info=True)
        assert not any(info.values())
        with torch.no_grad():
            logits.append(model(ids).logits)

    torch.testing.assert_close(*logits, rtol=0, atol=1e-5)


def test_a_part_of_the_layers(tmp_path: Path) -> None:
    """What was loaded is saved: config.json has the number of layers that the model has."""
    path = write_checkpoint(tmp_path / "hf")
    with pytest.warns(mf_qwen3_patch.CheckpointWarning):
        model = AutoModel.from_pretrained(path, num_hidden_layers=1)
    model.save_pretrained(str(tmp_path / "saved"))

    assert json.loads((tmp_path / "saved" / "config.json").read_text())["num_hidden_layers"] == 1
    assert len(load_file(tmp_path / "saved" / "model.safetensors")) == 14
    AutoModel.from_pretrained(tmp_path / "saved")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "model-00001-of-00002.safetensors"])
def test_nothing_is_written_over_another_checkpoint(name: str, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(write_checkpoint(tmp_path / "hf"))
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / name).write_text("mine")
    with pytest.raises(FileExistsError, match=name):
        model.save_pretrained(tmp_path / "saved")

    assert [p.name for p in (tmp_path / "saved").iterdir()] == [name]
    assert (tmp_path / "saved" / name).read_text() == "mine"


def test_beside_a_tokenizer(tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(write_checkpoint(tmp_path / "hf"))
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "tokenizer_config.json").write_text("{}")
    model.save_pretrained(tmp_path / "saved")

    assert (tmp_path / "saved" / "tokenizer_config.json").read_text() == "{}"


def test_a_model_that_holds_no_data(tmp_path: Path) -> None:
    config = write_checkpoint(tmp_path / "hf") / "config.json"
    values = json.loads(config.read_text())
    fields = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    model = build_model(build_config({name: values[name] for name in (*fields, "head_dim", "intermediate_size")}))
    assert type(model) is InferenceQwen3ForCausalLM
    with pytest.raises(ValueError, match="holds no data"):
        model.save_pretrained(tmp_path / "saved")

    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("keywords", [{"save_name": "mine"}, {"auto_convert": False}], ids=str)
def test_stocks_own_format_where_it_is_asked_for(keywords: dict[str, Any], tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(write_checkpoint(tmp_path / "hf"))
    model.save_pretrained(str(tmp_path / "saved"), **keywords)

    name = keywords.get("save_name", "mindspore_model")
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == [f"{name}.ckpt", f"{name}.yaml"]


@pytest.mark.parametrize("keywords", [{"push_to_hub": True}, {"safe_serialization": False}, {"variant": "fp16"}])
def test_what_is_not_done_here(keywords: dict[str, Any], tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(write_checkpoint(tmp_path / "hf"))
    with pytest.raises(ValueError, match=next(iter(keywords))):
        model.save_pretrained(tmp_path / "saved", **keywords)
    with pytest.raises(TypeError, match="max_shard_sise"):
        model.save_pretrained(tmp_path / "saved", max_shard_sise=1)
    with pytest.raises(ValueError, match="is not a size such as 5GB"):
        model.save_pretrained(tmp_path / "saved", max_shard_size="much")

    assert not (tmp_path / "saved").exists()


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(write_checkpoint(tmp_path / "hf"))
    model.save_pretrained(tmp_path / "saved", is_main_process=False)

    assert not (tmp_path / "saved").exists()
