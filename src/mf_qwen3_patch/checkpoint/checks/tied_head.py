"""An output layer that is stored although the config ties it to the embedding."""

from __future__ import annotations

from collections.abc import Mapping

from mf_qwen3_patch.checkpoint.checks.inferred_dims import Comparison
from mf_qwen3_patch.checkpoint.config.overrides import KEYWORD_ARGUMENT
from mf_qwen3_patch.checkpoint.files.compare import same_bytes
from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.errors import CheckpointError, ConfigMismatch, Problem

_FIELD = "tie_word_embeddings"


def tied_head(compared: Comparison, overrides: Mapping[str, object], source: str) -> tuple[list[Problem], list[str]]:
    """Report a stored head that is not the embedding: transformers 4 leaves it out, transformers 5 uses it.

    One with the embedding's own values changes nothing, and nothing is said of it. Where an override says that the
    model is tied, that is the answer already; the config of a model that is built is warned of instead.
    """
    family, tensors = compared.config.family, compared.checkpoint.tensors
    head, embedding = tensors.get(family.head), tensors.get(family.embedding)
    if head is None or embedding is None or not compared.config.dims.tie_word_embeddings:
        return [], []
    decided = overrides.get(_FIELD) is True
    if decided and source == KEYWORD_ARGUMENT:
        return [], []
    if isinstance(head, ComputedTensor) or isinstance(embedding, ComputedTensor):
        difference = f"is stored in another form than {embedding.name}, so that the two are not compared"
    elif (head.dtype, head.shape) != (embedding.dtype, embedding.shape):
        difference = f"has another shape or dtype than {embedding.name}"
    else:
        try:
            if same_bytes(head, embedding, compared.checkpoint.file):
                return [], []
        except CheckpointError as error:
            return list(error.problems), []
        difference = f"has other values than {embedding.name}"
    says = (
        f"{compared.overridden.origin(_FIELD).source} says {_FIELD}: true, but {head.name} is stored and {difference}"
    )
    if decided:
        return [], [f"{says}; the model is built with tied embeddings, so {head.name} is not loaded"]
    problem = Problem(
        ConfigMismatch,
        f"{says}: transformers 4 uses the embedding, transformers 5 uses {head.name}",
        file=head.file.name,
        tensor=head.name,
        field=_FIELD,
        expected=f"no {head.name}, or the same as {embedding.name}",
        found=f"{head.dtype} {list(head.shape)} that differs from {embedding.dtype} {list(embedding.shape)}",
        advice=f"say which is meant: from_pretrained(..., {_FIELD}=False) to use {head.name} (or false in "
        f"config.json), {_FIELD}=True to use the embedding",
    )
    return [problem], []
