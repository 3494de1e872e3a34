"""What goes from files to files: ``check`` of a large model, ``convert`` and ``export`` against their floor.

    python benchmarks/files.py --dir /somewhere/with/space [--shape 0.6B] [--runs 5]

``check`` reads the headers of a checkpoint of the shape and number of shards of Qwen3-235B-A22B; its weights are holes,
which take no space. ``convert`` and ``export`` go through a checkpoint of ``--shape`` in turns with the floor: read
each byte once, write it once, fsync; each comes first as often as the others. The page cache is warm. ``check`` is
timed with the start of its interpreter, the others without.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "src")]

from tests.support.checkpoints import write_sparse_checkpoint  # noqa: E402

from checkpoints import SHAPES, make  # noqa: E402
from measured import Row, seconds_of, write  # noqa: E402
from page_cache import warm  # noqa: E402

_235B = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "decoder_sparse_step": 1,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "max_position_embeddings": 40960,
    "mlp_only_layers": [],
    "model_type": "qwen3_moe",
    "moe_intermediate_size": 1536,
    "norm_topk_prob": True,
    "num_attention_heads": 64,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 94,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
    "vocab_size": 151936,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="where checkpoints are made, and kept")
    parser.add_argument("--shape", choices=list(SHAPES), default="0.6B")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args()
    large = options.dir / "qwen3-235B-A22B-holes"
    if not large.exists():
        write_sparse_checkpoint(large, shards=118, **_235B)
    checks = [timed(lambda: check(large)) for _ in range(options.runs)]
    rows = [Row("`check` of the 235B-A22B shape in 118 shards", seconds_of(checks))]

    from mf_qwen3_patch.convert.to_huggingface import export_to_huggingface
    from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers

    source = make(options.dir, options.shape)
    to_export, target = options.dir / "converted", options.dir / "target"
    shutil.rmtree(to_export, ignore_errors=True)
    convert_to_mindformers(source, to_export, progress=False)
    steps: dict[str, tuple[Path, Callable[[], object]]] = {
        "floor": (source, lambda: copy(source, target)),
        "convert": (source, lambda: convert_to_mindformers(source, target, progress=False)),
        "export": (to_export, lambda: export_to_huggingface(to_export, target, progress=False)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    order = list(steps)
    for _ in range(options.runs):
        for name in order:
            read, run = steps[name]
            shutil.rmtree(target, ignore_errors=True)
            warm(read.glob("*.safetensors"))
            os.sync()
            time.sleep(1)  # a disk takes what comes after a pause faster than what comes after other writes
            seconds[name].append(timed(run))
        order.append(order.pop(0))
    floor = statistics.median(seconds["floor"])
    names = {
        "floor": f"read once, write once, fsync: {options.shape}",
        "convert": f"`convert` of {options.shape}",
        "export": f"`export` of {options.shape}",
    }
    rows += [
        Row(names[name], seconds_of(times), f"{statistics.median(times) / floor:.2f}")
        for name, times in seconds.items()
    ]
    write(rows, options.json)
    for directory in (to_export, target):
        shutil.rmtree(directory)


def timed(run: Callable[[], object]) -> float:
    """Return how many seconds it takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def check(directory: Path) -> None:
    """Check a directory, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "src")}
    command = [sys.executable, "-m", "mf_qwen3_patch", "check", str(directory), "--json"]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if '"problems": []' not in finished.stdout:
        raise SystemExit(f"check failed:\n{finished.stdout[-2000:]}{finished.stderr[-2000:]}")


def copy(source: Path, target: Path) -> None:
    """Read each byte of the weights once, write it once, and have it on the disk."""
    target.mkdir()
    buffer = memoryview(bytearray(1 << 20))
    for file in source.glob("*.safetensors"):
        with file.open("rb", buffering=0) as reading, (target / file.name).open("wb", buffering=0) as writing:
            while count := reading.readinto(buffer):
                writing.write(buffer[:count])
            os.fsync(writing.fileno())


if __name__ == "__main__":
    main()
