"""ResNet-50, 101 and 152 as `keras.applications.resnet` has them, and the specs behind them."""

from __future__ import annotations

from typing import Any

from keras_effnet.applications.builders import application, caffe_pixels, decode_predictions
from keras_effnet.backbones.resnet_specs import resnet50_spec, resnet101_spec, resnet152_spec

ResNet50 = application(resnet50_spec, "ResNet50")
ResNet101 = application(resnet101_spec, "ResNet101")
ResNet152 = application(resnet152_spec, "ResNet152")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels 0 to 255, RGB, to BGR with ImageNet's channel means taken off: Keras' "caffe" mode.

    Args:
        x: a numpy array or tensor of one image or a batch; an array of floats may be changed in place.
        data_format: "channels_first" or "channels_last"; Keras' default.

    Returns:
        The preprocessed pixels.
    """
    return caffe_pixels(x, data_format)


__all__ = [
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "decode_predictions",
    "preprocess_input",
    "resnet50_spec",
    "resnet101_spec",
    "resnet152_spec",
]
