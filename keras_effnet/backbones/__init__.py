"""Backbones as data: what is in a paper's table, and where weights are published. Loads no keras."""
