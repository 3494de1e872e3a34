"""Two ranks that share a model: what only one of them sees is the error of both, and nothing is loaded anywhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import Raw, edit_weights, weight_files, write_checkpoint
from tests.support.ranks import run_ranks

_UP = "model.layers.1.mlp.up_proj.weight"

_WORKER = """
import errno, sys, time
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
from mindformers import AutoModel
from mf_qwen3_patch.errors import LoadNotProven
from mf_qwen3_patch.loading import execute

good, poisoned, truncated = sys.argv[1:]
outcomes = {}

def attempt(name, load):
    try:
        load()
        outcomes[name] = ["loaded", "", hasattr(model, "mf_qwen3_report"), state(model) == before]
    except Exception as error:
        outcomes[name] = [type(error).__name__, str(error), hasattr(model, "mf_qwen3_report"), state(model) == before]

def state(model):
    return [parameter.asnumpy().tobytes() for parameter in model.get_parameters()]

def on_rank_1(owner, name, replacement, load):
    stock = getattr(owner, name)
    if rank == 1:
        setattr(owner, name, replacement)
    try:
        load()
    finally:
        setattr(owner, name, stock)

def fails(*_, **__):
    raise OSError(errno.EIO, os.strerror(errno.EIO))

def lies(*_, **__):
    raise LoadNotProven("parameter x does not hold what the checkpoint says")

def is_full(*_, **__):
    raise MemoryError("of this rank")

model = AutoModel.from_pretrained(good)
before = state(model)
own = truncated if rank == 1 else good
attempt("truncated, from_pretrained", lambda: AutoModel.from_pretrained(own))
attempt("truncated, load_weights", lambda: model.load_weights(own))
attempt("NaN, from_pretrained", lambda: AutoModel.from_pretrained(poisoned))
attempt("NaN, load_weights", lambda: model.load_weights(poisoned))
attempt("EIO", lambda: on_rank_1(os, "preadv", fails, lambda: model.load_weights(good)))
attempt("verification", lambda: on_rank_1(execute, "verify", lies, lambda: model.load_weights(good)))
attempt("memory", lambda: on_rank_1(execute, "assigned", is_full, lambda: AutoModel.from_pretrained(good)))
attempt("sound", lambda: model.load_weights(good))
tokens = model.generate([[5, 6, 7, 8]], max_new_tokens=4, do_sample=False)
outcomes["tokens"] = [int(token) for token in tokens[0]]
os.environ["MF_QWEN3_PATCH_WAIT"] = "1"
if rank == 1:
    time.sleep(5)
attempt("late", lambda: model.load_weights(good))
give(outcomes)
if rank == 0:
    time.sleep(6)  # a process that ends takes the others with it
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    place = tmp_path_factory.mktemp("ranks")
    good = write_checkpoint(place / "good", shards=2)
    poisoned = shutil.copytree(good, place / "poisoned")
    edit_weights(poisoned, _poison_the_last_value)
    truncated = shutil.copytree(good, place / "truncated")
    file = weight_files(truncated)[1]
    file.write_bytes(file.read_bytes()[:-100])
    return run_ranks(_WORKER, good, poisoned, truncated, cwd=place)


def _poison_the_last_value(tensors: dict[str, Raw]) -> None:
    """Put a NaN where only rank 1 reads."""
    raw = tensors[_UP]
    tensors[_UP] = replace(raw, data=raw.data[:-4] + np.float32("nan").tobytes())


@pytest.mark.parametrize(
    ("case", "error", "says"),
    [
        ("truncated, from_pretrained", "CorruptCheckpoint", "model-00002-of-00002.safetensors is truncated"),
        ("truncated, load_weights", "CorruptCheckpoint", "model-00002-of-00002.safetensors is truncated"),
        ("NaN, from_pretrained", "InvalidValues", f"{_UP} holds NaN or infinity"),
        ("NaN, load_weights", "InvalidValues", f"{_UP} holds NaN or infinity"),
        ("EIO", "CorruptCheckpoint", "Input/output error"),
        ("verification", "LoadNotProven", "does not hold what the checkpoint says"),
        ("memory", ("RuntimeError", "MemoryError"), "of this rank"),
    ],
)
def test_one_rank_s_error_is_that_of_both(
    outcomes: list[dict[str, Any]], case: str, error: str | tuple[str, str], says: str
) -> None:
    """Rank 0 names rank 1, whose error it is; the model is as it was, and has no report of a load that failed."""
    first, second = (outcome[case] for outcome in outcomes)
    kinds = (error, error) if isinstance(error, str) else error
    assert (first[0], second[0]) == kinds
    assert says in first[1]
    assert "rank 1" in first[1]
    assert says in second[1]
    assert "rank 1" not in second[1]
    assert first[3] is second[3] is True
    if "load_weights" in case:
        assert first[2] is second[2] is False


def test_what_is_sound_still_loads_on_both(outcomes: list[dict[str, Any]]) -> None:
    assert [outcome["sound"] for outcome in outcomes] == [["loaded", "", True, True]] * 2
    assert outcomes[0]["tokens"] == outcomes[1]["tokens"]


def test_none_waits_longer_than_it_may(outcomes: list[dict[str, Any]]) -> None:
    first, _ = (outcome["late"] for outcome in outcomes)

    assert first[0] == "TimeoutError"
    assert "rank 0 has waited 1 s for the other ranks to load their parts of the checkpoint" in first[1]
    assert first[2:] == [False, True]
