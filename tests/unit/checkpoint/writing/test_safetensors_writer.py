"""A file gets its name when all of it is there, and nothing that lies in wait for it is written through."""

from __future__ import annotations

from pathlib import Path

import pytest

from mf_qwen3_patch.checkpoint.writing.safetensors_writer import UNFINISHED, unfinished


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / f"new{UNFINISHED}").symlink_to(victim)
    with unfinished(tmp_path / "new") as stream:
        stream.write(b"content")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "new").read_bytes() == b"content"
    assert {path.name for path in tmp_path.iterdir()} == {"new", "victim"}


def test_a_link_in_the_place_of_the_file_is_replaced(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "new").symlink_to(victim)
    with unfinished(tmp_path / "new") as stream:
        stream.write(b"content")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "new").is_symlink()


def test_a_link_that_comes_between_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    partial = tmp_path / f"new{UNFINISHED}"
    partial.symlink_to(victim)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    with pytest.raises(FileExistsError), unfinished(tmp_path / "new"):
        pass
    assert victim.read_bytes() == b"precious"


def test_a_stopped_run_is_written_over(tmp_path: Path) -> None:
    (tmp_path / f"new{UNFINISHED}").write_bytes(b"a longer part of another run")
    with unfinished(tmp_path / "new") as stream:
        stream.write(b"content")
    assert (tmp_path / "new").read_bytes() == b"content"
