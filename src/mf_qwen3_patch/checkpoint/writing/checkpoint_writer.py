"""Making a checkpoint directory that is there whole, or not at all, whenever the process is killed.

It grows beside its place, as ``NAME.partial``, and takes its name in one rename. What the directory is made
from is written down in it, so that a second run goes on with the files that are whole already, and never mixes
them with those of another source.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm  # type: ignore[import-untyped]

from mf_qwen3_patch.checkpoint.files.index import INDEX_NAME
from mf_qwen3_patch.checkpoint.reading.strict_json import json_bytes
from mf_qwen3_patch.checkpoint.writing.manifest import MANIFEST_NAME, difference, read_manifest
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import UNFINISHED, NewFile, sync_directory, unfinished
from mf_qwen3_patch.interrupts import keyboard_interrupts

PARTIAL = ".partial"
"""The end of a directory's name until all of it is there."""

# A disk that is full or read-only, a quota or a limit that is reached: it may be otherwise at the next run.
_MAY_PASS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})


@dataclass(frozen=True)
class Written:
    """The result of a run: a finished directory, and the names and the size together of its weight files."""

    directory: Path
    files: tuple[str, ...]
    kept: int  # files that were there already, from a run that was stopped
    already: bool  # whether the whole directory was there already
    nbytes: int


@dataclass(frozen=True)
class NewDirectory:
    """A directory that is to be made; its place is not there yet, or empty."""

    path: Path
    files: tuple[NewFile, ...]
    copies: Mapping[str, bytes]  # other files: name to content
    manifest: Mapping[str, Any]  # what it is made from, as JSON-compatible values

    @property
    def partial(self) -> Path:
        """The directory in which it grows."""
        return self.path.with_name(self.path.name + PARTIAL)

    def write(self, *, progress: bool = True, check_source: Callable[[], object] = lambda: None) -> Written:
        """Make the directory, or go on where a run was stopped; a progress bar is shown on a terminal only.

        ``check_source`` raises if the source was changed while it was read; it is called before and after that.
        Raises FileExistsError if there is something else in its place, or a part of another conversion beside it, or
        another process makes it; OSError if the disk is too small, full or can't be written.
        """
        try:
            with keyboard_interrupts():
                return self._write(progress, check_source)
        except OSError as error:
            if error.errno not in _MAY_PASS or not self.partial.is_dir():
                raise
            to_do = f"mend that, and the same command goes on with what is whole in {self.partial}"
            raise OSError(error.errno, f"{error.strerror}; {to_do}", error.filename) from error

    def _write(self, progress: bool, check_source: Callable[[], object]) -> Written:
        if self._is_there():
            return self._written(len(self.files), already=True)
        check_source()
        self._check_space()
        self.partial.mkdir(parents=True, exist_ok=True)
        with _locked(self.partial):
            if self._is_there():  # by now: another process has made it
                with suppress(OSError):
                    self.partial.rmdir()
                return self._written(len(self.files), already=True)
            self._claim()
            missing = self._missing(self.partial)
            total = sum(file.nbytes for file in self.files)
            with _bar(total, progress) as bar:
                bar.update(total - sum(file.nbytes for file in missing))
                for file in missing:
                    file.write(self.partial, bar.update)
            for name, content in self._small_files().items():
                write_small(self.partial / name, content)
            sync_directory(self.partial)
            check_source()
            # An empty directory gives way to it; anything else makes this an error.
            self.partial.rename(self.path)
            sync_directory(self.path.parent)
        return self._written(len(self.files) - len(missing), already=False)

    def is_finished(self) -> bool:
        """Return whether all of it is there, made from the very same."""
        return self._difference_of(self.path) is None and not self._missing(self.path)

    def make_way(self) -> list[Path]:
        """Remove what another conversion, of this tool or of MindFormers, has left in its place."""
        removed = []
        for directory, ours in (
            (self.path, self.is_finished()),
            (self.partial, self._difference_of(self.partial) is None),
        ):
            if not ours and directory.is_dir() and _is_a_conversion(directory):
                shutil.rmtree(directory)
                removed.append(directory)
        return removed

    def _written(self, kept: int, *, already: bool) -> Written:
        names = tuple(file.name for file in self.files)
        return Written(self.path, names, kept, already, sum(file.nbytes for file in self.files))

    def _is_there(self) -> bool:
        """Return whether the finished directory is there; False if its place is free."""
        if not self.path.exists():
            return False
        if not self.path.is_dir():
            raise FileExistsError(f"{self.path} is a file: name a directory that is not there yet")
        if not any(self.path.iterdir()):
            if os.path.ismount(self.path):
                raise FileExistsError(f"{self.path} is a mount point, which cannot be replaced: name one below it")
            return False
        if not self._is_this(self.path):
            raise FileExistsError(
                f"{self.path} is not empty and was not made by this tool: nothing is written there; "
                "name a directory that is not there yet"
            )
        if damaged := self._missing(self.path):
            raise FileExistsError(
                f"{self.path} is there, but {damaged[0].name} in it is damaged: delete it and start again"
            )
        return True

    def _claim(self) -> None:
        """Make sure that what grows beside the place is this very conversion."""
        if self._is_this(self.partial):
            return
        # A run that was killed before it wrote down what it makes has written nothing else.
        foreign = sorted(entry.name for entry in self.partial.iterdir() if not entry.name.startswith(MANIFEST_NAME))
        if foreign:
            raise FileExistsError(f"{self.partial} holds {foreign[0]}, which this tool did not write: move it away")
        write_small(self.partial / MANIFEST_NAME, json_bytes(self.manifest))
        sync_directory(self.partial)

    def _is_this(self, directory: Path) -> bool:
        """Return whether ``directory`` was made from the same; raises FileExistsError if from something else."""
        different = self._difference_of(directory)
        if different:
            raise FileExistsError(
                f"{directory} was made from something else ({different}): delete it to start over, or name another "
                "directory"
            )
        return different is None

    def _difference_of(self, directory: Path) -> str | None:
        """Return what differs in the note of ``directory``; None if nothing does, the empty string without a note."""
        found = read_manifest(directory)
        return "" if found is None else difference(found, self.manifest)

    def _missing(self, directory: Path) -> list[NewFile]:
        return [file for file in self.files if not file.is_whole(directory)]

    def _check_space(self) -> None:
        needed = sum(file.nbytes for file in self._missing(self.partial)) + sum(map(len, self._small_files().values()))
        free = shutil.disk_usage(next(parent for parent in self.partial.absolute().parents if parent.is_dir())).free
        free += sum(path.lstat().st_size for path in self.partial.rglob(f"*{UNFINISHED}"))  # they make room
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"the disk is too small: {needed / 1e9:.2f} GB are to be written, {free / 1e9:.2f} GB are free; "
                "make room, or name a directory on another disk",
                str(self.path),
            )

    def _small_files(self) -> dict[str, bytes]:
        small = dict(self.copies)
        for directory in sorted({Path(file.name).parent for file in self.files}):
            files = [file for file in self.files if Path(file.name).parent == directory]
            small |= {str(directory / name): content for name, content in index_bytes(files).items()}
        return small


def mark_damaged(directory: Path) -> None:
    """Note that the directory does not hold what it was made from, so that it is made again."""
    write_small(directory / MANIFEST_NAME, json_bytes({"damaged": True}))


def find_place(source: Path, target: Path) -> Path:
    """Return the place of ``target``: where it leads, if it is a symbolic link, which gives way to no directory.

    Raises ValueError if that is ``source``, or inside it.
    """
    ours, theirs = target.resolve(), source.resolve()
    if ours == theirs:
        raise ValueError(f"{target} is the source itself, which is never written to: name another directory")
    if theirs in ours.parents:
        raise ValueError(f"{target} is inside the source {source}, which is never written to: name another directory")
    return ours if target.is_symlink() else target


def _is_a_conversion(directory: Path) -> bool:
    """Return whether it has our note, or nothing but what MindFormers' own conversion writes."""
    names = {entry.name for entry in directory.iterdir()}
    stocks = {name for name in names if name == "param_name_map.json" or name.endswith(".safetensors")}
    return MANIFEST_NAME in names or names == stocks != set()


def index_bytes(files: Sequence[NewFile]) -> dict[str, bytes]:
    """Return the index of the files of one directory, its name to its content; nothing if there is only one file."""
    if len(files) < 2:
        return {}
    total = sum(tensor.nbytes for file in files for tensor in file.tensors)
    return {INDEX_NAME: json_bytes({"metadata": {"total_size": total}, "weight_map": weight_map(files)})}


def weight_map(files: Sequence[NewFile]) -> dict[str, str]:
    """Return in which file of one directory each tensor is."""
    return {tensor.name: Path(file.name).name for file in files for tensor in file.tensors}


def write_small(path: Path, content: bytes) -> None:
    """Write a file that has its name only once all of it is on the disk."""
    with unfinished(path) as stream:
        stream.write(content)


def _bar(total: int, progress: bool) -> Any:
    shown = progress and sys.stderr is not None and sys.stderr.isatty()
    return tqdm(total=total, desc="Writing weights", unit="B", unit_scale=True, disable=not shown)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold ``directory`` against a second run; the system lets go of it when the process ends, however it ends."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileExistsError(f"another process is writing {directory}: wait for it") from None
        except OSError:
            pass  # some network file systems have no locks
        yield
    finally:
        os.close(descriptor)
