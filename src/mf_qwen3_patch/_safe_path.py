"""Keeps ``python -m mf_qwen3_patch`` from importing what lies in the working directory, which may be a checkpoint's.

Python itself puts that directory before all others, as for every ``-m``; with ``-P`` (3.11) it does not. It is the
first import of the package: whatever comes before it could come from there.
"""

import sys

# While a module that was asked for with -m is looked for, that is what argv says.
if sys.argv[:1] == ["-m"] and any(argument.endswith("mf_qwen3_patch") for argument in sys.orig_argv):
    import os

    if sys.path[:1] in ([""], [os.getcwd()]):  # noqa: PTH109 - pathlib could come from there
        del sys.path[0]
