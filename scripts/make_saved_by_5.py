"""Save small checkpoints again with transformers 5, in every form in which it can save Qwen3.

    python -m scripts.make_saved_by_5                  # remake tests/reference_data/saved_by_5
    python -m scripts.make_saved_by_5 --output DIR     # make them elsewhere, to compare

A form is left out where it is the same as another one, as for dense models that of the experts is. Afterwards record
with ``python -m scripts.make_readings`` what each release of transformers makes of them. Needs torch and
transformers 5.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from tests.support.readings import REFERENCE, base_of

_GROUPED: Mapping[str, Any] = {"save_original_format": False}
_SHARDED: Mapping[str, Any] = {"max_shard_size": "30KB"}

FORMS: Mapping[str, Mapping[str, Any]] = {
    "gqa2": {},
    "gqa2__sharded": _SHARDED,
    "tied": {},
    "fp16__variant": {"variant": "fp16"},
    "yarn": {},
    "moe": {},
    "moe__grouped": _GROUPED,
    "moe_bf16__grouped__sharded": _GROUPED | _SHARDED,
    "moe_tied__grouped": _GROUPED,
    "moe_yarn__grouped": _GROUPED,
}
"""By name, which begins with that of the checkpoint, the arguments of ``save_pretrained``."""


def main() -> None:
    """Write one directory for each form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=REFERENCE / "saved_by_5")
    output: Path = parser.parse_args().output
    if int(transformers.__version__.partition(".")[0]) < 5:
        parser.error(f"needs transformers 5, not {transformers.__version__}")
    for name, form in FORMS.items():
        model = transformers.AutoModelForCausalLM.from_pretrained(
            REFERENCE / "checkpoints" / base_of(name), dtype="auto"
        )
        shutil.rmtree(output / name, ignore_errors=True)
        model.save_pretrained(output / name, **form)
        print(name)


if __name__ == "__main__":
    main()
