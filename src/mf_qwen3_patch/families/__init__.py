"""One model family per file: its config, its tensors, its MindFormers classes and how they are fused."""
