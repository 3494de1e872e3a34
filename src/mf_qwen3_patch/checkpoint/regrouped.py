"""Tensors that are saved under another name or in larger groups than HuggingFace's Qwen3 has, seen as that has them.

transformers 5 can save the matrices of all experts of a layer as two tensors, and a tied model may be saved with its
output layer alone. Both hold the very bytes of the tensors that they stand for.
"""

from __future__ import annotations

from dataclasses import replace

from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import Problem, UnsupportedCheckpoint
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.tensors import ModelDims, names_of_role, parse_name, shape_of

_MOST_EXPERTS = 4096


def regrouped(checkpoint: Checkpoint, family: Family, dims: ModelDims) -> Checkpoint:
    """Return the checkpoint with the tensors that a model of the family has; the same if it has them already."""
    return _with_embedding(_with_single_experts(checkpoint, family, dims), family, dims)


def _with_embedding(checkpoint: Checkpoint, family: Family, dims: ModelDims) -> Checkpoint:
    """Take the output layer of a tied model for its embedding, where that is not stored."""
    tensors, embedding = checkpoint.tensors, family.embedding
    head = tensors.get(family.head)
    if head is None or not dims.tie_word_embeddings or embedding in tensors.keys() | checkpoint.lost:
        return checkpoint
    if checkpoint.lost_unknown:  # the embedding may have been in the file that is missing
        return checkpoint
    others = {name: tensor for name, tensor in tensors.items() if name != family.head}
    return replace(checkpoint, tensors={embedding: replace(head, name=embedding), **others})


def _with_single_experts(checkpoint: Checkpoint, family: Family, dims: ModelDims) -> Checkpoint:
    """Take the tensors of all experts apart."""
    names, embedding = checkpoint.names, checkpoint.tensors.get(family.embedding)
    grouped = {name for name, parsed in names.items() if parsed.layer is not None and parsed.role in family.grouped}
    if not grouped:
        return checkpoint
    # Where config.json has another width than the weights, that is its own problem.
    if embedding is not None and len(embedding.shape) == 2:
        dims = replace(dims, hidden_size=embedding.shape[1])
    tensors: dict[str, TensorInfo] = {}
    unusual: list[Problem] = []
    lost = set(checkpoint.lost - grouped)
    for name, tensor in checkpoint.tensors.items():
        parts = _experts(tensor, family, dims) if name in grouped else {name: tensor}
        tensors.update(parts)
        if not parts:
            lost |= _names(name, family, dims)
            unusual.append(_unusual(tensor, family, dims))
    for name in checkpoint.lost & grouped:
        lost |= _names(name, family, dims)
    # One cause is one problem, in however many layers.
    problems = (*checkpoint.problems, *unusual[:1])
    return replace(checkpoint, tensors=tensors, lost=frozenset(lost - tensors.keys()), problems=problems)


def _names(name: str, family: Family, dims: ModelDims) -> set[str]:
    layer, _, role = parse_name(name)
    experts = min(dims.num_experts, _MOST_EXPERTS)
    return {single for part in family.grouped[role] for single in names_of_role(layer or 0, part, experts)}


def _experts(tensor: TensorInfo, family: Family, dims: ModelDims) -> dict[str, TensorInfo]:
    """Return the tensors of single experts; none if the tensor is not stored as transformers does."""
    layer, _, role = parse_name(tensor.name)
    parts = family.grouped[role]
    if len(tensor.shape) != 3 or not tensor.nbytes or tensor.shape[0] > _MOST_EXPERTS:
        return {}
    experts, rows, columns = tensor.shape
    shape = rows // len(parts), columns
    hidden = family.layer_tensors[parts[0]].index("hidden_size")
    if shape[hidden] != dims.hidden_size or rows % len(parts):
        return {}
    nbytes = tensor.nbytes // (experts * len(parts))
    single: dict[str, TensorInfo] = {}
    for number, part in enumerate(parts):
        for expert, name in enumerate(names_of_role(layer or 0, part, experts)):
            offset = tensor.offset + (expert * len(parts) + number) * nbytes
            single[name] = TensorInfo(name, tensor.dtype, shape, tensor.file, offset, nbytes)
    return single


def _unusual(tensor: TensorInfo, family: Family, dims: ModelDims) -> Problem:
    parts = family.grouped[parse_name(tensor.name).role]
    rows, columns = shape_of(family.layer_tensors[parts[0]], dims.axis_sizes())
    return Problem(
        UnsupportedCheckpoint,
        f"{tensor.name} holds the matrices of all experts, but not in the order in which transformers saves them",
        file=tensor.file.name,
        tensor=tensor.name,
        expected=f"{[dims.num_experts, len(parts) * rows, columns]} (experts, rows, columns)",
        found=f"{list(tensor.shape)}",
        advice="load it with the program that saved it, and save it with HuggingFace's save_pretrained()",
    )
