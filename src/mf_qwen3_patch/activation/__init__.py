"""Activation in somebody else's process: lazy, once, visible, reversible."""
