"""What was checked is what is loaded: a file that changes between check and use is one error, and nothing is loaded."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.mindformers.loading.transfer.stock import bits, build, differences
from tests.support.checkpoints import Raw, edit_weights, header_bytes, read_safetensors, weight_files, write_checkpoint

import mf_qwen3_patch.loading.execute as executing
from mf_qwen3_patch.convert.to_huggingface import export_to_huggingface
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.errors import CheckpointError, CorruptCheckpoint, LoadNotProven


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "hf", dtype="BF16", shards=2)


def replaced(directory: Path) -> None:
    """Another file takes the name, with the same header and other values."""
    file = weight_files(directory)[0]
    other = file.with_name("other")
    tensors = {name: Raw(raw.dtype, raw.shape, bytes(len(raw.data))) for name, raw in read_safetensors(file).items()}
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    other.write_bytes(content[:start] + b"".join(raw.data for raw in tensors.values()))
    other.replace(file)


def rewritten(directory: Path) -> None:
    """The data are written over in place."""
    file = weight_files(directory)[0]
    with file.open("r+b") as stream:
        stream.seek(-64, os.SEEK_END)
        stream.write(bytes(range(64)))


def header_grown(directory: Path) -> None:
    """The file is written anew in place, with a longer header: every offset is another one."""
    file = weight_files(directory)[0]
    tensors = read_safetensors(file)
    content = header_bytes(tensors, {"format": "pt", "note": "x" * 800}) + b"".join(
        raw.data for raw in tensors.values()
    )
    with file.open("r+b") as stream:
        stream.write(content)
        stream.truncate()


CHANGES = [replaced, rewritten, header_grown]
MOMENTS = {
    "between check and read": "read_parameters",
    "between read and assignment": "assigned",
    "before the verification": "verify",
}


@pytest.mark.parametrize("layout", ["huggingface", "inference", "training"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_is_an_error(
    change: Callable[[Path], None],
    moment: str,
    layout: Any,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = source
    if layout != "huggingface":
        directory = tmp_path / "mf"
        convert_to_mindformers(source, directory, layout=layout, max_shard_bytes=150_000, progress=False)
    model = build(source)
    model.load_weights(str(source))
    before = {name: array.copy() for name, array in bits(model).items()}
    original = getattr(executing, MOMENTS[moment])

    def then(*arguments: Any, **keywords: Any) -> Any:
        if moment != "between read and assignment":
            change(directory)
            return original(*arguments, **keywords)
        context = original(*arguments, **keywords)
        change(directory)
        return context

    monkeypatch.setattr(executing, MOMENTS[moment], then)

    with pytest.raises((CorruptCheckpoint, LoadNotProven)) as caught:
        model.load_weights(str(directory))

    assert weight_files(directory)[0].name in str(caught.value)
    assert differences(before, bits(model)) == {}
    assert getattr(model, "mf_qwen3_report", None) is None


@pytest.mark.parametrize("change", CHANGES)
def test_convert_and_export_refuse_a_source_that_changes(
    change: Callable[[Path], None], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert_to_mindformers(source, tmp_path / "sound", max_shard_bytes=150_000, progress=False)
    real, changed = os.preadv, threading.Event()

    def changing(directory: Path) -> Callable[..., int]:
        def preadv(descriptor: int, buffers: Any, offset: int, *rest: Any) -> int:
            # The first read of data: headers are read from the front.
            if offset > 20_000 and not changed.is_set():
                changed.set()
                change(directory)
            return real(descriptor, buffers, offset, *rest)

        return preadv

    for run, directory, target in (
        (convert_to_mindformers, source, tmp_path / "mf"),
        (export_to_huggingface, tmp_path / "sound", tmp_path / "back"),
    ):
        changed.clear()
        with monkeypatch.context() as patched:
            patched.setattr(os, "preadv", changing(directory))
            with pytest.raises(CheckpointError, match=r"while it was in use|ended while it was read|NaN or infinity"):
                run(directory, target, progress=False)
        assert changed.is_set()
        assert not target.exists()


def test_short_reads_are_read_on(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.preadv

    def short(descriptor: int, buffers: Any, offset: int, *flags: int) -> int:
        return real(descriptor, [buffers[0][: max(1, len(buffers[0]) // 3)]], offset, *flags)

    expected = build(source)
    expected.load_weights(str(source))
    monkeypatch.setattr(os, "preadv", short)
    monkeypatch.setenv("MF_QWEN3_PATCH", "strict")
    model = build(source)
    model.load_weights(str(source))

    assert differences(bits(expected), bits(model)) == {}


@pytest.mark.parametrize("loaded_before", [False, True])
def test_an_input_output_error_in_the_verification_leaves_the_model_alone(
    loaded_before: bool, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(source, other)
    edit_weights(other, lambda tensors: tensors.update({n: Raw(r.dtype, r.shape, r.data[::-1]) for n, r in ()}))
    model = build(source)
    if loaded_before:
        model.load_weights(str(source))
    before = {name: array.copy() for name, array in bits(model).items()}
    real = os.preadv

    def fails(descriptor: int, buffers: Any, offset: int, *flags: int) -> int:
        if threading.current_thread() is threading.main_thread() and verifying.is_set():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, buffers, offset, *flags)

    verifying = threading.Event()
    verify = executing.verify

    def marked(*arguments: Any, **keywords: Any) -> Any:
        verifying.set()
        return verify(*arguments, **keywords)

    monkeypatch.setattr(executing, "verify", marked)
    monkeypatch.setattr(os, "preadv", fails)

    with pytest.raises(CorruptCheckpoint, match="can't be read: Input/output error") as caught:
        model.load_weights(str(other))

    assert caught.value.problems[0].tensor is not None
    monkeypatch.undo()
    assert differences(before, bits(model)) == {}
    assert getattr(model, "mf_qwen3_report", None) is None


def test_a_model_that_holds_something_else_gets_back_what_it_had(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(source)
    model.load_weights(str(source))
    before = {name: array.copy() for name, array in bits(model).items()}
    read = executing.read_parameters

    def spoiled(*arguments: Any, **keywords: Any) -> Any:
        arrays, stats = read(*arguments, **keywords)
        arrays["decoder.layers.1.mlp.linear_fc2.weight"][:] = np.float32(3)
        return arrays, stats

    monkeypatch.setattr(executing, "read_parameters", spoiled)

    with pytest.raises(LoadNotProven, match=r"decoder\.layers\.1\.mlp\.linear_fc2\.weight"):
        model.load_weights(str(source))

    assert differences(before, bits(model)) == {}
