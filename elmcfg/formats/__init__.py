"""Outside notations of a config, one module each."""
