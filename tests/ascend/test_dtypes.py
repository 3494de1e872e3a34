"""Parameters and computation have a dtype that the card's kernels take, through to the first decoded token."""

from __future__ import annotations

import pytest
from tests.ascend.rehearsal import Rehearse

# The arguments: keywords of from_pretrained.
_LOAD = """
    import sys
    import mf_qwen3_patch
    import mindspore
    from mf_qwen3_patch.cli.selftest import MICRO_QWEN3
    from mindformers import AutoModel

    keywords = dict(argument.split("=") for argument in sys.argv[1:])
    try:
        model = AutoModel.from_pretrained(MICRO_QWEN3, **keywords)
    except ValueError as error:
        give(str(error))
    else:
        dtypes = [str(getattr(model.config, name)) for name in ("params_dtype", "compute_dtype", "rotary_dtype")]
        found = {"config": dtypes, "parameters": sorted({str(one.dtype) for one in model.get_parameters()})}
        {then}
        give(found)
"""
_DECODE = """
        import numpy as np
        model._set_block_mgr(1, model.config.seq_length)
        model._set_kv_cache()
        model._set_lower_triangle_mask()
        model.set_dynamic_inputs()
        inputs, _ = model.prepare_inputs_for_generation_mcore(
            input_ids=np.array([5]), valid_length_each_example=np.array([3]), block_tables=np.zeros((1, 8), np.int32),
            slot_mapping=np.array([2], np.int32), prefill=False)
        model.phase = "increment"
        model.add_flags_custom_mcore(is_prefill=False)
        try:
            model(**inputs)
            found["decode"] = "ran"
        except Exception as error:
            found["decode"] = str(error)
"""


def _script(then: str = "pass") -> str:
    return _LOAD.replace("{then}", then.strip())


def test_a_310p_gets_float16_and_the_log_says_so(rehearse: Rehearse) -> None:
    done = rehearse(_script(), soc="310P")
    assert done.result == {"config": ["float16", "float16", "float16"], "parameters": ["Float16", "Float32"]}
    assert (
        "the checkpoint is bfloat16, for which an Ascend 310P has no attention kernels: parameters become float16"
        in (done.output)
    )


@pytest.mark.sweep
@pytest.mark.parametrize("keyword", ["torch_dtype=bfloat16", "compute_dtype=bfloat16"])
def test_bfloat16_is_refused_on_a_310p(rehearse: Rehearse, keyword: str) -> None:
    error = rehearse(_script(), keyword, soc="310P").result
    assert keyword.replace("torch_dtype", "params_dtype") in error
    assert "this Ascend 310P, which has no bfloat16" in error


@pytest.mark.parametrize(
    ("keywords", "compute"),
    [
        ([], "bfloat16"),
        pytest.param(["torch_dtype=float16"], "float16", marks=pytest.mark.sweep),
        pytest.param(["torch_dtype=float32"], "bfloat16", marks=pytest.mark.sweep),
    ],
)
def test_a_910b_launches_a_decoded_token(rehearse: Rehearse, keywords: list[str], compute: str) -> None:
    found = rehearse(_script(_DECODE), *keywords).result
    assert found["config"][1:] == [compute, compute]
    assert found["decode"] == "ran"


@pytest.mark.sweep
def test_float32_is_nothing_to_compute_in_on_any_card(rehearse: Rehearse) -> None:
    assert "no float32 kernels" in rehearse(_script(), "compute_dtype=float32").result
