"""Where a model is that is asked for by a hub's id; judged by transformers, which finds its files itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import write_checkpoint
from tests.support.hub import COMMIT, Hub, put_into_huggingface_cache, serve
from tests.support.processes import Finished, run_script

from mf_qwen3_patch.checkpoint.location.hub import is_hub_id
from mf_qwen3_patch.checkpoint.location.resolve import Location
from mf_qwen3_patch.errors import CheckpointError, IncompleteCheckpoint

NAME = "Qwen/Qwen3-0.6B"
OTHER_COMMIT = COMMIT[::-1]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("hf") / "model", shards=2)


@pytest.fixture
def cache(tmp_path: Path, directory: Path) -> Path:
    """One model in HuggingFace's cache: main, a tag with another hidden size, and a subfolder with a third."""
    cache = tmp_path / "hub"
    other = write_checkpoint(tmp_path / "other", hidden_size=96)
    third = write_checkpoint(tmp_path / "third", hidden_size=112)
    put_into_huggingface_cache(cache, NAME, directory)
    put_into_huggingface_cache(cache, NAME, third, subfolder="below/it")
    put_into_huggingface_cache(cache, NAME, other, commit=OTHER_COMMIT, ref="v2")
    return cache


@pytest.mark.parametrize(
    ("keywords", "hidden_size"),
    [
        ({}, 80),
        ({"revision": "main"}, 80),
        ({"revision": COMMIT}, 80),
        ({"revision": "v2"}, 96),
        ({"revision": OTHER_COMMIT}, 96),
        ({"subfolder": "below/it"}, 112),
    ],
    ids=str,
)
def test_transformers_finds_the_same_in_the_cache(keywords: dict[str, Any], hidden_size: int, cache: Path) -> None:
    from transformers import AutoConfig

    keywords |= {"cache_dir": cache, "local_files_only": True}
    location = Location.of(NAME, keywords)

    assert location.says_qwen3()
    found = json.loads((location.find().path / "config.json").read_text())["hidden_size"]
    assert found == AutoConfig.from_pretrained(NAME, **keywords).hidden_size == hidden_size


@pytest.mark.parametrize("keywords", [{"revision": "v3"}, {"subfolder": "nowhere"}], ids=str)
def test_what_the_cache_does_not_have_is_an_error_that_says_where_it_was_looked_for(
    keywords: dict[str, Any], cache: Path
) -> None:
    from transformers import AutoConfig

    keywords |= {"cache_dir": cache, "local_files_only": True}
    with pytest.raises(OSError, match=r"v3|nowhere|couldn't|locate"):
        AutoConfig.from_pretrained(NAME, **keywords)
    with pytest.raises(IncompleteCheckpoint) as error:
        Location.of(NAME, keywords).find()

    assert all(fact in str(error.value) for fact in (NAME, str(cache), "local_files_only=True"))


def test_a_directory_goes_before_a_hub_id(
    tmp_path: Path, cache: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(directory, tmp_path / NAME)

    assert Location(NAME, cache_dir=cache).find().path == Path(NAME)


def test_the_subfolder_of_a_directory(tmp_path: Path, directory: Path) -> None:
    shutil.copytree(directory, tmp_path / "below")
    location = Location.of(tmp_path, {"subfolder": "below"})

    assert location.says_qwen3()
    assert location.find().path == tmp_path / "below"
    with pytest.raises(IncompleteCheckpoint, match=r"did you mean .*/below"):
        Location(tmp_path).find()


@pytest.mark.parametrize("keyword", ["subfolder", "variant", "revision"])
def test_a_keyword_that_is_no_string(keyword: str) -> None:
    with pytest.raises(TypeError, match=keyword):
        Location.of(NAME, {keyword: 3})


def test_the_older_name_of_the_token_is_taken_and_both_are_refused() -> None:
    assert Location.of(NAME, {"use_auth_token": "hf_x"}) == Location(NAME, token="hf_x")
    assert Location.of(NAME, {"use_auth_token": None, "token": "hf_x"}) == Location(NAME, token="hf_x")
    with pytest.raises(ValueError, match="token and use_auth_token, its older name, are both given"):
        Location.of(NAME, {"use_auth_token": "hf_x", "token": "hf_y"})


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("/data/Qwen3-14B", True),  # a path that is not there: the error shall be ours
        ("/data/Llama", True),
        ("checkpoints/of/anything", True),
        ("./model", True),
        ("../model", True),
        ("~/model", True),
        ("model/", True),
        (Path("model"), True),
        ("/data/config.yaml", False),  # MindFormers' own files
        ("./model.ckpt", False),
        ("Qwen/Qwen3-8B", True),
        ("qwen3_8b", False),  # MindFormers' own names
        ("meta-llama/Llama-3.1-8B", False),
        (None, False),
        (7, False),
    ],
)
def test_who_is_asked_where_nothing_is_found(name: object, answer: bool, tmp_path: Path) -> None:
    location = Location.of(name, {"cache_dir": tmp_path, "local_files_only": True})
    assert location.says_qwen3() is answer


@pytest.mark.parametrize("file", ["predict_qwen3.yaml", "config.json", "tokenizer.model", "model.ckpt"])
def test_a_directory_that_says_what_it_is_stays_with_mindformers(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("{}")

    assert not Location(tmp_path).says_qwen3()


def test_a_hub_id_that_is_nearly_a_directory(tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(directory, tmp_path / "models" / "Qwen3-0.6B")
    with pytest.raises(IncompleteCheckpoint, match=r"did you mean .*/models/Qwen3-0\.6B\? or download it"):
        Location("models/qwen3-0.6b", cache_dir=tmp_path, local_files_only=True).find()


@pytest.mark.parametrize(
    "place",
    [
        "models/Qwen--Qwen3-0.6B/snapshots/master",
        "models/Qwen/Qwen3-0___6B",
        "models/Qwen/Qwen3-0.6B",
        "hub/models/Qwen/Qwen3-0___6B",
        "hub/Qwen/Qwen3-0___6B",
        "Qwen/Qwen3-0___6B",
    ],
)
def test_modelscopes_caches(place: str, tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    shutil.copytree(directory, tmp_path / place)

    assert Location(NAME, local_files_only=True).find().path == tmp_path / place
    assert Location(NAME, local_files_only=True, revision="master").find().path == tmp_path / place
    with pytest.raises(IncompleteCheckpoint):
        Location(NAME, local_files_only=True, revision="v2").find()


def test_of_two_caches_the_one_that_is_whole(tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that was stopped in one hub's cache does not hide the whole model in the other's."""
    script = """
        import sys
        from mf_qwen3_patch.checkpoint.location.resolve import Location
        give(str(Location(sys.argv[1], local_files_only=True).find().path))
    """
    torn = shutil.copytree(directory, tmp_path / "torn")
    next(torn.glob("model-00002-*")).unlink()
    snapshot = put_into_huggingface_cache(tmp_path / "hub", NAME, torn)
    modelscope = tmp_path / "modelscope"
    env = {"HF_HUB_CACHE": str(tmp_path / "hub"), "MODELSCOPE_CACHE": str(modelscope)}

    assert run_script(script, NAME, cwd=tmp_path, env=env).result == str(snapshot)
    shutil.copytree(directory, modelscope / "models" / NAME)
    assert run_script(script, NAME, cwd=tmp_path, env=env).result == str(modelscope / "models" / NAME)


_FIND = """
    import json, sys
    from mf_qwen3_patch.checkpoint.location.resolve import Location
    from mf_qwen3_patch.errors import CheckpointError
    try:
        location = Location.of(sys.argv[1], json.loads(sys.argv[2]))
        assert location.says_qwen3()
        what = sys.argv[3] if len(sys.argv) > 3 else ""
        place = location.find_tokenizer() if what == "tokenizer" else location.find(config_only=bool(what))
        give(sorted(p.name for p in place.path.iterdir()))
    except CheckpointError as error:
        give(str(error))
"""


def _find(hub: Hub, tmp_path: Path, keywords: dict[str, Any], *more: str, name: str = NAME, **env: str) -> Finished:
    environ = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", **env}
    return run_script(_FIND, name, json.dumps(keywords), *more, cwd=tmp_path, env=environ)


@pytest.fixture
def published(tmp_path: Path, directory: Path) -> Path:
    """A repository with much that is not wanted."""
    published = shutil.copytree(directory, tmp_path / "published")
    write_checkpoint(tmp_path / "half", dtype="F16")
    shutil.copy(tmp_path / "half" / "model.safetensors", published / "model.fp16.safetensors")
    for name in ("README.md", "pytorch_model.bin", "modeling_evil.py", "original/model.safetensors", "merges.txt"):
        (published / name).parent.mkdir(exist_ok=True)
        (published / name).write_text("not wanted")
    return published


def test_a_download_takes_safetensors_json_and_the_chat_template_only(tmp_path: Path, published: Path) -> None:
    with serve({NAME: published}) as hub:
        found = _find(hub, tmp_path, {}).result
        wanted = {p.name for p in published.iterdir() if p.suffix in (".json", ".jinja", ".safetensors")}
        wanted -= {"model.fp16.safetensors"}

        assert set(found) == set(hub.requested) == wanted
        # What is whole in the cache is not looked for again, not even with another file on the hub.
        hub.requested.clear()
        assert _find(hub, tmp_path, {}).result == found
        assert hub.requested == []


def test_a_download_goes_on_where_it_was_stopped(tmp_path: Path, published: Path) -> None:
    with serve({NAME: published}) as hub:
        _find(hub, tmp_path, {})
        shard = next((tmp_path / "home").rglob("snapshots/*/model-00002-*"))
        shard.resolve().unlink()
        shard.unlink()
        hub.requested.clear()
        _find(hub, tmp_path, {})

        assert hub.requested == [shard.name]


def test_only_the_variant_that_is_asked_for_is_downloaded(tmp_path: Path, published: Path) -> None:
    with serve({NAME: published}) as hub:
        _find(hub, tmp_path, {"variant": "fp16"})
        assert [name for name in hub.requested if name.endswith(".safetensors")] == ["model.fp16.safetensors"]


def test_a_config_alone(tmp_path: Path, published: Path) -> None:
    with serve({NAME: published}) as hub:
        _find(hub, tmp_path, {}, "config only")
        assert hub.requested == ["config.json"]


def test_a_tokenizer_alone(tmp_path: Path, published: Path) -> None:
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "merges.txt", "chat_template.jinja"}
    for name in tokenizer:
        (published / name).write_text(json.dumps(name))  # one content each: a cache keeps equal files once
    with serve({NAME: published}) as hub:
        assert "no cache has it" in _find(hub, tmp_path, {"local_files_only": True}, "tokenizer").result
        found = _find(hub, tmp_path, {}, "tokenizer").result
        assert set(found) == set(hub.requested) == {"config.json"} | tokenizer
        hub.requested.clear()
        assert _find(hub, tmp_path, {}, "tokenizer").result == found
        assert hub.requested == []


def test_a_downloaded_model_has_its_tokenizer(tmp_path: Path, published: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (published / name).write_text(json.dumps(name))  # one content each: a cache keeps equal files once
    with serve({NAME: published}) as hub:
        found = _find(hub, tmp_path, {}).result
        assert "chat_template.jinja" in found
        hub.requested.clear()
        assert _find(hub, tmp_path, {}, "tokenizer").result == found
        assert hub.requested == []


def test_the_weights_of_another_model_are_not_downloaded(tmp_path: Path, published: Path) -> None:
    config = json.loads((published / "config.json").read_text()) | {"model_type": "qwen3_vl", "architectures": ["X"]}
    (published / "config.json").write_text(json.dumps(config))
    with serve({NAME: published}) as hub:
        _find(hub, tmp_path, {})
        assert hub.requested == ["config.json"]


@pytest.mark.parametrize(
    ("keywords", "env"), [({"local_files_only": True}, {}), ({}, {"HF_HUB_OFFLINE": "1"})], ids=str
)
def test_nothing_is_downloaded_where_that_is_not_allowed(
    keywords: dict[str, Any], env: dict[str, str], tmp_path: Path, published: Path
) -> None:
    with serve({NAME: published}) as hub:
        said = _find(hub, tmp_path, keywords, **env).result

        assert hub.requested == []
        assert next(iter([*keywords, *env])) in said


def test_a_hub_that_does_not_have_it(tmp_path: Path, published: Path) -> None:
    with serve({NAME: published}) as hub:
        said = _find(hub, tmp_path, {}, name="Qwen/Qwen3-9000B").result

    for fact in ("[MFQ002]", "Qwen/Qwen3-9000B is not a directory here and no cache has it", "could not be downloaded"):
        assert fact in said
    for way in ("hf download Qwen/Qwen3-9000B", "HF_ENDPOINT=", "modelscope download --model Qwen/Qwen3-9000B"):
        assert way in said


@pytest.mark.parametrize("name", ["Qwen/Qwen3-14B", "a/b", "Qwen/Qwen3-0.6B"])
def test_hub_ids(name: str) -> None:
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name", ["qwen3_8b", "/data/Qwen3", "a/b/c", "../Qwen3", "./Qwen3", "a/", "~/Qwen3", "", None, Path("a/b")]
)
def test_no_hub_ids(name: object) -> None:
    assert not is_hub_id(name)


def test_the_error_is_a_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="MFQ002"):
        Location(NAME, cache_dir=tmp_path, local_files_only=True).find()


@pytest.mark.parametrize("name", ["Qwen/qwen3-0.6b", "Qwen/Qwen3-06B", "qwen/Qwen3-0.6B"])
def test_a_hub_id_with_a_slip_is_answered_with_what_the_cache_has(name: str, cache: Path) -> None:
    with pytest.raises(IncompleteCheckpoint, match=f"found: {NAME} in a cache"):
        Location.of(name, {"cache_dir": cache, "local_files_only": True}).find()


def test_modelscope_s_cache_is_looked_at_too(tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    shutil.copytree(directory, tmp_path / "models" / "Qwen" / "Qwen3-0___6B")

    with pytest.raises(IncompleteCheckpoint, match=f"found: {NAME} in a cache"):
        Location.of("Qwen/Qwen3-0.6", {"local_files_only": True}).find()


def test_a_name_like_no_other_is_answered_with_none(cache: Path) -> None:
    with pytest.raises(IncompleteCheckpoint) as error:
        Location.of("somebody/something", {"cache_dir": cache, "local_files_only": True}).find()

    assert "found:" not in str(error.value)
