"""Backbones as data, and builders that take the place of their namesakes in keras.applications.

Importing this imports neither keras nor tensorflow; calling a builder does.
"""

from keras_effnet.applications.efficientnet import (
    EfficientNetB0,
    EfficientNetB1,
    EfficientNetB2,
    EfficientNetB3,
    EfficientNetB4,
    EfficientNetB5,
    EfficientNetB6,
    EfficientNetB7,
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
from keras_effnet.applications.mobilenet import MobileNet, mobilenet_v1_spec
from keras_effnet.applications.mobilenet_v2 import MobileNetV2, mobilenet_v2_spec
from keras_effnet.applications.resnet import (
    ResNet50,
    ResNet101,
    ResNet152,
    resnet50_spec,
    resnet101_spec,
    resnet152_spec,
)

__all__ = [
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "MobileNet",
    "MobileNetV2",
    "ResNet50",
    "ResNet101",
    "ResNet152",
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
    "mobilenet_v1_spec",
    "mobilenet_v2_spec",
    "resnet50_spec",
    "resnet101_spec",
    "resnet152_spec",
]
