"""Builders as in `keras.applications.efficientnet`, and the specs behind them.

Written by scripts/catalogue.py; do not edit.
"""

from __future__ import annotations

from keras_effnet.applications.builders import application
from keras_effnet.applications.imagenet_utils import decode_predictions
from keras_effnet.applications.imagenet_utils import preprocess_none as preprocess_input
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

EfficientNetB0 = application(efficientnet_b0_spec, "EfficientNetB0", __name__)
EfficientNetB1 = application(efficientnet_b1_spec, "EfficientNetB1", __name__)
EfficientNetB2 = application(efficientnet_b2_spec, "EfficientNetB2", __name__)
EfficientNetB3 = application(efficientnet_b3_spec, "EfficientNetB3", __name__)
EfficientNetB4 = application(efficientnet_b4_spec, "EfficientNetB4", __name__)
EfficientNetB5 = application(efficientnet_b5_spec, "EfficientNetB5", __name__)
EfficientNetB6 = application(efficientnet_b6_spec, "EfficientNetB6", __name__)
EfficientNetB7 = application(efficientnet_b7_spec, "EfficientNetB7", __name__)

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
