"""The directories that the launcher is given: MindFormers' own Trainer, as far as its check of the config."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mindformers.tools.register import MindFormerConfig
from mindformers.trainer import Trainer
from tests.support.checkpoints import write_checkpoint
from tests.support.hub import put_into_huggingface_cache

import mf_qwen3_patch
from mf_qwen3_patch import CheckpointWarning, IncompleteCheckpoint

pytestmark = pytest.mark.filterwarnings("error::mf_qwen3_patch.CheckpointWarning")
NAME = "Qwen/Qwen3-0.6B"
YAML = Path(sysconfig.get_path("purelib")) / "configs" / "qwen3" / "predict_qwen3.yaml"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "models" / "Qwen3-0.6B", shards=2)


def _checked(*, model_is_given: bool = False, **settings: Any) -> Any:
    """Return what the Trainer makes of its config, and where the weights are to be loaded from."""
    trainer = object.__new__(Trainer)
    trainer.is_model_instance = model_is_given
    trainer.config = MindFormerConfig(str(YAML))
    trainer.config.update(settings)
    trainer._check_config_rules()
    section = trainer.config.get("checkpoint") or {}
    return SimpleNamespace(
        model=trainer.config.pretrained_model_dir, weights=section.get("load_path", trainer.config.load_checkpoint)
    )


def test_a_directory_is_left_as_it_is(directory: Path) -> None:
    found = _checked(pretrained_model_dir=str(directory))

    assert (found.model, found.weights) == (str(directory), str(directory))


def test_a_hub_id_becomes_its_directory(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "modelscope"))
    place = shutil.copytree(directory, tmp_path / "modelscope" / "models" / NAME)
    found = _checked(pretrained_model_dir=NAME)

    assert (found.model, found.weights) == (str(place), str(place))
    assert _checked(pretrained_model_dir=str(directory), load_checkpoint=NAME).weights == str(place)


@pytest.mark.parametrize("name", ["pretrained_model_dir", "load_checkpoint"])
def test_a_path_without_a_model_says_what_was_meant(name: str, directory: Path, tmp_path: Path) -> None:
    snapshot = put_into_huggingface_cache(tmp_path / "hub", NAME, directory)
    given = {"pretrained_model_dir": str(directory)}
    for path, meant in (
        (directory.with_name("Qwen3-0.6b"), directory),
        (directory / "config.json", directory),
        (tmp_path / "hub", snapshot),
    ):
        if name == "load_checkpoint" and path.is_file():
            continue  # for load_weights to say: one file may hold all weights
        with pytest.raises(IncompleteCheckpoint, match=f"did you mean {meant}"):
            _checked(**{**given, name: str(path)})


def test_without_weights_it_is_a_warning(directory: Path) -> None:
    for file in directory.glob("*.safetensors*"):
        file.unlink()
    with pytest.warns(CheckpointWarning, match=f"random weights: {directory} has no .safetensors"):
        assert not _checked(pretrained_model_dir=str(directory)).weights


def test_without_the_weights_that_the_index_names_it_is_an_error(directory: Path) -> None:
    for file in directory.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(IncompleteCheckpoint, match=r"model-00001-of-00002\.safetensors"):
        _checked(pretrained_model_dir=str(directory))


@pytest.mark.parametrize("settings", [{"run_mode": "finetune"}, {"model_is_given": True}], ids=str)
def test_others_are_stocks_business(settings: dict[str, Any]) -> None:
    assert _checked(pretrained_model_dir="/path/hf_dir", **settings).model == "/path/hf_dir"
    mf_qwen3_patch.deactivate()
    try:
        assert _checked(pretrained_model_dir="/path/hf_dir").model == "/path/hf_dir"
    finally:
        mf_qwen3_patch.activate()
