"""Builders as in `keras.applications.mobilenet_v2`, and the specs behind them.

Written by scripts/catalogue.py; do not edit.
"""

from __future__ import annotations

from keras_effnet.applications.imagenet_utils import decode_predictions
from keras_effnet.applications.imagenet_utils import preprocess_tf as preprocess_input
from keras_effnet.applications.own_arguments import MobileNetV2
from keras_effnet.backbones.mobilenet_v2_specs import mobilenet_v2_spec, mobilenet_v2_with

__all__ = [
    "MobileNetV2",
    "decode_predictions",
    "mobilenet_v2_spec",
    "mobilenet_v2_with",
    "preprocess_input",
]
