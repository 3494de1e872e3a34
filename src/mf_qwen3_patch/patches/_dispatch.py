"""Decide whether stock or the shim answers a ``from_pretrained`` call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import is_qwen3_directory
from mf_qwen3_patch.checkpoint.files.resolve import Location

# What stock's various from_pretrained methods call their first argument.
_PATH_ARGUMENTS = ("pretrained_model_name_or_path", "pretrained_model_name_or_dir", "yaml_name_or_path")


def guarded_classmethod(
    stock: Callable[..., Any],
    ours: Callable[..., Any],
    answers_for: Callable[[object], bool] = is_qwen3_directory,
) -> Any:
    """Make a classmethod that answers for HuggingFace Qwen3 directories and hub IDs, and leaves the rest to ``stock``.

    ``auto_convert=False`` and a training RUN_MODE mean stock, too. Stock never sees ``auto_convert``.

    Args:
        stock: The original function, taking ``cls`` first.
        ours: Called as ``ours(location, **kwargs)``, or ``ours(location, *model_args, **kwargs)``: what was opened for
            the decision is not opened again.
        answers_for: Says whether a directory is for ``ours``; for a hub ID, the one in a cache.
    """

    @functools.wraps(stock)
    def from_pretrained(cls: type, *args: Any, auto_convert: bool = True, **kwargs: Any) -> Any:
        from mf_qwen3_patch.loading.runtime.context import is_training_run

        named = [name for name in _PATH_ARGUMENTS if kwargs.get(name) is not None]
        path = kwargs[named[0]] if named else (args[0] if args else None)
        if auto_convert and not is_training_run():
            location = Location.of(path, kwargs)
            if location.says_qwen3(answers_for):
                rest = {name: value for name, value in kwargs.items() if name not in _PATH_ARGUMENTS}
                return ours(location, *(args if named else args[1:]), **rest)
        return stock(cls, *args, **kwargs)

    return classmethod(from_pretrained)  # type: ignore[arg-type]


def load_pretrained(*args: Any, **kwargs: Any) -> Any:
    """Call ``loading.pretrained.load_pretrained``, which is imported only now."""
    from mf_qwen3_patch.loading.pretrained import load_pretrained as ours

    return ours(*args, **kwargs)
