"""How the shim lives in somebody else's process: lazily, once, visibly, reversibly."""
