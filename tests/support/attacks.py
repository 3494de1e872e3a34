"""Directories that want something else than to be loaded: to run code, reach other files or the network, or hang.

Each attack is done to a good directory; it may leave code that notes its execution in ``TRACE`` beside the directory.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checkpoints import INDEX, edit_config, read_safetensors, weight_files, with_length, write_json

TRACE = "trace"
OUTSIDE = "outside"  # a directory beside the attacked one, of somebody else

_JSON = ("config.json", INDEX, "generation_config.json")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")
_TEXTS = (*_JSON, *_TOKENIZER, "special_tokens_map.json", "added_tokens.json", "chat_template.jinja")
_YAML = "predict.yaml"
_MODULES = (
    *("json", "typing", "re", "struct", "threading", "random", "string", "dataclasses", "argparse", "pathlib"),
    *("numpy", "yaml", "safetensors", "tqdm", "huggingface_hub", "transformers", "tokenizers", "torch", "wrapt"),
    *("mindspore", "mindformers", "mf_qwen3_patch", "sitecustomize", "usercustomize", "conftest", "setup", "__init__"),
    *("configuration_qwen3", "modeling_qwen3", "tokenization_qwen3", "generate"),
)


@dataclass(frozen=True)
class Attack:
    """A way to prepare a directory; ``kind`` groups the attacks in the documents."""

    kind: str
    name: str
    make: Callable[[Path], object]


class _Evil:
    """Runs code when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({self.trace!r}, 'a').write('pickle')",))


def _put(directory: Path, name: str) -> Path:
    """Return the path of a file that is to be replaced; nothing is there any more."""
    path = directory / name
    path.unlink(missing_ok=True)
    return path


def _trace(directory: Path) -> Path:
    return directory.parent / TRACE


def _code(directory: Path, word: str) -> str:
    return f"open({str(_trace(directory))!r}, 'a').write({word!r})\n"


def _modules(directory: Path) -> None:
    for module in _MODULES:
        (directory / f"{module}.py").write_text(_code(directory, module))
    (directory / "evil.pth").write_text(f"import os; {_code(directory, 'pth')}")
    (directory / "custom_generate").mkdir()
    (directory / "custom_generate" / "generate.py").write_text(_code(directory, "custom_generate"))


def _auto_map(directory: Path) -> None:
    _modules(directory)
    classes = {"AutoConfig": "configuration_qwen3.Config", "AutoModelForCausalLM": "modeling_qwen3.Model"}
    edit_config(directory, auto_map=classes, trust_remote_code=True)
    tokenizer = {"AutoTokenizer": ["tokenization_qwen3.T", "evil/repository--tokenization_qwen3.T"]}
    _edit(directory / "tokenizer_config.json", auto_map=tokenizer, trust_remote_code=True)


def _edit(path: Path, **changes: Any) -> None:
    found = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, {**found, **changes})


def _pickles(directory: Path) -> None:
    for name in ("pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "training_args.bin", "x.npy", "x.pkl"):
        (directory / name).write_bytes(pickle.dumps(_Evil(_trace(directory))))


def _pickles_alone(directory: Path) -> None:
    for file in weight_files(directory):
        file.unlink()
    _pickles(directory)
    write_json(directory / "pytorch_model.bin.index.json", {"weight_map": {"lm_head.weight": "pytorch_model.bin"}})


def _pickle_by_another_name(directory: Path) -> None:
    weight_files(directory)[0].write_bytes(pickle.dumps(_Evil(_trace(directory))))


def _template(directory: Path) -> None:
    text = "{{ cycler.__init__.__globals__.os.system('touch " + str(_trace(directory)) + "') }}"
    (directory / "chat_template.jinja").write_text(text)
    _edit(directory / "tokenizer_config.json", chat_template=text)


def _yaml(text: str) -> Callable[[Path], object]:
    return lambda directory: (directory / _YAML).write_text(text.format(trace=_trace(directory)))


def _alias_bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for name, before in zip("bcdefghijk", "abcdefghij", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join([*lines, "model: {model_config: *k}"]).replace("{", "{{").replace("}", "}}")


def _everywhere(kind: str, what: str, make: Callable[[Path], object], names: tuple[str, ...]) -> list[Attack]:
    return [
        Attack(kind, f"{name} is {what}", lambda directory, name=name: make(_put(directory, name))) for name in names
    ]


def _outside_file(path: Path) -> Path:
    outside = path.parent.parent / OUTSIDE
    outside.mkdir(exist_ok=True)
    secret = outside / "secret.safetensors"
    secret.write_text('{"secret": 1}')
    return secret


def _to_a_file_outside(path: Path) -> None:
    path.symlink_to(_outside_file(path))


def _index(name: Callable[[Path], str]) -> Callable[[Path], object]:
    """Let the index name a file of its own choice."""

    def make(directory: Path) -> None:
        tensors = [key for file in weight_files(directory) for key in read_safetensors(file)]
        write_json(directory / INDEX, {"weight_map": dict.fromkeys(tensors, name(directory))})

    return make


def _link_to_a_rank_outside(directory: Path) -> None:
    _outside_file(directory / "x")
    (directory / "rank_0").symlink_to(directory.parent / OUTSIDE)


def _unfinished_links(directory: Path) -> None:
    victim = _outside_file(directory / "x")
    for name in ("model.safetensors.unfinished", "config.json.unfinished", "mf_qwen3_patch.manifest.json"):
        _put(directory, name).symlink_to(victim)


def _header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def make(directory: Path) -> None:
        path = weight_files(directory)[0]
        content = path.read_bytes()
        start = 8 + int.from_bytes(content[:8], "little")
        entries = json.loads(content[8:start])
        change(entries)
        path.write_bytes(with_length(json.dumps(entries).encode()) + content[start:])

    return make


def _first(entries: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for name, entry in entries.items() if name != "__metadata__")
    return found


def _length_of_header(length: int) -> Callable[[Path], object]:
    def make(directory: Path) -> None:
        path = weight_files(directory)[0]
        path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])

    return make


def _grow(name: str, size: int) -> Callable[[Path], object]:
    """Make a file long, without disk space."""
    return lambda directory: os.truncate(directory / name, size)


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda directory: _put(directory, name).write_text(text)


def _compressed(pattern: str) -> Callable[[Path], object]:
    group = {"targets": [f"re:{pattern}"], "weights": {"num_bits": 8, "type": "int", "symmetric": True}}
    settings = {"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": [f"re:{pattern}"]}
    return lambda directory: edit_config(
        directory, quantization_config={**settings, "config_groups": {"group_0": group}}
    )


_HOSTILE = "../../x\x1b[2J\r\n[INFO] all is well\u202e\ud800\x00"
_DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000

ATTACKS: tuple[Attack, ...] = (
    Attack("code", "modules of every name", _modules),
    Attack("code", "auto_map, with its modules", _auto_map),
    Attack("code", "a chat template that calls the system", _template),
    Attack("code", "a YAML that makes objects", _yaml("a: !!python/object/apply:os.system ['touch \"{trace}\"']\n")),
    Attack(
        "code", "a tokenizer class of a module", lambda d: _edit(d / "tokenizer_config.json", tokenizer_class="os.T")
    ),
    Attack(
        "code",
        "a quantization method of a module",
        lambda d: edit_config(d, quantization_config={"quant_method": "os"}),
    ),
    Attack("pickles", "beside the weights", _pickles),
    Attack("pickles", "instead of the weights", _pickles_alone),
    Attack("pickles", "named as safetensors", _pickle_by_another_name),
    *_everywhere("pipes", "a pipe", lambda path: os.mkfifo(path), (*_TEXTS, _YAML, "model.safetensors")),
    *_everywhere(
        "devices", "/dev/zero", lambda path: path.symlink_to("/dev/zero"), (*_TEXTS, _YAML, "model.safetensors")
    ),
    *_everywhere(
        "links", "a link to a file outside", _to_a_file_outside, (*_JSON, "tokenizer.json", "model.safetensors")
    ),
    *_everywhere(
        "links", "a link to itself", lambda path: path.symlink_to(path.name), ("config.json", "model.safetensors")
    ),
    *_everywhere("links", "a directory", lambda path: path.mkdir(), (*_TEXTS, _YAML, "model.safetensors")),
    Attack("links", "rank_0 leads outside", _link_to_a_rank_outside),
    Attack("links", "files of a conversion lead outside", _unfinished_links),
    Attack("links", "the index leads outside", _index(lambda directory: f"../{OUTSIDE}/secret.safetensors")),
    Attack("links", "the index has an absolute path", _index(lambda directory: str(_outside_file(directory / "x")))),
    Attack("names", "of tensors", _header(lambda entries: entries.update({_HOSTILE: _first(entries)}))),
    Attack("names", "of metadata", _header(lambda entries: entries.update(__metadata__={_HOSTILE: _HOSTILE}))),
    Attack("names", "of keys", lambda directory: edit_config(directory, **{_HOSTILE: _HOSTILE})),
    Attack("names", "of the architecture", lambda directory: edit_config(directory, architectures=[_HOSTILE])),
    Attack("names", "of shards", _index(lambda _: _HOSTILE + ".safetensors")),
    Attack("names", "of a repository, in config.json", lambda d: edit_config(d, _name_or_path="evil/repository")),
    Attack(
        "names",
        "of a repository, in adapter_config.json",
        lambda d: write_json(d / "adapter_config.json", {"base_model_name_or_path": "evil/repository"}),
    ),
    Attack(
        "names",
        "of a repository and of files outside, in tokenizer_config.json",
        lambda d: _edit(d / "tokenizer_config.json", name_or_path="evil/repository", vocab_file="/etc/passwd"),
    ),
    *(
        Attack("sizes", f"{name} of 64 GB", _grow(name, 1 << 36))
        for name in (
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "model.safetensors",
        )
    ),
    *(Attack("sizes", f"{name} is nested deeply", _text(name, _DEEP)) for name in _TEXTS),
    *(
        Attack("sizes", f"a header of {length} bytes", _length_of_header(length))
        for length in (1 << 30, 1 << 62, 2**64 - 1)
    ),
    Attack(
        "sizes", "a tensor of 2^62 elements", _header(lambda entries: _first(entries).update(shape=[1 << 31, 1 << 31]))
    ),
    Attack("sizes", "numbers of a million digits", _text("config.json", '{"vocab_size": ' + "9" * 10**6 + "}")),
    Attack("sizes", "a vocabulary of 2^40 words", lambda directory: edit_config(directory, vocab_size=1 << 40)),
    Attack("sizes", "2^40 layers", lambda directory: edit_config(directory, num_hidden_layers=1 << 40)),
    Attack("sizes", "2^40 positions", lambda directory: edit_config(directory, max_position_embeddings=1 << 40)),
    Attack("sizes", "a YAML whose aliases multiply", _yaml(_alias_bomb())),
    Attack("sizes", "a YAML that is nested deeply", _yaml("[" * 50_000 + "]" * 50_000)),
    Attack("sizes", "a pattern that backtracks", _compressed(r"(.*)*\d{99}(.|..)*z$")),
)


def prepare(good: Path, place: Path, attack: Attack) -> Path:
    """Copy a good directory into ``place``, with a YAML that it is checked with, and attack it."""
    directory = shutil.copytree(good, place / "model")
    (directory / _YAML).write_text("use_parallel: False\n")
    attack.make(directory)
    return directory
