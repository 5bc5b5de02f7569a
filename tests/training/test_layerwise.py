"""A rate for each variable: what stock optimizers do that have one variable each, and the rate that it should get."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from keras_effnet.training.compilation import RateTable
from keras_effnet.training.layerwise import LayerwiseAdamW, LayerwiseSGD

SHARES = {"a_kernel": 0.25, "a_bias": 0.25, "b_kernel": 0.5, "c_kernel": 1.0}
RATES = [0.1, 0.3, 0.2]
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "sgd": (LayerwiseSGD, keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
    "plain sgd": (LayerwiseSGD, keras.optimizers.SGD, {}),
    "adamw": (LayerwiseAdamW, keras.optimizers.AdamW, {}),
}


def made() -> list[Any]:
    generator = np.random.default_rng(0)
    return [keras.Variable(generator.normal(size=(3, 2)).astype("float32"), name=name) for name in SHARES]


def gradients(step: int) -> list[Any]:
    generator = np.random.default_rng((1, step))
    return [keras.ops.convert_to_tensor(generator.normal(size=(3, 2)).astype("float32")) for _ in SHARES]


def values(variables: list[Any]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


@pytest.mark.parametrize("options", [{}, {"use_ema": True, "ema_momentum": 0.5}, {"gradient_accumulation_steps": 2}])
@pytest.mark.parametrize("name", KINDS)
def test_each_variable_moves_as_under_an_optimizer_of_its_own(name: str, options: dict[str, Any]) -> None:
    kind, stock, own = KINDS[name]
    variables = made()
    layerwise = kind(SHARES, 0.05, learning_rate=RateTable(RATES), **own, **options)
    layerwise.build(variables)
    lone = made()
    optimizers = []
    for variable, (path, share) in zip(lone, SHARES.items(), strict=True):
        decay = 0.0 if path == "a_bias" else 0.05
        optimizer = stock(RateTable([share * rate for rate in RATES]), weight_decay=decay, **own, **options)
        optimizer.build([variable])
        optimizers.append(optimizer)
    for step in range(6):
        layerwise.apply(gradients(step))
        for optimizer, gradient in zip(optimizers, gradients(step), strict=True):
            optimizer.apply([gradient])
    for found, expected in zip(values(variables), values(lone), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-7)
    # Averages, too, are of what the variables came to.
    layerwise.finalize_variable_values(variables)
    for optimizer, variable in zip(optimizers, lone, strict=True):
        optimizer.finalize_variable_values([variable])
    for found, expected in zip(values(variables), values(lone), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-7)


def test_one_step_without_momentum_moves_by_exactly_the_shares() -> None:
    variables = made()
    before = values(variables)
    optimizer = LayerwiseSGD({"b_kernel": 0.5, "a_kernel": 0.25}, 0.0, learning_rate=0.5)
    optimizer.build(variables)
    optimizer.apply([keras.ops.ones((3, 2)) for _ in variables])
    for old, new, share in zip(before, values(variables), (0.25, 1.0, 0.5, 1.0), strict=True):
        np.testing.assert_allclose(old - new, np.full((3, 2), 0.5 * share), rtol=1e-6)
