"""Which directories are asked for Qwen3's tokenizer, without MindFormers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.processes import ROOT

from mf_qwen3_patch.checkpoint.files.tokenizer_files import damage, is_qwen3_tokenizer_directory

MICRO = ROOT / "src" / "mf_qwen3_patch" / "micro_qwen3"
QWEN3 = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}
MOE = {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"]}
NAMED = "processor: {tokenizer: {type: LlamaTokenizer}}"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"config.json": QWEN3}, True),
        ({"config.json": MOE, "model.safetensors": ""}, True),
        ({"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}}, True),
        ({"tokenizer_config.json": {"tokenizer_class": "Qwen2TokenizerFast"}}, True),
        ({"config.json": QWEN3, "predict.yaml": "use_legacy: False"}, True),
        ({"config.json": QWEN3, "broken.yaml": "processor: {"}, True),
        ({"config.json": QWEN3, "odd.yaml": "processor: {tokenizer: LlamaTokenizer}"}, True),
        ({"config.json": QWEN3, "a.yaml": "use_legacy: False", "b.yaml": NAMED}, False),
        ({"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}, "a.yaml": NAMED}, False),
        (
            {"config.json": {"model_type": "qwen2"}, "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}},
            False,
        ),
        ({"config.json": "{", "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}}, False),
        ({"config.json": QWEN3, "qwen3.ckpt": ""}, False),
        ({"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}}, False),
        ({"tokenizer_config.json": "["}, False),
        ({"tokenizer_config.json": []}, False),
        ({"tokenizer.json": {}}, False),
        ({}, False),
    ],
)
def test_whose_it_is(files: dict[str, object], expected: bool, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))

    assert is_qwen3_tokenizer_directory(tmp_path) is expected
    assert is_qwen3_tokenizer_directory(str(tmp_path)) is expected


@pytest.mark.parametrize("path", [None, 7, "no/such/thing", b"bytes", "nul\0", MICRO / "config.json", "qwen3_8b"])
def test_what_is_no_directory(path: object) -> None:
    assert not is_qwen3_tokenizer_directory(path)


def test_sound_files_have_no_damage() -> None:
    assert damage(MICRO) == ()
