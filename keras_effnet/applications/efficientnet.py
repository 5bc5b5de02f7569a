"""EfficientNet-B0 to B7 as `keras.applications.efficientnet` has them, and the specs behind them."""

from __future__ import annotations

from typing import Any

from keras_effnet.applications.builders import application, decode_predictions
from keras_effnet.backbones.efficientnet_specs import (
    efficientnet_b0_spec,
    efficientnet_b1_spec,
    efficientnet_b2_spec,
    efficientnet_b3_spec,
    efficientnet_b4_spec,
    efficientnet_b5_spec,
    efficientnet_b6_spec,
    efficientnet_b7_spec,
    efficientnet_b8_spec,
    efficientnet_l2_spec,
)

EfficientNetB0 = application(efficientnet_b0_spec, "EfficientNetB0")
EfficientNetB1 = application(efficientnet_b1_spec, "EfficientNetB1")
EfficientNetB2 = application(efficientnet_b2_spec, "EfficientNetB2")
EfficientNetB3 = application(efficientnet_b3_spec, "EfficientNetB3")
EfficientNetB4 = application(efficientnet_b4_spec, "EfficientNetB4")
EfficientNetB5 = application(efficientnet_b5_spec, "EfficientNetB5")
EfficientNetB6 = application(efficientnet_b6_spec, "EfficientNetB6")
EfficientNetB7 = application(efficientnet_b7_spec, "EfficientNetB7")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Returns `x` as it is: the model preprocesses its pixels, 0 to 255, itself. Here for symmetry with Keras."""
    return x


__all__ = [
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "decode_predictions",
    "efficientnet_b0_spec",
    "efficientnet_b1_spec",
    "efficientnet_b2_spec",
    "efficientnet_b3_spec",
    "efficientnet_b4_spec",
    "efficientnet_b5_spec",
    "efficientnet_b6_spec",
    "efficientnet_b7_spec",
    "efficientnet_b8_spec",
    "efficientnet_l2_spec",
    "preprocess_input",
]
