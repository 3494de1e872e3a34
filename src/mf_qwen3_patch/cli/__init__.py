"""The command line: ``python -m mf_qwen3_patch COMMAND``; one module per command."""
