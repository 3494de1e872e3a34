"""Settings for the CPU where a stock YAML, or a context that a program builds, is made for Ascend.

A YAML is changed when it is read, so that whatever is laid over it afterwards, as the launcher does with its command
line, wins.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import mindspore

from mf_qwen3_patch._log import info
from mf_qwen3_patch.settings import TRAINING_RUNS

_EAGER = 1
_EAGER_MODES = (_EAGER, "1", "PYNATIVE_MODE")


def of_yaml(apply_template: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Wrap ``ConfigTemplate.apply_template``, which completes a YAML by defaults, ``device_target: Ascend`` among them.

    Computation is in float32 where the YAML says bfloat16, for which MindSpore has no CPU kernels.
    """

    @functools.wraps(apply_template)
    def for_cpu(config: dict[str, Any]) -> None:
        apply_template(config)
        if _has_no_accelerator():
            _choose_cpu(config.get("context"), config.get("run_mode"))
            model_config = (config.get("model") or {}).get("model_config") or {}
            for name in [name for name, value in model_config.items() if value in ("bfloat16", "bf16")]:
                _set(model_config, name, "float32")

    return for_cpu


def of_context(handle_data: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """Wrap ``MSContextOperator._handle_data``, which every context goes through, one without a YAML file, too.

    What the command line names is left.
    """

    @functools.wraps(handle_data)
    def for_cpu(self: Any) -> dict[str, Any]:
        settings = handle_data(self)
        if _has_no_accelerator():
            _choose_cpu(settings, self.config.get("run_mode"), named=_named_on_command_line(sys.argv[1:]))
        return settings

    return for_cpu


def _has_no_accelerator() -> bool:
    """Return whether the CPU is MindSpore's device: by default it is, where it finds no other."""
    return bool(mindspore.get_context("device_target") == "CPU")


def _choose_cpu(context: Any, run_mode: Any, named: Sequence[str] = ()) -> None:
    """Set the CPU in place of another device, and eager mode: the stand-ins can't be compiled into a graph."""
    if not isinstance(context, MutableMapping):
        return
    if context.get("device_target", "CPU") != "CPU" and "device_target" not in named:
        _set(context, "device_target", "CPU")
    if context.get("mode", _EAGER) not in _EAGER_MODES and run_mode not in TRAINING_RUNS and "mode" not in named:
        _set(context, "mode", _EAGER)


def _named_on_command_line(arguments: Sequence[str]) -> list[str]:
    """Return the last words of the options: ``mode`` of ``--mode 1``, ``--context.mode=1`` and ``context.mode=1``."""
    options = [argument for argument in arguments if argument.startswith("--") or "=" in argument]
    return [option.partition("=")[0].lstrip("-").rpartition(".")[2] for option in options]


def _set(settings: MutableMapping[str, Any], name: str, value: Any) -> None:
    _say(name, value, str(settings[name]))
    settings[name] = value


@functools.cache  # MindFormers' Trainer reads YAML files of its own, too
def _say(name: str, value: object, before: str) -> None:
    info("on the CPU: %s=%s in place of %s", name, value, before)
