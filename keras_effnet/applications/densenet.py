"""DenseNet-121, 169 and 201 as `keras.applications.densenet` has them, and the specs behind them."""

from __future__ import annotations

from typing import Any

from keras_effnet.applications.builders import application, decode_predictions, torch_pixels
from keras_effnet.backbones.densenet_specs import densenet121_spec, densenet169_spec, densenet201_spec

DenseNet121 = application(densenet121_spec, "DenseNet121")
DenseNet169 = application(densenet169_spec, "DenseNet169")
DenseNet201 = application(densenet201_spec, "DenseNet201")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels 0 to 255 to 0 to 1, normalised by ImageNet's channel statistics: Keras' "torch" mode.

    Args:
        x: a numpy array or tensor of one image or a batch; an array of floats may be changed in place.
        data_format: "channels_first" or "channels_last"; Keras' default.

    Returns:
        The preprocessed pixels.
    """
    return torch_pixels(x, data_format)


__all__ = [
    "DenseNet121",
    "DenseNet169",
    "DenseNet201",
    "decode_predictions",
    "densenet121_spec",
    "densenet169_spec",
    "densenet201_spec",
    "preprocess_input",
]
