"""The keywords of ``from_pretrained``: the config's fields among them, and those that only transformers has."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from mf_qwen3_patch._display import short_repr
from mf_qwen3_patch._nearest import did_you_mean
from mf_qwen3_patch.checkpoint.location.resolve import LOCATION_KEYWORDS
from mf_qwen3_patch.families.config_schema import ALIASES
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.loading.runtime.log import say, warn

_MEANINGLESS = frozenset(
    {"_commit_hash", "_fast_init", "_from_auto", "_from_pipeline", "code_revision", "download_checkpoint"}
    | {"low_cpu_mem_usage", "mirror", "offload_buffers", "offload_folder", "offload_state_dict", "resume_download"}
    | {"weights_only"}
)
"""Say how transformers shall do what is done otherwise here, with the same result; dropped silently."""

_MINDSPORES = {
    "attn_implementation": "MindFormers has its own attention",
    "device_map": "MindSpore puts the model on its context's device, and tensor parallelism spreads it over ranks",
    "max_memory": "MindSpore's context has max_device_memory",
    "use_flash_attention_2": "MindFormers has its own attention",
}
"""Say what MindSpore's context says here; dropped with a line in the log."""

_REFUSED = {
    **dict.fromkeys(
        ("adapter_kwargs", "adapter_name"),
        "an adapter is a directory that is merged: adapter=...",
    ),
    **dict.fromkeys(("from_flax", "from_tf", "gguf_file"), "only safetensors are loaded"),
    **dict.fromkeys(("load_in_4bit", "load_in_8bit", "quantization_config"), "nothing is quantized while it is loaded"),
    "key_mapping": "tensors go by HuggingFace's names of Qwen3",
    "proxies": "set HTTPS_PROXY, which huggingface_hub follows",
    "return_unused_kwargs": "a model uses every keyword or refuses it; AutoConfig.from_pretrained returns the others",
    "state_dict": "weights are loaded from files; for a dict there are convert_weight_dict and load_param_into_net",
    "tp_plan": "tensor parallelism is MindFormers': start with msrun",
}
"""Ask for what is not done here; an error unless they have transformers' default."""

_FALSE: tuple[Any, ...] = (None, False, {}, "default")

DTYPE_KEYWORDS = ("dtype", "torch_dtype", "ms_dtype")
"""The dtype of the parameters: transformers' newer and older name, and MindFormers'."""

_OF_MODELS = ("config", "dequantize", "generation_config", "ignore_mismatched_sizes", "output_loading_info")
_BY_NAME = (*_OF_MODELS, *DTYPE_KEYWORDS, "trust_remote_code", *LOCATION_KEYWORDS)


def config_overrides(keywords: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Return the fields of the model's config among the keywords of a ``from_pretrained`` call.

    Those that say where the model is are passed over. Raises TypeError if there is no such keyword, ValueError if
    transformers has it, but it asks for what is not done here.
    """
    overrides: dict[str, Any] = {}
    known: set[str] = set()
    for name, value in keywords.items():
        if name in _MEANINGLESS or name in LOCATION_KEYWORDS:
            continue
        if name in _MINDSPORES:
            if value not in _FALSE:
                say("%s=%r is not used: %s", name, value, _MINDSPORES[name])
        elif name in _REFUSED:
            if value not in _FALSE:
                raise ValueError(f"{name}={short_repr(value)} can't be done here: {_REFUSED[name]}")
        elif name == "use_safetensors":
            if value is False:
                raise ValueError("use_safetensors=False can't be done here: only safetensors are loaded")
        else:
            known = known or _config_keys(family)
            if name not in known:
                raise TypeError(_unknown(name, family, known))
            overrides[name] = value
    return overrides


def refuse_beside_config(overrides: Mapping[str, Any]) -> None:
    """Raise TypeError if there are fields beside a whole config."""
    if overrides:
        raise TypeError(f"config= and {', '.join(overrides)} are both given: set the field in the config")


def take_unused(keywords: dict[str, Any], family: Family) -> dict[str, Any]:
    """Remove the keywords that are no fields of a config, and return them: ``return_unused_kwargs`` of transformers."""
    used = {*_config_keys(family), *LOCATION_KEYWORDS, *_MEANINGLESS}.difference(_MINDSPORES, _REFUSED)
    return {name: keywords.pop(name) for name in [*keywords] if name not in used}


def requested_dtype(*by_name: Any) -> Any:
    """Return the dtype that a call asks for, which has the names of ``DTYPE_KEYWORDS``; the first that is given."""
    return next((dtype for dtype in by_name if dtype is not None), None)


def warn_of_remote_code(trust_remote_code: bool | None) -> None:
    """Warn of the keyword if it is set: it changes nothing."""
    if trust_remote_code:
        warn(["trust_remote_code=True is not needed: no code of a checkpoint is ever run, Qwen3 is MindFormers' own"])


def _unknown(name: str, family: Family, known: Collection[str]) -> str:
    meant = did_you_mean(name, [*_BY_NAME, *known])
    return (
        f"from_pretrained() got an unexpected keyword argument {name!r}{meant}\n"
        f"  known: {', '.join(sorted(_BY_NAME))}\n"
        f"  config fields: {', '.join(family.schema.fields)}, and MindFormers' own (seq_length, compute_dtype, ...)"
    )


def _config_keys(family: Family) -> set[str]:
    """Return the keys that a config of that family may have: HuggingFace's, and all that MindFormers converts."""
    from mindformers.parallel_core.transformer_config_utils import COMMON_CONFIG_MAPPING, DEFAULT_WHITE_KEY

    schema, config = family.schema, family.load(family.config_class)
    keys = {*schema.fields, *schema.neutral, *schema.harmless, *ALIASES, *DEFAULT_WHITE_KEY}
    keys |= {"rope_scaling", "rope_parameters", "layer_types"} | config().to_dict().keys()
    keys |= inspect.signature(config.__init__).parameters.keys() - {"self", "kwargs"}
    for key in COMMON_CONFIG_MAPPING:
        keys.update(key if isinstance(key, tuple) else (key,))
    return keys
