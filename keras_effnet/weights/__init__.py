"""Weight files: where they are, what is in them, and how they get into a model whole or not at all."""
