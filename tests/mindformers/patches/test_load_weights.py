"""``load_weights`` of a network: weights that a program hands over load as a directory does, and no way is silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor
from safetensors import safe_open
from tests.mindformers.loading.transfer.stock import bits, build
from tests.support.checkpoints import TINY_MOE, write_checkpoint

import mf_qwen3_patch
from mf_qwen3_patch.errors import CheckpointError, IncompleteCheckpoint
from mf_qwen3_patch.loading import given_weights

Pairs = Iterator[tuple[str, Any]]


def _slices(directory: Path) -> Pairs:
    for file in sorted(directory.glob("*.safetensors")):
        with safe_open(file, framework="np") as opened:
            for name in opened.keys():  # noqa: SIM118
                yield name, opened.get_slice(name)


def _arrays(directory: Path) -> Pairs:
    return ((name, part[:]) for name, part in _slices(directory))


def _tensors(directory: Path) -> Pairs:
    return ((name, Tensor.from_numpy(array)) for name, array in _arrays(directory))


def _dict(directory: Path) -> dict[str, Any]:
    return dict(_tensors(directory))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("hf") / "model", dtype="F32", shards=2)


@pytest.fixture(scope="module")
def network(directory: Path) -> Any:
    return build(directory)


@pytest.mark.parametrize("given", [_slices, _arrays, _tensors, _dict], ids=lambda given: given.__name__[1:])
def test_weights_in_any_form_load_as_their_directory(
    given: Callable[[Path], Any], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_weights, "_FILE_BYTES", 50_000)  # several files
    network, expected = build(directory), build(directory)
    expected.load_weights(str(directory))
    network.load_weights(weights=given(directory))

    assert network.mf_qwen3_report.parameters == expected.mf_qwen3_report.parameters
    for name, wanted in bits(expected).items():
        np.testing.assert_array_equal(bits(network)[name], wanted, err_msg=name)


def test_the_weights_of_experts(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "moe", dtype="F32", **TINY_MOE)
    network, expected = build(directory), build(directory)
    expected.load_weights(str(directory))
    network.load_weights("", _arrays(directory))

    assert all(np.array_equal(bits(network)[name], wanted) for name, wanted in bits(expected).items())


def test_a_directory_goes_before_weights(network: Any, directory: Path) -> None:
    network.load_weights(str(directory), iter([("nonsense", np.zeros(3, np.float32))]))

    assert network.mf_qwen3_report.directory == str(directory)


def test_what_is_not_the_whole_model_is_an_error(network: Any, directory: Path) -> None:
    read = _arrays(directory)
    list(read)
    with pytest.raises(IncompleteCheckpoint, match="an iterator that was read before"):
        network.load_weights(weights=read)
    with pytest.raises(IncompleteCheckpoint, match=r"model\.norm\.weight"):
        network.load_weights(weights=(pair for pair in _arrays(directory) if pair[0] != "model.norm.weight"))
    wider = {name: np.pad(array, 1) if name.endswith("up_proj.weight") else array for name, array in _arrays(directory)}
    with pytest.raises(CheckpointError, match=r"up_proj\.weight .* another shape"):
        network.load_weights(weights=wider)
    with pytest.raises(CheckpointError):
        network.load_weights(weights={"a.b": np.zeros(3, np.float32)})
    with pytest.raises(TypeError, match=r"'a' as int32"):
        network.load_weights(weights={"a": np.zeros(3, np.int32)})
    with pytest.raises(ValueError, match="'a' twice"):
        network.load_weights(weights=[("a", np.zeros(3, np.float32))] * 2)
    with pytest.raises(ValueError, match="neither"):
        network.load_weights()
    assert not hasattr(network, "mf_qwen3_report")


def test_a_path_without_a_model_is_an_error(network: Any, directory: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "README.md").write_text("x")
    for load in (network.load_weights, lambda path: mf_qwen3_patch.load_weights(network, path)):
        with pytest.raises(IncompleteCheckpoint, match="did you mean "):
            load(str(directory / "config.json"))
        with pytest.raises(IncompleteCheckpoint, match="is not there"):
            load(tmp_path / "absent")
        with pytest.raises(IncompleteCheckpoint, match="there is no model"):
            load(str(tmp_path / "empty"))
    with pytest.raises(IncompleteCheckpoint, match="there is no model"):
        network.load_weights(str(tmp_path))


def test_mindformers_own_files_are_stocks_business(network: Any, tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"No \.safetensors files found") as error:
        network.load_weights(str(tmp_path))
    assert not isinstance(error.value, CheckpointError)
