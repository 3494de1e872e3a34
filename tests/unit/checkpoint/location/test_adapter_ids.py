"""Adapters, and their base models, by hub IDs: from a cache, and downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.checkpoints import write_checkpoint
from tests.support.hub import put_into_huggingface_cache, serve
from tests.support.lora import edit_adapter_config, write_adapter
from tests.support.processes import run_script

from mf_qwen3_patch.checkpoint.location.resolve import Location
from mf_qwen3_patch.errors import IncompleteCheckpoint

BASE, ADAPTER = "Qwen/Qwen3-0.6B", "somebody/style"


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    base = write_checkpoint(tmp_path / "published" / "base")
    adapter = tmp_path / "published" / "adapter"
    write_adapter(adapter, base, base_model_name_or_path=BASE)
    return {BASE: base, ADAPTER: adapter}


@pytest.fixture
def cache(tmp_path: Path, models: dict[str, Path]) -> Path:
    for name, directory in models.items():
        put_into_huggingface_cache(tmp_path / "hub", name, directory)
    return tmp_path / "hub"


def test_an_adapter_and_its_base_are_found_in_the_cache(cache: Path) -> None:
    location = Location(ADAPTER, cache_dir=cache, local_files_only=True)

    assert location.says_qwen3()
    for found in (location.find(), location.find(config_only=True)):
        assert found.path.parts[-3] == "models--Qwen--Qwen3-0.6B"
        assert found.adapter is not None
        assert found.adapter.path.parts[-3] == "models--somebody--style"


@pytest.mark.parametrize("by_path", [True, False])
def test_an_adapter_is_named_beside_a_model_by_its_id(by_path: bool, cache: Path, models: dict[str, Path]) -> None:
    name = models[BASE] if by_path else BASE
    found = Location(name, adapter=ADAPTER, cache_dir=cache, local_files_only=True).find()

    assert found.adapter is not None
    assert found.adapter.path.parts[-3] == "models--somebody--style"
    assert found.adapter.header("adapter_model.safetensors").problems == ()


def test_an_adapter_of_another_model_is_not_ours(cache: Path, models: dict[str, Path], tmp_path: Path) -> None:
    llama = write_checkpoint(tmp_path / "llama", model_type="llama", architectures=["LlamaForCausalLM"])
    edit_adapter_config(models[ADAPTER], base_model_name_or_path=str(llama))
    put_into_huggingface_cache(cache, "somebody/else", models[ADAPTER])

    assert not Location("somebody/else", cache_dir=cache).says_qwen3()


def test_an_adapter_that_no_cache_has_is_named(cache: Path) -> None:
    location = Location(BASE, adapter="nobody/nothing", cache_dir=cache, local_files_only=True)
    with pytest.raises(IncompleteCheckpoint, match=r"nobody/nothing is not a directory here and no cache has it"):
        location.find()


@pytest.mark.parametrize("content", ["{", json.dumps({"peft_type": "LORA"})])
def test_an_adapter_whose_config_names_no_base_is_left_to_nobody_else(content: str, models: dict[str, Path]) -> None:
    (models[ADAPTER] / "adapter_config.json").write_text(content)
    assert Location(models[ADAPTER]).says_qwen3()


_FIND = """
    import json, sys
    from mf_qwen3_patch.checkpoint.location.resolve import Location
    found = Location(sys.argv[1], adapter=sys.argv[2] or None).find()
    give([sorted(p.name for p in place.iterdir()) for place in (found.path, found.adapter.path)])
"""


@pytest.mark.parametrize("names", [(ADAPTER, ""), (BASE, ADAPTER)], ids=str)
def test_they_are_downloaded(names: tuple[str, str], models: dict[str, Path], tmp_path: Path) -> None:
    weights, config = "adapter_model.safetensors", "adapter_config.json"
    (models[ADAPTER] / "training_args.bin").write_text("not wanted")
    with serve(models) as hub:
        env = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        found = run_script(_FIND, *names, cwd=tmp_path, env=env).result
        assert found == [["config.json", "model.safetensors"], [config, weights]]
        assert sorted(hub.requested) == [config, weights, "config.json", "model.safetensors"]
        hub.requested.clear()
        assert run_script(_FIND, *names, cwd=tmp_path, env=env).result == found
        assert hub.requested == []
