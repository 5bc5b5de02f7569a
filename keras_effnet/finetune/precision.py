"""Computing in bfloat16 where it does no harm: everywhere but at the images and at the class scores."""

from __future__ import annotations

import keras

from keras_effnet.finetune.recipe import Precision


def set_precision(model: keras.Model, precision: Precision) -> None:
    """Sets how the layers of a built model compute; its weights stay float32.

    The layers before the first convolution keep float32, since bfloat16 tells only 256 shades apart up to 1 and fewer
    pixels' values above; the classifier and what follows keep it, since probabilities need the digits (Micikevicius et
    al. 2018, arXiv:1710.03740, section 4.1; Keras' guide to mixed precision says so of softmax).

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
