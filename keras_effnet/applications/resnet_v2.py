"""ResNet-50, 101 and 152, version 2, as `keras.applications.resnet_v2` has them, and the specs behind them."""

from __future__ import annotations

from typing import Any

from keras_effnet.applications.builders import application, decode_predictions, tf_pixels
from keras_effnet.backbones.resnet_v2_specs import resnet50_v2_spec, resnet101_v2_spec, resnet152_v2_spec

ResNet50V2 = application(resnet50_v2_spec, "ResNet50V2")
ResNet101V2 = application(resnet101_v2_spec, "ResNet101V2")
ResNet152V2 = application(resnet152_v2_spec, "ResNet152V2")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels 0 to 255 to -1 to 1: Keras' "tf" mode.

    Args:
        x: a numpy array or tensor of one image or a batch; an array of floats may be changed in place.
        data_format: "channels_first" or "channels_last"; Keras' default.

    Returns:
        The preprocessed pixels.
    """
    return tf_pixels(x, data_format)


__all__ = [
    "ResNet50V2",
    "ResNet101V2",
    "ResNet152V2",
    "decode_predictions",
    "preprocess_input",
    "resnet50_v2_spec",
    "resnet101_v2_spec",
    "resnet152_v2_spec",
]
