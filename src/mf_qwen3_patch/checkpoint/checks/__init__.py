"""Will this checkpoint load? Answered from config.json, the index and the file headers alone."""
