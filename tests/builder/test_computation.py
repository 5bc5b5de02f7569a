"""The computing reader: what the Keras model computes, and a refusal of what only Keras knows."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support import random_images

from keras_effnet import Coefficients, build_model, scale_spec
from keras_effnet.builder.computation import Computation, Flow
from keras_effnet.errors import BuildError
from keras_effnet.network import record_network
from keras_effnet.ops import Opaque
from keras_effnet.registry import backbones


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v3_small", *(pytest.param(name, marks=pytest.mark.slow) for name in ("densenet121", "regnet_y_400mf"))],
)
def test_what_is_computed_is_what_the_model_gives(name: str) -> None:
    keras.utils.set_random_seed(0)
    spec = scale_spec(backbones.get(name), coefficients=Coefficients(depth=0.3, width=0.5, resolution=1))
    images = random_images(2, 64, 64, 3)
    model = build_model(spec, include_top=False, input_shape=(64, 64, 3))
    [found] = record_network(spec, include_top=False).run(Computation(model), Flow(images))
    # Keras itself normalises each batch by its own statistics in training.
    expected = np.asarray(model(images, training=True))
    np.testing.assert_allclose(np.asarray(found.x), expected, rtol=1e-3, atol=1e-3)


def test_a_layer_that_only_keras_knows_is_refused() -> None:
    model = build_model("mobilenet_v2", classes=2, input_shape=(32, 32, 3))
    opaque = Opaque(lambda name: keras.layers.PReLU(name=name), (32, 32, 3), 0, 0, 0)
    with pytest.raises(BuildError, match=r"only Keras knows.*other than `layer`.*Received: layer 'mine'"):
        Computation(model).read(opaque, "mine", Flow(random_images(1, 32, 32, 3)))
