"""The file that PYTHONSTARTUP points at: activates the shim, then runs the startup file that the user had before.

Python executes it in the namespace of the interactive session, where it must leave nothing behind.
"""


def _mf_qwen3_patch_start(session: dict[str, object]) -> None:
    import os
    import sys
    import tokenize

    try:
        from mf_qwen3_patch.activation import startup

        startup.note_way(startup.PYTHONSTARTUP)
    except Exception as error:  # noqa: BLE001 - whatever it is, the session must start
        print("mf_qwen3_patch: not activated:", error, file=sys.stderr)

    following = os.environ.get("MF_QWEN3_PATCH_STARTUP_NEXT")
    if not following or os.path.realpath(following) == os.path.realpath(__file__):
        return
    try:
        with tokenize.open(following) as file:
            source = file.read()
    except OSError as error:
        print("mf_qwen3_patch: MF_QWEN3_PATCH_STARTUP_NEXT cannot be read:", error, file=sys.stderr)
    else:
        exec(compile(source, following, "exec", dont_inherit=True), session)


try:
    _mf_qwen3_patch_start(globals())
finally:
    del _mf_qwen3_patch_start
