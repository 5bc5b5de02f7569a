"""Scaling rules, rounding, and the functions that apply them to a spec."""

from keras_effnet.scaling.coefficients import Coefficients
from keras_effnet.scaling.rounding import Rounding
from keras_effnet.scaling.rules import EFFICIENTNET_TABLE, Compound, ScalingRule, Tabulated
from keras_effnet.scaling.scale import scale_spec
from keras_effnet.scaling.stride import limit_stride

__all__ = [
    "EFFICIENTNET_TABLE",
    "Coefficients",
    "Compound",
    "Rounding",
    "ScalingRule",
    "Tabulated",
    "limit_stride",
    "scale_spec",
]
