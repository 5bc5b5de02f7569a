"""Weight files: locating them, reading them, and loading them into a model completely or not at all."""
