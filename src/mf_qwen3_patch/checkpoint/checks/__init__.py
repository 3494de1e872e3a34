"""The checks before a load: answered from config.json, the index and the file headers alone."""
