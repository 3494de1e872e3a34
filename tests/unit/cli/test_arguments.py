"""Wrong words on the command line of ``convert``, ``export`` and ``selftest``: one sentence, exit code 2."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from tests.support.checkpoints import write_checkpoint

from mf_qwen3_patch.cli._shared import in_cache, resumable, shard_size
from mf_qwen3_patch.cli.main import main


@pytest.mark.parametrize(
    ("text", "size"),
    [("5GB", 5 * 10**9), ("500MB", 5 * 10**8), ("1GiB", 2**30), ("20 kb", 20_000), ("123", 123), ("2TB", 2 * 10**12)],
)
def test_sizes_are_read_as_transformers_writes_them(text: str, size: int) -> None:
    assert shard_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "0", "0GB", "-5GB", "5.5GB", "5XB", "5 G B", "١GB", "5i"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a size such as"):
        shard_size(text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["convert"], "HF_DIR, OUT_DIR"),
        (["convert", "hf"], "OUT_DIR"),
        (["convert", "hf", "out", "--tp", "0"], "'0' is not a whole number"),
        (["convert", "hf", "out", "--dtype", "int8"], "invalid choice: 'int8'"),
        (["convert", "hf", "out", "--layout", "columns"], "invalid choice: 'columns'"),
        (["convert", "hf", "out", "--max-shard-size", "big"], "'big' is not a size such as 5GB"),
        (["convert", "/nowhere/at/all", "out"], "/nowhere/at/all is not a directory"),
        (["export", "mf"], "HF_DIR"),
        (["export", "/nowhere/at/all", "out"], "/nowhere/at/all is not a directory"),
        (["export", "mf", "out", "--contiguous-mlp"], "--layout training"),
        (["export", "mf", "out", "--layout", "inference", "--contiguous-attention"], "--layout training"),
        (["selftest", "--device", "GPU"], "invalid choice: 'GPU'"),
    ],
)
def test_wrong_usage_exits_2_without_a_traceback(
    arguments: list[str], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capfd.readouterr().err
    assert text in error
    assert "Traceback" not in error


def test_a_source_is_a_directory_or_the_hub_id_of_one_in_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    place = write_checkpoint(tmp_path / "models" / "Qwen" / "Qwen3-0.6B")

    assert in_cache("Qwen/Qwen3-0.6B") == str(place)
    assert in_cache("Qwen/Qwen3-9000B") == "Qwen/Qwen3-9000B"
    assert in_cache(str(tmp_path)) == str(tmp_path)
    with pytest.raises(NotADirectoryError, match=f"did you mean {place}"):
        resumable(str(place.with_name("Qwen3-0.6b")), "a HuggingFace model", "out").__enter__()
