"""The memory of a card is computed, said, and kept to; the cache has room for what a config asks for."""

from __future__ import annotations

import textwrap

import pytest
from tests.ascend.rehearsal import Rehearse

_LOAD = """
    import sys
    import mf_qwen3_patch
    from mf_qwen3_patch.cli.selftest import MICRO_QWEN3
    from mindformers import AutoModel

    keywords = {name: int(value) for name, value in (argument.split("=") for argument in sys.argv[1:])}
    model = AutoModel.from_pretrained(MICRO_QWEN3, **keywords)
    model._set_kv_cache()
    cache = [*model.key_cache, *model.value_cache]
    give([model.config.num_blocks, sum(one.nbytes for one in cache)])
"""


@pytest.mark.parametrize(
    ("keywords", "num_blocks"),
    [
        pytest.param([], 1024, marks=pytest.mark.sweep),
        (["seq_length=40960", "max_position_embeddings=40960"], 1280),
        pytest.param(
            ["seq_length=4096", "max_position_embeddings=4096", "batch_size=16"], 2048, marks=pytest.mark.sweep
        ),
        pytest.param(["num_blocks=16"], 16, marks=pytest.mark.sweep),
    ],
)
def test_the_cache_follows_sequence_length_and_batch(rehearse: Rehearse, keywords: list[str], num_blocks: int) -> None:
    done = rehearse(_LOAD, *keywords)
    # 2 layers, key and value, blocks of 32 tokens, 2 heads of 32, bfloat16
    size = 2 * 2 * num_blocks * 32 * 2 * 32 * 2
    assert done.result == [num_blocks, size]
    said = f"{size / 1e9:.1f} GB of key/value cache for {num_blocks * 32} tokens"
    assert said in done.output


@pytest.mark.sweep
def test_the_rest_of_a_limit_is_said(rehearse: Rehearse) -> None:
    limited = "import mindspore; mindspore.set_context(device_target='Ascend', max_device_memory='10GB')\n"
    done = rehearse(limited + textwrap.dedent(_LOAD))
    assert "10.7 GB for the rest of the 10.7 GB that MindSpore may take of the device" in done.output


_FILL = """
    import sys
    import mf_qwen3_patch, mindspore
    from mindspore import mint
    from mindformers import AutoModel
    from mf_qwen3_patch.cli.selftest import MICRO_QWEN3

    if len(sys.argv) > 1:
        mindspore.set_context(max_device_memory=sys.argv[1])
    AutoModel.from_pretrained(MICRO_QWEN3)
    held = []
    try:
        while True:
            held.append(mint.zeros((1 << 29,), dtype=mindspore.float32))  # 2 GB, and never touched
            mindspore.runtime.synchronize()
    except RuntimeError:
        give(len(held))
"""


@pytest.mark.parametrize(
    ("hbm_gb", "limit", "most"),
    [
        pytest.param(64, [], 64, marks=pytest.mark.sweep),
        pytest.param(32, [], 32, marks=pytest.mark.sweep),
        (32, ["20GB"], 20),
    ],
)
def test_a_card_is_filled_up_to_the_limit_that_was_set(
    rehearse: Rehearse, hbm_gb: int, limit: list[str], most: int
) -> None:
    peak = rehearse(_FILL, *limit, hbm_gb=hbm_gb).counters["device_peak"] / (1 << 30)
    assert most - 6 <= peak <= most + 0.01
