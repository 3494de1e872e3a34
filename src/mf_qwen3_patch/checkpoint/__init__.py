"""Knows files, not models: what a HuggingFace Qwen3 directory holds, and whether it can be loaded.

Everything here reads ``config.json``, the index and the safetensors headers; never the weights
themselves (one bounded comparison excepted), and never mindspore. It runs on a laptop.
"""
