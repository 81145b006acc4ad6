"""The commands: one module each, what it takes, does and prints."""
