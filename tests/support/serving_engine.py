"""vllm-mindspore's own code for MindFormers' models, driven without the engine (vLLM, torch) that it is a plugin of.

The engine is not faked: whatever is imported from it is an empty class, and only what the plugin asks for while it
builds and loads a model has a value, as a command line of the engine would set it.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import mindspore
from tests.support.checkpoints import read_json

# Beside the environment's packages, as ``make`` puts it: its wheel has a package ``tests``, which would hide ours.
PLUGIN = Path(sys.prefix) / "vllm-mindspore" / "vllm_mindspore"
_ENGINE = ("vllm", "torch")


class _Empty(type):
    """The class of empty classes, whose attributes are empty classes."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Empty(name, (), {})


class _EmptyModule(ModuleType):
    __path__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, _Empty(name, (), {}))
        return vars(self)[name]


class _Engine:
    """Finds the modules of the engine: empty ones."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in _ENGINE else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _EmptyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""


@contextmanager
def without_engine() -> Iterator[None]:
    """Let the plugin be imported, with empty modules in the engine's place; afterwards nobody sees them."""
    engine = _Engine()
    sys.meta_path.insert(0, engine)  # type: ignore[arg-type]
    # Not its own __init__, which starts the engine.
    package = sys.modules[PLUGIN.name] = ModuleType(PLUGIN.name)
    package.__path__ = [str(PLUGIN)]
    try:
        yield
    finally:
        sys.meta_path.remove(engine)  # type: ignore[arg-type]
        for name, module in list(sys.modules.items()):
            if isinstance(module, _EmptyModule) or name.partition(".")[0] == PLUGIN.name:
                del sys.modules[name]


def load_with_plugin(directory: Path, rank: int = 0, **parallel: int) -> Any:
    """Return the plugin's model of a directory, built and loaded by its own code; the network is its ``network``.

    ``parallel`` are the engine's fields, such as ``pipeline_parallel_size``; this process has the number ``rank``.
    """
    config = _engine_config(directory, parallel)
    module = _import_plugin(config, rank)
    model = module.MindFormersForCausalLM(vllm_config=config)
    model.load_weights(iter(()))
    return model


def _engine_config(directory: Path, parallel: dict[str, int]) -> Any:
    huggingface = SimpleNamespace(**read_json(directory / "config.json"))
    sizes = {f"{kind}_parallel_size": 1 for kind in ("tensor", "pipeline", "data")} | parallel
    enable = bool(sizes.pop("enable_expert_parallel", False))
    stages = sizes["pipeline_parallel_size"]
    return SimpleNamespace(
        model_config=SimpleNamespace(
            model=str(directory),
            hf_config=huggingface,
            hf_text_config=huggingface,
            dtype=mindspore.float32,
            max_model_len=128,
            quantization=None,
            enforce_eager=True,
            use_mla=False,
            get_num_layers=lambda _: huggingface.num_hidden_layers // stages,
            get_num_kv_heads=lambda _: huggingface.num_key_value_heads,
            get_head_size=lambda: huggingface.head_dim,
        ),
        parallel_config=SimpleNamespace(**sizes, enable_expert_parallel=enable),
        cache_config=SimpleNamespace(block_size=32, cache_dtype="auto", enable_prefix_caching=False),
        scheduler_config=SimpleNamespace(enable_chunked_prefill=False),
        compilation_config=SimpleNamespace(level=0, static_forward_context={}),
        additional_config=None,
        lora_config=None,
        load_config=None,
    )


def _import_plugin(config: Any, rank: int) -> Any:
    """Import its module for MindFormers' models, ``without_engine``, and set what that asks the engine for."""
    engine = importlib.import_module
    engine("vllm.logger").init_logger = logging.getLogger
    engine("vllm.utils").T = TypeVar("T")
    engine("vllm.attention.selector").get_attn_backend = lambda *_, **__: None
    engine("vllm.envs").VLLM_PP_LAYER_PARTITION = None
    engine("vllm").envs = engine("vllm.envs")
    engine("vllm.config").get_current_vllm_config = lambda: config
    stages = config.parallel_config.pipeline_parallel_size

    def stage() -> Any:
        number = rank // config.parallel_config.tensor_parallel_size % stages
        return SimpleNamespace(is_first_rank=number == 0, is_last_rank=number == stages - 1)

    engine("vllm.distributed").get_pp_group = engine("vllm.distributed.parallel_state").get_pp_group = stage
    # Its bfloat16 has no kernel on the CPU for an embedding's zeros.
    mapping = engine(f"{PLUGIN.name}.model_executor.models.mf_models.config").MF_MODEL_MAPPING
    mapping.update({name: (None, "float32") for name, (_, value) in mapping.items() if value == "bfloat16"})
    return engine(f"{PLUGIN.name}.model_executor.models.mf_models.mindformers")
