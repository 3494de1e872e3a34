"""Where the model is that a name means: a directory, a hub ID in a cache or on the hub, an adapter's base."""
