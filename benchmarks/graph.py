"""Scaling a model from its graph, weights and all, against scaling it by the spec that it carries.

Command: python benchmarks/graph.py
Time: about 2 minutes on 2 cores.
Result: results/graph.json and, by benchmarks/tables.py, its table in docs/any_model.md and docs/evidence/benchmarks.md.
    The target is a ratio of at most 1.5.

The same trained network in one process, in turn: read from its graph, scaled, built and given its weights
(`scale_graph`), and the same by its spec (`scale_model`), with coefficients that both round alike.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from measure import compare, save

from keras_effnet import build_model, scale_model
from keras_effnet.inheritance.scaled_graph import scale_graph
from keras_effnet.scaling import Coefficients

COMMAND = "python benchmarks/graph.py"
ROUNDS = 5
NAMES = ("resnet50", "mobilenet_v2", "densenet121")
LARGER = Coefficients(depth=1.4, width=2.0)
SIDE, CLASSES = 64, 10


def as_if_trained(model: Any) -> None:
    """Statistics that are not those of the start."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in layer.weights:
                variable.assign(generator.uniform(0.5, 1.5, variable.shape))


def row(name: str) -> dict[str, Any]:
    """Time of both ways for one network."""
    model = build_model(name, input_shape=(SIDE, SIDE, 3), classes=CLASSES)
    as_if_trained(model)
    ours, peers = [], []
    for number in range(ROUNDS + 1):
        for scale, times in ((scale_graph, ours), (scale_model, peers)):
            started = time.perf_counter()
            scale(model, coefficients=LARGER)
            if number:  # the first round imports and compiles
                times.append(time.perf_counter() - started)
        print(f"{name}, round {number}/{ROUNDS}", file=sys.stderr)
    return {"what": f"{name} from its graph", "peer": "by its spec", **compare(ours, peers)}


if __name__ == "__main__":
    save("graph", COMMAND, [row(name) for name in NAMES])
