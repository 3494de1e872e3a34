"""A model in memory becomes a HuggingFace Qwen3 directory: what ``save_pretrained`` writes.

The plan by which a checkpoint is loaded says where in each Parameter each tensor is. Here it is read the other way
round.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Parameter

from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES, TensorInfo
from mf_qwen3_patch.checkpoint.files.strict_json import json_bytes
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import index_bytes, write_small
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import NewTensor, split_into_files, sync_directory
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.loading.generation_config import GENERATION_CONFIG_NAME, generation_settings
from mf_qwen3_patch.loading.runtime.context import tensor_parallel_size
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.runtime.parameters import to_numpy
from mf_qwen3_patch.loading.transfer.cast import TARGET_DTYPES, Array, cast_like_numpy
from mf_qwen3_patch.loading.transfer.plan import SliceCopy
from mf_qwen3_patch.loading.transfer.planner import plan
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible

_METADATA = {"format": "pt"}
_STORED = {name: stored for stored, name in DTYPE_NAMES.items()}


def save_pretrained(
    model: Any, directory: str | os.PathLike[str], family: Family, *, max_shard_bytes: int | None = None
) -> None:
    """Write config.json, generation_config.json and the weights, as HuggingFace's own ``save_pretrained`` does.

    All tensors get the dtype of the word embeddings. The tokenizer is not the model's: save it with its own
    ``save_pretrained``. The directory is made if it is not there, and must hold no weights and no config.json yet;
    ``max_shard_bytes`` limits the tensors in one file.

    Raises:
        FileExistsError: There is a checkpoint already.
        ValueError: The model holds slices of the parameters, is quantized, or holds no data.
        OSError: The disk is full or can't be written.
    """
    tensors = tuple(_tensors(model, family))
    files = split_into_files(tensors, max_shard_bytes, _METADATA)
    root = Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    present = sorted(e.name for e in root.iterdir() if e.name == CONFIG_NAME or ".safetensors" in e.name)
    if present:
        raise FileExistsError(
            f"{root} already holds {present[0]}: nothing is written over another checkpoint; name another directory"
        )
    for file in files:
        file.write(root, lambda _: None)
    small = index_bytes(files) | {GENERATION_CONFIG_NAME: json_bytes(generation_settings(model))}
    # Last, since a directory without it is no checkpoint to anyone.
    small[CONFIG_NAME] = json_bytes(_config(model, family, tensors[0].dtype))
    for name, content in small.items():
        write_small(root / name, content)
    sync_directory(root)


def _tensors(model: Any, family: Family) -> Iterator[NewTensor]:
    """Yield the model's tensors in the order of their names, each made only when it is written."""
    if tensor_parallel_size() > 1:
        raise ValueError(
            f"this model holds one of {tensor_parallel_size()} tensor-parallel slices of its parameters: only a model "
            "on one rank can be saved"
        )
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
    sources = {copy.tensor.name: (parameters[entry.name], copy) for entry in entries for copy in entry.copies}
    for name in sorted(sources):
        yield _tensor(*sources[name], dtype)


def _tensor(parameter: Parameter, copy: SliceCopy, dtype: str) -> NewTensor:
    def make() -> Iterator[Array]:
        held = copy.target_in(to_numpy(parameter).reshape(-1))
        yield np.ascontiguousarray(cast_like_numpy(held, TARGET_DTYPES[dtype]))

    return NewTensor(copy.tensor.name, _STORED[dtype], copy.tensor.shape, make)


def _config(model: Any, family: Family, stored: str) -> dict[str, Any]:
    ids = ("bos_token_id", "eos_token_id", "pad_token_id")
    said = {name: getattr(model.config, name, None) for name in (*family.schema.fields, *ids)}
    return {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        **{name: value for name, value in sorted(said.items()) if value is not None},
        "attention_bias": False,
        "rope_scaling": getattr(model.config, "rope_scaling", None),
        "sliding_window": None,
        "torch_dtype": DTYPE_NAMES[stored],
        "use_cache": True,
        "use_sliding_window": False,
    }
