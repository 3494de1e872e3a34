"""The same as te."""

from te import __getattr__  # noqa: F401

__path__ = []
