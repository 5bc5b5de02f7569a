"""Scaling rules, rounding, and the functions that apply them to a spec."""

from keras_effnet.scaling.coefficients import Coefficients
from keras_effnet.scaling.rounding import Rounding
from keras_effnet.scaling.rules import (
    Compound,
    DepthOnly,
    Fast,
    ResNetRS,
    ResolutionOnly,
    ScalingRule,
    WidthOnly,
)
from keras_effnet.scaling.scale import scale_spec
from keras_effnet.scaling.stride import limit_stride
from keras_effnet.scaling.tabulated import EFFICIENTNET_TABLE, Tabulated
from keras_effnet.scaling.tinynet_rule import TinyNet

__all__ = [
    "EFFICIENTNET_TABLE",
    "Coefficients",
    "Compound",
    "DepthOnly",
    "Fast",
    "ResNetRS",
    "ResolutionOnly",
    "Rounding",
    "ScalingRule",
    "Tabulated",
    "TinyNet",
    "WidthOnly",
    "limit_stride",
    "scale_spec",
]
