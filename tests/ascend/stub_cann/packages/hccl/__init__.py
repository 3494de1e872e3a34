"""Has a version, which MindSpore compares with its own."""

from hccl.version import __version__  # noqa: F401
