"""The checks before a load: answered from config.json, the index, the file headers, and a few KiB of values."""
