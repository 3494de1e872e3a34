"""A path at which there is no model: the error says how much of it is there, and what was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from mf_qwen3_patch.checkpoint.files.directory import Directory
from mf_qwen3_patch.checkpoint.files.not_found import did_you_mean, no_directory, no_model
from mf_qwen3_patch.checkpoint.location.resolve import Location
from mf_qwen3_patch.errors import CorruptCheckpoint, IncompleteCheckpoint

MODEL = "models/Qwen3-0.6B"
CACHED = "hub/models--Qwen--Qwen3-0.6B"


def _make(directory: Path) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text('{"model_type": "qwen3"}')
    (directory / "model.safetensors").write_bytes(b"x")
    return directory


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a model in a folder, and one in HuggingFace's cache with an older snapshot."""
    _make(tmp_path / MODEL)
    for commit in ("aaaa", "bbbb"):
        _make(tmp_path / CACHED / "snapshots" / commit)
    (tmp_path / CACHED / "refs").mkdir()
    (tmp_path / CACHED / "refs" / "main").write_text("bbbb")
    (tmp_path / "hub" / "version.txt").write_text("1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("{}/models/Qwen3-0.6b", MODEL),  # another case
        ("./models/Qwen3_0.6B", MODEL),
        ("models/Qwen3-0.6B/", None),
        ("{}/model/Qwen3-0.6B", MODEL),  # a misspelled parent
        ("{}/Qwen3-0.6B", MODEL),  # a folder was left out
        ("{}/models", MODEL),  # the folder above
        ("{}/models/Qwen3-0.6B/main", MODEL),  # below the model
        ("~/models/Qwen3-0.6B", MODEL),
        ("~/models/qwen3-0.6b", MODEL),
        ("{}/models/Qwen3-0.6B/model.safetensors", MODEL),  # a file
        ("{}/models/Qwen3-0.6B/config.json", MODEL),
        ("{}/models/Qwen3-0.6B/config.json/x", MODEL),
        ("{}/hub", f"{CACHED}/snapshots/bbbb"),
        (f"./{CACHED}", f"{CACHED}/snapshots/bbbb"),
        (f"{{}}/{CACHED}/snapshots", f"{CACHED}/snapshots/aaaa"),
        (f"{{}}/{CACHED}/snapshots/cccc", None),
        ("{}/elsewhere/x", None),
    ],
)
def test_what_was_probably_meant(path: str, meant: str | None, place: Path) -> None:
    location = Location(path.format(place), local_files_only=True)
    if path == "models/Qwen3-0.6B/":
        assert location.find().path == Path(MODEL)
        return
    assert location.says_qwen3()
    with pytest.raises(IncompleteCheckpoint) as error:
        location.find()

    advice = error.value.problems[0].advice or ""
    if meant is None:
        assert advice == "check the path"
    else:
        (suggested,) = [word.rstrip("?,") for word in advice.split() if "/" in word][:1]
        assert Path(suggested).resolve() == place / meant
        assert advice.startswith("did you mean ")
    assert ("does not expand ~" in advice) is path.startswith("~")


def test_how_much_of_it_is_there(place: Path) -> None:
    assert f"{place}/models is the nearest that is there, with Qwen3-0.6B" in str(no_directory(place / "models/a/b"))
    (place / "nothing").mkdir()
    assert f"{place}/nothing is the nearest that is there, empty" in str(no_directory(place / "nothing" / "x"))
    (place / "link").symlink_to("/gone")
    assert "found: a symbolic link to /gone" in str(no_directory(place / "link"))
    assert "found: an empty directory" in str(no_model(place / "nothing"))


def test_hostile_names_and_endless_links(tmp_path: Path) -> None:
    (tmp_path / "evil\x1b[31m\n").mkdir()
    (tmp_path / "round").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")

    assert "\x1b" not in str(no_directory(tmp_path / "x"))
    assert did_you_mean(tmp_path) == ""
    with pytest.raises(CorruptCheckpoint):
        _ = Directory(tmp_path / "self").listing


def test_a_directory_of_weights_alone_is_not_empty(tmp_path: Path) -> None:
    """Whether they need a config.json is for the loader to say: with ``config=`` they don't."""
    (tmp_path / "model.safetensors").write_bytes(b"x")
    location = Location(tmp_path)

    assert location.says_qwen3()
    assert location.find().path == tmp_path
