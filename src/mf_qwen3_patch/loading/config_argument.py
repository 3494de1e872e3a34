"""The config that a ``from_pretrained`` call gives over config.json: single fields as keywords, or a whole config."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.config.overrides import KEYWORD_ARGUMENT
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME, Directory
from mf_qwen3_patch.errors import error_for
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.registry import FAMILIES, find_family
from mf_qwen3_patch.loading.mindformers_config import with_defaults
from mf_qwen3_patch.loading.runtime.dtypes import DTYPE_FIELDS, DeviceKind, DtypeChoice
from mf_qwen3_patch.loading.runtime.network import build_config

_CONFIG_ARGUMENT = "the config given as config="


@dataclass(frozen=True)
class GivenConfig:
    """Fields that go over those of config.json, and what they are called in messages."""

    values: Mapping[str, Any]
    source: str = KEYWORD_ARGUMENT
    family: Family | None = None  # of a whole config
    config: Any = None  # MindFormers' object, if one was given

    @classmethod
    def of(cls, given: Any) -> GivenConfig:
        """Read ``config=``: an object or a path; raises TypeError if it is of another kind or model."""
        if isinstance(given, (str, os.PathLike)):
            path = Path(given)
            directory = Directory(path.parent if path.name == CONFIG_NAME else path)
            return cls._from_huggingface(directory.config(), str(path))
        for family in FAMILIES.values():
            if isinstance(given, family.load(family.config_class)):
                return cls(fields_of(given, family), _CONFIG_ARGUMENT, family, given)
        if type(given).__module__.startswith("transformers."):
            return cls._from_huggingface(given.to_dict(), _CONFIG_ARGUMENT)
        raise _no_config(type(given).__name__)

    @classmethod
    def _from_huggingface(cls, raw: Mapping[str, Any], source: str) -> GivenConfig:
        if (family := find_family(raw)) is None:
            raise _no_config(f"{source}, with model_type {short_json(raw.get('model_type'))}")
        config = normalize(raw, source=source, family=family)
        if config.problems:
            raise error_for(config.problems)
        return cls(config.values, source, family)

    @property
    def absent_config(self) -> dict[str, Any] | None:
        """Stand-in for config.json in a directory that has none; None if these are but single fields."""
        return None if self.family is None else {"model_type": self.family.model_type, **self.values}

    def dtypes(self, requested: Any, device: DeviceKind) -> Mapping[str, Any]:
        """Return the fields of the config that ask for dtypes, maybe among others.

        What the call asks for by ``torch_dtype`` goes before an object's ``params_dtype``. On the CPU an object's own,
        made for Ascend, may have no kernels, and the dtypes are chosen as without it.
        """
        if self.family is None:
            return self.values
        if self.config is None or device == "CPU":
            return {}
        names = DTYPE_FIELDS if requested is None else DTYPE_FIELDS[1:]
        return {name: getattr(self.config, name, None) for name in names}

    def build(self, values: Mapping[str, Any], choice: DtypeChoice, family: Family) -> Any:
        """Make the config that the model is built from, of a copy of the object if one was given."""
        if self.config is None:
            return build_config(with_defaults(values, choice), family)
        config = copy.deepcopy(self.config)
        for name, value in choice.values.items():
            setattr(config, name, value)
        return config


def fields_of(config: Any, family: Family) -> dict[str, Any]:
    """Return what a config object of MindFormers says about the weights, by HuggingFace's names of the fields."""
    schema = family.schema
    values = {name: getattr(config, name, None) for name in (*schema.dimensions, *schema.unverifiable)}
    # None would count as not said, but here it means plain embeddings.
    return values | {"rope_scaling": values["rope_scaling"] or {"rope_type": "default"}}


def _no_config(what: str) -> TypeError:
    wanted = f"a Qwen3 config object of MindFormers or transformers, or the path of a {CONFIG_NAME}"
    return TypeError(f"config= must be {wanted}, not {what}")
