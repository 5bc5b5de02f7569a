"""Builders as in `keras.applications.efficientnet_v2`, and the specs behind them.

Written by scripts/catalogue.py; do not edit.
"""

from __future__ import annotations

from keras_effnet.applications.imagenet_utils import decode_predictions
from keras_effnet.applications.imagenet_utils import preprocess_none as preprocess_input
from keras_effnet.applications.own_arguments import efficientnet_v2_application
from keras_effnet.backbones.efficientnet_v2_specs import (
    efficientnet_v2_b0_spec,
    efficientnet_v2_b1_spec,
    efficientnet_v2_b2_spec,
    efficientnet_v2_b3_spec,
    efficientnet_v2_l_spec,
    efficientnet_v2_m_spec,
    efficientnet_v2_s_spec,
    efficientnet_v2_xl_spec,
)

EfficientNetV2B0 = efficientnet_v2_application(efficientnet_v2_b0_spec, "EfficientNetV2B0", __name__)
EfficientNetV2B1 = efficientnet_v2_application(efficientnet_v2_b1_spec, "EfficientNetV2B1", __name__)
EfficientNetV2B2 = efficientnet_v2_application(efficientnet_v2_b2_spec, "EfficientNetV2B2", __name__)
EfficientNetV2B3 = efficientnet_v2_application(efficientnet_v2_b3_spec, "EfficientNetV2B3", __name__)
EfficientNetV2S = efficientnet_v2_application(efficientnet_v2_s_spec, "EfficientNetV2S", __name__)
EfficientNetV2M = efficientnet_v2_application(efficientnet_v2_m_spec, "EfficientNetV2M", __name__)
EfficientNetV2L = efficientnet_v2_application(efficientnet_v2_l_spec, "EfficientNetV2L", __name__)

__all__ = [
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "decode_predictions",
    "efficientnet_v2_b0_spec",
    "efficientnet_v2_b1_spec",
    "efficientnet_v2_b2_spec",
    "efficientnet_v2_b3_spec",
    "efficientnet_v2_l_spec",
    "efficientnet_v2_m_spec",
    "efficientnet_v2_s_spec",
    "efficientnet_v2_xl_spec",
    "preprocess_input",
]
