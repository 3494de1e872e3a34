"""Whatever a directory's names are, a command's output has its own lines only, and gets through any encoding."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.checkpoints import (
    edit_config,
    edit_index,
    edit_weights,
    header_bytes,
    read_safetensors,
    weight_files,
    write_checkpoint,
    write_json,
    zeros,
)
from tests.support.processes import ROOT

from mf_qwen3_patch.families.layout import LAYOUT_KEY

_EVIL = "a\x1b[2J\r\n[INFO] all is well\u202e\ud800\x9b\u2028权"
_SHARD = "model-00001-of-00002.safetensors"

Attack = Callable[[Path, str], object]


def _tensor(directory: Path, name: str) -> None:
    edit_weights(directory, lambda tensors: tensors.update({name: zeros(2)}))


def _metadata(directory: Path, name: str) -> None:
    path = weight_files(directory)[0]
    tensors = read_safetensors(path)
    path.write_bytes(header_bytes(tensors, {name: name, LAYOUT_KEY: name}) + b"".join(t.data for t in tensors.values()))


def _stray_file(directory: Path, name: str) -> None:
    copy = directory / f"{name.replace(chr(0xD800), '')}.safetensors"  # a file's name may be any but UTF-8's own
    copy.write_bytes(weight_files(directory)[0].read_bytes())


def _config(key: str, value: Callable[[str], object] = lambda name: name) -> Attack:
    return lambda directory, name: edit_config(directory, **{key: value(name)})


_ATTACKS: dict[str, Attack] = {
    "tensor": _tensor,
    "metadata": _metadata,
    "stray file": _stray_file,
    "key of the config": lambda directory, name: edit_config(directory, **{name: 1}),
    "architecture": _config("architectures", lambda name: [name]),
    "model type": _config("model_type"),
    "activation": _config("hidden_act"),
    "dtype": _config("torch_dtype"),
    "hidden size": _config("hidden_size"),
    "rope type": _config("rope_scaling", lambda name: {"rope_type": name}),
    "rope key": _config("rope_scaling", lambda name: {"rope_type": "yarn", "factor": 2.0, name: 1}),
    "layer type": _config("layer_types", lambda name: [name, name]),
    "quantization": _config("quantization_config", lambda name: {"quant_method": name}),
    "shard": lambda directory, name: edit_index(directory, lambda shards: shards.update({"lm_head.weight": name})),
    "indexed tensor": lambda directory, name: edit_index(directory, lambda shards: shards.update({name: _SHARD})),
    "adapter": lambda directory, name: write_json(directory / "adapter_config.json", {name: name}),
}


def _check(directory: Path, encoding: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mf_qwen3_patch", "check", str(directory)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("attack", _ATTACKS)
def test_check_says_no_line_that_a_name_has_made(tmp_path: Path, attack: str) -> None:
    done = {}
    for kind, name in (("harmless", "x"), ("evil", _EVIL)):
        directory = write_checkpoint(tmp_path / kind, shards=2)
        _ATTACKS[attack](directory, name)
        done[kind] = _check(directory, "utf-8")
    assert done["evil"].returncode == done["harmless"].returncode
    output = (done["evil"].stdout + done["evil"].stderr).decode()
    lines = output.split("\n")
    assert all(line.isprintable() for line in lines), lines
    assert not any(line.startswith("[INFO]") for line in lines)
    assert len(lines) == len((done["harmless"].stdout + done["harmless"].stderr).split(b"\n"))


def test_output_gets_through_ascii(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "权重", shards=2)
    _tensor(directory, _EVIL)
    done = _check(directory, "ascii")
    assert done.returncode == 0, done.stderr
    assert rb"\u6743\u91cd: will load" in done.stdout
