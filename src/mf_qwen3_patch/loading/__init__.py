"""From a HuggingFace directory or weight dict to loaded, verified Parameters and models."""
