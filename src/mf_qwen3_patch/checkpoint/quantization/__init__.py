"""Quantized checkpoints, seen as the tensors of the network: one module per method, numpy only."""
