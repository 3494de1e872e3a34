"""Make the reference data of LoRA adapters: what PEFT saves, and what the merged model holds.

    python -m scripts.make_lora_data                  # remake tests/reference_data/lora
    python -m scripts.make_lora_data --output DIR     # make them elsewhere, to compare

Needs torch, transformers and peft.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from safetensors.torch import save_file
from tests.support.lora_oracle import CASES, make, write_base
from tests.support.processes import ROOT

REFERENCE = ROOT / "tests" / "reference_data" / "lora"


def main() -> None:
    """Write one directory for each case: the adapter, and the tensors that it changes, merged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=REFERENCE)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as scratch:
        base = write_base(Path(scratch) / "base")
        for name, settings in CASES.items():
            adapter = output / name
            expected = make(base, adapter, settings)
            save_file({key: value.contiguous() for key, value in expected.items()}, adapter / "expected.safetensors")
            (adapter / "README.md").unlink(missing_ok=True)
            config = json.loads((adapter / "adapter_config.json").read_text())
            config["base_model_name_or_path"] = "base"
            (adapter / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
            print(name, len(expected))


if __name__ == "__main__":
    main()
