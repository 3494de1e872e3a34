"""The files of a checkpoint: where they are, and what their headers say."""
