"""Builders as in `keras.applications.densenet`, and the specs behind them.

Written by scripts/catalogue.py; do not edit.
"""

from __future__ import annotations

from keras_effnet.applications.builders import application
from keras_effnet.applications.imagenet_utils import decode_predictions
from keras_effnet.applications.imagenet_utils import preprocess_torch as preprocess_input
from keras_effnet.backbones.densenet_specs import densenet121_spec, densenet169_spec, densenet201_spec

DenseNet121 = application(densenet121_spec, "DenseNet121", __name__)
DenseNet169 = application(densenet169_spec, "DenseNet169", __name__)
DenseNet201 = application(densenet201_spec, "DenseNet201", __name__)

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
