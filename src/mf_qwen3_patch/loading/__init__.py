"""From a HuggingFace directory or weight dict to loaded, proven Parameters and models."""
