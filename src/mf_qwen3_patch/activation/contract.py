"""The names of MindSpore and MindFormers, and one of transformers, that the shim relies upon, in one list.

The names are looked up, and their parameters compared, by ``status --contract`` and by the test suite on every
release of the matrix: a new release that changes one of them breaks one readable line first, not a
load somewhere.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Symbol:
    """One name of upstream's that the shim calls, wraps or replaces."""

    module: str
    name: str  # dots lead into a class
    used_for: str
    parameters: tuple[str, ...]  # in each release that is known, newest last; empty: only that it is there matters

    @property
    def path(self) -> str:
        """The module and the name."""
        return f"{self.module}:{self.name}"


@dataclass(frozen=True)
class Finding:
    """The state of one symbol in the installed release."""

    symbol: str
    used_for: str
    expected: tuple[str, ...]
    found: str  # what it takes here; why it is not there; or "there"
    kept: bool  # whether it is there and takes what a known release takes

    def __str__(self) -> str:
        """Return one line: the symbol and, if it has changed, what was expected and what is there."""
        line = f"{self.symbol} ({self.used_for})"
        expected = " or ".join(f"({known})" for known in self.expected) or "there"
        return line if self.kept else f"{line}: expected {expected}, found {self.found}"


def check_contract() -> tuple[Finding, ...]:
    """Look up every symbol in what is installed; imports mindspore and mindformers.

    While the patches are applied some of it is the shim's own: call ``deactivate()`` before.
    """
    return tuple(map(_look_up, CONTRACT))


def parameters_of(value: Any) -> str:
    """Return the names of what a callable takes: ``"self, weights_path=, *args, **kwargs"``."""
    marks: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(
        marks.get(parameter.kind, "") + name + ("" if parameter.default is parameter.empty else "=")
        for name, parameter in inspect.signature(value).parameters.items()
    )


def _look_up(symbol: Symbol) -> Finding:
    found, kept = "there", True
    try:
        value = functools.reduce(getattr, symbol.name.split("."), importlib.import_module(symbol.module))
        if symbol.parameters:
            parameters = parameters_of(value)
            found, kept = f"({parameters})", parameters in symbol.parameters
    except (ImportError, AttributeError) as error:
        found, kept = f"{type(error).__name__}: {error}", False
    except (TypeError, ValueError) as error:
        found, kept = f"nothing that can be called: {error}", False
    return Finding(symbol.path, symbol.used_for, symbol.parameters, found, kept)


def _symbols(table: str) -> Iterator[Symbol]:
    module = ""
    for line in table.strip().splitlines():
        if not line.startswith(" "):
            module, _, line = line.partition(": ")
        signature, _, used_for = line.strip().partition(": ")
        name, has_parameters, parameters = signature.removesuffix(")").partition("(")
        if name:
            yield Symbol(module, name, used_for, tuple(parameters.split(") or (")) if has_parameters else ())


# The module; a name in it with what it takes, if that matters; and its purpose. What has a default ends in "="; where
# known releases differ: ``name(self) or (self, data=): purpose``.
_TABLE = """
mindspore.train.serialization: load_checkpoint(\
ckpt_file_name, net=, strict_load=, filter_prefix=, dec_key=, dec_mode=, specify_prefix=, \
choice_func=, crc_check=, remove_redundancy=, format=): wrapped
mindspore
    get_context(attr_key): which device it is
    get_seed(): the values of parameters that start anew
    get_auto_parallel_context(attr_key): whether a rank trains a part of the layers only
    nn: finds the network that is trained
    Parameter.set_data(self, data, slice_shape=): hands loaded memory over
    Tensor.from_numpy(array): adopts memory without a copy
    runtime.launch_blocking(): the CPU kernels: no pipeline to wait for
mindspore.context: _context(): the mode that a script has set
mindspore.common.np_dtype: bfloat16: numpy's bfloat16
mindspore.common.initializer: initializer(init, shape=, dtype=): lazy embeddings
mindspore.nn.utils: no_init_parameters: builds without filling
mindspore.communication
    GlobalComm: whether ranks have met; the world group, on the CPU
    get_group_size(group=): how many ranks there are; the world group, on the CPU
transformers.tokenization_utils_base
    BatchEncoding: patched
    BatchEncoding.convert_to_tensors(self, tensor_type=, prepend_batch_axis=): wrapped: MindSpore's tensors
mindformers: build_context(config): a context for scripts without one
mindformers.core.context.build_context
    Context: whether there is a context
    Context.is_exists(): whether there is a context
    is_legacy_model(): which code path generate takes
    get_context: the directory of the launcher's tokenizer
    Context.reset_instance(): undoes a failed build
    MSContextOperator._handle_data(self): wrapped: the CPU in place of Ascend
    MFContextOperator: which code path generate takes
    MFContextOperator.reset_instance(): undoes a failed build
    MFContextOperator.get_mf_ctx_instance(): whether there is a context
mindformers.tools.logger
    get_logger: its log files get our lines, too
mindformers.tools.register.template: ConfigTemplate.apply_template(config): wrapped: a YAML, on the CPU
mindformers.tools.utils: is_pynative(): eager mode
mindformers.version_control: is_310p(): leaves such devices to stock; their dtypes
mindformers.models.auto.configuration_auto
    AutoConfig: patched
    AutoConfig.from_pretrained(yaml_name_or_path, **kwargs): wrapped
    CONFIG_MAPPING: steps aside if qwen3 is in it
mindformers.models.auto.modeling_auto
    AutoModel: patched
    AutoModel.from_pretrained(*model_args, **kwargs): wrapped
    AutoModel.from_config(**kwargs): wrapped
    AutoModelForCausalLM: patched
    AutoModelForCausalLM.from_pretrained(*model_args, **kwargs): wrapped
    AutoModelForCausalLM.from_config(**kwargs): wrapped
mindformers.models.auto.tokenization_auto
    AutoTokenizer: patched
    AutoTokenizer.from_pretrained(yaml_name_or_path, *args, **kwargs): wrapped
    tokenizer_class_from_name(class_name): steps aside if it finds Qwen3's tokenizer
mindformers.models.build_tokenizer: build_tokenizer: wrapped: the launcher's
mindformers.models.build_config: merge_model_config(pretrain_model_dir, config): replaced: the launcher's
mindformers.models.modeling_utils
    PreTrainedModel: the base of the classes that are patched
    PreTrainedModel.from_pretrained(pretrained_model_name_or_dir, *model_args, **kwargs): wrapped
    PreTrainedModel.save_pretrained(self, save_directory, save_name=, **kwargs): wrapped
    PreTrainedModel.prepare_inputs_for_predict_layout(self, input_ids, **kwargs): replaced: lm-eval's adapter asks
mindformers.models.qwen3.configuration_qwen3: Qwen3Config: built
mindformers.models.qwen3.utils
    Qwen3PreTrainedModel: patched
    Qwen3PreTrainedModel.weight_mapping: the names of the weights
mindformers.models.qwen3.modeling_qwen3_infer: InferenceQwen3ForCausalLM(config): built and patched
mindformers.models.qwen3.modeling_qwen3_train
    TrainingQwen3ForCausalLM: is trained
    TrainingQwen3ForCausalLM.convert_weight_dict(self, source_dict, **kwargs): converts
    TrainingQwen3ForCausalLM.convert_map_dict(self, hf_name_map_dict, **kwargs): converts an index
mindformers.models.qwen3_moe.configuration_qwen3_moe: Qwen3MoeConfig: built
mindformers.models.qwen3_moe.utils
    Qwen3MoePreTrainedModel: patched
    Qwen3MoePreTrainedModel.weight_mapping: the names of the weights
mindformers.models.qwen3_moe.modeling_qwen3_moe_infer: InferenceQwen3MoeForCausalLM: built and patched
mindformers.models.qwen3_moe.modeling_qwen3_moe_train
    TrainingQwen3MoeForCausalLM: is trained
    TrainingQwen3MoeForCausalLM.convert_weight_dict: converts
    TrainingQwen3MoeForCausalLM.convert_map_dict: converts an index
mindformers.generation.text_generator
    GenerationMixin: patched
    GenerationMixin._incremental_infer_mcore(self, model_inputs, prefill, gather_decode=): wrapped
    GenerationMixin.generate: wrapped
    GenerationMixin.get_logits_processor(\
self, generation_config, input_ids_seq_length, logits_processor): replaced
    GenerationMixin.get_logits_warper(generation_config): replaced
    GenerationMixin.postprocess: wrapped
mindformers.generation
    GenerationConfig(**kwargs): made of generation_config.json
    LogitsProcessorList: its processors are replaced
mindformers.generation.generation_config
    GenerationConfig: patched
    GenerationConfig.from_pretrained(pretrained_model_name, config_file_name=, **kwargs): replaced: the launcher's
mindformers.generation.logits_process: run_using_numpy(): sampling, on the CPU
mindformers.parallel_core.inference.model_utils
    InferModelMixin: patched
    InferModelMixin.set_dynamic_inputs(self, **kwargs): wrapped
    InferModelMixin.load_weights(self, weights_path=, weights=): replaced
    InferModelMixin._safetensors_weights_iterator(self, weights_files): loads with stock
    InferModelMixin.generate_mapping(self): loads with stock
    InferModelMixin.check_hf_weight(self, weights_files=, weights=): loads with stock
    InferModelMixin.process_weights_after_loading(self, root, name_prefix=): loads with stock
mindformers.parallel_core.inference.parallel_state
    is_initialized(): whether the ranks have groups
    get_world_group(): which rank this is
    get_tensor_model_parallel_group(check_initialized=): who loads the model together
    get_tensor_model_parallel_rank(): which slices are ours
    get_tensor_model_parallel_world_size(): which slices are ours
    get_pipeline_model_parallel_rank(): which layers are ours
    get_pipeline_model_parallel_world_size(): which layers are ours
    get_data_parallel_rank(): which ranks hold the same
    get_data_parallel_world_size(): which ranks hold the same
    get_moe_expert_parallel_rank(): which experts are ours
    get_moe_expert_parallel_world_size(): which experts are ours
    ProcessGroup.__init__(self, group=, global_ranks=, size=, rank=): the world group, on the CPU
    _TENSOR_MODEL_PARALLEL_GROUP: builds layers as another rank has them
mindformers.parallel_core.inference.tensor_parallel.layers
    ColumnParallelLinear: slices
    RowParallelLinear: slices
    ReplicatedLinear: slices
    VocabParallelEmbedding: slices
    MergedColumnParallelLinear: slices
    QKVParallelLinear: slices
    UnquantizedLinearMethod: tells quantized layers
    UnquantizedEmbeddingMethod(): tells quantized layers
mindformers.parallel_core.inference.tensor_parallel.grouped_layers
    ColumnParallelGroupedLinear: slices of experts
    RowParallelGroupedLinear: slices of experts
    UnquantizedGroupedLinearMethod: tells quantized experts
mindformers.parallel_core.inference.base_models.gpt.gpt_model
    GPTModel.map_global_expert_id_to_local_expert_id(self, global_expert_id): which experts are ours
mindformers.parallel_core.inference.transformer.moe.router: TopKRouter: whole on every rank, its own experts first
mindformers.parallel_core.process_group_config: default_model_comm_pgs: layers as another rank has them
mindformers.parallel_core.transformer_config_utils
    convert_to_transformer_config: its errors are forgotten
    COMMON_CONFIG_MAPPING: which config fields there are
    DEFAULT_WHITE_KEY: which config fields there are
mindformers.parallel_core.inference.base_models.common.embeddings.rope_utils: _ROPE_DICT: yarn's angles are forgotten
mindformers.parallel_core.utils.model_mixin
    ModelMixin: has the stubs that raise
    ModelMixin.convert_weight_dict(source_dict, **kwargs): the stub that raises
    ModelMixin.get_gpt_transformer_config(self): the layout of a training network
    TrainModelMixin: merges Q|K|V and gate|up
mindformers.trainer.trainer
    Trainer: patched
    Trainer.__init__: wrapped: a tokenizer of transformers, a context
    Trainer._check_config_rules(self): wrapped: finds the directories of the launcher
mindformers.utils.load_checkpoint_utils
    Process: replaced: converts files in a child
    get_load_path_after_hf_convert(config, network): wrapped: converts what is fine-tuned
    load_safetensors_checkpoint(config, load_checkpoint_files, network, strategy_path, load_ckpt_path, optimizer): \
wrapped: loads what is fine-tuned
mindformers.tools.utils
    get_real_rank(): ranks fail together
    get_real_group_size(): ranks fail together
    is_main_rank(ignore_check_modelarts=): which rank converts
mindformers.utils.safetensors.convert_safetensors
    Process: replaced: converts files in a child
    save_file(tensor_dict, filename, metadata=): replaced: writes converted files
"""

CONTRACT = tuple(_symbols(_TABLE))
