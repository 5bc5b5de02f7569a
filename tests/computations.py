"""A number for what a Keras model computes, the same for any two graphs that compute the same in the same order."""

from __future__ import annotations

from typing import Any

import keras

WITHOUT_MEANING = (
    *("ZeroPadding2D", "Dropout", "Flatten", "Reshape", "Rescaling", "Normalization", "Identity"),
    "StochasticDepth",  # of Keras' ConvNeXt
)
SETTINGS = ("kernel_size", "strides", "groups", "use_bias", "activation", "epsilon", "pool_size", "depth_multiplier")

# Rows and columns: before the first pixel, and behind the last.
Zeros = tuple[Any, ...]
NONE: Zeros = ((0, 0), (0, 0))
# A number, and the zeros that lie around what it stands for.
Known = tuple[int, Zeros]


def described(layer: Any) -> tuple[Any, ...]:
    """What a layer computes, in the same words whichever class does it; paddings are told by `computation`."""
    config, kind = layer.get_config(), type(layer).__name__
    if kind == "ReLU":
        kind, config = "Activation", {"activation": "relu" if config["max_value"] is None else "relu6"}
    settings = {name: str(config.get(name)) for name in SETTINGS}
    shapes = [tuple(weight.shape) for weight in getattr(layer, "weights", ())]
    if kind == "Conv2D" and layer.groups > 1 and shapes[0][2:] == (1, layer.groups):
        # A filter for each channel: Keras' ConvNeXt says it by groups.
        kind, settings = "DepthwiseConv2D", {**settings, "groups": "None", "depth_multiplier": "1"}
        shapes[0] = (*shapes[0][:2], layer.groups, 1)
    elif kind == "EinsumDense" and config["equation"] == "abcd,d->abcd":
        kind, settings = "LayerScale", dict.fromkeys(SETTINGS, "None")
    return kind, tuple(settings.items()), tuple(shapes)


def computation(model: keras.Model) -> int:
    """A number for what a model computes: each layer's, made of its own description and the numbers of what it reads.

    Equal for models of equal layers that are wired in the same way. Left out is what preprocessing scales by, and what
    stands for the outside of an image where a maximum is taken: both sides write these in layers of their own; running
    networks compares them.
    """
    known: dict[str, Known] = {}
    for operation in model.operations:
        reads = [] if isinstance(operation, keras.layers.InputLayer) else operation.input
        below = [known[x._keras_history.operation.name] for x in (reads if isinstance(reads, list) else [reads])]
        parts = operation.layers if isinstance(operation, keras.Sequential) else [operation]
        for part in parts:
            if part is operation or not isinstance(part, keras.layers.InputLayer):
                below = [_known(part, below)]
        known[operation.name] = below[0]
    return known[model.operations[-1].name][0]


def _known(layer: Any, below: list[Known]) -> Known:
    kind = type(layer).__name__
    if len(below) == 1 and (
        kind in WITHOUT_MEANING
        or layer.name == "backbone_spec"
        or (kind == "Activation" and layer.activation is keras.activations.linear)
    ):
        [(number, zeros)] = below
        return number, _sum(zeros, tuple(zip(*layer.padding, strict=True))) if kind == "ZeroPadding2D" else zeros
    window = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
    sides: tuple[int | None, ...] = ()
    if window is not None:
        sides = layer.output.shape[1:3]
        if layer.padding == "same":
            same = _zeros_of_same(layer.input.shape[1:3], window, layer.strides)
            below = [(number, _sum(zeros, same)) for number, zeros in below]
        if None not in sides:
            # Where an image starts and how large the output is tell where it ends, but for zeros that nobody reads.
            below = [(number, zeros[:1]) for number, zeros in below]
    return hash((described(layer), sides, tuple(below))), NONE


def _sum(one: Zeros, other: Zeros) -> Zeros:
    if one == NONE:
        return other
    return tuple(tuple(a + b for a, b in zip(*pair, strict=True)) for pair in zip(one, other, strict=True))


def _zeros_of_same(sides: tuple[int | None, ...], window: tuple[int, ...], strides: Any) -> Zeros:
    """What `padding="same"` adds to an image, the smaller half of it before; its name where only images tell."""
    steps = (strides, strides) if isinstance(strides, int) else strides
    if None in sides and max(steps) > 1 and max(window) > 1:
        return ("same", "same")
    totals = [
        cells - 1 if side is None else max((-(-side // step) - 1) * step + cells - side, 0)
        for side, cells, step in zip(sides, window, steps, strict=True)
    ]
    return tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
