"""MindFormers' finetune load of a HuggingFace directory, by its own functions in its trainer's order, on the CPU.

``outcomes`` runs each case in a process of its own, which a time limit ends. Stock is what it is without the shim.

    python -m tests.support.finetuning '{"shim": true, "seconds": 60, "cases": {"name": {"directory": "hf"}}}'
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.checkpoints import INDEX, decode, read_json, read_safetensors, weight_files
from tests.support.forked import run_forked
from tests.support.processes import run_script

FLOAT32 = dict.fromkeys(
    ("params_dtype", "compute_dtype", "layernorm_compute_dtype", "softmax_compute_dtype", "rotary_dtype"), "float32"
)


def outcomes(
    cases: Mapping[str, Mapping[str, Any]], cwd: Path, *, shim: bool, seconds: float = 60
) -> dict[str, dict[str, Any]]:
    """Load each case in a process of its own, and return what became of it.

    A case has ``directory``, and maybe ``config_directory``, ``distributed``, ``model_config`` and ``output_dir``;
    ``source`` is the sound directory that says what is right, by default the same. The outcome has ``error``, its type
    and message; or ``hangs``; or ``wrong``: the parameters that differ from the source, and ``random``: those that
    nobody has loaded.
    """
    job = json.dumps({"shim": shim, "seconds": seconds, "cases": cases}, default=str)
    script = "import sys; from tests.support.finetuning import main; give(main(sys.argv[1]))"
    result: dict[str, dict[str, Any]] = run_script(script, job, cwd=cwd, timeout=seconds * len(cases) + 120).result
    return result


def main(job: str) -> dict[str, Any]:
    """Run the cases of a job, one after the other."""
    wanted = json.loads(job)
    os.environ["RUN_MODE"] = "finetune"
    if wanted["shim"]:
        import mf_qwen3_patch  # noqa: F401 - its import is what is tested
    import mindformers  # noqa: F401 - once, and not in every process

    cases = wanted["cases"].items()
    return {name: run_forked(name, functools.partial(load, **case), wanted["seconds"]) for name, case in cases}


def load(
    directory: str,
    *,
    config_directory: str | None = None,
    source: str | None = None,
    distributed: bool = False,
    output_dir: str = "out",
    model_config: Mapping[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Build the network and load it as the trainer does, then compare every parameter with the source."""
    import mindspore
    from mindformers.trainer.utils import transform_and_load_checkpoint
    from mindformers.utils import load_checkpoint_utils

    config = trainer_config(directory, config_directory, output_dir, model_config or {}, settings)
    network = built_network(config)
    path = converted_path(config, network)
    if distributed:
        config.use_parallel = config.auto_trans_ckpt = True
        files = sorted(map(str, Path(path).glob("*.safetensors")))
        load_checkpoint_utils.load_safetensors_checkpoint(config, files, network, None, path, None)
    else:
        transform_and_load_checkpoint(config, mindspore.Model(network), network, None)
    random = [parameter.name for parameter in network.get_parameters() if parameter.has_init]
    network.init_parameters_data()
    reports = (getattr(cell, "mf_qwen3_report", None) for _, cell in network.cells_and_names())
    report = next(filter(None, reports), None)
    return {
        "wrong": differing(network, Path(source or directory)),
        "random": random,
        "path": path,
        "report": report and json.loads(report.to_json()),
    }


def built_network(config: Any) -> Any:
    """Build the context and the network, as the trainer does: its parameters hold nothing yet."""
    from mindformers.core.context import build_context
    from mindformers.models.build_model import build_network
    from mindspore.nn.utils import no_init_parameters

    build_context(config)
    with no_init_parameters():
        return build_network(config.model)


def converted_path(config: Any, network: Any) -> str:
    """Convert a HuggingFace directory, as the trainer does, and return what it loads then."""
    from mindformers.utils.load_checkpoint_utils import get_load_path_after_hf_convert

    path: str = get_load_path_after_hf_convert(config, network)
    config.load_checkpoint = config.checkpoint.load_path = path
    return path


def trainer_config(
    directory: str,
    config_directory: str | None,
    output_dir: str,
    model_config: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Any:
    """Return what a finetune YAML and the launcher make together, as far as loading asks for it."""
    from mindformers.tools.register import MindFormerConfig

    pretrained = config_directory or directory
    moe = {"moe_grouped_gemm": True} if read_json(Path(pretrained) / "config.json").get("num_experts") else {}
    model = {"qkv_concat": True, "hidden_dropout": 0.0, "seq_length": 16, **FLOAT32, **moe, **model_config}
    values: dict[str, Any] = {
        "load_checkpoint": directory,
        "checkpoint": {"load_path": directory},  # as 1.9.0 calls it
        "load_ckpt_format": "safetensors",
        "output_dir": output_dir,
        "use_parallel": False,
        "auto_trans_ckpt": False,
        "resume_training": False,
        "remove_redundancy": False,
        "only_save_strategy": False,
        "run_mode": "finetune",
        "use_legacy": False,
        "context": {"mode": 0, "device_target": "CPU"},
        "parallel": {"parallel_mode": "STAND_ALONE"},
        "runner_config": {"epochs": 1, "sink_mode": False, "sink_size": 1, "step_scale": None},
        "pretrained_model_dir": pretrained,
        "model": {"pretrained_model_dir": pretrained, "model_config": model},
    }
    return MindFormerConfig(**{**values, **settings})


def differing(network: Any, directory: Path) -> list[str]:
    """Return which of the network's parameters are not what the source says, in the layout of its switches."""
    expected = training_parameters(directory, network.get_gpt_transformer_config())
    held = {parameter.name: parameter for parameter in network.get_parameters()}
    wrong = [
        name for name in held if name not in expected and not name.endswith((".seed", ".offset", "_load", "fi_accu"))
    ]
    for name, values in expected.items():
        found = held[name].asnumpy() if name in held else np.empty(0)
        if not np.array_equal(found, values.astype(found.dtype)):
            wrong.append(name)
    return sorted(wrong)


def training_parameters(directory: Path, switches: Any) -> dict[str, np.ndarray]:
    """Merge the tensors as the training network has them; stated apart from the code under test."""
    config = read_json(directory / "config.json")
    tensors = {}
    index = directory / INDEX
    used = {directory / name for name in read_json(index)["weight_map"].values()} if index.exists() else None
    for file in used or weight_files(directory):
        tensors |= {name: decode(raw) for name, raw in read_safetensors(file).items()}
    groups, experts = config["num_key_value_heads"], config.get("num_experts", 0)
    parameters = {
        "embedding.word_embeddings.weight": tensors["model.embed_tokens.weight"],
        "decoder.final_layernorm.weight": tensors["model.norm.weight"],
    }
    if not config["tie_word_embeddings"]:
        parameters["output_layer.weight"] = tensors["lm_head.weight"]
    for layer in range(config["num_hidden_layers"]):
        here = {
            name.split(".", 3)[3]: value for name, value in tensors.items() if name.startswith(f"model.layers.{layer}.")
        }
        there = f"decoder.layers.{layer}."
        qkv = [here[f"self_attn.{part}_proj.weight"] for part in "qkv"]
        parameters[there + "self_attention.linear_qkv.weight"] = (
            np.concatenate(qkv) if switches.use_contiguous_weight_layout_attention else interleaved(qkv, groups)
        )
        parameters |= {
            there + "input_layernorm.weight": here["input_layernorm.weight"],
            there + "pre_mlp_layernorm.weight": here["post_attention_layernorm.weight"],
            there + "self_attention.linear_proj.weight": here["self_attn.o_proj.weight"],
            there + "self_attention.q_layernorm.weight": here["self_attn.q_norm.weight"],
            there + "self_attention.k_layernorm.weight": here["self_attn.k_norm.weight"],
        }
        if experts:
            gate_up = [[here[f"mlp.experts.{n}.{p}_proj.weight"].T for p in ("gate", "up")] for n in range(experts)]
            parameters |= {
                there + "mlp.router.weight": here["mlp.gate.weight"],
                there + "mlp.experts.weight1": np.concatenate([np.concatenate(pair, 1) for pair in gate_up]),
                there + "mlp.experts.weight2": np.concatenate(
                    [here[f"mlp.experts.{number}.down_proj.weight"].T for number in range(experts)]
                ),
            }
            continue
        pair = [here[f"mlp.{part}_proj.weight"] for part in ("gate", "up")]
        parameters |= {
            there + "mlp.linear_fc1.weight": (
                interleaved(pair, len(pair[0])) if switches.use_interleaved_weight_layout_mlp else np.concatenate(pair)
            ),
            there + "mlp.linear_fc2.weight": here["mlp.down_proj.weight"],
        }
    return parameters


def interleaved(parts: list[np.ndarray], blocks: int) -> np.ndarray:
    """Cut each part into blocks of rows, and put those of the same number together."""
    cut = [part.reshape(blocks, -1, part.shape[1]) for part in parts]
    return np.concatenate(cut, axis=1).reshape(-1, parts[0].shape[1])


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1]), indent=2))
