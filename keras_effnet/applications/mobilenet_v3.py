"""Builders as in `keras.applications.mobilenet_v3`, and the specs behind them.

Written by scripts/catalogue.py; do not edit.
"""

from __future__ import annotations

from keras_effnet.applications.imagenet_utils import decode_predictions
from keras_effnet.applications.imagenet_utils import preprocess_none as preprocess_input
from keras_effnet.applications.own_arguments import mobilenet_v3_application
from keras_effnet.backbones.mobilenet_v3_specs import (
    mobilenet_v3_large_minimalistic_spec,
    mobilenet_v3_large_spec,
    mobilenet_v3_small_minimalistic_spec,
    mobilenet_v3_small_spec,
    mobilenet_v3_with,
)

MobileNetV3Large = mobilenet_v3_application(mobilenet_v3_large_spec, "MobileNetV3Large", __name__)
MobileNetV3Small = mobilenet_v3_application(mobilenet_v3_small_spec, "MobileNetV3Small", __name__)

__all__ = [
    "MobileNetV3Large",
    "MobileNetV3Small",
    "decode_predictions",
    "mobilenet_v3_large_minimalistic_spec",
    "mobilenet_v3_large_spec",
    "mobilenet_v3_small_minimalistic_spec",
    "mobilenet_v3_small_spec",
    "mobilenet_v3_with",
    "preprocess_input",
]
