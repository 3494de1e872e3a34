"""The launcher's ``build_tokenizer`` takes what ``AutoTokenizer.from_pretrained`` takes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers
from mindformers.models import build_tokenizer
from mindformers.models.build_tokenizer import build_tokenizer as original_place
from tests.support.checkpoints import read_json, write_json

from mf_qwen3_patch.cli.selftest import MICRO_QWEN3
from mindformers import AutoTokenizer

TEXT = "<|im_start|>user\n你好<|im_end|>"


@pytest.mark.parametrize("tokenizer_class", ["Qwen2Tokenizer", "TokenizersBackend"])
@pytest.mark.parametrize("extra", [["<|im_start|>", "<|im_end|>"], []])
def test_a_tokenizer_that_transformers_5_saved(tokenizer_class: str, extra: list[str], tmp_path: Path) -> None:
    directory = Path(shutil.copytree(MICRO_QWEN3, tmp_path / "model"))
    config: dict[str, Any] = read_json(directory / "tokenizer_config.json")
    config.pop("additional_special_tokens", None)
    config |= {"tokenizer_class": tokenizer_class, "extra_special_tokens": extra}
    write_json(directory / "tokenizer_config.json", config)
    expected = transformers.AutoTokenizer.from_pretrained(MICRO_QWEN3)

    for tokenizer in (
        build_tokenizer(None, use_legacy=False, pretrained_model_dir=str(directory)),
        original_place(use_legacy=False, pretrained_model_dir=str(directory)),
        AutoTokenizer.from_pretrained(str(directory)),
    ):
        ids = tokenizer(TEXT)["input_ids"]
        assert ids == expected(TEXT)["input_ids"]
        assert tokenizer.decode(ids) == TEXT
        assert set(extra) <= set(tokenizer.additional_special_tokens)


def test_other_calls_are_stocks() -> None:
    assert build_tokenizer() is None
