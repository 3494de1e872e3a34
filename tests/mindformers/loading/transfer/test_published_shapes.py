"""Every published Qwen3, at full size: built lazily, planned for every rank, not a byte of the weights read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.mindformers.loading.transfer.stock import as_rank, build, plan_for
from tests.support.checkpoints import tensor_shapes, write_sparse_checkpoint
from tests.support.shapes import MIXTURES, PUBLISHED

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.loading.runtime.network import network_parameters

# A table of angles for each of 262144 positions would be all the memory that this takes, and no part of a plan.
POSITIONS = 64
BYTES = {"float32": 4, "bfloat16": 2}


# The first and the last of each usual number of ranks; fewer where there are ten thousands of tensors.
RANKS = ((0, 1), (0, 2), (1, 2), (0, 4), (3, 4), (0, 8), (7, 8))
RANKS_OF_MIXTURES = ((0, 1), (3, 4), (7, 8))


@pytest.mark.sweep
@pytest.mark.parametrize("name", PUBLISHED)
def test_plan_of_every_rank(name: str, tmp_path: Path) -> None:
    config = PUBLISHED[name]
    directory = write_sparse_checkpoint(tmp_path, shards=3, **config)
    shapes = tensor_shapes(config)
    for rank, ranks in RANKS_OF_MIXTURES if name in MIXTURES else RANKS:
        with as_rank(rank, ranks):
            model = build(directory, "bfloat16", max_position_embeddings=POSITIONS)
        loading = plan_for(model, directory)
        held = {parameter.name: parameter for parameter in network_parameters(model).values()}
        read = {copy.tensor.name for entry in loading.parameters for copy in entry.copies}

        assert (read, loading.unused) == (shapes.keys(), ())
        assert {entry.name for entry in loading.parameters} == held.keys()
        for entry in loading.parameters:
            assert sum(copy.region.elements for copy in entry.copies) == math.prod(entry.shape)
        # The forecast counts from config.json alone, without MindFormers.
        found = preflight(directory, tensor_parallel=ranks, dtype="bfloat16")
        forecast = found.memory.device_per_rank - found.tables.kept(BYTES["bfloat16"])
        assert sum(_bytes(parameter) for parameter in held.values()) == forecast, f"{rank} of {ranks}"


def _bytes(parameter: object) -> int:
    return math.prod(parameter.shape) * BYTES[str(parameter.dtype).lower()]  # type: ignore[attr-defined]
