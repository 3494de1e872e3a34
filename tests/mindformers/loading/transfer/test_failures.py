"""What stops a load leaves the network as it was, says what and where, and leaves no thread behind."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Parameter
from tests.mindformers.loading.transfer.stock import bits, build, differences, load_with_shim, load_with_stock, plan_for
from tests.support.checkpoints import Raw, Tensors, edit_weights, weight_files, write_checkpoint

from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.errors import CheckpointWarning, CorruptCheckpoint, InvalidValues
from mf_qwen3_patch.loading.execute import Details, execute
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.runtime.ranks import Ranks
from mf_qwen3_patch.loading.transfer.loader import read_parameters

UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "hf", dtype="BF16", shards=2)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("mf_qwen3_patch")] == []


@pytest.fixture(params=["never loaded", "loaded before"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A network with the weights of another checkpoint, or with none; as the test leaves it, so it must be."""
    other = write_checkpoint(tmp_path / "other", dtype="BF16", seed=1)
    network = build(other)
    before = {name: (id(p), p.init_mode, p.init, p.sliced) for name, p in network_parameters(network).items()}
    expected = None
    if request.param == "loaded before":
        load_with_shim(network, other)
        before = {name: (id(p), p.init_mode, p.init, p.sliced) for name, p in network_parameters(network).items()}
        expected = {name: array.copy() for name, array in bits(network).items()}
    yield network
    after = {name: (id(p), p.init_mode, p.init, p.sliced) for name, p in network_parameters(network).items()}
    assert after == before
    if expected is not None:
        assert differences(expected, bits(network)) == {}


@pytest.mark.parametrize(("pattern", "found"), [(0x7FC1, "1 NaN and 0 infinite"), (0xFF80, "0 NaN and 1 infinite")])
def test_nan_or_infinity_in_the_checkpoint_is_an_error(model: Any, directory: Path, pattern: int, found: str) -> None:
    edit_weights(directory, lambda tensors: _put(tensors, UP, 4321, pattern))

    with pytest.raises(InvalidValues) as caught:
        load_with_shim(model, directory)

    (problem,) = caught.value.problems
    assert (problem.tensor, problem.parameter) == (UP, "decoder.layers.1.mlp.linear_fc1.weight")
    assert problem.file == "model-00002-of-00002.safetensors"
    assert found in str(problem.found)


def test_a_file_that_became_shorter_is_an_error(model: Any, directory: Path) -> None:
    with open_checkpoint(directory) as checkpoint:
        loading = plan_for(model, directory)
        file = weight_files(directory)[0]
        os.truncate(file, file.stat().st_size - 100)

        with pytest.raises(CorruptCheckpoint, match=f"{file.name} ended while it was read"):
            read_parameters(loading, checkpoint.file)
        with pytest.raises(CorruptCheckpoint, match=f"{file.name} was written to while it was in use"):
            execute(model, loading, checkpoint, Details(0), Ranks(0, 1))


def test_a_file_that_vanished_is_an_error(model: Any, directory: Path) -> None:
    with open_checkpoint(directory) as checkpoint:
        loading = plan_for(model, directory)
        file = weight_files(directory)[1]
        file.unlink()

        with pytest.raises(CorruptCheckpoint, match=f"{file.name} was gone while it was in use"):
            execute(model, loading, checkpoint, Details(0), Ranks(0, 1))


def test_an_input_output_error_in_a_thread_is_an_error(
    model: Any, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.preadv, iter(range(1000))

    def sometimes(*args: Any) -> int:
        # What the page cache is asked for without waiting is only a question; each read after it fails.
        if threading.current_thread() is not threading.main_thread() and next(calls) >= 7:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*args)

    monkeypatch.setattr(os, "preadv", sometimes)

    with pytest.raises(CorruptCheckpoint, match="can't be read: Input/output error"):
        load_with_shim(model, directory, threads=3)


def test_ctrl_c_stops_the_load(model: Any, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, interrupted = os.preadv, threading.Event()

    def slowly(*args: Any) -> int:
        if threading.current_thread() is not threading.main_thread() and not interrupted.is_set():
            interrupted.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.02)
        return real(*args)

    monkeypatch.setattr(os, "preadv", slowly)
    monkeypatch.setenv("MF_QWEN3_PATCH_THREADS", "2")

    with pytest.raises(KeyboardInterrupt):
        model.load_weights(str(directory))


def test_a_failure_while_handing_over_gives_everything_back(
    model: Any, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Parameter.set_data, iter(range(1000))

    def until_the_tenth(self: Parameter, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 10:
            raise RuntimeError("out of device memory")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Parameter, "set_data", until_the_tenth)

    with pytest.raises(RuntimeError, match="out of device memory"):
        load_with_shim(model, directory)


def test_overflow_in_float16_is_counted_and_named(directory: Path) -> None:
    largest_that_fits, too_large = 0x477F, 0xC780
    edit_weights(directory, lambda tensors: _put(tensors, UP, 5, largest_that_fits))
    edit_weights(directory, lambda tensors: _put(tensors, UP, 6, too_large))
    edit_weights(directory, lambda tensors: _put(tensors, UP, 700, too_large))
    stock, shim = build(directory, "float16"), build(directory, "float16")

    with pytest.warns(CheckpointWarning, match=rf"2 finite values are too large for float16.*{UP} \(2\)"):
        _, stats = load_with_shim(shim, directory)

    assert stats.overflowed == {UP: 2}
    with np.errstate(all="ignore"):
        load_with_stock(stock, directory)
    assert differences(bits(stock), bits(shim)) == {}


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "²"])
def test_a_bad_number_of_threads_is_a_value_error(
    model: Any, directory: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_THREADS", value)

    with pytest.raises(ValueError, match=r"MF_QWEN3_PATCH_THREADS=.* is not a positive integer"):
        load_with_shim(model, directory)


def test_threads_are_as_many_as_asked_for(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_THREADS", "3")
    network = build(directory)

    assert load_with_shim(network, directory)[1].threads == 3
    assert load_with_shim(network, directory, threads=1)[1].threads == 1


def test_parameters_stay_what_they_are(directory: Path) -> None:
    network = build(directory)
    before = {name: (id(p), p.requires_grad, p.dtype) for name, p in network_parameters(network).items()}
    load_with_shim(network, directory)

    assert {name: (id(p), p.requires_grad, p.dtype) for name, p in network_parameters(network).items()} == before
    for name, parameter in network_parameters(network).items():
        # A parameter that still thinks it is to be initialized clones to zeros.
        assert np.array_equal(parameter.clone().asnumpy(), parameter.asnumpy()), name


def test_nothing_is_printed_when_stderr_is_no_terminal(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = build(directory)
    capfd.readouterr()
    load_with_shim(network, directory)

    assert capfd.readouterr() == ("", "")


def _put(tensors: Tensors, name: str, index: int, pattern: int) -> None:
    values = np.frombuffer(tensors[name].data, np.uint16).copy()
    values[index] = pattern
    tensors[name] = Raw("BF16", tensors[name].shape, values.tobytes())
