"""From tensors in files to Parameters in memory: plan, read, cast, assign, verify."""
