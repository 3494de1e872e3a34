"""MindFormers' config of a HuggingFace Qwen3 directory, whichever transformers release wrote its config.json."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mf_qwen3_patch.checkpoint.checks.rotary_tables import rotary_tables
from mf_qwen3_patch.checkpoint.config.normalize import NormalizedConfig, normalize
from mf_qwen3_patch.checkpoint.config.overrides import KEYWORD_ARGUMENT, apply_overrides
from mf_qwen3_patch.checkpoint.files.directory import Directory
from mf_qwen3_patch.checkpoint.location.resolve import Location, with_adapter
from mf_qwen3_patch.errors import error_for
from mf_qwen3_patch.loading.keywords import (
    DTYPE_KEYWORDS,
    config_overrides,
    requested_dtype,
    take_unused,
    warn_of_remote_code,
)
from mf_qwen3_patch.loading.runtime.context import device_kind
from mf_qwen3_patch.loading.runtime.dtypes import DtypeChoice, choose_dtypes
from mf_qwen3_patch.loading.runtime.log import say, warn
from mf_qwen3_patch.loading.runtime.network import build_config
from mf_qwen3_patch.loading.runtime.room import refuse_without_room
from mf_qwen3_patch.settings import is_training_run

_YAML = "the YAML's model_config"
_DEFAULT_SEQ_LENGTH = 4096  # stock's own, by which it sizes its key/value bookkeeping
# Of the key/value cache: 32,768 tokens, which is all that stock allocates whatever the seq_length.
_STOCK_BLOCK_SIZE, _STOCK_NUM_BLOCKS = 32, 1024


def load_config(name: str | os.PathLike[str] | Location, **keywords: Any) -> Any:
    """Make MindFormers' config object from the config.json of a HuggingFace Qwen3 directory or a hub ID.

    The keywords are those of ``load_pretrained``: where the directory is, ``torch_dtype`` or ``dtype``, and config
    fields; so are the errors, and the dtypes that it would choose. With ``return_unused_kwargs`` keywords that are none
    of these are no error: a pair of the config and them is returned.
    """
    warn_of_remote_code(keywords.pop("trust_remote_code", None))
    directory = Location.of(name, keywords).find(config_only=True)
    requested = requested_dtype(*(keywords.pop(key, None) for key in DTYPE_KEYWORDS))
    returns_unused = keywords.pop("return_unused_kwargs", False)
    config = normalize(directory.config(), family=directory.family)
    unused = take_unused(keywords, config.family) if returns_unused else {}
    overrides = config_overrides(keywords, config.family)
    settled, choice = _settle(config, overrides, KEYWORD_ARGUMENT, directory, requested)
    built = build_config(with_defaults(settled.values, choice), config.family)
    return (built, unused) if returns_unused else built


def merge_model_config(
    directory: str | os.PathLike[str] | Directory, given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Merge a YAML's ``model_config`` into config.json, as stock's function of the same name does for its launcher.

    Returns the keys that MindFormers' config is made from. What the YAML says goes over config.json; where it says no
    dtypes they are chosen as by ``load_pretrained``; but for training they are MindFormers' own. Raises a
    CheckpointError if either is not sound.
    """
    said = dict(given or {})
    source = with_adapter(directory)
    config = normalize(source.config(), family=source.family)
    if is_training_run():
        # The dtypes are MindFormers' own, or the YAML's, and there is no key/value cache.
        return _training_values(config, said, source)
    settled, choice = _settle(config, said, _YAML, source, said.get("torch_dtype"))
    refuse_without_room(rotary_tables(settled.values), source.path)
    warn(settled.warnings)
    if choice.note:
        say(choice.note)
    return with_defaults(settled.values, choice)


def with_defaults(values: Mapping[str, Any], choice: DtypeChoice) -> dict[str, Any]:
    """Return the keys of a config with the dtypes that were chosen, and with room for as long sequences as it asks for.

    Without a ``seq_length`` it is 4096, or the model's ``max_position_embeddings`` if that is less. Without
    ``num_blocks`` the key/value cache has room for ``batch_size`` sequences of that length, and no less than stock's.
    """
    seq_length = values.get("seq_length") or min(_DEFAULT_SEQ_LENGTH, values["max_position_embeddings"])
    block_size = values.get("block_size") or _STOCK_BLOCK_SIZE
    blocks = -(-seq_length // block_size) * (values.get("batch_size") or 1)
    room = {"seq_length": seq_length, "num_blocks": max(_STOCK_NUM_BLOCKS, blocks)}
    return {**room, **values, **choice.values}


def _training_values(config: NormalizedConfig, said: Mapping[str, Any], directory: Directory) -> dict[str, Any]:
    settled = apply_overrides(config, said, _YAML).config
    if settled.problems:
        raise error_for(settled.problems, str(directory.path))
    warn(settled.warnings)
    return settled.values


def _settle(
    config: NormalizedConfig, overrides: Mapping[str, Any], source: str, directory: Directory, requested: Any
) -> tuple[NormalizedConfig, DtypeChoice]:
    settled = apply_overrides(config, overrides, source).config
    if settled.problems:
        raise error_for(settled.problems, str(directory.path))
    dtype = settled.values.get("torch_dtype", "float32")
    return settled, choose_dtypes(dtype, requested, overrides, device=device_kind())
