"""A script's choice of card, mode and memory is kept, whichever way it was made."""

from __future__ import annotations

import pytest
from tests.ascend.rehearsal import Rehearse

# The arguments: what the script does before it loads.
_LOAD = """
    import sys
    import mf_qwen3_patch
    import mindspore
    for line in sys.argv[1:]:
        exec(line)
    from mf_qwen3_patch.cli.selftest import MICRO_QWEN3
    from mindformers import AutoModel

    model = AutoModel.from_pretrained(MICRO_QWEN3)
    (mindspore.Tensor([1.0]) + 1).asnumpy()  # the card is entered by its first operator
    give({
        "mode": mindspore.get_context("mode"),
        "memory": mindspore.get_context("max_device_memory"),
        "again": type(AutoModel.from_pretrained(MICRO_QWEN3)).__name__,
    })
"""
_GRAPH, _EAGER = 0, 1


@pytest.mark.parametrize(
    ("choice", "env", "card"),
    [
        ("pass", {}, 0),
        ("mindspore.set_device('Ascend', 3)", {}, 3),
        pytest.param("mindspore.set_context(device_target='Ascend', device_id=3)", {}, 3, marks=pytest.mark.sweep),
        pytest.param("pass", {"DEVICE_ID": "5"}, 5, marks=pytest.mark.sweep),
        pytest.param("mindspore.set_device('Ascend', 3)", {"DEVICE_ID": "5"}, 3, marks=pytest.mark.sweep),
        pytest.param("pass", {"ASCEND_RT_VISIBLE_DEVICES": "6"}, 6, marks=pytest.mark.sweep),
        pytest.param(
            "mindspore.set_device('Ascend', 1)", {"ASCEND_RT_VISIBLE_DEVICES": "2,7"}, 7, marks=pytest.mark.sweep
        ),
    ],
)
def test_the_model_is_on_the_card_that_was_chosen(
    rehearse: Rehearse, choice: str, env: dict[str, str], card: int
) -> None:
    done = rehearse(_LOAD, choice, env=env)
    assert done.counters["set_device"] - 1 == card
    assert done.result == {"mode": _GRAPH, "memory": 1024.0, "again": "InferenceQwen3ForCausalLM"}


@pytest.mark.sweep
def test_mode_and_memory_are_those_that_the_script_has_set(rehearse: Rehearse) -> None:
    choice = "mindspore.set_context(mode=1, max_device_memory='30GB', device_id=2)"
    done = rehearse(_LOAD, choice)
    assert (done.result["mode"], done.result["memory"]) == (_EAGER, 30.0)
    assert done.counters["set_device"] - 1 == 2


@pytest.mark.sweep
def test_a_context_that_could_not_be_built_leaves_nothing_behind(rehearse: Rehearse) -> None:
    script = """
        import os
        import mf_qwen3_patch
        import mindspore
        from mf_qwen3_patch.cli.selftest import MICRO_QWEN3
        from mindformers import AutoModel
        from mindformers.core.context.build_context import Context, MFContextOperator

        os.environ["EXPERIMENTAL_KERNEL_LAUNCH_GROUP"] = "nonsense"  # which stock cannot read
        try:
            AutoModel.from_pretrained(MICRO_QWEN3)
            first = "loaded"
        except ValueError as error:
            first = str(error)
        left = [Context.is_exists(), MFContextOperator.get_mf_ctx_instance() is not None]
        del os.environ["EXPERIMENTAL_KERNEL_LAUNCH_GROUP"]
        AutoModel.from_pretrained(MICRO_QWEN3)
        give([first, left, mindspore.get_context("mode"), Context.is_exists()])
    """
    first, left, mode, built = rehearse(script).result
    assert "not enough values to unpack" in first
    assert left == [False, False]
    assert (mode, built) == (_GRAPH, True)


def test_a_context_that_a_launcher_has_built_is_not_built_again(rehearse: Rehearse) -> None:
    """As a serving engine does, by its parts: there is then no whole ``Context``."""
    script = """
        import importlib
        import mf_qwen3_patch
        import mindspore
        from mf_qwen3_patch.cli.selftest import MICRO_QWEN3
        from mindformers import AutoModel
        module = importlib.import_module("mindformers.core.context.build_context")

        mindspore.set_context(mode=1, device_target="Ascend", device_id=4)
        theirs = module.build_mf_context({"use_legacy": False, "run_mode": "predict"})
        AutoModel.from_pretrained(MICRO_QWEN3)
        (mindspore.Tensor([1.0]) + 1).asnumpy()
        give([module.MFContextOperator.get_mf_ctx_instance() is theirs, module.Context.is_exists(), mindspore.get_context("mode")])
    """
    done = rehearse(script)
    assert done.result == [True, False, _EAGER]
    assert "built a MindFormers context" not in done.output
    assert done.counters["set_device"] - 1 == 4
