"""config.json, and what a YAML or a keyword says over it, in the one dialect that MindFormers accepts."""
