"""From a HuggingFace directory to a MindFormers one and back: files to files, without a device."""
