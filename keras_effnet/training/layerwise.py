"""Optimizers in which every variable has a learning rate of its own: a share of the common one.

The optimizers of Keras know one rate for all. To scale gradients instead would be the same for SGD alone: Adam's steps
do not depend on the size of a gradient, and decoupled weight decay knows nothing of it. So the rate is scaled where a
variable is updated, and the decay with it, as where PyTorch gives each group of parameters a rate.
On PyTorch they update one variable after the other, where Keras' own update all at once.

What is trained with these is saved without its optimizer, as all models here are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras

SPARED = ("bias", "gamma", "beta")  # in the names of variables that do not decay: He et al. 2019, arXiv:1812.01187

_Base = keras.optimizers.Optimizer if TYPE_CHECKING else object


class _Layerwise(_Base):
    """Scales the rate of each variable. Stands before an optimizer of Keras among the bases of a class.

    Args:
        shares: share of the learning rate that each variable gets, by its path; 1 for all others.
        decay: decoupled weight decay, at least 0.
        options: arguments of the optimizer.
    """

    def __init__(self, shares: Mapping[str, float], decay: float, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._shares_by_path = dict(shares)
        self._decay = decay
        self.weight_decay = None  # or Keras would decay all of them at the common rate
        self._shares: list[float] = []
        self._decays: list[float] = []

    def build(self, variables: list[Any]) -> None:
        """Notes the share and the decay of each variable."""
        if not self.built:
            self._shares = [float(self._shares_by_path.get(variable.path, 1.0)) for variable in variables]
            self._decays = [
                0.0 if re.search("|".join(SPARED), variable.name) else self._decay for variable in variables
            ]
        super().build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable, at its share of the rate."""
        index = self._get_variable_index(variable)
        rate = keras.ops.multiply(keras.ops.cast(learning_rate, variable.dtype), self._shares[index])
        if self._decays[index]:
            self.assign_sub(variable, keras.ops.multiply(variable, rate * self._decays[index]))
        super().update_step(gradient, variable, rate)


class LayerwiseSGD(_Layerwise, keras.optimizers.SGD):
    """SGD in which every variable has its share of the learning rate."""


class LayerwiseAdamW(_Layerwise, keras.optimizers.AdamW):
    """AdamW in which every variable has its share of the learning rate."""
