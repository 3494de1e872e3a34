"""A MindFormers YAML, as far as it says something about the model and its tokenizer."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.errors import ConfigMismatch, Problem

_MAX_BYTES = 1 << 17  # eight times the largest of MindFormers' own; PyYAML reads it within seconds
_MAX_DEPTH = 100
_MAX_VALUES = 1_000_000  # with each alias counted as what it stands for
_UNITS = {"GB": 1024**3, "MB": 1024**2}  # as MindSpore reads max_device_memory
_MEMORY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(GB|MB)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class YamlSettings:
    """The settings of a YAML."""

    source: str  # the YAML's name in messages
    overrides: Mapping[str, Any] = field(default_factory=dict)  # model.model_config, which goes over config.json
    tensor_parallel: int = 1  # parallel_config.model_parallel if use_parallel is on
    device_memory: int | None = None  # context.max_device_memory in bytes
    tokenizer: str | None = None  # processor.tokenizer.type, the name of a tokenizer of MindFormers' own


def read_yaml(path: str | os.PathLike[str]) -> YamlSettings:
    """Read a MindFormers YAML such as ``predict_qwen3.yaml``.

    Raises ConfigMismatch if it is not valid YAML or not a MindFormers configuration, OSError if it can't be read, and
    ImportError if PyYAML is missing.
    """
    try:
        import yaml
    except ImportError as error:
        raise ImportError("reading a YAML needs PyYAML, which comes with MindFormers: pip install pyyaml") from error
    path = Path(path)
    name = path.name
    if path.exists() and not path.is_file():  # a pipe would be waited for
        _fail(name, "is not a file")
    with path.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        _fail(name, f"is too large for a configuration: more than {_MAX_BYTES} bytes")
    try:
        loader = yaml.SafeLoader(data)
        loader.compose_node = _with_limited_depth(loader.compose_node)  # type: ignore[method-assign]
        node = loader.get_single_node()
        if _values(node, {}) > _MAX_VALUES:
            _fail(name, f"stands for more than {_MAX_VALUES} values, by aliases of aliases")
        content = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        _fail(name, f"is not valid YAML: {' '.join(str(error).split())[:200]}")
    except RecursionError:
        _fail(name, "is nested too deeply, or in itself")
    top = _mapping(content, name, "the file")
    model = _mapping(top.get("model"), name, "model")
    overrides = _mapping(model.get("model_config"), name, "model.model_config")
    parallel = _mapping(top.get("parallel_config"), name, "parallel_config")
    context = _mapping(top.get("context"), name, "context")
    return YamlSettings(
        source=name,
        overrides=overrides,
        tensor_parallel=_ranks(parallel.get("model_parallel"), name) if top.get("use_parallel") else 1,
        device_memory=_bytes(context.get("max_device_memory")),
        tokenizer=_tokenizer(top.get("processor")),
    )


def _with_limited_depth(compose: Callable[..., Any]) -> Callable[..., Any]:
    """Return what composes a node, and thereby those within it, so that it raises RecursionError below a depth.

    Python's own limit is no help: MindSpore raises it, and the deeper a level is, the longer PyYAML needs for it.
    """
    depth = 0

    def compose_node(*arguments: Any) -> Any:
        nonlocal depth
        if depth == _MAX_DEPTH:
            raise RecursionError
        depth += 1
        try:
            return compose(*arguments)
        finally:
            depth -= 1

    return compose_node


def _values(node: Any, counted: dict[int, int]) -> int:
    """Return how many values a node of YAML stands for; ``counted`` has those of nodes that were seen, by identity.

    Raises RecursionError if one holds itself.
    """
    children = getattr(node, "value", None)
    if not isinstance(children, list):
        return 1
    if id(node) not in counted:
        parts = (part for child in children for part in (child if isinstance(child, tuple) else (child,)))
        counted[id(node)] = 1 + sum(_values(part, counted) for part in parts)
    return counted[id(node)]


def _mapping(value: object, name: str, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        _fail(name, f"is not a MindFormers configuration: {where} is not a map with names as keys")
    return value


def _ranks(value: object, name: str) -> int:
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _fail(name, f"has an unusable parallel_config.model_parallel: {short_json(value)}")
    return value


def _tokenizer(processor: object) -> str | None:
    tokenizer = processor.get("tokenizer") if isinstance(processor, dict) else None
    name = tokenizer.get("type") if isinstance(tokenizer, dict) else None
    return name if isinstance(name, str) else None


def _bytes(value: object) -> int | None:
    match = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    return None if match is None else int(float(match[1]) * _UNITS[match[2].upper()])


def _fail(name: str, reason: str) -> NoReturn:
    advice = "compare it with configs/qwen3/predict_qwen3.yaml of MindFormers"
    raise ConfigMismatch([Problem(ConfigMismatch, f"{name} {reason}", file=name, advice=advice)])
