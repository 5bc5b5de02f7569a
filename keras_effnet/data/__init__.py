"""Labelled images: loading them, and feeding them to training."""
