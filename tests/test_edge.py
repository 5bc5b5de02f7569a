"""The Lite form of a network, as a spec and of a trained model."""

from __future__ import annotations

from dataclasses import fields, replace

import keras
import numpy as np
import pytest
from support import as_if_trained, outputs, random_images

from keras_effnet import build_model, estimate_cost, scale_spec, to_edge
from keras_effnet.applications import efficientnet_b0_spec
from keras_effnet.blocks import MBConv
from keras_effnet.builder.embedded_spec import name_classes, read_embedded_spec
from keras_effnet.errors import InheritanceError, SpecError
from keras_effnet.network import record_network
from keras_effnet.ops import Activation, Multiply

FAMILIES = (
    *("efficientnet_b0", "efficientnet_v2_b0", "efficientnet_edgetpu_s", "mnasnet_a1", "tinynet_a"),
    *("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_gate_and_no_smooth_activation_is_left(name: str) -> None:
    lite = to_edge(name)
    ops = [node.op for node in record_network(lite, include_top=False).nodes]
    assert not any(isinstance(op, Multiply) for op in ops)
    assert {op.activation for op in ops if isinstance(op, Activation)} == {"relu6"}
    assert (lite.stem.fixed, lite.stages[0].fixed, lite.stages[-1].fixed) == ("both", "depth", "depth")
    assert estimate_cost(lite).params <= estimate_cost(name).params
    assert estimate_cost(scale_spec(lite, 1)).macs > estimate_cost(lite).macs
    assert to_edge(replace(lite, name=name)) == replace(lite, name=f"{name}_edge")  # once is enough


def test_the_stem_and_head_of_b0_stay_as_those_of_efficientnet_lite4_do() -> None:
    scaled = scale_spec(to_edge("efficientnet_b0"), 3)
    assert scaled.stem.width == efficientnet_b0_spec.stem.width
    assert scaled.head is not None
    assert efficientnet_b0_spec.head is not None
    assert scaled.head.width == efficientnet_b0_spec.head.width


@pytest.mark.parametrize("name", ["resnet50", "convnext_tiny", "densenet121"])
def test_other_blocks_have_no_lite_form(name: str) -> None:
    with pytest.raises(SpecError, match=r"has? .*Lite form|with a Lite form.*Received"):
        to_edge(name)


def test_a_report_needs_weights() -> None:
    with pytest.raises(SpecError, match=r"give a model.*Received"):
        to_edge("efficientnet_b0", return_report=True)


def small() -> keras.Model:
    model = build_model(scale_spec("efficientnet_b0", -8), input_shape=(32, 32, 3), classes=2)
    as_if_trained(model)
    name_classes(model, ["cat", "dog"])
    return model


def test_a_trained_model_keeps_every_weight_that_has_a_place() -> None:
    model = small()
    lite, report = to_edge(model, return_report=True)
    assert report.counts["missing"] == report.counts["misshapen"] == 0
    assert {row.source.split("/")[0].split("_")[1] for row in report.of("extra")} == {"se"}
    layers = {layer.name: layer for layer in model.layers}
    for layer in lite.layers:
        if layer.weights and not isinstance(layer, keras.layers.Normalization):
            for mine, old in zip(layer.get_weights(), layers[layer.name].get_weights(), strict=True):
                np.testing.assert_array_equal(mine, old)
    assert read_embedded_spec(lite).class_names == ("cat", "dog")
    assert read_embedded_spec(lite).spec == to_edge(read_embedded_spec(model).spec)
    assert outputs(lite, random_images(2, 32, 32, 3)).shape == (2, 2)


def test_layers_around_the_network_are_named() -> None:
    model = keras.Sequential([small(), keras.layers.Dense(3, name="mine")])
    with pytest.raises(InheritanceError, match=r"cut the layers around it off.*'mine'"):
        to_edge(model)


def test_the_blocks_of_the_lite_form_have_what_is_changed() -> None:
    # A renamed field would be passed over in silence.
    assert {"activation", "se_ratio"} <= {field.name for field in fields(MBConv)}
