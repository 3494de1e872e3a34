"""Record what the installed release of transformers makes of the reference data, and of directories in dispute.

    python -m scripts.make_readings                # writes tests/reference_data/readings/transformers_N.json
    python -m scripts.make_readings --output FILE  # elsewhere, to compare

Run it with transformers 4.51.3 and with a release of transformers 5. Needs torch and transformers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from tests.support import oracle, readings


def every_reading(scratch: Path) -> dict[str, Any]:
    """Read every directory; only tokens and refusals are recorded, no logits."""
    found = {}
    for source in readings.every_source():
        prompts = readings.prompts_of(source.base)
        found[source.name] = oracle.read(source.directory(scratch), prompts, readings.MAX_NEW_TOKENS, **source.options)
    return found


def main() -> None:
    """Write the file of the installed release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    output = parser.parse_args().output or readings.readings_file(int(transformers.__version__.partition(".")[0]))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        found = every_reading(Path(scratch))
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in found.items())
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(f'{{\n  "versions": {json.dumps(versions)},\n  "readings": {{\n{lines}\n  }}\n}}\n', "utf-8")
    print(f"{output}: {len(found)}")


if __name__ == "__main__":
    main()
