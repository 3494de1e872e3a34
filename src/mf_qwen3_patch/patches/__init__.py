"""Patches of MindSpore and MindFormers as data, one module per target.

Each module has a ``PATCH``: which attributes change, what takes their place, and when to step aside (see
``_patcher``). No module here imports MindSpore, MindFormers or ``mf_qwen3_patch.loading`` at its top, since a patch is
applied while a module of ``loading`` may be half imported: targets are named by strings, and replacements import the
work at their first call.
"""
