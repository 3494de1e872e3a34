"""The names of MindSpore and MindFormers that the shim relies upon, in one list.

The names are looked up, and their parameters compared, by ``status --contract`` and by the test suite on every
release of the matrix: a new release that changes one of them breaks one readable line first, not a
load somewhere.
"""

from __future__ import annotations

import functools
import importlib
import inspect
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

CONTRACT: tuple[Symbol, ...] = (
    # MindSpore
    Symbol("mindspore.train.serialization", "load_checkpoint", "wrapped", (_LOAD_CHECKPOINT,)),
    Symbol("mindspore", "get_context", "which device it is", ("attr_key",)),
    Symbol("mindspore.context", "_context", "the mode that a script has set", ("",)),
    Symbol("mindspore", "get_seed", "the values of parameters that start anew", ("",)),
    Symbol("mindspore", "Parameter.set_data", "hands loaded memory over", ("self, data, slice_shape=",)),
    Symbol("mindspore", "Tensor.from_numpy", "adopts memory without a copy", ("array",)),
    Symbol("mindspore", "runtime.launch_blocking", "the CPU kernels: no pipeline to wait for", ("",)),
    Symbol("mindspore.common.np_dtype", "bfloat16", "numpy's bfloat16"),
    Symbol("mindspore.common.initializer", "initializer", "lazy embeddings", ("init, shape=, dtype=",)),
    Symbol("mindspore.nn.utils", "no_init_parameters", "builds without filling"),
    Symbol("mindspore.communication", "GlobalComm", "the world group, on the CPU"),
    Symbol("mindspore.communication", "get_group_size", "the world group, on the CPU", ("group=",)),
    # MindFormers: the process
    Symbol("mindformers", "build_context", "a context for scripts without one", ("config",)),
    Symbol("mindformers.core.context.build_context", "Context", "whether there is a context"),
    Symbol("mindformers.core.context.build_context", "Context.is_exists", "whether there is a context", ("",)),
    Symbol("mindformers.core.context.build_context", "is_legacy_model", "which code path generate takes", ("",)),
    Symbol("mindformers.core.context.build_context", "Context.reset_instance", "undoes a failed build", ("",)),
    Symbol("mindformers.core.context.build_context", "MFContextOperator", "which code path generate takes"),
    Symbol(
        "mindformers.core.context.build_context", "MFContextOperator.reset_instance", "undoes a failed build", ("",)
    ),
    Symbol(
        "mindformers.core.context.build_context",
        "MFContextOperator.get_mf_ctx_instance",
        "whether there is a context",
        ("",),
    ),
    Symbol("mindformers.tools.logger", "logger", "log lines"),
    Symbol("mindformers.tools.utils", "is_pynative", "eager mode", ("",)),
    Symbol("mindformers.version_control", "is_310p", "leaves such devices to stock; their dtypes", ("",)),
    # MindFormers: the auto classes
    Symbol(f"{_MODELS}.auto.configuration_auto", "AutoConfig", "patched"),
    Symbol(
        f"{_MODELS}.auto.configuration_auto", "AutoConfig.from_pretrained", "wrapped", ("yaml_name_or_path, **kwargs",)
    ),
    Symbol(f"{_MODELS}.auto.configuration_auto", "CONFIG_MAPPING", "steps aside if qwen3 is in it"),
    Symbol(f"{_MODELS}.auto.modeling_auto", "AutoModel", "patched"),
    Symbol(f"{_MODELS}.auto.modeling_auto", "AutoModel.from_pretrained", "wrapped", ("*model_args, **kwargs",)),
    Symbol(f"{_MODELS}.auto.modeling_auto", "AutoModelForCausalLM", "patched"),
    Symbol(
        f"{_MODELS}.auto.modeling_auto", "AutoModelForCausalLM.from_pretrained", "wrapped", ("*model_args, **kwargs",)
    ),
    Symbol(f"{_MODELS}.auto.tokenization_auto", "AutoTokenizer", "patched"),
    Symbol(
        f"{_MODELS}.auto.tokenization_auto",
        "AutoTokenizer.from_pretrained",
        "wrapped",
        ("yaml_name_or_path, *args, **kwargs",),
    ),
    Symbol(
        f"{_MODELS}.auto.tokenization_auto",
        "tokenizer_class_from_name",
        "steps aside if it finds Qwen3's tokenizer",
        ("class_name",),
    ),
    # MindFormers: the models
    Symbol(
        f"{_MODELS}.build_config", "merge_model_config", "replaced: the launcher's", ("pretrain_model_dir, config",)
    ),
    Symbol(f"{_MODELS}.modeling_utils", "PreTrainedModel", "the base of the classes that are patched"),
    Symbol(
        f"{_MODELS}.modeling_utils",
        "PreTrainedModel.from_pretrained",
        "wrapped",
        ("pretrained_model_name_or_dir, *model_args, **kwargs",),
    ),
    Symbol(
        f"{_MODELS}.modeling_utils",
        "PreTrainedModel.save_pretrained",
        "wrapped",
        ("self, save_directory, save_name=, **kwargs",),
    ),
    Symbol(f"{_MODELS}.qwen3.configuration_qwen3", "Qwen3Config", "built"),
    Symbol(f"{_MODELS}.qwen3.utils", "Qwen3PreTrainedModel", "patched"),
    Symbol(f"{_MODELS}.qwen3.utils", "Qwen3PreTrainedModel.weight_mapping", "the names of the weights"),
    Symbol(f"{_MODELS}.qwen3.modeling_qwen3_infer", "InferenceQwen3ForCausalLM", "built and patched", ("config",)),
    Symbol(
        f"{_MODELS}.qwen3.modeling_qwen3_train",
        "TrainingQwen3ForCausalLM.convert_weight_dict",
        "converts",
        ("self, source_dict, **kwargs",),
    ),
    Symbol(
        f"{_MODELS}.qwen3.modeling_qwen3_train",
        "TrainingQwen3ForCausalLM.convert_map_dict",
        "converts an index",
        ("self, hf_name_map_dict, **kwargs",),
    ),
    Symbol(f"{_MODELS}.qwen3_moe.configuration_qwen3_moe", "Qwen3MoeConfig", "built"),
    Symbol(f"{_MODELS}.qwen3_moe.utils", "Qwen3MoePreTrainedModel", "patched"),
    Symbol(f"{_MODELS}.qwen3_moe.utils", "Qwen3MoePreTrainedModel.weight_mapping", "the names of the weights"),
    Symbol(f"{_MODELS}.qwen3_moe.modeling_qwen3_moe_infer", "InferenceQwen3MoeForCausalLM", "built and patched"),
    Symbol(
        f"{_MODELS}.qwen3_moe.modeling_qwen3_moe_train", "TrainingQwen3MoeForCausalLM.convert_weight_dict", "converts"
    ),
    Symbol(
        f"{_MODELS}.qwen3_moe.modeling_qwen3_moe_train",
        "TrainingQwen3MoeForCausalLM.convert_map_dict",
        "converts an index",
    ),
    # MindFormers: inference
    Symbol("mindformers.generation.text_generator", "GenerationMixin", "patched"),
    Symbol(
        "mindformers.generation.text_generator",
        "GenerationMixin._incremental_infer_mcore",
        "wrapped",
        ("self, model_inputs, prefill, gather_decode=",),
    ),
    Symbol("mindformers.generation.text_generator", "GenerationMixin.generate", "wrapped"),
    Symbol("mindformers.generation", "GenerationConfig", "made of generation_config.json", ("**kwargs",)),
    Symbol("mindformers.generation.logits_process", "run_using_numpy", "sampling, on the CPU", ("",)),
    Symbol(f"{_PARALLEL}.inference.model_utils", "InferModelMixin", "patched"),
    Symbol(
        f"{_PARALLEL}.inference.model_utils",
        "InferModelMixin.set_dynamic_inputs",
        "wrapped",
        ("self, **kwargs",),
    ),
    Symbol(
        f"{_PARALLEL}.inference.model_utils",
        "InferModelMixin.load_weights",
        "replaced",
        ("self, weights_path=, weights=",),
    ),
    Symbol(
        f"{_PARALLEL}.inference.model_utils",
        "InferModelMixin._safetensors_weights_iterator",
        "loads with stock",
        ("self, weights_files",),
    ),
    Symbol(f"{_PARALLEL}.inference.model_utils", "InferModelMixin.generate_mapping", "loads with stock", ("self",)),
    Symbol(
        f"{_PARALLEL}.inference.model_utils",
        "InferModelMixin.check_hf_weight",
        "loads with stock",
        ("self, weights_files=, weights=",),
    ),
    Symbol(
        f"{_PARALLEL}.inference.model_utils",
        "InferModelMixin.process_weights_after_loading",
        "loads with stock",
        ("self, root, name_prefix=",),
    ),
    Symbol(f"{_PARALLEL}.inference.parallel_state", "get_tensor_model_parallel_rank", "which slices are ours", ("",)),
    Symbol(
        f"{_PARALLEL}.inference.parallel_state", "get_tensor_model_parallel_world_size", "which slices are ours", ("",)
    ),
    Symbol(f"{_PARALLEL}.inference.parallel_state", "get_pipeline_model_parallel_world_size", "must be 1", ("",)),
    Symbol(
        f"{_PARALLEL}.inference.parallel_state",
        "ProcessGroup.__init__",
        "the world group, on the CPU",
        ("self, group=, global_ranks=, size=, rank=",),
    ),
    Symbol(_LAYERS, "ColumnParallelLinear", "slices"),
    Symbol(_LAYERS, "RowParallelLinear", "slices"),
    Symbol(_LAYERS, "ReplicatedLinear", "slices"),
    Symbol(_LAYERS, "VocabParallelEmbedding", "slices"),
    Symbol(_LAYERS, "MergedColumnParallelLinear", "slices"),
    Symbol(_LAYERS, "QKVParallelLinear", "slices"),
    Symbol(_LAYERS, "UnquantizedLinearMethod", "tells quantized layers"),
    Symbol(_LAYERS, "UnquantizedEmbeddingMethod", "tells quantized layers", ("",)),
    Symbol(_GROUPED_LAYERS, "ColumnParallelGroupedLinear", "slices of experts"),
    Symbol(_GROUPED_LAYERS, "RowParallelGroupedLinear", "slices of experts"),
    Symbol(_GROUPED_LAYERS, "UnquantizedGroupedLinearMethod", "tells quantized experts"),
    Symbol(f"{_PARALLEL}.inference.transformer.moe.router", "TopKRouter", "whole on every rank"),
    Symbol(
        f"{_PARALLEL}.inference.parallel_state",
        "_TENSOR_MODEL_PARALLEL_GROUP",
        "builds layers as another rank has them",
    ),
    Symbol(f"{_PARALLEL}.process_group_config", "default_model_comm_pgs", "layers as another rank has them"),
    Symbol(f"{_PARALLEL}.transformer_config_utils", "convert_to_transformer_config", "its errors are forgotten"),
    Symbol(f"{_PARALLEL}.transformer_config_utils", "COMMON_CONFIG_MAPPING", "which config fields there are"),
    Symbol(f"{_PARALLEL}.transformer_config_utils", "DEFAULT_WHITE_KEY", "which config fields there are"),
    Symbol(
        f"{_PARALLEL}.inference.base_models.common.embeddings.rope_utils", "_ROPE_DICT", "yarn's angles are forgotten"
    ),
    # MindFormers: conversions
    Symbol(f"{_PARALLEL}.utils.model_mixin", "ModelMixin", "has the stubs that raise"),
    Symbol(
        f"{_PARALLEL}.utils.model_mixin",
        "ModelMixin.convert_weight_dict",
        "the stub that raises",
        ("source_dict, **kwargs",),
    ),
    Symbol(f"{_PARALLEL}.utils.model_mixin", "TrainModelMixin", "merges Q|K|V and gate|up"),
    Symbol("mindformers.utils.load_checkpoint_utils", "Process", "replaced: converts files in a child"),
    Symbol("mindformers.utils.safetensors.convert_safetensors", "Process", "replaced: converts files in a child"),
    Symbol(
        "mindformers.utils.safetensors.convert_safetensors",
        "save_file",
        "replaced: writes converted files",
        ("tensor_dict, filename, metadata=",),
    ),
)
