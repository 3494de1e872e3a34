"""MindFormers' own fine-tuning on the CPU: its Trainer, its YAML, its training network, its checkpoints.

``enable()`` puts small stand-ins in the place of the operators that have no CPU kernel; everything else is the stock
training graph. It changes the whole process, and must come before the network is built.

=====================================  =================================================================
without a CPU kernel                   instead
=====================================  =================================================================
``RmsNorm``                            MindFormers' own ``RMSNorm``, which is not fused
``SplitWithSize``                      slices
``Outer``                              a product of a column and a row
``FlashAttentionScore``                softmax attention in float32
``EmbeddingDenseBackward``             the gradient of ``Gather``
``NPUGetFloatStatusV2``                whether the sum of the gradients is finite
=====================================  =================================================================
"""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
from mindformers.core.context import build_context
from mindformers.parallel_core.training_graph.base_models.common.embeddings import rotary_pos_embedding
from mindformers.parallel_core.training_graph.tensor_parallel import layers
from mindformers.parallel_core.training_graph.transformer import attention, flash_attention, mlp, norm
from mindformers.tools.register import MindFormerConfig
from mindformers.trainer import Trainer
from mindspore import Tensor, nn, ops
from mindspore.nn.wrap.loss_scale import TrainOneStepWithLossScaleCell
from tests.support.finetuning import FLOAT32

YAML = Path(sysconfig.get_path("purelib")) / "configs" / "qwen3" / "finetune_qwen3.yaml"
COLUMNS = ["input_ids", "labels"]


class _StandIn(nn.Cell):
    def shard(self, *strategies: Any) -> Any:  # on one device there is nothing to shard
        return self

    def add_prim_attr(self, *attribute: Any) -> Any:
        return self


class _SplitWithSize(_StandIn):
    def construct(self, values, sizes, axis):
        parts, start = (), 0
        for size in sizes:
            parts += (ops.narrow(values, axis, start, size),)
            start += size
        return parts


class _Outer(_StandIn):
    def construct(self, left, right):
        return left.reshape(-1, 1) * right


class _FlashAttentionScore(_StandIn):
    def __init__(self, head_num, scale_value, **ignored: Any) -> None:
        super().__init__()
        self.scale_value = scale_value

    def construct(self, query, key, value, alibi_mask, drop_mask, padding_mask, attention_mask, prefix):
        heads_of_one_key = query.shape[1] // key.shape[1]
        query, key, value = query.astype("float32"), key.astype("float32"), value.astype("float32")
        key, value = (
            ops.repeat_elements(key, heads_of_one_key, 1),
            ops.repeat_elements(value, heads_of_one_key, 1),
        )
        scores = ops.BatchMatMul(transpose_b=True)(query, key) * self.scale_value
        weights = ops.softmax(scores - attention_mask.astype("float32") * 1e9, -1)
        return None, None, None, ops.BatchMatMul()(weights, value)


def _embedding(ids, weight):
    return ops.gather(weight, ids, 0)


def _get_overflow_status(self, status, gradients):
    total = Tensor(0.0, mindspore.float32)
    for gradient in gradients:
        total += ops.ReduceSum()(gradient)
    return ops.LogicalNot()(ops.IsFinite()(total))


def enable() -> None:
    """Put the stand-ins in place, for as long as the process lives."""
    norm.FusedRMSNorm = norm.RMSNorm
    attention.aclnn_ops.SplitWithSize = mlp.SplitWithSize = _SplitWithSize
    rotary_pos_embedding.Outer = _Outer
    flash_attention.FlashAttentionScore = _FlashAttentionScore
    layers.mint.nn.functional.embedding = _embedding
    TrainOneStepWithLossScaleCell.get_overflow_status = _get_overflow_status


def finetune(
    directory: Path, tokens: Sequence[int], steps: int, model_config: Mapping[str, Any] | None = None
) -> tuple[Any, list[float]]:
    """Fine-tune a HuggingFace directory with MindFormers' YAML and Trainer: each step sees the same tokens.

    Returns the network, and the loss of each step. What MindFormers saves is in ``output/checkpoint``.
    """
    config = MindFormerConfig(str(YAML))
    config.load_checkpoint = config.pretrained_model_dir = str(directory)
    config.use_parallel = config.auto_trans_ckpt = config.recompute_config.recompute = False
    config.context = MindFormerConfig(mode=0, device_target="CPU")
    config.parallel = MindFormerConfig(parallel_mode=0)
    config.parallel_config = MindFormerConfig(data_parallel=1, model_parallel=1, pipeline_stage=1, micro_batch_num=1)
    config.model.model_config.update(FLOAT32, seq_length=len(tokens) - 1, **model_config or {})
    config.lr_schedule.learning_rate = 1e-3
    config.runner_config.sink_mode = False
    config.train_dataset.update(input_columns=COLUMNS, construct_args_key=COLUMNS)
    config.train_dataset.data_loader = MindFormerConfig(type="GeneratorDataset")
    build_context(config)
    ids = np.array(tokens, np.int32)
    data = mindspore.dataset.GeneratorDataset([(ids[:-1], ids[1:])] * steps, COLUMNS, shuffle=False)
    losses = _Losses()
    trainer = Trainer(config, train_dataset=data.batch(1), callbacks=[losses])
    trainer.finetune(finetune_checkpoint=config.load_checkpoint, auto_trans_ckpt=False)
    return losses.network, losses.values


class _Losses(mindspore.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []
        self.network: Any = None

    def on_train_step_end(self, run_context: Any) -> None:
        trained = run_context.original_args()
        loss = trained.net_outputs[0]
        self.values.append(float((loss[0] if isinstance(loss, tuple) else loss).asnumpy().sum()))
        self.network = trained.train_network
