"""``python -m mf_qwen3_patch``: the command line."""

from mf_qwen3_patch.cli.main import console

if __name__ == "__main__":
    raise SystemExit(console())
