"""``from_pretrained`` of MindFormers' Auto classes and of Qwen3's own, on a HuggingFace Qwen3 directory or hub ID.

And ``from_config`` on what ``AutoConfig.from_pretrained`` gives.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import is_huggingface_directory, is_qwen3_directory
from mf_qwen3_patch.checkpoint.files.tokenizer_files import TOKENIZER_CLASS, is_qwen3_tokenizer_directory
from mf_qwen3_patch.checkpoint.location.resolve import Location
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, class_path, resolve
from mf_qwen3_patch.patches.ms_tensors import MS_TENSORS
from mf_qwen3_patch.settings import is_training_run

# What stock's various from_pretrained methods call their first argument.
_PATH_ARGUMENTS = ("pretrained_model_name_or_path", "pretrained_model_name_or_dir", "yaml_name_or_path")
_BASE = "mindformers.models.modeling_utils:PreTrainedModel"
_AUTO = "mindformers.models.auto"
_CONFIG, _MODEL, _TOKENIZER = (f"{_AUTO}.{name}_auto" for name in ("configuration", "modeling", "tokenization"))
# AutoModel inherits the method from a base class, AutoModelForCausalLM has a copy of its own: each needs it.
_MODELS = (f"{_MODEL}:AutoModel", f"{_MODEL}:AutoModelForCausalLM")
_LOAD_MODEL = "loading.pretrained:load_pretrained"


def _patch(
    owner: str, ours: str, answers_for: Callable[[object], bool] = is_qwen3_directory, family: Family | None = None
) -> MethodPatch:
    """Let ``ours``, a function of this package, answer for Qwen3 directories and hub IDs, and stock for the rest.

    ``auto_convert=False``, a training RUN_MODE and the training class of ``family`` mean stock, too; it never sees
    ``auto_convert``. ``answers_for`` judges a directory, or the one that a cache has for a hub ID. It is opened once:
    ``ours`` is called with the location.
    """

    def make(inherited: Any) -> Any:
        stock = inherited.__func__

        @functools.wraps(stock)
        def from_pretrained(cls: type, *args: Any, auto_convert: bool = True, **kwargs: Any) -> Any:
            named = [name for name in _PATH_ARGUMENTS if kwargs.get(name) is not None]
            path = kwargs[named[0]] if named else (args[0] if args else None)
            trains = is_training_run() or (family is not None and cls is family.load(family.training_class))
            if auto_convert and not trains:
                location = Location.of(path, kwargs)
                if location.says_qwen3(answers_for):
                    rest: dict[str, Any] = {} if family is None else {"family": family}
                    rest.update((name, value) for name, value in kwargs.items() if name not in _PATH_ARGUMENTS)
                    answer = resolve(f"mf_qwen3_patch.{ours}")
                    return answer(location, *(args if named else args[1:]), **rest)
            return stock(cls, *args, **kwargs)

        return classmethod(from_pretrained)  # type: ignore[arg-type]

    return MethodPatch(owner, "from_pretrained", make, "" if family is None else _BASE)


def from_config(inherited: Any) -> Any:
    """Build the inference network of a Qwen3 config object; stock knows no class for one."""
    stock = inherited.__func__

    @functools.wraps(stock)
    def from_config(cls: type, config: Any, **kwargs: Any) -> Any:
        if not is_training_run():
            from mf_qwen3_patch.loading.from_config import build_from_config, is_qwen3_config

            if is_qwen3_config(config):
                return build_from_config(config, **kwargs)
        return stock(cls, config, **kwargs)

    return classmethod(from_config)  # type: ignore[arg-type]


def load_tokenizer(*args: Any, **kwargs: Any) -> Any:
    """Make transformers' tokenizer, and let it give MindSpore's tensors; nobody else need import transformers."""
    tokenizer = resolve("mf_qwen3_patch.loading.tokenizer").load_tokenizer(*args, **kwargs)
    AUTO_TOKENIZER.complete()
    return tokenizer


def _known_config() -> str | None:
    known = [model_type for model_type in FAMILIES if model_type in resolve(_CONFIG).CONFIG_MAPPING]
    return f"MindFormers' AutoConfig knows {known[0]} itself" if known else None


def _known_model() -> str | None:
    for cls in map(resolve, _MODELS):
        mapping = cls._model_mapping
        registered = {getattr(config, "model_type", None) for config in mapping._extra_content}
        if known := [name for name in FAMILIES if name in registered.union(mapping._model_mapping)]:
            return f"MindFormers' {cls.__name__} maps {known[0]} itself"
    return None


def _known_tokenizer() -> str | None:
    class_of = resolve(_TOKENIZER).tokenizer_class_from_name
    known = [name for name in (f"{TOKENIZER_CLASS}Fast", TOKENIZER_CLASS) if class_of(name) is not None]
    return f"MindFormers' AutoTokenizer knows {known[0]} itself" if known else None


# Each family's common base has the method and its classes inherit it. These are Qwen3 by name: a directory of another
# model is refused, not passed on.
FROM_PRETRAINED = MethodPatches(
    *(
        _patch(class_path(family, family.base_class), _LOAD_MODEL, is_huggingface_directory, family)
        for family in FAMILIES.values()
    )
)
AUTO_MODEL = MethodPatches(
    *(_patch(cls, _LOAD_MODEL) for cls in _MODELS),
    *(MethodPatch(cls, "from_config", from_config) for cls in _MODELS),
    supports=_known_model,
)
AUTO_CONFIG = MethodPatches(
    _patch(f"{_CONFIG}:AutoConfig", "loading.mindformers_config:load_config"), supports=_known_config
)
AUTO_TOKENIZER = MethodPatches(
    _patch(f"{_TOKENIZER}:AutoTokenizer", "patches.from_pretrained:load_tokenizer", is_qwen3_tokenizer_directory),
    MS_TENSORS,
    supports=_known_tokenizer,
)
