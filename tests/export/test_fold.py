"""BatchNorm folded into convolutions: the same outputs from fewer layers, for every family and for models of others."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from support import as_if_trained, assert_same_outputs, every_operation_spec, outputs, random_images

from keras_effnet import build_model, fold_batchnorm, grow_model
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.deployed.branches import merge_network
from keras_effnet.deployed.folded_network import fold_network
from keras_effnet.errors import InheritanceError
from keras_effnet.export.layer_weights import read_weights
from keras_effnet.network import record_network
from keras_effnet.ops import BatchNorm
from keras_effnet.reading.read_model import read_layers
from keras_effnet.registry import backbones

# Pre-activations: BatchNorm stands before the convolutions there, behind sums and joints.
KEEPING = ("resnet50_v2", "resnet101_v2", "resnet152_v2", "densenet121", "densenet169", "densenet201")


def test_one_network_of_every_operation_computes_the_same_with_fewer_layers() -> None:
    model = build_model(every_operation_spec(), classes=5, classifier_activation=None)
    as_if_trained(model)
    before = {name: [array.copy() for array in arrays] for name, arrays in read_weights(read_layers(model)).items()}
    folded = fold_batchnorm(model)
    images = random_images(3, 48, 48, 3)
    assert_same_outputs(outputs(folded, images), outputs(model, images))
    assert len(folded.layers) < len(model.layers)
    assert {layer.name for layer in folded.layers} < {layer.name for layer in model.layers}
    for name, arrays in read_weights(read_layers(model)).items():  # the model stays as it was
        assert all(np.array_equal(old, new) for old, new in zip(before[name], arrays, strict=True))


@pytest.mark.parametrize("name", backbones.names())
def test_every_normalization_behind_a_convolution_goes(name: str) -> None:
    network = record_network(backbones.get(name))
    folded, norms = fold_network(network)
    assert sum(1 for _ in folded.nodes) == sum(1 for _ in network.nodes) - len(norms)
    # Those of what a block reads, beside convolutions of it, go with the branches.
    merged, merges = merge_network(folded)
    left = [node for node in merged.nodes if isinstance(node.op, BatchNorm)]
    assert bool(left) == (name in KEEPING)
    assert bool(merges) == name.startswith(("mobileone", "repvgg"))
    # The old record is untouched, so that it can be folded again.
    assert fold_network(network)[1] == norms


def test_a_model_from_elsewhere_folds_dense_layers_and_multipliers_too() -> None:
    pixels = keras.Input((9, 9, 3))
    x = keras.layers.Conv2D(6, 3, groups=3, use_bias=True, name="grouped")(pixels)
    x = keras.layers.BatchNormalization(name="first")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="two_each")(x)
    x = keras.layers.BatchNormalization(name="second")(x)
    kept = keras.layers.Conv2D(12, 1, activation="relu", name="bent")(x)
    x = keras.layers.BatchNormalization(name="behind_activation")(kept)
    x = keras.layers.Concatenate(name="joint")([x, kept])  # read twice
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.BatchNormalization(name="last")(keras.layers.Dense(4, name="dense")(x))
    model = keras.Model(pixels, x)
    as_if_trained(model)
    folded = fold_batchnorm(model)
    names = [layer.name for layer in folded.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert names == ["behind_activation"]
    images = random_images(3, 9, 9, 3) / 100
    assert_same_outputs(outputs(folded, images), outputs(model, images))


def test_what_is_read_twice_is_not_folded() -> None:
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 1, name="conv")(pixels)
    y = keras.layers.BatchNormalization(name="norm")(x)
    model = keras.Model(pixels, keras.layers.Add(name="sum")([x, y]))
    as_if_trained(model)
    folded = fold_batchnorm(model)
    assert "norm" in {layer.name for layer in folded.layers}
    assert_same_outputs(outputs(folded, random_images(2, 8, 8, 3)), outputs(model, random_images(2, 8, 8, 3)))


def test_the_layers_of_a_user_and_the_spec_go_along(tmp_path: Any) -> None:
    inner = build_model(every_operation_spec(), include_top=False, pooling="avg")
    model = keras.Sequential(
        [keras.layers.RandomFlip(name="flip"), inner, keras.layers.Dense(2, name="mine")], name="whole"
    )
    model.build((None, 48, 48, 3))
    as_if_trained(inner)
    folded = fold_batchnorm(model)
    folded.save(tmp_path / "folded.keras")
    again: Any = keras.models.load_model(tmp_path / "folded.keras", safe_mode=True)
    images = random_images(2, 48, 48, 3)
    assert_same_outputs(outputs(again, images), outputs(model, images))
    assert read_embedded_spec(again).spec == every_operation_spec()
    with pytest.raises(InheritanceError, match="is not what its spec says"):
        grow_model(folded)


def test_a_layer_that_is_called_twice_stays_one_layer() -> None:
    pixels, layer = keras.Input((4, 4, 3)), keras.layers.Conv2D(3, 1, name="twice")
    norm = keras.layers.BatchNormalization(name="norm")
    model = keras.Model(pixels, norm(layer(layer(pixels))))
    as_if_trained(model)
    folded, images = fold_batchnorm(model), random_images(2, 4, 4, 3)
    assert folded.count_params() == model.count_params()
    assert_same_outputs(outputs(folded, images), outputs(model, images))


class Subclassed(keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


def test_a_model_without_a_graph_is_refused() -> None:
    with pytest.raises(InheritanceError, match=r"functional or Sequential.*Received"):
        fold_batchnorm(Subclassed())
