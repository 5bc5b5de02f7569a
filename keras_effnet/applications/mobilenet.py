"""Builders as in `keras.applications.mobilenet`, and the specs behind them.

Written by scripts/catalogue.py; do not edit.
"""

from __future__ import annotations

from keras_effnet.applications.imagenet_utils import decode_predictions
from keras_effnet.applications.imagenet_utils import preprocess_tf as preprocess_input
from keras_effnet.applications.own_arguments import MobileNet
from keras_effnet.backbones.mobilenet_specs import mobilenet_v1_spec, mobilenet_v1_with

__all__ = [
    "MobileNet",
    "decode_predictions",
    "mobilenet_v1_spec",
    "mobilenet_v1_with",
    "preprocess_input",
]
