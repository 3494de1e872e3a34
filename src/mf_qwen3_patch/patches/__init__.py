"""Thin doors into MindSpore and MindFormers, one module per target.

Each has ``supports``, ``apply`` and ``revert`` (see ``mf_qwen3_patch.activation.registry``) and is
imported only once its target is there. A door decides who answers a call; the work is in
``mf_qwen3_patch.loading``.
"""
