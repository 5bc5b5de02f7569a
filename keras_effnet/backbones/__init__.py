"""Backbones as data: families of published networks, their weights and accuracies. Imports no keras."""
