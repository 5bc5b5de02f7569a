"""Computing in bfloat16 where it does no harm: everywhere but near the pixels and the class scores."""

from __future__ import annotations

import keras


def set_precision(model: keras.Model, precision: str) -> None:
    """Sets the precision in which the layers of a built model compute; its weights stay float32.

    The layers before the first convolution stay in float32: bfloat16 has 8 significant bits, and pixels from 0 to 255,
    once scaled and shifted, would lose shades. The classifier and what follows it stay in float32, because
    probabilities need the digits (Micikevicius et al. 2018, arXiv:1710.03740, section 4.1).

    Args:
        model: a functional model.
        precision: "mixed_bfloat16" or "float32".
    """
    layers = model.layers
    weighted = [
        number
        for number, layer in enumerate(layers)
        if layer.weights and not isinstance(layer, keras.layers.Normalization)
    ]
    first, last = weighted[0], weighted[-1]
    for number, layer in enumerate(layers):
        inside = first <= number < last
        layer.dtype_policy = keras.DTypePolicy(precision if inside else "float32")
