"""Every builder of keras.applications, counted by us and by the counter of the backend on the same graph.

Command: KERAS_BACKEND=tensorflow|torch python benchmarks/peer_counts.py smallest|default ROUNDS [BUILDER...]
Time: 2 minutes on 2 cores for one round of all at the smallest sizes.
Result: a line of JSON for each builder: values of both counters, and seconds. scripts/golden.py keeps the values at the
smallest sizes, and tests/test_model_cost.py holds ours against them; benchmarks/count.py compares the seconds.

What each counter leaves out, so that every difference has its reason (`multiply_adds` applies it):

| counter | a multiply-add of a convolution or dense layer is | leaves out | counts besides |
|---|---|---|---|
| `estimate_cost` | 1 | none | nothing: no bias, normalization, activation, pooling or sum |
| TensorFlow's profiler | 2, in `Conv2D`, `DepthwiseConv2dNative`, `MatMul` | those with groups (1) | `OTHERS` (2) |
| `torch.utils.flop_counter` | 2, in `convolution`, `mm`, `addmm`, `bmm` | none | nothing |

1. Keras compiles each of them by itself, and the profiler does not look into what is compiled.
2. One or a few for each value: biases, sums, products, poolings, softmax. Nothing for what the profiler has no formula
   for, such as ReLU and the fused normalization.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import keras
import numpy as np

from keras_effnet import estimate_cost
from keras_effnet.counted_model import read_counted
from keras_effnet.ops import Conv

BUILDERS = tuple(name for name in dir(keras.applications) if name[0].isupper())
# Builders that Keras (3.15.1) itself refuses under a backend: "not available with the torch backend at this time".
MISSING = {"tensorflow": set[str](), "torch": {"NASNetMobile"}}
# Least sides of images that the builders take; 32 for all others.
SMALLEST = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
# Sides of those builders that take images of any size unless they are told.
DEFAULT = {"MobileNetV3Large": 224, "MobileNetV3Small": 224}
MULTIPLY_ADDS = {
    "tensorflow": {"Conv2D", "DepthwiseConv2dNative", "MatMul"},
    "torch": {"convolution", "mm", "addmm", "bmm"},
}
OTHERS = {
    "tensorflow": {
        *("Add", "AddV2", "AvgPool", "BiasAdd", "MaxPool", "Maximum", "Mean", "Minimum", "Mul", "RealDiv", "Rsqrt"),
        *("Softmax", "Square", "SquaredDifference", "Sub", "Neg"),
    },
    "torch": set[str](),
}


def multiply_adds(found: dict[str, int], backend: str, grouped: int) -> int:
    """The multiply-adds in what the counter of a backend found, by the rule above.

    Args:
        found: operations counted, by the name of their kind.
        backend: "tensorflow" or "torch".
        grouped: multiply-adds of convolutions with groups.
    """
    unknown = set(found) - MULTIPLY_ADDS[backend] - OTHERS[backend]
    if unknown:
        raise ValueError(f"no rule says what these are: {sorted(unknown)}")
    seen = sum(value for kind, value in found.items() if kind in MULTIPLY_ADDS[backend])
    return seen // 2 + (grouped if backend == "tensorflow" else 0)


def tensorflow_counts(model: Any, shape: tuple[int, ...]) -> dict[str, int]:
    """What TensorFlow's profiler says, by the kind of operation."""
    import tensorflow as tf

    spec = tf.TensorSpec((1, *shape), tf.float32)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    found: dict[str, int] = {}
    node = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    while node.children:
        [node] = node.children
        if node.float_ops:
            found[node.name] = node.float_ops
    return found


def torch_counts(model: Any, shape: tuple[int, ...]) -> dict[str, int]:
    """What PyTorch's counter says, by the kind of operation."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    # On the device "meta" (KERAS_TORCH_DEVICE) tensors have shapes and no values, and nothing is computed.
    image = torch.zeros(1, *shape, device=model.weights[0].value.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image, training=False)
    return {str(kind).split(".")[-1]: value for kind, value in counter.get_flop_counts()["Global"].items()}


COUNTERS: dict[str, Callable[[Any, tuple[int, ...]], dict[str, int]]] = {
    "tensorflow": tensorflow_counts,
    "torch": torch_counts,
}


@contextmanager
def zero_kernels() -> Iterator[None]:
    """Inside, kernels start as zeros: random numbers take most of the time of building."""

    def zeros(self: Any, shape: Any, dtype: Any = None, **options: Any) -> np.ndarray:
        return np.zeros(shape, dtype or "float32")

    with ExitStack() as patches:
        for kind in ("VarianceScaling", "RandomNormal", "TruncatedNormal", "RandomUniform"):
            patches.enter_context(patch.object(getattr(keras.initializers, kind), "__call__", zeros))
        yield


def built(name: str, size: str = "smallest") -> Any:
    """The network of a builder of keras.applications."""
    side = SMALLEST.get(name, 32) if size == "smallest" else DEFAULT.get(name)
    shape: dict[str, Any] = {} if side is None else {"input_shape": (side, side, 3)}
    with zero_kernels():
        return getattr(keras.applications, name)(weights=None, **shape)


def grouped_macs(model: Any) -> int:
    """The multiply-adds of convolutions with groups."""
    counted = read_counted(model)
    return sum(each.macs for node, each in counted.costs.items() if isinstance(node.op, Conv) and node.op.groups > 1)


def compared(name: str, size: str, rounds: int) -> dict[str, Any]:
    """One builder's network, by both counters, in turn."""
    model = built(name, size)
    cost = estimate_cost(model)
    ours, peer, found = [], [], {}
    for _ in range(rounds):
        started = time.perf_counter()
        estimate_cost(model)
        ended = time.perf_counter()
        found = COUNTERS[keras.backend.backend()](model, model.input_shape[1:])
        ours.append(ended - started)
        peer.append(time.perf_counter() - ended)
    return {
        "builder": name,
        "shape": model.input_shape[1:],
        "macs": cost.macs,
        "grouped": grouped_macs(model),
        "peer": found,
        "ours_s": ours,
        "peer_s": peer,
    }


def main(size: str, rounds: str, *names: str) -> None:
    missing = MISSING[keras.backend.backend()]
    for name in names or [each for each in BUILDERS if each not in missing]:
        print(json.dumps(compared(name, size, int(rounds))), flush=True)
        keras.backend.clear_session()


if __name__ == "__main__":
    main(*sys.argv[1:])
