"""What can be wrong with a mixture of experts beyond the catalog's faults, as data of the same kind."""

from __future__ import annotations

from tests.faults.breaking import adding, config_with, dropping, weights
from tests.faults.catalog import Fault
from tests.support.checkpoints import Tensors, zeros

from mf_qwen3_patch.errors import ConfigMismatch, CorruptCheckpoint, IncompleteCheckpoint, UnsupportedCheckpoint

__all__ = ["MOE_FAULTS"]

_ROUTER = "model.layers.0.mlp.gate.weight"
_EXPERT = "model.layers.1.mlp.experts.5."


def _dense(tensors: Tensors) -> None:
    for name in [name for name in tensors if ".mlp." in name]:
        del tensors[name]
    for layer in range(2):
        prefix = f"model.layers.{layer}.mlp."
        tensors |= {f"{prefix}{name}_proj.weight": zeros(96, 80) for name in ("gate", "up")}
        tensors[f"{prefix}down_proj.weight"] = zeros(80, 96)


MOE_FAULTS = (
    Fault("an expert is missing", weights(dropping(_EXPERT)), IncompleteCheckpoint,
          ("3 tensors that expert 5 of layer 1 needs are in no file", f"{_EXPERT}gate_proj.weight")),
    Fault("the last expert is missing in every layer", weights(dropping(".experts.5.")), IncompleteCheckpoint,
          ("6 tensors", "2 of them are not whole", "model.layers.0.mlp.experts.5.gate_proj.weight")),
    Fault("one tensor of an expert is missing", weights(dropping(f"{_EXPERT}down_proj")), IncompleteCheckpoint,
          (f"{_EXPERT}down_proj.weight that expert 5 of layer 1 needs is in no file",)),
    Fault("a router is missing", weights(dropping(_ROUTER)), IncompleteCheckpoint,
          (f"{_ROUTER} that the model needs is in no file",)),
    Fault("num_experts too small", config_with(num_experts=4), ConfigMismatch,
          ("config.json says num_experts: 4", "weights say 6", _ROUTER)),
    Fault("num_experts too large", config_with(num_experts=8), ConfigMismatch,
          ("config.json says num_experts: 8", "weights say 6", _ROUTER)),
    Fault("absurdly many experts in the config", config_with(num_experts=2_000_000_000), ConfigMismatch,
          ("num_experts: 2000000000", "weights say 6", _ROUTER)),
    Fault("num_experts absent", config_with("num_experts"), ConfigMismatch,
          ("has no num_experts", "defaults to 128", "weights say 6", _ROUTER)),
    Fault("no experts at all in the config", config_with(num_experts=0), ConfigMismatch,
          ("config.json", "num_experts", "at least 1", "0")),
    Fault("moe_intermediate_size too small", config_with(moe_intermediate_size=20), ConfigMismatch,
          ("moe_intermediate_size: 20", "weights say 40", "model.layers.0.mlp.experts.0.gate_proj.weight")),
    Fault("moe_intermediate_size too large", config_with(moe_intermediate_size=96), ConfigMismatch,
          ("moe_intermediate_size: 96", "weights say 40", "mlp.experts.0.gate_proj.weight")),
    Fault("more experts chosen than there are", config_with(num_experts_per_tok=7), ConfigMismatch,
          ("config.json says num_experts_per_tok: 7", "only 6 experts", "at most 6 (num_experts)")),
    Fault("more experts chosen by default than there are", config_with("num_experts_per_tok"), ConfigMismatch,
          ("has no num_experts_per_tok", "defaults to 8", "only 6 experts")),
    Fault("one chosen expert, normalized", config_with(num_experts_per_tok=1), UnsupportedCheckpoint,
          ("num_experts_per_tok: 1", "norm_topk_prob: true", "MindFormers does not normalize")),
    Fault("norm_topk_prob is a number", config_with(norm_topk_prob=1), ConfigMismatch,
          ("config.json", "norm_topk_prob", "true or false", "1")),
    Fault("dense layers by mlp_only_layers", config_with(mlp_only_layers=[0]), UnsupportedCheckpoint,
          ("config.json sets mlp_only_layers to [0]", "changes the output")),
    Fault("dense layers by decoder_sparse_step", config_with(decoder_sparse_step=2), UnsupportedCheckpoint,
          ("config.json sets decoder_sparse_step to 2", "changes the output")),
    Fault("one expert has another shape",
          weights(adding(**{f"{_EXPERT}up_proj.weight": zeros(39, 80)})), CorruptCheckpoint,
          (f"{_EXPERT}up_proj.weight", "[40, 80] (moe_intermediate_size, hidden_size)", "[39, 80]")),
    Fault("dense weights", weights(_dense), UnsupportedCheckpoint,
          ("config.json", "mixture of experts", "the weights are those of Qwen3",
           "model.layers.0.mlp.gate_proj.weight", "qwen3_moe (Qwen3MoeForCausalLM)")),
    Fault("the config of a dense model",
          config_with(model_type="qwen3", architectures=["Qwen3ForCausalLM"], num_experts=None), UnsupportedCheckpoint,
          ("config.json", "the weights are those of a Qwen3 mixture of experts", "qwen3 (Qwen3ForCausalLM)")),
    Fault("not divisible among the ranks", lambda directory: None, ConfigMismatch,
          ("can't be split over 16 tensor-parallel ranks", "moe_intermediate_size 40"), ranks=16),
)  # fmt: skip
