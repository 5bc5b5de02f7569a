"""Builders as in `keras.applications.resnet_v2`, and the specs behind them.

Written by scripts/catalogue.py; do not edit.
"""

from __future__ import annotations

from keras_effnet.applications.builders import application
from keras_effnet.applications.imagenet_utils import decode_predictions
from keras_effnet.applications.imagenet_utils import preprocess_tf as preprocess_input
from keras_effnet.backbones.resnet_v2_specs import resnet50_v2_spec, resnet101_v2_spec, resnet152_v2_spec

ResNet50V2 = application(resnet50_v2_spec, "ResNet50V2", __name__)
ResNet101V2 = application(resnet101_v2_spec, "ResNet101V2", __name__)
ResNet152V2 = application(resnet152_v2_spec, "ResNet152V2", __name__)

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
