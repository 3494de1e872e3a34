"""Stands in for the installed ``mf_qwen3_patch.pth`` where there is none, in programs that ``run`` starts.

``run`` puts this directory at the head of PYTHONPATH, so that Python imports this module at start-up, in
children too. It does what the ``.pth`` line does, then makes way for the ``sitecustomize`` that it hides.
"""

import sys
from pathlib import Path


def _activate() -> None:
    # Beside the package, in the source tree as in site-packages.
    line = Path(__file__).parents[3] / "mf_qwen3_patch.pth"
    exec(compile(line.read_text(encoding="utf-8"), line, "exec"), {})


def _make_way() -> None:
    here = Path(__file__).parent
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry) != here]
    ours = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    except ModuleNotFoundError as error:
        if error.name != __name__:
            raise
        # The import system expects to find the module that it is importing.
        sys.modules[__name__] = ours


_activate()
_make_way()
