"""Make the reference data of quantized weights: what the libraries that define the formats store, and what it means.

    python -m scripts.make_quantized_data                  # remake tests/reference_data/quantized
    python -m scripts.make_quantized_data --output DIR     # make them elsewhere, to compare

Needs torch, transformers 5, compressed-tensors, accelerate, and the packages of AutoAWQ and AutoGPTQ, of which only
single modules are imported: ``pip install --no-deps autoawq==0.2.9 auto-gptq==0.7.1``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import save_file
from tests.support.processes import ROOT
from tests.support.quantization_oracle import CASES

REFERENCE = ROOT / "tests" / "reference_data" / "quantized"


def main() -> None:
    """Write one file for each case: the layer, the weight in float32 and the config."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=REFERENCE)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for name, make in CASES.items():
        layer = make()
        tensors = {f"layer.{part}": tensor.contiguous() for part, tensor in layer.parts.items()}
        metadata = {"quantization_config": json.dumps(layer.config)}
        save_file({**tensors, "expected": layer.weight.contiguous()}, output / f"{name}.safetensors", metadata)
        print(name)


if __name__ == "__main__":
    main()
