"""Make the documents' table of faults, stock next to the shim, from real runs.

    python -m scripts.make_fault_table            # run everything and write the table into the documents
    python -m scripts.make_fault_table --check    # run everything and compare

Each fault breaks a copy of a reference checkpoint. Stock loads it with ``load_weights`` and continues a
prompt, whose right continuation HuggingFace transformers has given; the shim loads it with ``from_pretrained``.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support.checkpoints import (
    INDEX,
    Raw,
    Tensors,
    edit_config,
    edit_index,
    edit_weights,
    read_safetensors,
    weight_files,
    write_safetensors,
    zeros,
)
from tests.support.documents import fill, outdated
from tests.support.processes import ROOT, run_script

REFERENCE = ROOT / "tests" / "reference_data"

Q_PROJ = "model.layers.0.self_attn.q_proj.weight"
UP_PROJ = "model.layers.1.mlp.up_proj.weight"


def _poison(tensors: Tensors) -> None:
    raw = tensors[UP_PROJ]
    tensors[UP_PROJ] = Raw(raw.dtype, raw.shape, b"\x00\x00\xc0\x7f" + raw.data[4:])


def _stray(directory: Path) -> None:
    """Old copies lie beside the shards. Stock takes whichever the directory lists last, so there are several."""
    tensors: Tensors = {}
    for file in weight_files(directory):
        tensors |= read_safetensors(file)
    old = {name: zeros(*raw.shape, dtype=raw.dtype) for name, raw in tensors.items()}
    for name in "abcdef":
        write_safetensors(directory / f"{name}_backup.safetensors", old)


def _truncate(directory: Path) -> None:
    file = weight_files(directory)[0]
    file.write_bytes(file.read_bytes()[:-100])


def _lora(directory: Path) -> None:
    for file in (*weight_files(directory), directory / INDEX, directory / "config.json"):
        file.unlink()
    (directory / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    lora = {f"base_model.model.{Q_PROJ[:-7]}.lora_{side}.weight": zeros(4, 32) for side in "AB"}
    write_safetensors(directory / "adapter_model.safetensors", lora)


def _transformers_5(directory: Path) -> None:
    edit_config(
        directory,
        "rope_theta",
        "torch_dtype",
        dtype="float32",
        layer_types=["full_attention"] * 2,
        rope_parameters={"rope_theta": 1000000, "rope_type": "default"},
    )


FAULTS: dict[str, Callable[[Path], object]] = {
    "nothing is wrong": lambda d: None,
    "a shard is missing": lambda d: weight_files(d)[1].unlink(),
    "a tensor is missing": lambda d: edit_weights(d, lambda tensors: tensors.pop(UP_PROJ)),
    "the index names a file that is not there": lambda d: edit_index(
        d, lambda weight_map: weight_map.update({UP_PROJ: "model-00009-of-00009.safetensors"})
    ),
    "`vocab_size` too small in config.json": lambda d: edit_config(d, vocab_size=64),
    "`vocab_size` too large": lambda d: edit_config(d, vocab_size=128),
    "`intermediate_size` too small": lambda d: edit_config(d, intermediate_size=32),
    "`hidden_size` too large": lambda d: edit_config(d, hidden_size=64),
    "`num_hidden_layers` too small": lambda d: edit_config(d, num_hidden_layers=1),
    "`num_hidden_layers` too large": lambda d: edit_config(d, num_hidden_layers=3),
    "`head_dim` absent": lambda d: edit_config(d, "head_dim"),
    "untied, but no `lm_head.weight`": lambda d: edit_weights(d, lambda tensors: tensors.pop("lm_head.weight")),
    "a tensor with a NaN": lambda d: edit_weights(d, _poison),
    "a tensor that is all zero": lambda d: edit_weights(
        d, lambda tensors: tensors.update({Q_PROJ: zeros(*tensors[Q_PROJ].shape)})
    ),
    "stray old `.safetensors` beside the shards": _stray,
    "FP8 scales (`weight_scale_inv`)": lambda d: edit_weights(
        d, lambda tensors: tensors.update({f"{Q_PROJ}_scale_inv": zeros(1, 1)})
    ),
    "a bias that config.json does not mention": lambda d: edit_weights(
        d, lambda tensors: tensors.update({"model.layers.0.self_attn.q_proj.bias": zeros(32)})
    ),
    "an unknown extra tensor": lambda d: edit_weights(d, lambda tensors: tensors.update({"extra.weight": zeros(4)})),
    "a truncated file": _truncate,
    "a LoRA adapter instead of the model": _lora,
    "config.json written by transformers 5": _transformers_5,
}

_RUN = """
import json, sys, warnings
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
if sys.argv[1] == "stock":
    mf_qwen3_patch.deactivate()
from mindformers import build_context
context = {"mode": 1, "device_target": "CPU"}
build_context({"use_legacy": False, "run_mode": "predict", "context": context, "parallel": {}})
from mindformers.models.qwen3 import Qwen3Config, Qwen3ForCausalLM
prompt = json.loads(sys.argv[2])

def stock(directory):
    float32 = dict.fromkeys(("params_dtype", "compute_dtype", "rotary_dtype"), "float32")
    config = Qwen3Config.from_pretrained(directory, **float32)
    model = Qwen3ForCausalLM(config)
    model.load_weights(directory)
    return model

results = {}
for directory in sys.argv[3:]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = stock(directory) if sys.argv[1] == "stock" else Qwen3ForCausalLM.from_pretrained(directory)
            tokens = model.generate([prompt], max_new_tokens=8, do_sample=False)[0].tolist()[len(prompt):]
            said = [str(w.message) for w in caught if w.category.__name__ == "CheckpointWarning"]
            results[directory] = ["loaded", tokens, said]
        except Exception as error:
            results[directory] = ["raised", type(error).__name__, str(error)]
give(results)
"""


def make_table() -> str:
    """Run every fault through stock and the shim; return the table as Markdown."""
    expected = json.loads((REFERENCE / "expected" / "sharded.json").read_text())
    prompt, right = expected["prompts"][0], expected["tokens"][0][:8]
    with tempfile.TemporaryDirectory() as scratch:
        directories = {}
        for number, (fault, breaking) in enumerate(FAULTS.items()):
            directory = Path(scratch) / f"checkpoint{number:02d}"
            shutil.copytree(REFERENCE / "checkpoints" / "sharded", directory)
            breaking(directory)
            directories[fault] = str(directory)
        outcomes = {
            who: run_script(_RUN, who, json.dumps(prompt), *directories.values(), cwd=Path(scratch)).result
            for who in ("stock", "shim")
        }
    lines = ["| what is wrong | stock `load_weights` | with `import mf_qwen3_patch` |\n|---|---|---|\n"]
    for fault, directory in directories.items():
        cells = (_cell(outcomes[who][directory], right, directory) for who in ("stock", "shim"))
        lines.append(f"| {fault} | {' | '.join(cells)} |\n")
    return "".join(lines)


def _cell(outcome: list[object], right: list[int], directory: str) -> str:
    kind, first, second = outcome
    if kind == "loaded":
        said = "; ".join(second) if isinstance(second, list) else ""
        silent = "loaded as the file has it" if said else "**no error, wrong tokens**"
        verdict = "right tokens" if first == right else silent
        return verdict + (f"; warning: {_tidy(said, directory)}" if said else "")
    return f"`{first}`: {_tidy(str(second), directory)}"


def _tidy(message: str, directory: str) -> str:
    """Take the first line, without what differs from run to run."""
    line = message.strip().splitlines()[0].replace(directory, "DIR").replace(" in DIR", "")
    line = re.sub(r"0x[0-9a-f]+", "0x…", line).replace("|", "\\|")
    return line if len(line) <= 220 else line[:217] + "…"


def main() -> int:
    """Write or check the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the documents instead of writing them")
    arguments = parser.parse_args()
    table = make_table()
    if arguments.check:
        old = outdated("faults", table)
        for path in old:
            sys.stderr.write(
                f"the table of faults in {path} is not what a run gives; see python -m scripts.make_fault_table\n"
            )
        return 1 if old else 0
    fill("faults", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
