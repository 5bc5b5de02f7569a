"""Transfer learning from drawn letters to pictures with few labels."""
