"""Runs a script as if on a machine with Ascend cards, and says what it did to them."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ascend.counters import COUNTERS_VARIABLE, OPERATORS_VARIABLE, read_counters, read_operators
from tests.ascend.stub_cann.build import environment
from tests.support.processes import ROOT, run_script

SOCS = {"910B": "Ascend910B2", "310P": "Ascend310P3"}

# MindSpore's teardown waits for a device that never answers.
_LEAVE = "\nimport os, sys\nsys.stdout.flush()\nsys.stderr.flush()\nos._exit(0)\n"


@dataclass(frozen=True)
class Rehearsal:
    """What a script left behind.

    Attributes:
        result: What it handed to ``give``.
        output: Its stdout and stderr, together.
        exit_code: 0 unless it failed.
        counters: See ``counters.FIELDS``.
        operators: The launched operators.
    """

    result: Any
    output: str
    exit_code: int
    counters: Mapping[str, int]
    operators: Counter[str]


@dataclass(frozen=True)
class Rehearse:
    """Runs scripts with one stub CANN."""

    stub: Path
    cwd: Path

    def __call__(
        self,
        script: str,
        *arguments: object,
        soc: str = "910B",
        cards: int = 8,
        hbm_gb: float = 64,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Rehearsal:
        """Run ``script``, which hands back JSON by ``give(value)``.

        Args:
            script: Python source, dedented here.
            arguments: For ``sys.argv[1:]``.
            soc: "910B" or "310P".
            cards: How many of them there are.
            hbm_gb: The memory of each.
            env: Added to the environment.
            check: Fail if the exit code is not 0.
        """
        counted, launched = self.cwd / "counters", self.cwd / "operators"
        counted.unlink(missing_ok=True)
        launched.unlink(missing_ok=True)
        stub = environment(self.stub)
        machine = {
            **stub,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), stub["PYTHONPATH"]]),
            "GLOG_v": "3",
            "REHEARSAL_SOC": SOCS[soc],
            "REHEARSAL_CARDS": str(cards),
            "REHEARSAL_HBM_GB": str(hbm_gb),
            COUNTERS_VARIABLE: str(counted),
            OPERATORS_VARIABLE: str(launched),
        }
        source = textwrap.dedent(script) + _LEAVE
        done = run_script(source, *arguments, cwd=self.cwd, env={**machine, **(env or {})}, check=check)
        return Rehearsal(done.result, done.output, done.exit_code, read_counters(counted), read_operators(launched))
