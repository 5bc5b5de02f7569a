"""Builders as in `keras.applications.convnext`, and the specs behind them.

Written by scripts/catalogue.py; do not edit.
"""

from __future__ import annotations

from keras_effnet.applications.imagenet_utils import decode_predictions
from keras_effnet.applications.imagenet_utils import preprocess_none as preprocess_input
from keras_effnet.applications.own_arguments import convnext_application
from keras_effnet.backbones.convnext_specs import (
    convnext_base_spec,
    convnext_large_spec,
    convnext_small_spec,
    convnext_tiny_spec,
    convnext_with,
    convnext_xlarge_spec,
)

ConvNeXtTiny = convnext_application(convnext_tiny_spec, "ConvNeXtTiny", __name__)
ConvNeXtSmall = convnext_application(convnext_small_spec, "ConvNeXtSmall", __name__)
ConvNeXtBase = convnext_application(convnext_base_spec, "ConvNeXtBase", __name__)
ConvNeXtLarge = convnext_application(convnext_large_spec, "ConvNeXtLarge", __name__)
ConvNeXtXLarge = convnext_application(convnext_xlarge_spec, "ConvNeXtXLarge", __name__)

__all__ = [
    "ConvNeXtBase",
    "ConvNeXtLarge",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "ConvNeXtXLarge",
    "convnext_base_spec",
    "convnext_large_spec",
    "convnext_small_spec",
    "convnext_tiny_spec",
    "convnext_with",
    "convnext_xlarge_spec",
    "decode_predictions",
    "preprocess_input",
]
