"""``selftest --device Ascend``: gets as far as the stub lets it, and says how far that was."""

from __future__ import annotations

import json

import pytest
from tests.ascend.rehearsal import Rehearse

_SELFTEST = """
    import os
    import mf_qwen3_patch
    import mindspore
    from mf_qwen3_patch.cli.main import main

    code = main(["selftest", "--device", "Ascend", "--json"])
    give([code, os.environ.get("MS_ALLOC_CONF")])
"""


@pytest.mark.parametrize(
    ("soc", "dtype"), [("910B", "bfloat16"), pytest.param("310P", "float16", marks=pytest.mark.sweep)]
)
def test_it_says_how_far_it_came(rehearse: Rehearse, soc: str, dtype: str) -> None:
    done = rehearse(_SELFTEST, soc=soc)
    code, allocation = done.result
    found = json.loads(next(line for line in done.output.splitlines() if line.startswith('{"passed"')))
    assert code == 1
    assert found["reached"] == [
        "an operator has run on the device",
        f"the model is loaded and verified, to compute in {dtype}",
    ]
    assert allocation == "enable_vmm:False", "MindFormers' context came after the device"
    assert "core_attention-FlashAttention/FlashAttentionScore" in found["failure"].splitlines()[0]
