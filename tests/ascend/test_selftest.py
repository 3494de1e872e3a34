"""``selftest --device Ascend``: every step of it is launched, and what nothing has computed does not pass."""

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


@pytest.mark.sweep
@pytest.mark.parametrize(("soc", "dtype"), [("910B", "bfloat16"), ("310P", "float16")])
def test_every_token_is_launched_and_none_passes(rehearse: Rehearse, soc: str, dtype: str) -> None:
    done = rehearse(_SELFTEST, soc=soc)
    code, allocation = done.result
    found = json.loads(next(line for line in done.output.splitlines() if line.startswith('{"')))
    assert (code, found["passed"], found["failure"]) == (1, False, None)
    assert found["reached"] == [
        "an operator has run on the device",
        f"the model is loaded and verified, to compute in {dtype}",
    ]
    assert allocation == "enable_vmm:False", "MindFormers' context came after the device"
    # What is on the stub's card is no text, and has no end.
    assert [(one["passed"], len(one["tokens"])) for one in found["continuations"]] == [(False, 64), (False, 64)]
