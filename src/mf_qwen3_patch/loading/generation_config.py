"""generation_config.json becomes the model's generation config, as with transformers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mindformers.generation import GenerationConfig

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.checkpoint.files.read_file import read_bounded
from mf_qwen3_patch.checkpoint.files.strict_json import parse_object
from mf_qwen3_patch.errors import CheckpointError

GENERATION_CONFIG_NAME = "generation_config.json"

# What transformers writes beside the settings, and settings that decide how, not what, is generated.
_SILENT = frozenset(
    {"_from_model_config", "assistant_early_exit", "cache_config", "cache_implementation", "compile_config"}
    | {"decoder_start_token_id", "disable_compile", "output_attentions", "output_hidden_states", "return_legacy_cache"}
    | {"transformers_version", "use_cache"}
)
_MINDFORMERS_ONLY = frozenset({"guess_set_size", "level", "parallel_decoding", "use_past", "window_size"})
# Settings that MindFormers does not have, and what they are when they change nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("early_stopping", "remove_invalid_values"), (False,)),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff", "no_repeat_ngram_size"), (0,)),
    **dict.fromkeys(("length_penalty", "num_return_sequences", "typical_p"), (1,)),
}


def generation_settings(model: Any) -> dict[str, Any]:
    """Return what generation_config.json has to say for ``set_generation_config`` to make the same again."""
    default = vars(GenerationConfig())
    names = default.keys() - _SILENT - _MINDFORMERS_ONLY
    return {
        name: value
        for name, value in sorted(vars(model.generation_config).items())
        if name in names and value is not None and value != default[name]
    }


def set_generation_config(model: Any, directory: str | os.PathLike[str]) -> tuple[str, ...]:
    """Set ``model.generation_config`` from a checkpoint's generation_config.json, if it has one.

    What the file does not say stays what MindFormers took from the model's config. Returns warnings: the file is
    damaged and was not used, or has settings that MindFormers' ``generate`` does not have.
    """
    path = Path(directory) / GENERATION_CONFIG_NAME
    if not path.is_file():
        return ()
    try:
        raw = parse_object(read_bounded(path, path.name), file=path.name, what=path.name, advice="download it again")
    except CheckpointError as error:
        return (f"{path.name} is not used, generation goes by config.json: {error.problems[0].summary}",)
    before = vars(model.generation_config)
    settings = before.keys() - _SILENT
    # null is "not set"; MindFormers has its own default then.
    given = {name: value for name, value in raw.items() if name in settings and value is not None}
    model.generation_config = GenerationConfig(**{**before, "_from_model_config": False, **given})
    lost = sorted(
        f"{name}: {short_json(value)}"
        for name, value in raw.items()
        if name not in settings | _SILENT and value not in (None, [], *_NEUTRAL.get(name, ()))
    )
    warning = f"{path.name} has settings that MindFormers' generate() does not have, ignored: {', '.join(lost)}"
    return (warning,) if lost else ()
