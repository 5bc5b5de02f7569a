"""Scaling rules, rounding, and the function that applies them to a spec."""

from keras_effnet.scaling.coefficients import Coefficients
from keras_effnet.scaling.rounding import Rounding
from keras_effnet.scaling.rules import EFFICIENTNET_TABLE, Compound, ScalingRule, Tabulated
from keras_effnet.scaling.scale import scale_spec

__all__ = ["EFFICIENTNET_TABLE", "Coefficients", "Compound", "Rounding", "ScalingRule", "Tabulated", "scale_spec"]
