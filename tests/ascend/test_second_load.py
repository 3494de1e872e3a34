"""A second checkpoint, other than the first, into a model that has run: all of it is on the card, by every entry."""

from __future__ import annotations

from typing import Any

import pytest
from tests.ascend.rehearsal import Rehearsal, Rehearse

# The arguments: the checkpoints' dtype, and entries. The model is put back to the first checkpoint, and on the card,
# before each of them.
_LOADS = """
    import os
    import shutil
    import sys
    import tempfile
    from pathlib import Path
    from unittest import mock

    import mf_qwen3_patch
    import mindspore
    from mindspore import mint
    from mindformers import AutoModel
    from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
    from mf_qwen3_patch.errors import CheckpointError
    from mf_qwen3_patch.loading import fallback
    from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible
    from tests.ascend.counters import counters, operators
    from tests.support.checkpoints import read_safetensors, weight_files, write_checkpoint, write_safetensors


    os.chdir(tempfile.mkdtemp(dir="."))
    dtype, *entries = sys.argv[1:]
    first, second = (str(write_checkpoint(Path(f"checkpoint{seed}"), dtype=dtype, seed=seed)) for seed in (1, 2))
    for layout in ("inference", "training"):
        convert_to_mindformers(Path(second), Path(layout), layout=layout, progress=False)
    shutil.copytree("training", "merged")
    Path("merged/mf_qwen3_patch.manifest.json").unlink()
    for file in weight_files(Path("merged")):
        write_safetensors(file, read_safetensors(file))  # without the note

    def held(model):
        return {one.name: one.asnumpy().tobytes() for one in model.get_parameters()}

    def upload(model):
        for one in model.get_parameters():
            mint.sum(one)
        mindspore.runtime.synchronize()

    def differences(model, wanted):
        return sorted(name for name, data in held(model).items() if data != wanted[name])

    def load(model, directory, forced):
        before = operators()
        refuse = mock.Mock(side_effect=PlanNotPossible("as if only stock could"))
        with mock.patch.object(fallback, "plan", refuse if forced else fallback.plan):
            try:
                model.load_weights(directory)
            except CheckpointError as error:
                return {"refused": error.code, "why": str(error)}
            finally:
                launched = operators() - before
        return {"loader": model.mf_qwen3_report.loader, "launched": launched}

    old, new = (held(AutoModel.from_pretrained(directory)) for directory in (first, second))
    model = AutoModel.from_pretrained(first)
    try:
        model.generate([[5]], max_new_tokens=2, do_sample=False)
    except RuntimeError:
        pass  # the stub has no attention; every parameter was uploaded before
    found = {}
    directories = {"HuggingFace": second, "by stock's loader": second, "training layout": "training",
                   "inference layout": "inference", "merged": "merged"}
    for name in entries:
        before = counters()["d2h_bytes"]
        assert not differences(model, old)
        on_card = counters()["d2h_bytes"] - before
        result = load(model, directories[name], name == "by stock's loader")
        wanted = old if "refused" in result else new
        result["differ"] = differences(model, wanted)
        upload(model)
        before = counters()["d2h_bytes"]
        result["differ on the card"] = differences(model, wanted)
        result["read from the card"] = counters()["d2h_bytes"] - before
        found[name] = {**result, "was on the card": on_card, "size": sum(map(len, new.values()))}
        model.load_weights(first)
        upload(model)
    give(found)
"""
_ENTRIES = ("HuggingFace", "training layout", "inference layout", "merged")
_FORCED = "by stock's loader"
# Projection, query-key-value and two of the feed-forward network in each of two layers, and the output layer.
_MATRICES = 4 * 2 + 1


@pytest.fixture(scope="module")
def on_910b(rehearse_once: Rehearse) -> Rehearsal:
    return rehearse_once(_LOADS, "BF16", *_ENTRIES)


@pytest.fixture(scope="module")
def on_310p(rehearse_once: Rehearse) -> Rehearsal:
    return rehearse_once(_LOADS, "BF16", *_ENTRIES, soc="310P")


def _all_is_there(found: dict[str, Any]) -> None:
    assert found["was on the card"] >= found["size"]
    assert found["differ"] == []
    assert found["differ on the card"] == []
    assert found["read from the card"] >= found["size"]


@pytest.mark.parametrize("entry", _ENTRIES)
def test_all_of_it_is_on_a_910b(on_910b: Rehearsal, entry: str) -> None:
    found = on_910b.result[entry]
    _all_is_there(found)
    assert found["loader"] == "mf_qwen3_patch"
    assert found["launched"] == {}


@pytest.mark.sweep
def test_all_of_it_is_on_a_910b_that_only_stock_could_load(rehearse: Rehearse) -> None:
    """In float16: of bfloat16 stock makes float32 by a cast on the card, which the stub does not compute."""
    found = rehearse(_LOADS, "F16", _FORCED).result[_FORCED]
    _all_is_there(found)
    assert found["loader"] == "MindFormers' own loader: as if only stock could"


@pytest.mark.parametrize("entry", [entry for entry in _ENTRIES if entry != "inference layout"])
def test_all_of_it_is_on_a_310p_in_its_own_format(on_310p: Rehearsal, entry: str) -> None:
    found = on_310p.result[entry]
    _all_is_there(found)
    assert found["loader"].endswith("an Ascend 310P keeps its weights in a format of its own (NZ)")
    assert found["launched"] == {"aclop Identity": _MATRICES}


def test_a_310p_refuses_the_inference_layout_by_name_and_keeps_what_it_has(on_310p: Rehearsal) -> None:
    found = on_310p.result["inference layout"]
    assert found["refused"] == "MFQ004"
    assert "an Ascend 310P keeps its weights in a format of its own (NZ)" in found["why"]
    _all_is_there(found)
