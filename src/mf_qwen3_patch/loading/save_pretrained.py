"""A model in memory becomes a HuggingFace Qwen3 directory, by the plan of a load, read the other way round."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Parameter

from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES, STORED_NAMES, TensorInfo
from mf_qwen3_patch.checkpoint.reading.strict_json import json_bytes
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import index_bytes, write_small
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import NewTensor, split_into_files, sync_directory
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.loading.generation.generation_config import GENERATION_CONFIG_NAME, generation_settings
from mf_qwen3_patch.loading.runtime.context import parallelism
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.runtime.parameters import to_numpy
from mf_qwen3_patch.loading.transfer.cast import TARGET_DTYPES, Array, cast_like_numpy
from mf_qwen3_patch.loading.transfer.plan import SliceCopy
from mf_qwen3_patch.loading.transfer.planner import plan
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible


def save_pretrained(
    model: Any, directory: str | os.PathLike[str], family: Family, *, max_shard_bytes: int | None = None
) -> None:
    """Write config.json, generation_config.json and the weights, as HuggingFace's own ``save_pretrained`` does.

    All tensors get the dtype of the word embeddings. The tokenizer is not the model's: save it with its own
    ``save_pretrained``. ``max_shard_bytes`` limits the tensors in one file. Raises FileExistsError if the directory
    holds weights or a config.json already, ValueError if the model holds slices or no data, or is quantized.
    """
    tensors = _tensors(model, family)
    files = split_into_files(tensors, max_shard_bytes, {"format": "pt"})
    root = Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    if present := sorted(e.name for e in root.iterdir() if e.name == CONFIG_NAME or ".safetensors" in e.name):
        advice = "nothing is written over another checkpoint; name another directory"
        raise FileExistsError(f"{root} already holds {present[0]}: {advice}")
    for file in files:
        file.write(root, lambda _: None)
    small = index_bytes(files) | {GENERATION_CONFIG_NAME: json_bytes(generation_settings(model))}
    # Last, since a directory without it is no checkpoint to anyone.
    small[CONFIG_NAME] = json_bytes(_config(model, family, tensors[0].dtype))
    for name, content in small.items():
        write_small(root / name, content)
    sync_directory(root)


def _tensors(model: Any, family: Family) -> list[NewTensor]:
    """Return the model's tensors in the order of their names, each made only when it is written."""
    shared = parallelism()
    # Data-parallel ranks each hold a dense model whole; of a mixture they share the experts.
    if (ranks := shared.tensor * shared.pipeline * (shared.data if family.router else 1)) > 1:
        holds = f"this model is shared by {ranks} ranks, and this one holds a part of it"
        raise ValueError(f"{holds}: only a model on one rank can be saved")
    parameters = network_parameters(model)
    if empty := next((name for name, parameter in parameters.items() if parameter.has_init), None):
        raise ValueError(f"{empty} holds no data, as nothing was loaded yet: there is nothing to save")
    dtype = str(next(iter(parameters.values())).dtype).lower()
    shapes = family.expected_tensors(family.dims_of(vars(model.config)))
    nowhere = {name: TensorInfo(name, "F32", shape, Path(), 0, 0) for name, shape in shapes.items()}
    try:
        entries = plan(model, nowhere, family).parameters
    except PlanNotPossible as reason:
        raise ValueError(f"this model can't be saved for HuggingFace: {reason}") from reason
    tensors = [_tensor(parameters[entry.name], copy, dtype) for entry in entries for copy in entry.copies]
    return sorted(tensors, key=lambda tensor: tensor.name)


def _tensor(parameter: Parameter, copy: SliceCopy, dtype: str) -> NewTensor:
    def make() -> Iterator[Array]:
        held = copy.target_in(to_numpy(parameter).reshape(-1))
        yield np.ascontiguousarray(cast_like_numpy(held, TARGET_DTYPES[dtype]))

    return NewTensor(copy.tensor.name, STORED_NAMES[dtype], copy.tensor.shape, make)


def _config(model: Any, family: Family, stored: str) -> dict[str, Any]:
    names = sorted({*family.schema.fields, "bos_token_id", "eos_token_id", "pad_token_id"})
    said = {name: getattr(model.config, name, None) for name in names}
    return {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        **{name: value for name, value in said.items() if value is not None},
        "attention_bias": False,
        "rope_scaling": getattr(model.config, "rope_scaling", None),
        "sliding_window": None,
        "torch_dtype": DTYPE_NAMES[stored],
        "use_cache": True,
        "use_sliding_window": False,
    }
