"""A prompt that is longer than what the model was built for, and a batch that is more than its cache has room for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from mf_qwen3_patch.cli.selftest import MICRO_QWEN3
from mindformers import AutoModel

TOO_LONG = list(range(5, 25))


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModel.from_pretrained(str(MICRO_QWEN3), seq_length=16)


@pytest.mark.parametrize(
    "prompt", [TOO_LONG, [TOO_LONG], [[5, 6], TOO_LONG], np.array([TOO_LONG]), Tensor([TOO_LONG]), [np.array(TOO_LONG)]]
)
def test_it_is_an_error_that_names_the_keyword(model: Any, prompt: Any) -> None:
    with pytest.raises(ValueError, match=r"prompt has 20 tokens.* sequences of 16: load it .*seq_length=40\)"):
        model.generate(prompt, max_new_tokens=2, do_sample=False)


@pytest.mark.parametrize("prompt", [TOO_LONG[:12], [TOO_LONG[:12]], np.array([TOO_LONG[:12]])])
def test_one_that_fits_is_answered(model: Any, prompt: Any) -> None:
    assert np.size(model.generate(prompt, max_new_tokens=2, do_sample=False)) == 14


@pytest.mark.parametrize("as_array", [False, True])
def test_a_batch_that_overruns_the_cache_is_an_error_that_names_the_keywords(as_array: bool) -> None:
    small = AutoModel.from_pretrained(str(MICRO_QWEN3), seq_length=32, block_size=16, num_blocks=4)
    batch = [TOO_LONG] * 3
    # 3 sequences of 2 blocks; the second try would find fewer blocks than the first if they were not given back.
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"room for 64 tokens \(num_blocks=4, .* batch of 3 .* batch_size=3\)"):
            small.generate(np.array(batch) if as_array else batch, max_new_tokens=2, do_sample=False)
    assert np.shape(small.generate(batch[:2], max_new_tokens=2, do_sample=False)) == (2, 22)
