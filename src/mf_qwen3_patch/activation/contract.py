"""The names of MindSpore and MindFormers that the shim relies upon, in one list.

The names are looked up, and their parameters compared, by ``status --contract`` and by the test suite on every
release of the matrix: a new release that changes one of them breaks one readable line first, not a
load somewhere.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Symbol:
    """One name of upstream's that the shim calls, wraps or replaces.

    Attributes:
        module: Where it is.
        name: Its name there; dots lead into a class.
        used_for: What for.
        parameters: What it takes in each release that is known, newest last; a name with ``=`` has a default.
            Empty: only that it is there matters.
    """

    module: str
    name: str
    used_for: str
    parameters: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The module and the name."""
        return f"{self.module}:{self.name}"


@dataclass(frozen=True)
class Finding:
    """The state of one symbol in the installed release.

    Attributes:
        symbol: Which one.
        kept: Whether it is there and takes what a known release takes.
        found: What it takes here; why it is not there; or "there".
    """

    symbol: Symbol
    kept: bool
    found: str

    def __str__(self) -> str:
        """Return one line: the symbol and, if it has changed, what was expected and what is there."""
        if self.kept:
            return f"{self.symbol.path} ({self.symbol.used_for})"
        expected = " or ".join(f"({known})" for known in self.symbol.parameters) or "there"
        return f"{self.symbol.path} ({self.symbol.used_for}): expected {expected}, found {self.found}"


def check_contract() -> tuple[Finding, ...]:
    """Look up every symbol in what is installed; imports mindspore and mindformers.

    While the patches are applied some of it is the shim's own: call ``deactivate()`` before.
    """
    return tuple(_look_up(symbol) for symbol in CONTRACT)


def parameters_of(value: Any) -> str:
    """Return the names of what a callable takes: ``"self, weights_path=, *args, **kwargs"``."""
    marks: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(
        marks.get(parameter.kind, "") + name + ("" if parameter.default is parameter.empty else "=")
        for name, parameter in inspect.signature(value).parameters.items()
    )


def _look_up(symbol: Symbol) -> Finding:
    try:
        module: ModuleType = importlib.import_module(symbol.module)
        value = functools.reduce(getattr, symbol.name.split("."), module)
    except (ImportError, AttributeError) as error:
        return Finding(symbol, False, f"{type(error).__name__}: {error}")
    if not symbol.parameters:
        return Finding(symbol, True, "there")
    try:
        found = parameters_of(value)
    except (TypeError, ValueError) as error:
        return Finding(symbol, False, f"nothing that can be called: {error}")
    return Finding(symbol, found in symbol.parameters, f"({found})")


_MODELS = "mindformers.models"
_PARALLEL = "mindformers.parallel_core"
_LAYERS = f"{_PARALLEL}.inference.tensor_parallel.layers"
_GROUPED_LAYERS = f"{_PARALLEL}.inference.tensor_parallel.grouped_layers"

_LOAD_CHECKPOINT = (
    "ckpt_file_name, net=, strict_load=, filter_prefix=, dec_key=, dec_mode=, specify_prefix=, choice_func=, "
    "crc_check=, remove_redundancy=, format="
)

# By module: name, purpose, and what it takes in each known release.
_SYMBOLS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "mindspore.train.serialization": (("load_checkpoint", "wrapped", _LOAD_CHECKPOINT),),
    "mindspore": (
        ("get_context", "which device it is", "attr_key"),
        ("get_seed", "the values of parameters that start anew", ""),
        ("Parameter.set_data", "hands loaded memory over", "self, data, slice_shape="),
        ("Tensor.from_numpy", "adopts memory without a copy", "array"),
        ("runtime.launch_blocking", "the CPU kernels: no pipeline to wait for", ""),
    ),
    "mindspore.context": (("_context", "the mode that a script has set", ""),),
    "mindspore.common.np_dtype": (("bfloat16", "numpy's bfloat16"),),
    "mindspore.common.initializer": (("initializer", "lazy embeddings", "init, shape=, dtype="),),
    "mindspore.nn.utils": (("no_init_parameters", "builds without filling"),),
    "mindspore.communication": (
        ("GlobalComm", "the world group, on the CPU"),
        ("get_group_size", "the world group, on the CPU", "group="),
    ),
    "mindformers": (("build_context", "a context for scripts without one", "config"),),
    "mindformers.core.context.build_context": (
        ("Context", "whether there is a context"),
        ("Context.is_exists", "whether there is a context", ""),
        ("is_legacy_model", "which code path generate takes", ""),
        ("Context.reset_instance", "undoes a failed build", ""),
        ("MFContextOperator", "which code path generate takes"),
        ("MFContextOperator.reset_instance", "undoes a failed build", ""),
        ("MFContextOperator.get_mf_ctx_instance", "whether there is a context", ""),
    ),
    "mindformers.tools.logger": (("logger", "log lines"),),
    "mindformers.tools.utils": (("is_pynative", "eager mode", ""),),
    "mindformers.version_control": (("is_310p", "leaves such devices to stock; their dtypes", ""),),
    f"{_MODELS}.auto.configuration_auto": (
        ("AutoConfig", "patched"),
        ("AutoConfig.from_pretrained", "wrapped", "yaml_name_or_path, **kwargs"),
        ("CONFIG_MAPPING", "steps aside if qwen3 is in it"),
    ),
    f"{_MODELS}.auto.modeling_auto": (
        ("AutoModel", "patched"),
        ("AutoModel.from_pretrained", "wrapped", "*model_args, **kwargs"),
        ("AutoModelForCausalLM", "patched"),
        ("AutoModelForCausalLM.from_pretrained", "wrapped", "*model_args, **kwargs"),
    ),
    f"{_MODELS}.auto.tokenization_auto": (
        ("AutoTokenizer", "patched"),
        ("AutoTokenizer.from_pretrained", "wrapped", "yaml_name_or_path, *args, **kwargs"),
        ("tokenizer_class_from_name", "steps aside if it finds Qwen3's tokenizer", "class_name"),
    ),
    f"{_MODELS}.build_config": (("merge_model_config", "replaced: the launcher's", "pretrain_model_dir, config"),),
    f"{_MODELS}.modeling_utils": (
        ("PreTrainedModel", "the base of the classes that are patched"),
        ("PreTrainedModel.from_pretrained", "wrapped", "pretrained_model_name_or_dir, *model_args, **kwargs"),
        ("PreTrainedModel.save_pretrained", "wrapped", "self, save_directory, save_name=, **kwargs"),
    ),
    f"{_MODELS}.qwen3.configuration_qwen3": (("Qwen3Config", "built"),),
    f"{_MODELS}.qwen3.utils": (
        ("Qwen3PreTrainedModel", "patched"),
        ("Qwen3PreTrainedModel.weight_mapping", "the names of the weights"),
    ),
    f"{_MODELS}.qwen3.modeling_qwen3_infer": (("InferenceQwen3ForCausalLM", "built and patched", "config"),),
    f"{_MODELS}.qwen3.modeling_qwen3_train": (
        ("TrainingQwen3ForCausalLM.convert_weight_dict", "converts", "self, source_dict, **kwargs"),
        ("TrainingQwen3ForCausalLM.convert_map_dict", "converts an index", "self, hf_name_map_dict, **kwargs"),
    ),
    f"{_MODELS}.qwen3_moe.configuration_qwen3_moe": (("Qwen3MoeConfig", "built"),),
    f"{_MODELS}.qwen3_moe.utils": (
        ("Qwen3MoePreTrainedModel", "patched"),
        ("Qwen3MoePreTrainedModel.weight_mapping", "the names of the weights"),
    ),
    f"{_MODELS}.qwen3_moe.modeling_qwen3_moe_infer": (("InferenceQwen3MoeForCausalLM", "built and patched"),),
    f"{_MODELS}.qwen3_moe.modeling_qwen3_moe_train": (
        ("TrainingQwen3MoeForCausalLM.convert_weight_dict", "converts"),
        ("TrainingQwen3MoeForCausalLM.convert_map_dict", "converts an index"),
    ),
    "mindformers.generation.text_generator": (
        ("GenerationMixin", "patched"),
        ("GenerationMixin._incremental_infer_mcore", "wrapped", "self, model_inputs, prefill, gather_decode="),
        ("GenerationMixin.generate", "wrapped"),
    ),
    "mindformers.generation": (("GenerationConfig", "made of generation_config.json", "**kwargs"),),
    "mindformers.generation.logits_process": (("run_using_numpy", "sampling, on the CPU", ""),),
    f"{_PARALLEL}.inference.model_utils": (
        ("InferModelMixin", "patched"),
        ("InferModelMixin.set_dynamic_inputs", "wrapped", "self, **kwargs"),
        ("InferModelMixin.load_weights", "replaced", "self, weights_path=, weights="),
        ("InferModelMixin._safetensors_weights_iterator", "loads with stock", "self, weights_files"),
        ("InferModelMixin.generate_mapping", "loads with stock", "self"),
        ("InferModelMixin.check_hf_weight", "loads with stock", "self, weights_files=, weights="),
        ("InferModelMixin.process_weights_after_loading", "loads with stock", "self, root, name_prefix="),
    ),
    f"{_PARALLEL}.inference.parallel_state": (
        ("get_tensor_model_parallel_rank", "which slices are ours", ""),
        ("get_tensor_model_parallel_world_size", "which slices are ours", ""),
        ("get_pipeline_model_parallel_world_size", "must be 1", ""),
        ("ProcessGroup.__init__", "the world group, on the CPU", "self, group=, global_ranks=, size=, rank="),
        ("_TENSOR_MODEL_PARALLEL_GROUP", "builds layers as another rank has them"),
    ),
    _LAYERS: (
        ("ColumnParallelLinear", "slices"),
        ("RowParallelLinear", "slices"),
        ("ReplicatedLinear", "slices"),
        ("VocabParallelEmbedding", "slices"),
        ("MergedColumnParallelLinear", "slices"),
        ("QKVParallelLinear", "slices"),
        ("UnquantizedLinearMethod", "tells quantized layers"),
        ("UnquantizedEmbeddingMethod", "tells quantized layers", ""),
    ),
    _GROUPED_LAYERS: (
        ("ColumnParallelGroupedLinear", "slices of experts"),
        ("RowParallelGroupedLinear", "slices of experts"),
        ("UnquantizedGroupedLinearMethod", "tells quantized experts"),
    ),
    f"{_PARALLEL}.inference.transformer.moe.router": (("TopKRouter", "whole on every rank"),),
    f"{_PARALLEL}.process_group_config": (("default_model_comm_pgs", "layers as another rank has them"),),
    f"{_PARALLEL}.transformer_config_utils": (
        ("convert_to_transformer_config", "its errors are forgotten"),
        ("COMMON_CONFIG_MAPPING", "which config fields there are"),
        ("DEFAULT_WHITE_KEY", "which config fields there are"),
    ),
    f"{_PARALLEL}.inference.base_models.common.embeddings.rope_utils": (("_ROPE_DICT", "yarn's angles are forgotten"),),
    f"{_PARALLEL}.utils.model_mixin": (
        ("ModelMixin", "has the stubs that raise"),
        ("ModelMixin.convert_weight_dict", "the stub that raises", "source_dict, **kwargs"),
        ("TrainModelMixin", "merges Q|K|V and gate|up"),
    ),
    "mindformers.utils.load_checkpoint_utils": (("Process", "replaced: converts files in a child"),),
    "mindformers.utils.safetensors.convert_safetensors": (
        ("Process", "replaced: converts files in a child"),
        ("save_file", "replaced: writes converted files", "tensor_dict, filename, metadata="),
    ),
}

CONTRACT = tuple(
    Symbol(module, name, used_for, tuple(parameters))
    for module, symbols in _SYMBOLS.items()
    for name, used_for, *parameters in symbols
)
