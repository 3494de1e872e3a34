from mf_qwen3_patch._version import __version__
