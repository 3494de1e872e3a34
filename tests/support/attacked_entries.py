"""The commands and entries that get attacked directories, each as a function that says whether the result is right."""

from __future__ import annotations

import contextlib
import io
import pickle
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.checkpoints import weight_files

from mf_qwen3_patch.cli.main import main
from mf_qwen3_patch.errors import Qwen3PatchError

Entry = Callable[[Path, Path], bool]


class Refused(Qwen3PatchError):
    """A command has ended with an exit code, and its own message."""


def _command(*words: object) -> str:
    """Run a command; return its output, or raise Refused."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stderr(output):
        code = main([str(word) for word in words])
    output.flush()
    said = output.buffer.getvalue().decode()
    if any(not line.isprintable() for line in said.split("\n")):
        return said  # a name has made a line, or moved the cursor
    if code:
        raise Refused(said)
    return ""


def entry(name: str, good: Path, converted: Path) -> Entry:
    """Return an entry by its name; what it needs is imported, and a good directory loaded, once."""
    if name == "naive":
        return _naive
    if name == "check":
        return lambda directory, _: not _command("check", directory)
    if name == "check --config":
        return lambda directory, _: not _command("check", directory, "--config", directory / "predict.yaml")
    import mf_qwen3_patch

    mf_qwen3_patch.enable_cpu_kernels()
    import mindformers

    if name in ("convert", "export"):
        if not converted.exists():
            _command("convert", good, converted)
        return _writing(name, good, converted)
    if name == "AutoConfig":
        return lambda directory, _: mindformers.AutoConfig.from_pretrained(str(directory)) is not None
    if name == "AutoTokenizer":
        return _tokenizer(mindformers.AutoTokenizer, good)
    return _loading(name, good)


def _writing(name: str, good: Path, converted: Path) -> Entry:
    original = good if name == "export" else converted

    def written(directory: Path, target: Path) -> bool:
        _command(name, directory, target)
        return _weights(target) == _weights(original)

    return written


def _weights(directory: Path) -> dict[str, bytes]:
    from tests.support.checkpoints import read_safetensors

    return {name: raw.data for file in weight_files(directory) for name, raw in read_safetensors(file).items()}


def _tokenizer(tokenizers: Any, good: Path) -> Entry:
    def tokens(directory: Path) -> list[int]:
        return list(tokenizers.from_pretrained(str(directory)).encode("The quick brown fox"))

    wanted = tokens(good)
    return lambda directory, _: tokens(directory) == wanted


def _loading(name: str, good: Path) -> Entry:
    import mindformers

    def load(directory: Path) -> Any:
        return mindformers.AutoModel.from_pretrained(str(directory))

    def state(model: Any) -> list[bytes]:
        return [parameter.asnumpy().tobytes() for parameter in model.get_parameters()]

    model = load(good)
    wanted = state(model)

    def into_a_model(directory: Path) -> bool:
        model.load_weights(str(directory))
        return state(model) == wanted

    if name == "load_weights":
        return lambda directory, _: into_a_model(directory)
    return lambda directory, _: state(load(directory)) == wanted


def _naive(directory: Path, _: Path) -> bool:
    """Do what no entry may, to see that it is noticed."""
    (directory / "config.json").read_bytes()
    for file in directory.glob("*.pkl"):
        pickle.loads(file.read_bytes())
    for file in directory.glob("generate.py"):
        exec(compile(file.read_text(), file, "exec"))
    if (directory / "rank_0").is_symlink():
        (directory / "rank_0" / "written").write_text("")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 9))
        subprocess.run(["true"], check=True)
    if (directory / "adapter_config.json").exists():
        raise ValueError("somebody else's error")
    return not (directory / "model.safetensors").is_dir()
