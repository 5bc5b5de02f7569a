"""Levels and dilated networks as they are known without Keras: against timm, and laws over every backbone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support import run_python, tiny_spec

from keras_effnet import estimate_cost, feature_levels, scale_spec
from keras_effnet.blocks import ConvBlock, ConvNeXtBlock, PatchStem, PreactBottleneck
from keras_effnet.blocks.base import Block, Placement
from keras_effnet.counting import CostCounter, Shape
from keras_effnet.dilation import dilate_network
from keras_effnet.errors import BuildError
from keras_effnet.levels import find_levels
from keras_effnet.network import Network, Node, RecordedBlock, RecordedStage, record_network
from keras_effnet.ops import Conv, Crop, Depthwise, Op, Ops, Pool, Resize, Reuse, T, UpSample, ZeroPad
from keras_effnet.registry import backbones
from keras_effnet.spec import BackboneSpec, StageSpec
from keras_effnet.windows import both

# What timm 1.0.31 states of its feature extractors: our name, timm's, and the channels of strides 2, 4, ... 32.
TIMM: dict[str, tuple[str, tuple[int, ...]]] = {
    "efficientnet_b0": ("efficientnet_b0", (16, 24, 40, 112, 320)),
    "efficientnet_v2_s": ("tf_efficientnetv2_s", (24, 48, 64, 160, 256)),
    "mnasnet_b1": ("mnasnet_100", (16, 24, 40, 96, 320)),
    "mobilenet_v2": ("mobilenetv2_100", (16, 24, 32, 96, 320)),
    "resnet18": ("resnet18", (64, 64, 128, 256, 512)),
    "resnet50": ("resnet50", (64, 256, 512, 1024, 2048)),
    "resnet50_v2": ("resnetv2_50", (64, 256, 512, 1024, 2048)),
    "resnext50": ("resnext50_32x4d", (64, 256, 512, 1024, 2048)),
    "regnet_y_400mf": ("regnety_004", (32, 48, 104, 208, 440)),
    "convnext_tiny": ("convnext_tiny", (96, 192, 384, 768)),  # its stem leaves no stride of 2
    "densenet121": ("densenet121", (64, 256, 512, 1024, 1024)),
    "repvgg_a0": ("repvgg_a0", (48, 48, 96, 192, 1280)),
    "mobileone_s0": ("mobileone_s0", (48, 48, 128, 256, 1024)),
    "tinynet_a": ("tinynet_a", (16, 24, 40, 112, 320)),
    "mobilenet_v3_large": ("mobilenetv3_large_100", (16, 24, 40, 112, 960)),
    "mobilenet_v4_conv_small": ("mobilenetv4_conv_small", (32, 32, 64, 96, 960)),
}
# In these timm counts the head convolution as the last stage.
TIMM_HEADS = ("mobilenet_v3_large", "mobilenet_v4_conv_small")


@pytest.mark.parametrize("name", TIMM)
def test_levels_are_those_of_timm_but_for_head_convolutions(name: str) -> None:
    found, channels = feature_levels(name), TIMM[name][1]
    last = (backbones.get(name).stages[-1].width,) if name in TIMM_HEADS else channels[-1:]
    assert found.channels == (*channels[:-1], *last)
    assert found.strides == (2, 4, 8, 16, 32)[-len(channels) :]


def timm_info(name: str, **options: Any) -> Any:
    """What timm states of a feature extractor, whose weights have no values."""
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    with torch.device("meta"):
        return timm.create_model(name, features_only=True, pretrained=False, **options).feature_info


@pytest.mark.parametrize("name", TIMM)
def test_the_table_is_what_timm_states(name: str) -> None:
    theirs, channels = TIMM[name]
    assert tuple(timm_info(theirs).channels()) == channels
    assert tuple(timm_info(theirs).reduction()) == (2, 4, 8, 16, 32)[-len(channels) :]


# timm 1.0.31 states these of its resnet50 as well.
@pytest.mark.parametrize(
    ("stride", "strides"), [(8, (2, 4, 8, 8, 8)), (16, (2, 4, 8, 16, 16)), (32, (2, 4, 8, 16, 32))]
)
def test_an_output_stride_leaves_the_names_and_the_channels(stride: int, strides: tuple[int, ...]) -> None:
    found = feature_levels("resnet50", output_stride=stride)
    assert (found.names, found.strides) == (("P1", "P2", "P3", "P4", "P5"), strides)
    assert found.channels == TIMM["resnet50"][1]


def shapes(network: Network, side: int) -> tuple[list[Shape], int]:
    """The shapes of the outputs for a square image, and the number of weights, by the counting reader."""
    counter = CostCounter()
    return list(network.run(counter, Shape(side, side, 3))), counter.counts.params


@pytest.mark.parametrize("name", backbones.names())
def test_a_network_makes_the_levels_that_are_told_and_no_more(name: str) -> None:
    spec = backbones.get(name)
    side, options = 2 * spec.total_stride, {"size": (2 * spec.total_stride,) * 2}
    told = feature_levels(spec)
    assert told.strides[-1] == math.prod(stage.stride for stage in (spec.stem, *spec.stages))
    assert told.names == tuple(f"P{stride.bit_length() - 1}" for stride in told.strides)
    network = record_network(spec, features=told.names, **options)
    made, params = shapes(network, side)
    assert made == [Shape(side // s, side // s, c) for s, c in zip(told.strides, told.channels, strict=True)]
    assert list(network.nodes)[-1] is network.outputs[-1]
    assert estimate_cost(spec, features=told.names).params == params
    # Of the head nothing is there, of the stages everything.
    assert [stage.name for stage in network.stages] == [
        "input",
        "stem",
        *(f"stage {n + 1}" for n in range(len(spec.stages))),
    ]
    for last in told.names[:-1]:
        short = record_network(spec, features=(last,), **options)
        grids = {shape[:2] for shape in shapes(replace(short, outputs=tuple(short.nodes)), side)[0]} - {(1, 1)}
        assert min(grids)[0] == side >> int(last[1:])
        assert list(short.nodes)[-1] is short.outputs[0]


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", backbones.names())
def test_a_dilated_network_has_the_same_weights_and_finer_maps(name: str, output_stride: int) -> None:
    spec = backbones.get(name)
    side = 2 * spec.total_stride
    options: dict[str, Any] = {"size": (side, side), "features": feature_levels(spec).names}
    strided = record_network(spec, **options)
    dilated = record_network(spec, output_stride=output_stride, **options)
    made, params = shapes(dilated, side)
    assert [side // shape.height for shape in made] == [
        min(side // s.height, output_stride) for s in shapes(strided, side)[0]
    ]
    assert params == shapes(strided, side)[1]
    assert feature_levels(spec, output_stride=output_stride).channels == tuple(shape.channels for shape in made)


@dataclass(frozen=True)
class Unknown(Block):
    """A block with a layer of which only Keras knows what it does."""

    shrinks: bool = False
    asks: bool = True

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        height, width = ops.size(x)
        shape = (height or 0, width or 0) if self.asks else (4, 4)
        if self.shrinks:
            shape = ((height or 0) // 2, (width or 0) // 2)
        x = ops.conv(x, at.width, stride=at.stride, name=f"conv{at.index}")
        return ops.layer(x, str, shape=(*shape, at.width), name=f"unknown{at.index}")

    def describe(self) -> str:
        return "Unknown"


def with_unknown(block: Block) -> BackboneSpec:
    spec = tiny_spec(ConvNeXtBlock(), ConvNeXtBlock(), ConvNeXtBlock(), depth=1)
    return replace(spec, stages=(spec.stages[0], StageSpec(block, 8), *spec.stages[1:]))


def test_a_layer_outside_the_vocabulary_that_keeps_the_size_is_passed_and_another_ends_the_levels() -> None:
    assert feature_levels(with_unknown(Unknown())).names == ("P1", "P2")
    assert feature_levels(with_unknown(Unknown(asks=False))).names == ("P1",)
    with pytest.raises(BuildError, match=r"it has P1 \(stride 2\)\. Received: 'P2'"):
        record_network(with_unknown(Unknown(shrinks=True)), size=(32, 32), features=("P2",))


def network_of(*ops: Op) -> Network:
    """A network of operations in a row."""
    image = Node(None, "image", (), 3)
    nodes, last = [], image
    for number, op in enumerate(ops):
        last = Node(op, f"layer{number}", (last,), 3)
        nodes.append(last)
    return Network("row", (image,), (last,), (RecordedStage("network", "", "", [RecordedBlock(image, nodes, last)]),))


def test_levels_inside_one_block_are_what_is_read_by_the_layer_that_leaves_the_resolution() -> None:
    row = network_of(
        Conv(3), Conv(3, 3, 2), Conv(3), ZeroPad((1, 1), (1, 1)), Pool(3, 2), Conv(3, (1, 3), (1, 2)), Conv(3)
    )
    assert {name: node.name for name, node in find_levels(row).items()} == {"P1": "layer3", "P2": "layer4"}
    # What makes images larger again is no level.
    decoder = network_of(Conv(3, 3, 2), Conv(3, 3, 2), UpSample(2, 2), Conv(3))
    assert {name: node.name for name, node in find_levels(decoder).items()} == {"P1": "layer0"}


def seen(network: Network, cell: int, side: int) -> set[int]:
    """The pixels of a row that one cell of the output depends on, found by walking back through the windows."""
    pixels: dict[Node, set[int]] = {node: set() for node in (*network.inputs, *network.nodes)}
    sizes: dict[Node, int] = {network.inputs[0]: side}
    for node in network.nodes:
        sizes[node] = shapes(replace(network, outputs=(node,)), side)[0][0].height
    pixels[network.outputs[0]] = {cell}
    for node in reversed(list(network.nodes)):
        op = node.op
        for given in node.inputs:
            if isinstance(op, ZeroPad | Crop):
                shift = op.rows[0] if isinstance(op, ZeroPad) else -op.rows[0]
                found = {each - shift for each in pixels[node]}
            elif isinstance(op, Conv | Depthwise | Pool):
                kernel, stride, step = (
                    both(op.kernel)[0],
                    both(op.stride)[0],
                    1 if isinstance(op, Pool) else both(op.dilation)[0],
                )
                total = max((sizes[node] - 1) * stride + step * (kernel - 1) + 1 - sizes[given], 0)
                before = {"valid": 0, "symmetric": kernel // 2}.get(op.padding, total // 2)
                found = {each * stride - before + step * tap for each in pixels[node] for tap in range(kernel)}
            else:
                found = pixels[node]
            pixels[given] |= {each for each in found if 0 <= each < sizes[given]}
    return pixels[network.inputs[0]]


@pytest.mark.parametrize(
    "ops",
    [
        (Conv(3, 3, 2), Conv(3, 3, 2), Conv(3, 3, 2), Conv(3, 3, 2), Conv(3, 3), Conv(3, 3, 2), Conv(3, 5)),
        (Conv(3, 4, 4, "valid"), Conv(3, 2, 2, "valid"), Depthwise(7), Conv(3, 2, 2, "valid"), Depthwise(7)),
        (
            Conv(3, 8, 8, "valid"),
            Pool(2, 2, "avg"),
            Conv(3, 3),
            Pool(2, 2, "avg"),
            Pool(3, 2, "max", "symmetric"),
            Conv(3, 3),
        ),
        (Conv(3, 16, 16, "valid"), Depthwise(3, 2, "symmetric"), Depthwise(4, 2, "even"), Depthwise(2), Conv(3, 3)),
        (Conv(3, 32, 32, "valid"), Conv(3, 3, dilation=2), Conv(3, 3, padding="valid")),
        (
            Conv(3, 8, 8),
            ZeroPad((1, 1), (1, 1)),
            Conv(3, 3, 2, "valid"),
            ZeroPad((0, 2), (0, 2)),
            Conv(3, 3, padding="valid"),
        ),
    ],
)
@pytest.mark.parametrize("output_stride", [8, 16])
def test_a_dilated_network_sees_the_same_pixels(ops: tuple[Op, ...], output_stride: int) -> None:
    side, strided = 192, network_of(*ops)
    dilated = dilate_network(strided, output_stride, (side, side))
    cells = [shapes(network, side)[0][0].height for network in (strided, dilated)]
    total = math.prod(both(op.stride)[0] for op in ops if isinstance(op, Conv | Depthwise | Pool))
    finer = max(total // output_stride, 1)
    assert math.ceil(cells[1] / finer) >= cells[0]
    for cell in range(cells[0]):
        assert seen(dilated, cell * finer, side) == seen(strided, cell, side)


BAD_LEVELS: list[tuple[dict[str, Any], str]] = [
    ({"levels": ("P6",)}, r"it has P1 \(stride 2\), .* P5 \(stride 32\)\. Received: 'P6'"),
    ({"levels": ("P3", "stage 2")}, r"names such as \('P3', 'P4'\).* Received: levels=\('P3', 'stage 2'\)"),
    ({"levels": "P3"}, "Received: levels='P3'"),
    ({"levels": ()}, r"Received: levels=\(\)"),
    ({"levels": ("P0",)}, "Received: levels="),
    ({"strides": (12,)}, r"powers of two .* Received: strides=\(12,\)"),
    ({"strides": (8, "16")}, "Received: strides='16'"),
    ({"strides": 8}, "Received: strides=8"),
    ({"strides": ()}, r"Received: strides=\(\)"),
    ({"strides": (64,)}, "Received: 'P6'"),
    ({"levels": ("P3",), "strides": (8,)}, "`levels` or their `strides`, not both"),
    ({"output_stride": 4}, "one of 8, 16, 32. Received: output_stride=4"),
    ({"output_stride": 12}, "Received: output_stride=12"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_LEVELS, ids=lambda value: str(value)[:30])
def test_levels_that_cannot_be_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        feature_levels("resnet50", **arguments)


def test_a_level_that_a_network_lacks_is_refused_by_name() -> None:
    with pytest.raises(BuildError, match=r"'convnext_tiny' ends: it has P2 \(stride 4\)"):
        feature_levels("convnext_tiny", ("P1", "P2"))
    small = replace(backbones.get("resnet50"), stages=backbones.get("resnet50").stages[:2])
    with pytest.raises(BuildError, match="Received: 'P4', 'P5'"):
        feature_levels(small, ("P3", "P4", "P5"))
    whole = tiny_spec(ConvNeXtBlock(), stem=StageSpec(PatchStem(), 8, stride=3), depth=1)
    with pytest.raises(BuildError, match="it has none"):
        feature_levels(whole, ("P1",))
    with pytest.raises(BuildError, match=r"not pooled.* Received: pooling='avg'"):
        record_network(small, features=("P3",), pooling="avg")


@pytest.mark.parametrize(
    ("ops", "reason"),
    [
        ((Conv(3, 8, 16), Conv(3, 3), UpSample(2, 2)), "'layer2' .* moves cells"),
        ((Conv(3, 8, 16), Resize(4, 4)), "'layer1' .* moves cells"),
        ((Conv(3, 8, 16), Reuse(Conv(3, 3))), "'layer1' .* several resolutions"),
        ((Resize(64, 64), Conv(3, 3, 2)), "'layer1' .* only Keras knows"),
    ],
)
def test_what_has_no_dilated_form_is_named(ops: tuple[Op, ...], reason: str) -> None:
    with pytest.raises(BuildError, match=f"{reason}.* Received: 'layer"):
        dilate_network(network_of(*ops), 8)
    # Where nothing is dilated, nothing stands in the way.
    assert len(list(dilate_network(network_of(Conv(3, 8, 8), UpSample(2, 2)), 8).nodes)) == 2


def test_levels_come_in_their_order_and_scaling_leaves_their_strides() -> None:
    found = feature_levels("efficientnet_b0", ["P5", "P3", "P3"])
    assert (found.names, found.channels) == (("P3", "P5"), (40, 320))
    assert feature_levels("efficientnet_b0", strides=[32, 8]) == found
    spec = scale_spec("efficientnet_b0", 3)
    larger = feature_levels(spec, strides=(8, 32))
    assert (larger.strides, larger.channels) == (found.strides, (spec.stages[2].width, spec.stages[6].width))
    head = StageSpec(ConvBlock(names=("a", "b", "c")), 32, stride=2)
    assert feature_levels(tiny_spec(PreactBottleneck(), head=head)).names == ("P1",)


def test_levels_are_known_without_keras() -> None:
    code = (
        "import sys, keras_effnet as k; print(k.feature_levels('efficientnet_b0').channels[-1], 'keras' in sys.modules)"
    )
    assert run_python(code) == "320 False"
