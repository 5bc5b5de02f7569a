"""First values drawn by NumPy have the distributions of Keras' own initialisers; Python's garbage collection waits."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from itertools import product
from typing import Any

import keras
import numpy as np
import pytest
from support import tiny_spec

from keras_effnet import build_model
from keras_effnet.blocks import Block, Bottleneck, MBConv
from keras_effnet.builder.initialization import draw_variance_scaling, paused_garbage_collection

KINDS = list(
    product((2.0, 1 / 3), ("fan_in", "fan_out", "fan_avg"), ("truncated_normal", "untruncated_normal", "uniform"))
)
# Convolution, depthwise (whose last axis is the multiplier), dense.
SHAPES = [(3, 3, 32, 64), (5, 5, 600, 1), (1, 1, 40, 500), (300, 70)]


def largest_gap(one: np.ndarray, other: np.ndarray) -> float:
    """Kolmogorov's and Smirnov's distance: the largest gap between two empirical distribution functions."""
    everything = np.sort(np.concatenate([one.ravel(), other.ravel()]))
    below = [
        np.searchsorted(np.sort(values.ravel()), everything, side="right") / values.size for values in (one, other)
    ]
    return float(np.abs(below[0] - below[1]).max())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("scale", "mode", "distribution"), KINDS)
def test_drawn_values_are_distributed_as_keras_draws_them(
    scale: float, mode: str, distribution: str, shape: tuple[int, ...]
) -> None:
    stock = keras.initializers.VarianceScaling(scale, mode, distribution, seed=1)
    expected = np.asarray(stock(shape))
    found = draw_variance_scaling(stock, shape, np.random.default_rng(1))
    assert found.shape == shape
    assert found.dtype == np.float32
    # 1.95 * sqrt(2 / n) is passed by one in a thousand pairs of equal distributions; the seeds are fixed.
    assert largest_gap(found, expected) < 1.95 * np.sqrt(2 / expected.size)
    assert found.std() == pytest.approx(expected.std(), rel=0.03)
    assert abs(found.mean()) < 4 * expected.std() / np.sqrt(expected.size)
    if distribution != "untruncated_normal":
        # Both come close to the cut, and neither passes it.
        assert np.abs(found).max() == pytest.approx(np.abs(expected).max(), rel=0.01)


def test_the_distance_would_see_a_wrong_fan_and_a_missing_cut() -> None:
    generator = np.random.default_rng(1)
    stock = keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal", seed=1)
    expected = np.asarray(stock((3, 3, 32, 64)))
    wrong_fan = keras.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal")
    no_cut = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    for wrong in (wrong_fan, no_cut):
        found = draw_variance_scaling(wrong, (3, 3, 32, 64), generator)
        assert largest_gap(found, expected) > 1.95 * np.sqrt(2 / expected.size)


def test_no_value_is_drawn_far_more_often_than_others() -> None:
    stock = keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
    values = draw_variance_scaling(stock, (1, 1, 1000, 1000), np.random.default_rng(1))
    found, counts = np.unique(values, return_counts=True)
    assert len(found) > 60_000
    assert counts.max() < 60


@pytest.mark.parametrize("initializer", ["fan_out", "glorot_uniform"])
def test_every_layer_of_a_model_gets_what_its_initialisers_would_give(initializer: Any) -> None:
    model = build_model(tiny_spec(MBConv(), Bottleneck(), initializer=initializer), classes=500)
    pairs = {
        "kernel": "kernel_initializer",
        "bias": "bias_initializer",
        "gamma": "gamma_initializer",
        "beta": "beta_initializer",
        "moving_mean": "moving_mean_initializer",
        "moving_variance": "moving_variance_initializer",
    }
    compared = 0
    for layer in model.layers:
        for attribute, name in pairs.items():
            variable = getattr(layer, attribute, None)
            if variable is None:
                continue
            if layer.__class__.__name__ == "DepthwiseConv2D":
                name = "depthwise_initializer"
            expected = np.asarray(getattr(layer, name)(tuple(variable.shape)))
            found = np.asarray(variable)
            if found.ndim == 1:
                np.testing.assert_array_equal(found, expected)
            else:
                assert found.std() == pytest.approx(expected.std(), rel=0.6)
                assert np.abs(found).max() < 2 * np.abs(expected).max()
            compared += 1
    assert compared == sum(len(layer.weights) for layer in model.layers if "normalization_" not in layer.name) - 3


@dataclass(frozen=True)
class Failing(Block):
    """A user's block that breaks while Keras layers are made, not while it is counted."""

    def apply(self, ops: Any, x: Any, at: Any) -> Any:
        def make(name: str) -> Any:
            assert not gc.isenabled(), "building pauses garbage collection"
            raise RuntimeError("broken block")

        return ops.layer(x, make, shape=(*ops.size(x), ops.channels(x)), name=f"broken{at.index}")

    def describe(self) -> str:
        return "Failing"


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_as_before_also_after_an_error(enabled: bool) -> None:
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(RuntimeError, match="broken block"):
            build_model(tiny_spec(Failing()))
        assert gc.isenabled() is enabled
        build_model(tiny_spec(MBConv()))
        assert gc.isenabled() is enabled
        with paused_garbage_collection():
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
