"""Patches of MindSpore and MindFormers as data: what changes, what takes its place, and when to step aside.

No module here imports MindSpore, MindFormers or ``mf_qwen3_patch.loading`` at its top, since a patch is applied while a
module of ``loading`` may be half imported: targets are named by strings, and replacements import the work at their
first call.
"""
