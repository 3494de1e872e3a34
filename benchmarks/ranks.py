"""How much the tensor-parallel ranks of one machine read from its disk together, with a cold page cache.

    python benchmarks/ranks.py --dir /somewhere/with/space [--shape 0.6B] [--ranks 2]

Each rank is a process that builds its network, plans and reads, all at the same time, when the page cache holds nothing
of the checkpoint; needs a machine that reads nothing else meanwhile. Exit code 1 if the block device was read for more
than 1.1 times the checkpoint's size, or for less than all of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "src")]

from checkpoints import SHAPES, make  # noqa: E402
from measured import Row, write  # noqa: E402
from page_cache import device_bytes, drop_files  # noqa: E402

_MOST = 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="where the checkpoint is made, and kept")
    parser.add_argument("--shape", choices=list(SHAPES), default="0.6B")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    checkpoint = make(options.dir, options.shape)
    if options.rank is not None:
        read_as(options.rank, options.ranks, checkpoint)
        return
    if device_bytes(checkpoint) is None:
        raise SystemExit("skipped: needs a checkpoint on a block device")
    files = list(checkpoint.glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    rows, ratios = [], []
    for policy in ("keep", "bypass"):
        read = _read_together(options.ranks, checkpoint, files, policy)
        what = f"what {options.ranks} ranks read together from a cold disk, page cache `{policy}`: {options.shape}"
        rows.append(Row(what, f"{read / 1e9:.2f} GB", f"{read / size:.2f}"))
        ratios.append(read / size)
    write(rows, options.json)
    if not all(1 <= ratio <= _MOST for ratio in ratios):
        raise SystemExit(1)


def _read_together(ranks: int, checkpoint: Path, files: list[Path], policy: str) -> int:
    """Return the bytes that the device was made to read."""
    with tempfile.TemporaryDirectory() as scratch:  # MindSpore writes into the working directory
        environment = {**os.environ, "MF_QWEN3_PATCH_PAGE_CACHE": policy, "PYTHONPATH": str(HERE.parent / "src")}
        processes = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--rank", str(rank)],
                cwd=scratch, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for rank in range(ranks)
        ]  # fmt: skip
        for process in processes:
            for line in process.stdout or ():
                if line.startswith("@@ready@@"):
                    break
        drop_files(files)
        before = device_bytes(checkpoint) or 0
        for process in processes:
            (process.stdin or sys.stdin).write("go\n")
            (process.stdin or sys.stdin).flush()
        codes = [process.wait() for process in processes]
        if any(codes):
            raise SystemExit("a rank failed")
        return (device_bytes(checkpoint) or 0) - before


def read_as(rank: int, ranks: int, directory: Path) -> None:
    """Plan as one of several ranks, wait for a line, and read."""
    import json

    import mf_qwen3_patch

    mf_qwen3_patch.enable_cpu_kernels()
    from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
    from mf_qwen3_patch.families.registry import FAMILIES
    from mf_qwen3_patch.loading.runtime.context import ensure_inference_context
    from mf_qwen3_patch.loading.runtime.network import build_config, build_model
    from mf_qwen3_patch.loading.runtime.virtual_rank import as_rank
    from mf_qwen3_patch.loading.transfer.loader import read_parameters
    from mf_qwen3_patch.loading.transfer.planner import plan

    ensure_inference_context()
    values = json.loads((directory / "config.json").read_text())
    del values["torch_dtype"]
    family = FAMILIES[values["model_type"]]
    values |= {"params_dtype": "bfloat16", "compute_dtype": "float32", "seq_length": 128}
    with as_rank(rank, ranks), open_checkpoint(directory) as checkpoint:
        model = build_model(build_config(values, family), family)
        planned = plan(model, checkpoint.tensors, family)
        print("@@ready@@", flush=True)
        sys.stdin.readline()
        _, stats = read_parameters(planned, checkpoint.file, ranks=ranks, progress=False)
    print(f"rank {rank}: {stats.reading}")


if __name__ == "__main__":
    main()
