"""Somebody else's wrappers on top of what is patched, reloads, and models that outlive ``deactivate()``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.processes import run_script

_PREPARE = """
import functools, importlib, inspect, sys, warnings
from unittest import mock
import wrapt
import mindspore, mindformers
from mindformers import AutoConfig, AutoModel
from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM as Q
from mindformers.models.qwen3.utils import Qwen3PreTrainedModel
from mindformers.utils.safetensors import convert_safetensors
import mindspore.train.serialization as serialization

PLACES = [(mindspore, "load_checkpoint"), (serialization, "load_checkpoint"), (convert_safetensors, "save_file"),
          (Q, "load_weights"), (Q, "convert_weight_dict"), (Q, "generate"), (Q, "_incremental_infer_mcore"),
          (Qwen3PreTrainedModel, "from_pretrained"), (AutoModel, "from_pretrained"), (AutoConfig, "from_pretrained")]
name_of = lambda place: getattr(place[0], "__module__", "") * inspect.isclass(place[0]) + "." * inspect.isclass(place[0]) + \
    place[0].__name__ + "." + place[1]
ABSENT = object()
now = lambda place: vars(place[0]).get(place[1], ABSENT)
before = [now(place) for place in PLACES]
import mf_qwen3_patch
ours = [now(place) for place in PLACES]
calls = []

def with_functools(value):
    function = getattr(value, "__func__", value)
    @functools.wraps(function)
    def foreign(*args, **kwargs):
        calls.append(function.__name__)
        return function(*args, **kwargs)
    return foreign if function is value else classmethod(foreign)

@wrapt.decorator
def with_wrapt(wrapped, instance, args, kwargs):
    calls.append(wrapped.__name__)
    return wrapped(*args, **kwargs)

def deactivate():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mf_qwen3_patch.deactivate()
    return [str(w.message) for w in caught if issubclass(w.category, mf_qwen3_patch.PatchWarning)]

states = lambda: sorted({one.state for one in mf_qwen3_patch.status()})
"""


@pytest.mark.parametrize("wrapper", ["with_functools", "with_wrapt"])
def test_a_wrapper_on_top_survives_and_passes_through(wrapper: str, tmp_path: Path) -> None:
    script = f"""
{_PREPARE}
foreign = [{wrapper}(value) for value in ours]
for place, value in zip(PLACES, foreign):
    setattr(*place, value)
applied = states()
messages = deactivate()
kept = [now(place) is value for place, value in zip(PLACES, foreign)]
inactive = states()

# What is inside is the original again: the stub of convert_weight_dict, which only raises, and stock's loader.
try:
    Q.convert_weight_dict({{}})
    stub = "converted"
except RuntimeError as error:
    stub = str(error)
import numpy as np, safetensors.numpy
safetensors.numpy.save_file({{"a.weight": np.ones(2, np.float32)}}, "one.safetensors")
names = lambda: [p.name for p in mindspore.load_checkpoint("one.safetensors", format="safetensors").values()]
stock_names = names()
mf_qwen3_patch.activate()
again = states()
patched_names = names()
on_top = [now(place) is value for place, value in zip(PLACES, foreign)]
for place, value in zip(PLACES, ours):
    setattr(*place, value)  # the wrappers go
silent = deactivate()
give({{"applied": applied, "messages": messages, "unnamed": [name_of(p) for p in PLACES if name_of(p) not in "".join(messages)],
      "kept": kept, "inactive": inactive, "stub": stub, "stock_names": stock_names, "again": again,
      "patched_names": patched_names, "on_top": on_top, "silent": silent, "called": sorted(set(calls)),
      "restored": [now(place) is value for place, value in zip(PLACES, before)]}})
"""
    result = run_script(script, cwd=tmp_path).result

    assert (result["applied"], result["inactive"], result["again"]) == (["applied"], ["inactive"], ["applied"])
    assert len(result["messages"]) == 1
    assert result["unnamed"] == []
    assert set(result["kept"]) == set(result["on_top"]) == {True}
    assert "convert_weight_dict" in result["stub"]
    assert "converted" not in result["stub"]
    assert result["patched_names"] == ["a.weight"] != result["stock_names"]
    assert {"convert_weight_dict", "load_checkpoint"} <= set(result["called"])
    assert result["silent"] == []
    assert set(result["restored"]) == {True}


def test_a_mock_that_stops_later_brings_back_what_passes_through(tmp_path: Path) -> None:
    script = f"""
{_PREPARE}
mocks = [mock.patch.object(*place) for place in PLACES]
values = [one.start() for one in mocks]
mocked = states()
messages = deactivate()
kept = [now(place) is value for place, value in zip(PLACES, values)]
for one in reversed(mocks):
    one.stop()
try:
    Q.convert_weight_dict({{}})
    stub = "converted"
except RuntimeError as error:
    stub = str(error)
inactive = states()
mf_qwen3_patch.activate()
active = states()
silent = deactivate()
give({{"mocked": mocked, "messages": messages, "kept": kept, "stub": stub, "inactive": inactive, "active": active,
      "silent": silent, "unnamed": [name_of(p) for p in PLACES if name_of(p) not in "".join(messages)],
      "restored": [now(place) is value for place, value in zip(PLACES, before)]}})
"""
    result = run_script(script, cwd=tmp_path).result

    assert "replaced" in result["mocked"]
    assert len(result["messages"]) == 1
    assert result["unnamed"] == []
    assert set(result["kept"]) == {True}
    assert "does not implemented" in result["stub"]
    assert (result["inactive"], result["active"], result["silent"]) == (["inactive"], ["applied"], [])
    assert set(result["restored"]) == {True}


@pytest.mark.parametrize(
    ("module", "patch"),
    [
        ("mindspore.train.serialization", "load_checkpoint"),
        ("mindformers.models.qwen3.modeling_qwen3_infer", "convert_weight_dict"),
        ("mindformers.models.qwen3.utils", "from_pretrained"),
        ("mindformers.utils.safetensors.convert_safetensors", "convert_safetensors"),
    ],
)
def test_a_reloaded_module_is_seen_and_patched_again(module: str, patch: str, tmp_path: Path) -> None:
    script = f"""
{_PREPARE}
status = lambda: {{one.name: (one.state, one.reason) for one in mf_qwen3_patch.status()}}
importlib.reload(importlib.import_module({module!r}))
reloaded = status()
mf_qwen3_patch.activate()
again = states()
mf_qwen3_patch.deactivate()
give([reloaded, again, states()])
"""
    reloaded, again, inactive = run_script(script, cwd=tmp_path).result

    assert reloaded[patch][0] == "replaced"
    assert module in reloaded[patch][1]
    assert "activate()" in reloaded[patch][1]
    assert (again, inactive) == (["applied"], ["inactive"])


def test_a_model_that_outlives_deactivate_gives_the_same_tokens(tmp_path: Path) -> None:
    script = """
        import mf_qwen3_patch
        from mf_qwen3_patch.cli.selftest import MICRO_QWEN3
        from mindformers import AutoModel
        model = AutoModel.from_pretrained(str(MICRO_QWEN3))
        tokens = lambda ids: model.generate([ids], max_new_tokens=6, do_sample=False)[0].tolist()
        prompts = [[5, 6, 7], [9, 8, 7, 6], [5, 6, 7]]
        active = [tokens(ids) for ids in prompts]
        mf_qwen3_patch.deactivate()
        after = [tokens(ids) for ids in prompts]
        mf_qwen3_patch.activate()
        again = [tokens(ids) for ids in prompts]
        give([active, after, again])
    """
    active, after, again = run_script(script, cwd=tmp_path, env={"MF_QWEN3_PATCH_CPU": "1"}).result

    assert active[0] == active[2] != active[1]
    assert after == active
    assert again == active


def test_an_unknown_patch_warns_and_the_host_imports(tmp_path: Path) -> None:
    script = """
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import mf_qwen3_patch, mindspore, mindformers
            mf_qwen3_patch.activate()
        give([[str(w.message) for w in caught if issubclass(w.category, mf_qwen3_patch.PatchWarning)],
              {one.name: one.state for one in mf_qwen3_patch.status()}])
    """
    disabled = {"MF_QWEN3_PATCH_DISABLE": "retired_long_ago, load_checkpoint"}
    messages, states = run_script(script, cwd=tmp_path, env=disabled).result

    assert len(messages) == 1
    assert "no such patch: retired_long_ago; the patches are: auto_config" in messages[0]
    assert states.pop("load_checkpoint") == "skipped"
    assert set(states.values()) == {"applied"}
