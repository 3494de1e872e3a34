"""However a conversion ends, nothing that looks finished is left, and the next run goes on with what is whole."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.support.checkpoints import TINY_MOE, edit_weights, weight_files, write_checkpoint
from tests.support.namespaces import with_mounts_of_its_own

from mf_qwen3_patch.checkpoint.files.directory import directory_of, is_qwen3_directory
from mf_qwen3_patch.checkpoint.writing import checkpoint_writer, safetensors_writer
from mf_qwen3_patch.cli.main import main
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.families.layout import LAYOUT_KEY

SHARD = 30_000
_MODULES = {safetensors_writer.__file__, checkpoint_writer.__file__}
_FUNCTIONS = {"write", "_write", "_claim", "_locked", "unfinished", "sync_directory"}


def is_converted_directory(path: Path) -> bool:
    directory = directory_of(path)
    if directory is None or not directory.weight_files:
        return False
    return all(LAYOUT_KEY in directory.header(name).metadata for name in directory.weight_files)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def convert(source: Path, target: Path, **options: Any) -> Any:
    return convert_to_mindformers(source, target, max_shard_bytes=SHARD, progress=False, **options)


def at_line(number: int, do: Callable[[], object]) -> Callable[[FrameType, str, Any], Any]:
    """Trace the functions that write, and ``do`` something before the line with this number, counted as they run."""
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in _MODULES or frame.f_code.co_name not in _FUNCTIONS:
            return None
        if event == "line":
            seen += 1
            if seen == number:
                do()
        return trace

    trace.seen = lambda: seen  # type: ignore[attr-defined]
    return trace


def lines_of_a_run(source: Path, target: Path) -> int:
    trace: Any = at_line(0, lambda: None)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        convert(source, target)
    finally:
        sys.settrace(before)
    return int(trace.seen())


def killed_at(number: int, source: Path, target: Path) -> bool:
    """Convert in a child, which dies before a line without a chance to clean up; return whether it did die."""
    child = os.fork()
    if child == 0:
        sys.settrace(at_line(number, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        convert(source, target)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def test_kill_9_at_any_moment_leaves_what_the_next_run_completes(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf", dtype="BF16", shards=2)
    lines = lines_of_a_run(source, tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    expected_files = weight_files(tmp_path / "undisturbed")
    assert len(expected_files) > 4
    generator = random.Random(20)
    stages = set()
    for number in [*sorted(generator.sample(range(1, lines + 1), 20)), lines]:
        target = tmp_path / f"killed at {number}"
        assert killed_at(number, source, target)
        if target.exists():  # only after the last rename
            assert contents(target) == expected
        assert not is_converted_directory(target) or contents(target) == expected
        partial = target.with_name(target.name + ".partial")
        whole = len(expected_files) if target.exists() else len(weight_files(partial)) if partial.exists() else 0
        stages.add(whole)
        assert convert(source, target).written.kept == whole
        assert contents(target) == expected
        assert not partial.exists()
    assert len(stages) > 3, "the moments are too much alike"


def killed_after(seconds: float, source: Path, target: Path) -> bool:
    """Convert in a child that is killed after some time, wherever it is; return whether it was still at work."""
    child = os.fork()
    if child == 0:
        convert_to_mindformers(source, target, max_shard_bytes=4_000_000, progress=False)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.sweep
def test_kill_9_at_50_random_times_of_a_conversion_that_takes_its_time(tmp_path: Path) -> None:
    """By the clock, and not by the line: within a read, a write and a sync, too."""
    size = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 6, "vocab_size": 8192}
    source = write_checkpoint(tmp_path / "hf", shards=3, **size)

    def complete(target: Path) -> Any:
        return convert_to_mindformers(source, target, max_shard_bytes=4_000_000, progress=False).written

    started = time.monotonic()
    files = len(complete(tmp_path / "undisturbed").files)
    duration = time.monotonic() - started
    expected = contents(tmp_path / "undisturbed")
    generator, kept = random.Random(50), []
    target = tmp_path / "mf"
    while len(kept) < 50:
        if killed_after(generator.uniform(0, duration), source, target):
            assert not target.exists() or contents(target) == expected
            written = complete(target)
            kept.append(files if written.already else written.kept)
            assert contents(target) == expected
            assert not target.with_name("mf.partial").exists()
        shutil.rmtree(target)
    assert len(set(kept)) > files // 2, "the moments are too much alike"


@pytest.mark.parametrize("family", [{}, TINY_MOE], ids=["dense", "experts"])
def test_killed_twice_and_completed(family: dict[str, Any], tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf", **family)
    lines = lines_of_a_run(source, tmp_path / "undisturbed")
    assert killed_at(lines // 3, source, tmp_path / "mf")
    assert killed_at(lines // 3, source, tmp_path / "mf")
    convert(source, tmp_path / "mf")
    assert contents(tmp_path / "mf") == contents(tmp_path / "undisturbed")


def test_a_whole_file_is_not_written_again(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf")
    lines = lines_of_a_run(source, tmp_path / "undisturbed")
    assert killed_at(lines * 2 // 3, source, tmp_path / "mf")
    kept = {file.name: file.stat().st_ino for file in weight_files(tmp_path / "mf.partial")}
    assert kept
    convert(source, tmp_path / "mf")
    assert {name: (tmp_path / "mf" / name).stat().st_ino for name in kept} == kept


def stopped(source: Path, target: Path) -> None:
    """Leave a conversion half done."""
    lines = lines_of_a_run(source, target)
    shutil.rmtree(target)
    assert killed_at(lines // 2, source, target)


def test_a_damaged_file_of_a_stopped_run_is_written_again(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf")
    convert(source, tmp_path / "undisturbed")
    stopped(source, tmp_path / "mf")
    first = weight_files(tmp_path / "mf.partial")[0]
    first.write_bytes(first.read_bytes()[:-1])
    convert(source, tmp_path / "mf")
    assert contents(tmp_path / "mf") == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize("options", [{"layout": "training"}, {"dtype": "float16"}, {}], ids=str)
def test_a_stopped_run_of_another_source_or_with_other_options_is_not_continued(
    options: dict[str, Any], tmp_path: Path
) -> None:
    source = write_checkpoint(tmp_path / "hf")
    stopped(source, tmp_path / "mf")
    if not options:
        edit_weights(source, lambda tensors: None)  # the same bytes, written at another time
    with pytest.raises(FileExistsError, match=r"mf[.]partial was made from something else"):
        convert(source, tmp_path / "mf", **options)
    assert not (tmp_path / "mf").exists()


def test_a_second_run_has_nothing_to_do_and_a_damaged_result_is_named(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf")
    assert not convert(source, tmp_path / "mf").written.already
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "mf").iterdir()}
    assert convert(source, tmp_path / "mf").written.already
    assert times == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "mf").iterdir()}
    file = weight_files(tmp_path / "mf")[1]
    file.unlink()
    with pytest.raises(FileExistsError, match=f"{file.name} in it is damaged"):
        convert(source, tmp_path / "mf")


def test_a_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="is not empty and was not made by this tool"):
        convert(source, mine)
    (tmp_path / "free.partial").mkdir()
    (tmp_path / "free.partial" / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds thesis[.]tex, which this tool did not write"):
        convert(source, tmp_path / "free")
    with pytest.raises(FileExistsError, match="is a file"):
        convert(source, mine / "thesis.tex")
    assert contents(mine) == contents(tmp_path / "free.partial") == {"thesis.tex": b"years of work"}


def test_nothing_is_written_into_the_source(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf")
    before = contents(source)
    (tmp_path / "link").symlink_to(source)
    for target in (source, tmp_path / "link", source / "mf", tmp_path / "x" / ".." / "hf"):
        with pytest.raises(ValueError, match="never written to"):
            convert(source, target)
    assert contents(source) == before


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf")
    (tmp_path / "mf").mkdir()
    convert(source, tmp_path / "mf")
    assert is_converted_directory(tmp_path / "mf")
    assert is_qwen3_directory(tmp_path / "mf")


def test_too_small_a_disk_is_seen_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = write_checkpoint(tmp_path / "hf")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000))
    assert main(["convert", str(source), str(tmp_path / "mf")]) == 3
    error = capfd.readouterr().err
    assert "the disk is too small" in error
    assert "Traceback" not in error
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "output") == ["hf"]


def test_a_limit_that_is_reached_midway_leaves_nothing_in_the_way_of_the_next_run(tmp_path: Path) -> None:
    """A real one: the system lets this process write no file beyond a size."""
    source = write_checkpoint(tmp_path / "hf")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large after \d+ bytes; .* the same command goes on") as caught:
            convert(source, tmp_path / "mf")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert Path(caught.value.filename).name.startswith("model")
    assert not (tmp_path / "mf").exists()
    assert not list((tmp_path / "mf.partial").rglob("*.unfinished"))
    convert(source, tmp_path / "mf")


# A file system in memory that has room for so many files, or is read-only; afterwards for more, or no longer.
_ON_A_SMALL_DISK = """
mount -t tmpfs -o size=4m,nr_inodes=5 tmpfs "$1" || exit 77
mount -o "remount,$2" "$1" || exit 77
"$3" -m mf_qwen3_patch convert "$4" "$1/mf" --max-shard-size 30KB
echo "exit code $?"
ls "$1" "$1/mf.partial"
mount -o "remount,rw,nr_inodes=100" "$1" || exit 77
"$3" -m mf_qwen3_patch convert "$4" "$1/mf" --max-shard-size 30KB
echo "exit code $?"
ls "$1"
"""


@pytest.mark.parametrize(
    ("options", "reason", "left"), [("rw", "No space left on device", True), ("ro", "Read-only file system", False)]
)
def test_a_disk_that_is_full_or_read_only(options: str, reason: str, left: bool, tmp_path: Path) -> None:
    """Real ones: a file system in memory, where only these processes see it."""
    source, disk = write_checkpoint(tmp_path / "hf"), tmp_path / "disk"
    disk.mkdir()
    command = with_mounts_of_its_own("sh", "-c", _ON_A_SMALL_DISK, "sh", disk, options, sys.executable, source)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("no file system can be mounted here")

    assert "Traceback" not in done.stderr
    assert reason in done.stderr
    first, _, second = done.stdout.partition("exit code 3\n")
    assert not first.strip()
    listed, _, second = second.partition("exit code 0\n")
    assert ("mf.partial" in listed) is left
    assert ("the same command goes on" in done.stderr) is left
    assert ".unfinished" not in listed
    assert second == "mf\n"


def test_what_a_killed_run_left_unfinished_does_not_count_as_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_checkpoint(tmp_path / "hf")
    stopped(source, tmp_path / "mf")
    (tmp_path / "mf.partial" / "model.safetensors.unfinished").write_bytes(bytes(10**6))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 0))
    convert(source, tmp_path / "mf")


def test_a_link_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf")
    for name in ("empty", "absent"):
        (tmp_path / f"link to {name}").symlink_to(tmp_path / "disk" / name)
    (tmp_path / "disk" / "empty").mkdir(parents=True)
    for name in ("empty", "absent"):
        convert(source, tmp_path / f"link to {name}")
        assert is_converted_directory(tmp_path / "disk" / name)
        assert (tmp_path / f"link to {name}").is_symlink()


def test_control_c_exits_130_and_says_how_to_go_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = write_checkpoint(tmp_path / "hf")
    lines = lines_of_a_run(source, tmp_path / "undisturbed")

    def interrupt() -> None:
        raise KeyboardInterrupt

    arguments = ["convert", str(source), str(tmp_path / "mf"), "--max-shard-size", "30KB"]
    before = sys.gettrace()
    sys.settrace(at_line(lines // 2, interrupt))
    try:
        code = main(arguments)
    finally:
        sys.settrace(before)
    error = capfd.readouterr().err
    assert code == 130
    assert "the same command goes on" in error
    assert not (tmp_path / "mf").exists()
    assert main(arguments) == 0
    assert "were whole already and are kept" in "".join(capfd.readouterr())
    assert contents(tmp_path / "mf") == contents(tmp_path / "undisturbed")


def test_one_that_comes_after_another_has_finished_finds_it_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_checkpoint(tmp_path / "hf")
    locked = checkpoint_writer._locked
    other: list[object] = []

    def slow(directory: Path) -> object:
        if not other:  # between the look at the place and the lock, the other one does it all
            other.append("is running")
            convert(source, tmp_path / "mf")
            directory.mkdir()
        return locked(directory)

    monkeypatch.setattr(checkpoint_writer, "_locked", slow)
    assert convert(source, tmp_path / "mf").written.already
    assert not (tmp_path / "mf.partial").exists()


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hf")
    stopped(source, tmp_path / "mf")
    with (
        checkpoint_writer._locked(tmp_path / "mf.partial"),
        pytest.raises(FileExistsError, match="another process is writing"),
    ):
        convert(source, tmp_path / "mf")
    convert(source, tmp_path / "mf")
