"""The stub itself: MindSpore starts on it, sees the machine that was asked for, and what moves is counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ascend.rehearsal import Rehearse
from tests.support.processes import ROOT

_ADD = """
    import mindspore, numpy as np
    from mindspore import Tensor
    from mindspore._c_expression import MSContext
    from tests.ascend.counters import counters, operators

    mindspore.set_context(device_target="Ascend", mode=1)
    before = counters()
    total = Tensor(np.ones(1000, np.float32)) + Tensor(np.ones(1000, np.float32))
    total.asnumpy()
    give([MSContext.get_instance().get_ascend_soc_version(), mindspore.get_context("device_target"), before])
"""


@pytest.mark.parametrize(
    ("soc", "known_as"), [("910B", "ascend910b"), pytest.param("310P", "ascend310p", marks=pytest.mark.sweep)]
)
def test_mindspore_launches_on_the_card_that_was_asked_for(rehearse: Rehearse, soc: str, known_as: str) -> None:
    done = rehearse(_ADD, soc=soc)
    assert done.result[:2] == [known_as, "Ascend"]
    assert done.counters["h2d_bytes"] - done.result[2]["h2d_bytes"] == 8000
    assert done.counters["d2h_bytes"] == 4000
    assert done.operators["aclnnAdd"] == 1


@pytest.mark.sweep
def test_the_number_and_the_memory_of_the_cards_are_kept(rehearse: Rehearse) -> None:
    script = """
        import mindspore, numpy as np
        mindspore.set_context(device_target="Ascend", device_id=int(sys.argv[1]), mode=1)
        (mindspore.Tensor(np.ones(int(sys.argv[2]), np.float32)) + 1).asnumpy()
    """
    script = "import sys\n" + "\n".join(line[8:] for line in script.splitlines())
    assert rehearse(script, 1, 10, cards=2).counters["set_device"] == 2
    absent = rehearse(script, 2, 10, cards=2, check=False)
    assert absent.exit_code != 0
    too_large = rehearse(script, 0, 1 << 29, hbm_gb=1, check=False)
    assert too_large.exit_code != 0
    assert "memory" in too_large.output.lower()


@pytest.mark.parametrize(("ci", "outcome"), [({}, "1 skipped"), ({"CI": "true"}, "1 error")])
def test_without_a_compiler_it_is_skipped_but_for_ci(tmp_path: Path, ci: dict[str, str], outcome: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST")}
    one = "tests/ascend/test_stub.py::test_the_number_and_the_memory_of_the_cards_are_kept"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}", one],
        cwd=ROOT,
        env={**environ, "PATH": str(tmp_path), **ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in done.stdout.splitlines()[-1]
    assert "gcc, nm, c++filt not found: the stub CANN is compiled (install gcc and binutils)" in done.stdout
    assert done.returncode == (1 if ci else 0)
