"""generation_config.json becomes the model's generation config, as with transformers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindformers.generation import GenerationConfig

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.location.resolve import with_adapter
from mf_qwen3_patch.checkpoint.reading.read_file import read_bounded
from mf_qwen3_patch.checkpoint.reading.strict_json import parse_object
from mf_qwen3_patch.errors import CheckpointError
from mf_qwen3_patch.loading.runtime.log import warn
from mf_qwen3_patch.loading.runtime.network import build_config

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
    **dict.fromkeys(("early_stopping", "remove_invalid_values", "token_healing"), (False,)),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), (0,)),
    **dict.fromkeys(("min_p", "presence_penalty", "frequency_penalty", "diversity_penalty"), (0,)),
    **dict.fromkeys(("length_penalty", "num_return_sequences", "typical_p", "num_beam_groups", "guidance_scale"), (1,)),
    "penalty_alpha": (0,),
    "suppress_tokens": ([],),
}
# Settings that MindFormers has, but that do nothing there, or nothing good, unless they are this.
_BROKEN: dict[str, Any] = {"num_beams": 1}
_SAMPLING = ("do_sample", "repetition_penalty", "temperature", "top_k", "top_p")
# Settings that only matter where another does, which is warned of itself.
_OF_BEAMS = frozenset({"early_stopping", "length_penalty", "num_beam_groups", "diversity_penalty"})
_OF_ASSISTANTS = frozenset(
    {"num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"}
    | {"prompt_lookup_num_tokens", "max_matching_ngram_size", "assistant_lookbehind", "target_lookbehind"}
    | {"is_assistant", "prefill_chunk_size"}
)


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

    What the file does not say stays what MindFormers took from the model's config, but for what ends an answer.
    Returns warnings: the file is damaged and was not used, says nothing of ends, or has settings that MindFormers'
    ``generate`` does not have.
    """
    found, warnings = _read(Path(directory), vars(model.generation_config))
    if found is not None:
        model.generation_config = found
    return warnings


def load_generation_config(directory: str | os.PathLike[str]) -> Any:
    """Return the generation config of a Qwen3 directory, or of an adapter's base model, as ``load_pretrained`` sets it.

    Raises a CheckpointError if config.json can't be read.
    """
    source = with_adapter(directory)
    config = normalize(source.config(), family=source.family)
    by_config = GenerationConfig.from_model_config(build_config(config.values, config.family))
    found, warnings = _read(source.path, vars(by_config))
    warn(warnings)
    return by_config if found is None else found


def _read(directory: Path, before: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """Return the generation config that a sound file makes of the one ``before``, else None; and warnings."""
    path = directory / GENERATION_CONFIG_NAME
    if not path.is_file():
        return None, ()
    try:
        raw = parse_object(read_bounded(path, path.name), file=path.name, what=path.name, advice="download it again")
    except CheckpointError as error:
        return None, (f"{path.name} is not used, generation goes by config.json: {error.problems[0].summary}",)
    beams = raw.get("num_beams") not in (None, 1)
    settings = before.keys() - _SILENT - {name for name, value in _BROKEN.items() if raw.get(name) not in (None, value)}
    # null is "not set"; MindFormers has its own default then.
    given = {name: value for name, value in raw.items() if name in settings and value is not None}
    default = vars(GenerationConfig())
    # transformers: beside this file, what config.json says of sampling does not count.
    sampling = {name: default[name] for name in _SAMPLING}
    eos, unsaid = _ends(raw, before)
    config = GenerationConfig(**{**before, **sampling, "_from_model_config": False, **given, **eos})
    if raw.get("pad_token_id") is None and config.eos_token_id:
        config.pad_token_id = config.eos_token_id[0]  # as transformers does; stock would take 0, which is a word
    lost = sorted(
        f"{name}: {short_json(value)}"
        for name, value in raw.items()
        if name not in settings | _SILENT | _OF_ASSISTANTS | (frozenset() if beams else _OF_BEAMS)
        and value not in (None, [], *_NEUTRAL.get(name, ()))
    )
    warning = f"{path.name} has settings that MindFormers' generate() does not have, ignored: {', '.join(lost)}"
    return config, (*unsaid, *([warning] if lost else []))


def _ends(raw: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the ``eos_token_id`` of a file that names none, and a warning if config.json has one.

    Beside the file transformers does not look into config.json, but for a file that transformers 4 has derived from it.
    """
    known = before["eos_token_id"]
    if raw.get("eos_token_id") is not None or not known:
        return {}, []
    derived = raw.get("_from_model_config") is True
    outcome = (
        "transformers 4 then goes by config.json, and so does this, transformers 5 by the length alone"
        if derived
        else "as with transformers, nothing but the length ends an answer"
    )
    shown = known[0] if len(known) == 1 else known
    warning = (
        f"{GENERATION_CONFIG_NAME} names no eos_token_id: {outcome}; config.json has {short_json(shown)}: put it into "
        f"{GENERATION_CONFIG_NAME}, or pass it to generate()"
    )
    return {} if derived else {"eos_token_id": []}, [warning]
