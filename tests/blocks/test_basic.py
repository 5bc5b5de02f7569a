"""ResNet-18's block: what is in it, where its shortcut is a convolution, and what it computes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from support import as_if_trained, assert_same_outputs, outputs, tiny_spec

from keras_effnet import BackboneSpec, StageSpec, build_model, estimate_cost
from keras_effnet.blocks import BasicBlock
from keras_effnet.errors import SpecError
from keras_effnet.network import record_network
from keras_effnet.ops import Conv
from keras_effnet.registry import backbones


@pytest.mark.parametrize("layers", [18, 34])
def test_a_network_has_the_layers_of_its_name(layers: int) -> None:
    """He et al. 2016, Table 1: all but the dense layer are convolutions; three more are in shortcuts."""
    nodes = record_network(backbones.get(f"resnet{layers}")).nodes
    names = [node.name for node in nodes if isinstance(node.op, Conv)]
    assert [name for name in names if name.endswith("_0_conv")] == [f"conv{n}_block1_0_conv" for n in (3, 4, 5)]
    assert len(names) == layers - 1 + 3


def test_multiply_adds_are_the_papers() -> None:
    """He et al. 2016, Table 1: 1.8 and 3.6 billion, which count no shortcuts."""
    for name, billions in (("resnet18", 1.8), ("resnet34", 3.6)):
        assert estimate_cost(name).macs == pytest.approx(billions * 1e9, rel=0.02)


@pytest.mark.parametrize(("width", "stride"), [(8, 1), (12, 1), (8, 2)])
def test_it_computes_figure_5(width: int, stride: int) -> None:
    """y = relu(F(x) + x), with a projection where the shape changes (equations 1 and 2)."""
    stages = (StageSpec(BasicBlock(), width, stride=stride),)
    spec = BackboneSpec(name="one", stem=tiny_spec(BasicBlock()).stem, stages=stages, resolution=32)
    model = build_model(spec, include_top=False)
    as_if_trained(model)
    layers: dict[str, Any] = {layer.name: layer for layer in model.layers}
    projected = "conv2_block1_0_conv" in layers
    assert projected == (width != 8 or stride > 1)
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 8)).astype("float32")

    def filtered(x: Any, number: int, stride: int) -> Any:
        kernel, size = layers[f"conv2_block1_{number}_conv"].kernel, 1 if number else 0
        zeros = keras.ops.pad(x, ((0, 0), (size, size), (size, size), (0, 0)))
        gamma, beta, mean, variance = layers[f"conv2_block1_{number}_bn"].weights
        y = keras.ops.conv(zeros, kernel, stride, "valid", "channels_last")
        return (y - mean) / keras.ops.sqrt(variance + 1e-5) * gamma + beta

    y = filtered(keras.ops.relu(filtered(x, 1, stride)), 2, 1)
    shortcut = filtered(x, 0, stride) if projected else x
    expected = np.asarray(keras.ops.convert_to_numpy(keras.ops.relu(y + shortcut)))
    read = layers["stem_activation"].output
    block = keras.Model(read, layers["conv2_block1_out"].output)
    assert_same_outputs(outputs(block, x), expected)


@pytest.mark.parametrize(
    ("options", "words"), [({"kernel": 0}, "kernel"), ({"kernel": 4}, "odd"), ({"norm": 1}, "norm")]
)
def test_bad_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=rf"{words}.*Received: "):
        BasicBlock(**options)
