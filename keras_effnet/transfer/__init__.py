"""Transfer learning from drawn letters to images with few labels."""
