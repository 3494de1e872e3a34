"""The load of a HuggingFace directory into the network that MindFormers trains: checked, converted once, verified."""
