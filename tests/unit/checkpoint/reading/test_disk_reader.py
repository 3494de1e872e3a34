"""Whatever the page cache holds and the file system refuses, the bytes are the file's, or the error is today's."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mf_qwen3_patch.checkpoint.reading import read_file
from mf_qwen3_patch.checkpoint.reading.disk_reader import Disk, DiskReader
from mf_qwen3_patch.checkpoint.reading.read_file import CheckpointFile, open_file
from mf_qwen3_patch.errors import CorruptCheckpoint

SIZE = 2_000_003  # no multiple of anything
PIECE, CHUNK = 300_001, 100_003
PARALLEL = 4

Preadv = Callable[..., int]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(random.Random(0).randbytes(SIZE))
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    return path


@pytest.fixture
def file(path: Path) -> Iterator[CheckpointFile]:
    file = open_file(path)
    yield file
    file.close()


def drop_from_page_cache(path: Path, start: int = 0, nbytes: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, start, nbytes, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def read_whole(disk: Disk, path: Path, size: int = SIZE) -> bytes:
    """Read as the threads of a load do: pieces in order, each announced and then read in chunks."""
    found, pieces, lock, failed = bytearray(size), iter(range(0, size, PIECE)), threading.Lock(), []

    def work() -> None:
        reader = DiskReader(disk)
        try:
            with reader.working():
                while True:
                    with lock:
                        start = next(pieces, None)
                    if start is None or failed:
                        return
                    stop = min(start + PIECE, size)
                    reader.file(path).expect(start, stop - start)
                    for offset in range(start, stop, CHUNK):
                        chunk = memoryview(found)[offset : min(offset + CHUNK, stop)]
                        reader.file(path).read_at(offset, chunk, "some.weight")
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(PARALLEL)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading, "excepthook", lambda arguments: None)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    if failed:
        raise failed[0]
    return bytes(found)


def disk_of(file: CheckpointFile, **options: bool) -> Disk:
    return Disk(lambda path: file, workers=2, reads=PARALLEL, **options)


STATES = {
    "cached": lambda path: path.read_bytes(),
    "cold": lambda path: drop_from_page_cache(path),
    "mixed": lambda path: (path.read_bytes(), drop_from_page_cache(path, 700_000, 500_000)),
}


def refusing(refused: Callable[[int, int, tuple[int, ...]], bool], code: int) -> Callable[[Preadv], Preadv]:
    """Make reads fail of which ``refused(descriptor's flags, offset, flags)`` is true."""

    def make(real: Preadv) -> Preadv:
        def preadv(descriptor: int, buffers: Any, offset: int, *flags: int) -> int:
            if refused(fcntl.fcntl(descriptor, fcntl.F_GETFL), offset, flags):
                raise OSError(code, os.strerror(code))
            return real(descriptor, buffers, offset, *flags)

        return preadv

    return make


def _short(divisor: int) -> Callable[[Preadv], Preadv]:
    def make(real: Preadv) -> Preadv:
        def preadv(descriptor: int, buffers: Any, offset: int, *flags: int) -> int:
            (memory,) = buffers
            return real(descriptor, [memory[: max(1, len(memory) // divisor)]], offset, *flags)

        return preadv

    return make


def _in_blocks(real: Preadv) -> Preadv:
    def preadv(descriptor: int, buffers: Any, offset: int, *flags: int) -> int:
        (memory,) = buffers
        return real(descriptor, [memory[:8192]], offset, *flags)

    return preadv


FILE_SYSTEMS: dict[str, Callable[[Preadv], Preadv]] = {
    "as it is": lambda real: real,
    "does not tell what is cached": refusing(lambda how, offset, flags: bool(flags), errno.EOPNOTSUPP),
    "refuses direct reads": refusing(lambda how, offset, flags: bool(how & os.O_DIRECT), errno.EINVAL),
    "refuses direct reads later": refusing(
        lambda how, offset, flags: bool(how & os.O_DIRECT) and offset > 1_000_000, errno.EINVAL
    ),
    "direct reads fail": refusing(lambda how, offset, flags: bool(how & os.O_DIRECT), errno.EIO),
    "reads a third": _short(3),
    "reads two pages": _in_blocks,
}


@pytest.mark.parametrize("bypass", [False, True])
@pytest.mark.parametrize("file_system", FILE_SYSTEMS)
@pytest.mark.parametrize("state", STATES)
def test_the_bytes_are_those_of_the_file(
    state: str, file_system: str, bypass: bool, file: CheckpointFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = path.read_bytes()
    STATES[state](path)
    monkeypatch.setattr(os, "preadv", FILE_SYSTEMS[file_system](os.preadv))

    assert read_whole(disk_of(file, bypass=bypass, bypass_untold=bypass), path) == expected


@pytest.mark.parametrize("direct", [False, True])
def test_a_file_system_that_does_not_open_directly_or_a_second_time_is_read_as_usual(
    direct: bool, file: CheckpointFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, real = path.read_bytes(), os.open

    def refuse(name: Any, flags: int, *rest: Any) -> int:
        if str(name).startswith("/proc/self/fd/") and bool(flags & os.O_DIRECT) is direct:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(name, flags, *rest)

    drop_from_page_cache(path)
    monkeypatch.setattr(os, "open", refuse)
    disk = disk_of(file, bypass=True, bypass_untold=True)

    assert read_whole(disk, path) == expected
    assert (disk.use.direct_bytes == 0) is direct


def test_what_is_not_cached_is_read_past_the_page_cache_and_what_is_cached_is_not(
    file: CheckpointFile, path: Path
) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT)
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError as error:
        pytest.skip(f"this file system can't: {error}")
    finally:
        os.close(descriptor)
    path.read_bytes()
    warm = disk_of(file, bypass=True)
    read_whole(warm, path)
    drop_from_page_cache(path)
    cold = disk_of(file, bypass=True)
    read_whole(cold, path)

    assert (warm.use.direct_bytes, cold.use.direct_bytes) == (0, SIZE)
    assert warm.use.seconds == 0 < cold.use.seconds


@pytest.mark.parametrize("bypass", [False, True])
def test_rows_with_gaps_are_read_through_the_page_cache(file: CheckpointFile, path: Path, bypass: bool) -> None:
    expected = path.read_bytes()
    drop_from_page_cache(path)
    disk = disk_of(file, bypass=bypass, bypass_untold=bypass)
    reader, row = DiskReader(disk), bytearray(1000)
    with reader.working():
        reader.file(path).prefetch(0, SIZE)
        for offset in range(0, 1_000_000, 50_000):
            reader.file(path).read_at(offset, memoryview(row), "some.weight")
            assert row == expected[offset : offset + 1000]

    assert disk.use.direct_bytes == 0


@pytest.mark.parametrize("bypass", [False, True])
@pytest.mark.parametrize("state", STATES)
def test_a_file_that_became_shorter_is_one_clear_error(
    state: str, bypass: bool, file: CheckpointFile, path: Path
) -> None:
    os.truncate(path, SIZE - 100_000)
    STATES[state](path)

    with pytest.raises(CorruptCheckpoint, match=r"model.safetensors ended while it was read") as caught:
        read_whole(disk_of(file, bypass=bypass, bypass_untold=bypass), path)

    assert [problem.tensor for problem in caught.value.problems] == ["some.weight"]


@pytest.mark.parametrize("bypass", [False, True])
def test_a_file_that_grew_is_read_as_far_as_its_tensors_go(file: CheckpointFile, path: Path, bypass: bool) -> None:
    expected = path.read_bytes()
    with path.open("ab") as stream:
        stream.write(b"more" * 10_000)
    drop_from_page_cache(path)

    assert read_whole(disk_of(file, bypass=bypass, bypass_untold=bypass), path) == expected


@pytest.mark.parametrize("bypass", [False, True])
def test_an_input_output_error_is_one_clear_error(
    bypass: bool, file: CheckpointFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_from_page_cache(path)
    monkeypatch.setattr(os, "preadv", refusing(lambda how, offset, flags: offset > 1_000_000, errno.EIO)(os.preadv))

    with pytest.raises(CorruptCheckpoint, match="can't be read: Input/output error") as caught:
        read_whole(disk_of(file, bypass=bypass, bypass_untold=bypass), path)

    assert [problem.tensor for problem in caught.value.problems] == ["some.weight"]


def test_a_python_without_the_flag_reads_all_the_same(
    file: CheckpointFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_file, "_NOT_FROM_DISK", None)
    disk = disk_of(open_file(path), bypass=True)

    assert read_whole(disk, path) == path.read_bytes()
    assert disk.use.direct_bytes == 0


def test_no_more_threads_work_or_read_than_allowed(
    file: CheckpointFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, reading, most, lock = os.preadv, [0], [0], threading.Lock()

    def counted(descriptor: int, buffers: Any, offset: int, *flags: int) -> int:
        if flags:
            raise OSError(errno.EAGAIN, "not cached")
        with lock:
            reading[0] += 1
            most[0] = max(most[0], reading[0])
        try:
            threading.Event().wait(0.002)
            return real(descriptor, buffers, offset)
        finally:
            with lock:
                reading[0] -= 1

    monkeypatch.setattr(os, "preadv", counted)
    read_whole(Disk(lambda path: file, workers=1, reads=3), path)

    assert most == [3]
