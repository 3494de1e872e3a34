"""With the stand-ins, what is made for Ascend becomes what the CPU can do; what is said over it wins."""

from __future__ import annotations

import logging
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from mindformers.core.context.build_context import MSContextOperator
from mindformers.tools.register import MindFormerConfig
from mindformers.tools.register.template import ConfigTemplate

from mf_qwen3_patch import cpu_kernels

STOCK = sorted((Path(sysconfig.get_path("purelib")) / "configs").glob("qwen3*/predict_qwen3*.yaml"))
DTYPES = ("compute_dtype", "params_dtype", "rotary_dtype", "softmax_compute_dtype")
ON_ASCEND = {"device_target": "Ascend", "mode": 0}


@pytest.mark.parametrize("yaml", STOCK, ids=lambda path: path.stem)
def test_a_stock_yaml_is_for_the_cpu(yaml: Path) -> None:
    config = MindFormerConfig(str(yaml))

    assert (config.context.device_target, config.context.mode) == ("CPU", 1)
    assert {name: config.model.model_config[name] for name in DTYPES} == dict.fromkeys(DTYPES, "float32")


def test_what_the_cpu_can_do_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    yaml = tmp_path / "mine.yaml"
    yaml.write_text(
        "run_mode: predict\nuse_legacy: False\ncontext: {mode: 1, device_target: CPU}\n"
        "model: {model_config: {compute_dtype: float16, params_dtype: float32, model_type: qwen3}}\n"
    )
    with caplog.at_level(logging.INFO, "mf_qwen3_patch"):
        config = MindFormerConfig(str(yaml))

    assert (config.model.model_config.compute_dtype, config.model.model_config.model_type) == ("float16", "qwen3")
    assert "on the CPU" not in caplog.text


def test_fine_tuning_keeps_its_mode() -> None:
    config = MindFormerConfig(str(STOCK[0].with_name("finetune_qwen3.yaml")))

    assert (config.context.device_target, config.context.mode) == ("CPU", 0)


def _settings(context: dict[str, Any], **config: Any) -> dict[str, Any]:
    """Return what MindSpore would be given; nothing is set, since this process has a context."""
    operator = object.__new__(MSContextOperator)
    operator.config = MindFormerConfig(context=context, **config)
    settings: dict[str, Any] = operator._handle_data()
    return settings


@pytest.mark.parametrize(
    ("options", "device", "mode"),
    [
        ([], "CPU", 1),
        (["--config", "x.yaml", "the mode=0 of a prompt, and device_target"], "CPU", 1),
        (["--mode", "0"], "CPU", 0),
        (["--context.mode=0", "--device_target", "Ascend"], "Ascend", 0),
        (["--options", "context.device_target=Ascend"], "Ascend", 1),
    ],
)
def test_a_context_without_a_file(options: list[str], device: str, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["program.py", *options])
    settings = _settings(dict(ON_ASCEND), run_mode="predict")

    assert (settings["device_target"], settings["mode"]) == (device, mode)
    assert _settings(dict(ON_ASCEND), run_mode="finetune")["mode"] == 0


def test_without_the_stand_ins_it_is_stocks(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = vars(ConfigTemplate)["apply_template"]
    cpu_kernels.disable()
    try:
        stock = vars(ConfigTemplate)["apply_template"]
        config = MindFormerConfig(str(STOCK[0]))
        settings = _settings(dict(ON_ASCEND))
    finally:
        cpu_kernels.enable()

    assert isinstance(stock, classmethod)
    assert stock is not ours
    assert (config.context.device_target, config.context.mode) == ("Ascend", 0)
    assert config.model.model_config.compute_dtype == "bfloat16"
    assert (settings["device_target"], settings["mode"]) == ("Ascend", 0)
