"""vllm-mindspore's own code for MindFormers' models builds and loads: the same bits as stock, and our checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mindspore
import pytest
from mindformers.core.context import parallel
from mindspore.nn.utils import no_init_parameters
from tests.mindformers.loading.transfer.stock import as_process, bits, differences, load_with_stock
from tests.support.checkpoints import TINY_MOE, edit_weights, write_checkpoint
from tests.support.serving_engine import PLUGIN, load_with_plugin, without_engine

from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.errors import IncompleteCheckpoint
from mf_qwen3_patch.loading.runtime.context import ensure_inference_context
from mindformers import AutoModel

pytestmark = pytest.mark.skipif(not PLUGIN.is_dir(), reason="make test puts vllm-mindspore there, for one release")

_THREE_LAYERS = {"num_hidden_layers": 3}
_YARN = {
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 128,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": 1.0,
        "mscale_all_dim": 0.0,
    }
}


@pytest.fixture(autouse=True)
def _leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugin sets an environment variable, and MindSpore's context of the parallel processes."""
    ensure_inference_context()
    monkeypatch.setenv("ENFORCE_EAGER", "True")
    with without_engine():
        yield
    mindspore.reset_auto_parallel_context()


def load(directory: Path, rank: int, monkeypatch: pytest.MonkeyPatch, **sizes: int) -> Any:
    """Return the plugin's model, loaded as in one of several processes, which do not meet."""
    tensor, pipeline, data = (sizes.get(f"{kind}_parallel_size", 1) for kind in ("tensor", "pipeline", "data"))
    monkeypatch.setattr(parallel, "init", lambda: None)
    monkeypatch.setattr(parallel, "get_rank", lambda: rank)
    monkeypatch.setattr(parallel, "get_group_size", lambda: tensor * pipeline * data)
    return load_with_plugin(directory, rank, **sizes)


@pytest.mark.parametrize(
    ("config", "sizes", "processes"),
    [
        (_THREE_LAYERS, {}, {}),
        (_YARN, {}, {}),
        (TINY_MOE, {}, {}),
        (_THREE_LAYERS, {"tensor_parallel_size": 2}, {"tensor": 2}),
        (_THREE_LAYERS, {"pipeline_parallel_size": 2}, {"pipeline": 2}),
        (TINY_MOE, {"pipeline_parallel_size": 2}, {"pipeline": 2}),
        (TINY_MOE, {"tensor_parallel_size": 2, "enable_expert_parallel": 1}, {"tensor": 2, "expert": 2}),
        (TINY_MOE, {"data_parallel_size": 2, "enable_expert_parallel": 1}, {"data": 2, "expert": 2}),
    ],
    ids=["dense", "yarn", "moe", "TP", "PP of odd layers", "PP of experts", "TP+EP", "DP+EP"],
)
def test_it_loads_what_stock_loads(
    config: Mapping[str, Any],
    sizes: Mapping[str, int],
    processes: Mapping[str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = write_checkpoint(tmp_path / "hf", shards=2, dtype="BF16", **config)
    for rank in range(2 if processes else 1):
        with as_process(rank, **processes):
            model = load(directory, rank, monkeypatch, **sizes)
            with no_init_parameters():
                stock = AutoModel.from_config(model.mf_config)
            load_with_stock(stock, directory)

        assert differences(bits(stock), bits(model.network)) == {}, f"process {rank}"
        report = model.network.mf_qwen3_report
        assert (report.loader, report.ignored, report.global_rank) == ("mf_qwen3_patch", {}, rank)


def test_a_merged_directory_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_checkpoint(tmp_path / "hf", **_THREE_LAYERS)
    convert_to_mindformers(source, tmp_path / "merged", layout="training", progress=False)
    for rank in range(2):
        with as_process(rank, pipeline=2):
            huggingface, merged = (
                bits(load(directory, rank, monkeypatch, pipeline_parallel_size=2).network)
                for directory in (source, tmp_path / "merged")
            )
        assert differences(huggingface, merged) == {}, f"process {rank}"


def test_what_stock_leaves_zero_in_silence_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_checkpoint(tmp_path / "hf", **_THREE_LAYERS)
    edit_weights(directory, lambda tensors: tensors.pop("model.layers.2.mlp.up_proj.weight"))
    with as_process(0), pytest.raises(IncompleteCheckpoint, match=r"model\.layers\.2\.mlp\.up_proj\.weight"):
        load(directory, 0, monkeypatch)
