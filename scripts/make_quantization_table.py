"""Make the documents' table of quantized checkpoints, from real loads.

python -m scripts.make_quantization_table            # run everything and write the table into the documents
python -m scripts.make_quantization_table --check    # run everything and compare
"""

from __future__ import annotations

import mf_qwen3_patch  # isort: skip  # first, as the documentation says

mf_qwen3_patch.enable_cpu_kernels()

import argparse
import contextlib
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.quantized import HEADER_FAULTS
from tests.mindformers.loading.transfer.stock import bits, differences
from tests.support.checkpoints import TINY_MOE, write_checkpoint
from tests.support.documents import fill, outdated
from tests.support.quantized import KINDS, write_quantized

from mf_qwen3_patch import CheckpointError, load_pretrained
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers

MODELS: dict[str, dict[str, Any]] = {"dense": {}, "mixture of experts": TINY_MOE}
REFUSED = ("msModelSlim", "MLX", "HQQ", "EETQ", "bitsandbytes, declared", "an unknown method")


def make_table() -> tuple[str, bool]:
    """Return the table, and whether all loads of what is dequantized were right."""
    columns = [*MODELS, *(f"{model}, converted" for model in MODELS)]
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    all_right = True
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, kind in enumerate(KINDS):
            cells = []
            for model, config in MODELS.items():
                quantized, plain = write_quantized(Path(scratch) / f"{number}-{model}", kind, dtype="BF16", **config)
                cells += [_outcome(quantized, plain, load_pretrained), _outcome(quantized, plain, _convert)]
            cells = cells[::2] + cells[1::2]
            all_right &= set(cells) == {"right"}
            lines.append(f"| {kind} | {' | '.join(cells)} |")
        for name in REFUSED:
            (fault,) = (fault for fault in HEADER_FAULTS if fault.name == name)
            directory = write_checkpoint(Path(scratch) / name, shards=3)
            fault.make(directory)
            code = _outcome(directory, directory, load_pretrained)
            lines.append(f"| {name.partition(',')[0]} | {code} | – | {_outcome(directory, directory, _convert)} | – |")
    return "\n".join(lines) + "\n", all_right


def _convert(directory: Path) -> Any:
    target = directory.with_name(f"{directory.name}-converted")
    # What the quantized values become is rounded when it is written, and what the others are when they are loaded.
    convert_to_mindformers(directory, target, dtype="float32", progress=False)
    return load_pretrained(target)


def _outcome(quantized: Path, plain: Path, load: Callable[[Path], Any]) -> str:
    try:
        found = load(quantized)
    except CheckpointError as error:
        return error.code
    return "wrong" if differences(bits(load_pretrained(plain)), bits(found)) else "right"


def main() -> int:
    """Write or check the table; return 1 if it has changed, or if a load was not right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the documents instead of writing them")
    arguments = parser.parse_args()
    table, all_right = make_table()
    if not arguments.check:
        fill("quantized", table)
        return 0 if all_right else 1
    return 1 if not all_right or outdated("quantized", table) else 0


if __name__ == "__main__":
    sys.exit(main())
