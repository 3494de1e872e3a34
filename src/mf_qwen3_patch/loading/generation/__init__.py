"""generate() as transformers means it: its settings, its arguments, and what it makes of the logits."""
