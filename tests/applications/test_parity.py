"""Our models against keras.applications: names, totals, graphs and outputs, with weights that went through a file."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_effnet import applications

TOLERANCE = 1e-5
slow = pytest.mark.slow

CASES = [
    ("EfficientNetB0", {}),
    *(pytest.param(f"EfficientNetB{number}", {}, marks=slow) for number in range(1, 8)),
    ("ResNet50", {}),
    pytest.param("ResNet101", {}, marks=slow),
    pytest.param("ResNet152", {}, marks=slow),
    ("MobileNet", {}),
    ("MobileNetV2", {}),
    *(pytest.param("MobileNet", {"alpha": alpha}, marks=slow) for alpha in (0.25, 0.5, 0.75, 1.3)),
    *(pytest.param("MobileNetV2", {"alpha": alpha}, marks=slow) for alpha in (0.35, 0.5, 0.75, 1.111, 1.3, 1.4)),
    pytest.param("MobileNet", {"depth_multiplier": 2}, marks=slow),
]


def randomize(model: keras.Model, seed: int) -> None:
    """Random weights *and* random statistics: with fresh statistics a normalisation in the wrong place goes unseen."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.moving_mean.shape
            layer.moving_mean.assign(generator.normal(0, 0.1, channels))
            layer.moving_variance.assign(generator.uniform(0.5, 1.5, channels))
            layer.gamma.assign(generator.uniform(0.5, 1.5, channels))
            layer.beta.assign(generator.normal(0, 0.1, channels))
        elif isinstance(layer, keras.layers.Normalization):
            mean, variance, count = layer.weights
            mean.assign(generator.uniform(0.3, 0.6, mean.shape))
            variance.assign(generator.uniform(0.04, 0.09, variance.shape))
            count.assign(7)
            layer.finalize_state()


def weighted_names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if layer.weights and not isinstance(layer, keras.layers.Dropout)]


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def assert_close(ours: keras.Model, theirs: keras.Model, x: np.ndarray) -> None:
    expected = theirs.predict(x, verbose=0)
    found = ours.predict(x, verbose=0)
    assert expected.std() > 1e-6, "constant outputs prove nothing"
    # Features without a softmax are not near 1; the tolerance is relative to the largest of them.
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_namesake(name: str, arguments: dict, tmp_path) -> None:
    keras.utils.set_random_seed(1)
    keras.backend.clear_session()  # so that Keras numbers its automatic names from 0
    theirs = getattr(keras.applications, name)(weights=None, **arguments)
    randomize(theirs, seed=2)
    path = tmp_path / "theirs.weights.h5"
    theirs.save_weights(path)

    ours = getattr(applications, name)(weights=str(path), **arguments)

    assert weighted_names(ours) == weighted_names(theirs)
    assert ours.name == theirs.name
    assert ours.count_params() == theirs.count_params()
    ends = [layer.name for layer in theirs.layers if layer.name.endswith(("_add", "_out", "_activation"))]
    assert set(ends) <= {layer.name for layer in ours.layers}
    assert_close(ours, theirs, pictures(2, *theirs.input_shape[1:]))
