"""Builders as in `keras.applications.resnet`, and the specs behind them.

Written by scripts/catalogue.py; do not edit.
"""

from __future__ import annotations

from keras_effnet.applications.builders import application
from keras_effnet.applications.imagenet_utils import decode_predictions
from keras_effnet.applications.imagenet_utils import preprocess_caffe as preprocess_input
from keras_effnet.backbones.resnet_specs import resnet50_spec, resnet101_spec, resnet152_spec

ResNet50 = application(resnet50_spec, "ResNet50", __name__)
ResNet101 = application(resnet101_spec, "ResNet101", __name__)
ResNet152 = application(resnet152_spec, "ResNet152", __name__)

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
