"""The trace against what is built: the same layers, and channels that are tied where, and only where, they must be.

The law: let the channels of one axis change places in every layer that the trace says makes, carries or reads them,
and the network computes what it did. A tie that is missed moves one side only, and the outputs change.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import (
    BASES,
    STAGE_BLOCKS,
    as_if_trained,
    assert_same_outputs,
    every_block_spec,
    outputs,
    random_images,
    tiny_spec,
    without_repetition,
    without_weights,
)

from keras_effnet import BackboneSpec, Coefficients, StageSpec, build_model, scale_spec
from keras_effnet.blocks import (
    Block,
    ConvBlock,
    ConvClassifier,
    ConvNeXtBlock,
    DeepStem,
    DepthwiseSeparable,
    GhostBottleneck,
    HiddenConvClassifier,
    NormActivation,
    NormClassifier,
    PatchStem,
    Placement,
    ResNetStem,
)
from keras_effnet.errors import SpecError
from keras_effnet.network import record_network
from keras_effnet.ops import Add, Concat, Conv, Dense, Depthwise, Dropout, Ops, Standardize, T
from keras_effnet.registry import backbones, blocks, classifiers
from keras_effnet.trace import Axis, Run, Trace, TracedNode, Value, resolve, tie, trace_network

slow = pytest.mark.slow

PLUGIN = Path(__file__).parents[1] / "examples" / "plugin"
CLASSES = 5

# Ends of networks, and what stands between them; with the blocks of `STAGE_BLOCKS` all that are registered.
ENDS = {
    "resnet stem": {"stem": StageSpec(ResNetStem(kernel=5, bias=False), width=6, stride=4)},
    "deep stem": {"stem": StageSpec(DeepStem(), width=8, stride=4)},
    "patch stem": {"stem": StageSpec(PatchStem(), width=6, stride=4), "head": None, "classifier": NormClassifier()},
    "activated end": {"head": StageSpec(NormActivation(), width=16), "classifier": ConvClassifier()},
    "hidden classifier": {"classifier": HiddenConvClassifier(width=9, dropout=0.1)},
    "biased stem": {"stem": StageSpec(ConvBlock(bias=True, activation="swish"), width=6, stride=2), "drop_path": 0.0},
}
SPECS: dict[str, BackboneSpec] = {
    **{f"{number}: {block.describe()}": tiny_spec(block, block) for number, block in enumerate(STAGE_BLOCKS)},
    **{name: tiny_spec(STAGE_BLOCKS[0], **changes) for name, changes in ENDS.items()},
}


def small(name: str) -> BackboneSpec:
    """A backbone with one stage of each of its blocks, thin and of two blocks at the most: channels tie neighbours."""
    spec = without_repetition(backbones.get(name), depth=2)
    return scale_spec(spec, coefficients=Coefficients(width=0.2, resolution=1))


def layers_with_weights(model: keras.Model) -> dict[str, Any]:
    """By name; the seed of a Dropout is no weight."""
    return {layer.name: layer for layer in model.layers if weights_of(layer)}


def weights_of(layer: Any) -> list[Any]:
    return [variable for variable in layer.weights if "seed_generator" not in variable.path]


def trained(spec: BackboneSpec) -> keras.Model:
    """A model whose outputs depend on every channel."""
    model = build_model(spec, input_shape=(32, 32, 3), classes=CLASSES, classifier_activation=None)
    as_if_trained(model)
    return model


# The names and the channels of what is built.


@pytest.mark.parametrize(
    ("name", "top"),
    # What a backbone of a family ends in without its top is what its relatives end in.
    [(name, True) if name in BASES[::4] else pytest.param(name, True, marks=slow) for name in backbones.names()]
    + [pytest.param(name, False, marks=slow) for name in BASES],
)
def test_a_trace_has_the_layers_and_the_channels_of_the_model(name: str, top: bool) -> None:
    spec = small(name)
    with without_weights():
        model = build_model(spec, top, input_shape=(32, 32, 2), pooling=None if top else "max", classes=CLASSES)
    trace = trace_network(spec, channels=2, include_top=top, pooling=None if top else "max", classes=CLASSES)
    check_layers(model, trace)
    assert trace.output.channels == model.output_shape[-1]
    if top:
        assert trace.output.channels == CLASSES


@pytest.mark.parametrize("name", SPECS)
def test_a_trace_of_any_block_has_the_layers_and_the_channels_of_the_model(name: str) -> None:
    with without_weights():
        model = build_model(SPECS[name], input_shape=(32, 32, 3), classes=CLASSES)
    check_layers(model, trace_network(SPECS[name], classes=CLASSES))


def check_layers(model: keras.Model, trace: Trace) -> None:
    nodes = {node.name: node for node in trace.nodes}
    assert len(nodes) == len(list(trace.nodes)), "names are unique"
    layers = {layer.name: layer for layer in model.layers}
    assert {node.name for node in trace.nodes if node.has_weights} == set(layers_with_weights(model))
    # Padding is part of a convolution here, and a dropout without a rate no layer; nothing stands for the spec.
    beside = {name for name in layers if name.endswith("_pad")} | {model.layers[0].name, "backbone_spec"}
    assert set(layers) - beside <= set(nodes)
    assert all(isinstance(nodes[name].op, Dropout) for name in set(nodes) - set(layers))
    for name in set(layers) & set(nodes):
        node, layer = nodes[name], layers[name]
        assert node.output.channels == layer.output.shape[-1], name
        read = layer.input if isinstance(layer.input, list) else [layer.input]
        assert [value.channels for value in node.inputs] == [tensor.shape[-1] for tensor in read], name
        assert sum(run.size for run in node.output.resolved) == node.output.channels, name


def test_every_registered_block_and_classifier_is_tried() -> None:
    parts = [part.block for spec in SPECS.values() for part in spec.parts]
    assert {type(block) for block in parts} == {blocks.get(name) for name in blocks.names()}
    tried = {type(spec.classifier) for spec in SPECS.values()}
    assert tried == {classifiers.get(name) for name in classifiers.names()}


def test_blocks_are_traced_one_by_one() -> None:
    spec = small("resnet50_v2")
    trace = trace_network(spec)
    parts = range(len(spec.parts))
    assert [len(trace.blocks_of(part)) for part in parts] == [part.depth for part in spec.parts]
    assert [len(trace.blocks_of(part)) for part in (-1, len(spec.parts))] == [1, 1]
    assert {node.name.split("_")[0] for node in trace.blocks_of(2)[0].nodes} == {"conv3"}
    for before, after in pairwise(trace.blocks):
        assert after.input is before.output
    assert [node.name for node in trace.blocks[-1].nodes] == ["avg_pool", "top_dropout", "predictions"]


# The law of permutations.


def axes_of(trace: Trace) -> list[Axis]:
    """Every axis that is not tied to another, in the order in which they are made."""
    values = [trace.input, *(node.output for node in trace.nodes)]
    return list(dict.fromkeys(run.axis for value in values for run in value.resolved))


def places(value: Value, moved: dict[Axis, np.ndarray]) -> np.ndarray:
    """The old place of each channel of an image whose axes change their order."""
    found, start = [], 0
    for run in value.resolved:
        order = moved.get(run.axis, np.arange(run.axis.size))
        found.append(start + (order[:, None] * run.repeat + np.arange(run.repeat)).ravel())
        start += run.size
    return np.concatenate(found)


def permuted(node: TracedNode, arrays: list[np.ndarray], moved: dict[Axis, np.ndarray]) -> list[np.ndarray]:
    """The weights of a layer whose channels changed places."""
    rows, columns = places(node.inputs[0], moved), places(node.output, moved)
    if isinstance(node.op, Conv | Dense):
        groups = getattr(node.op, "groups", 1)
        kernel = ungrouped(arrays[0], groups)[..., rows, :][..., columns]
        return [grouped(kernel, groups), *(vector[columns] for vector in arrays[1:])]
    if isinstance(node.op, Depthwise):
        kernel = arrays[0]
        flat = kernel.reshape(*kernel.shape[:2], -1)[..., columns]
        return [flat.reshape(kernel.shape), *(vector[columns] for vector in arrays[1:])]
    return [vector if vector.ndim == 0 else vector[columns] for vector in arrays]


def ungrouped(kernel: np.ndarray, groups: int) -> np.ndarray:
    """The kernel of a plain convolution that does the same: zeros between groups."""
    *window, read, made = kernel.shape
    wide = np.zeros((*window, groups * read, made), kernel.dtype)
    for group in range(groups):
        columns = slice(group * made // groups, (group + 1) * made // groups)
        wide[..., group * read : (group + 1) * read, columns] = kernel[..., columns]
    return wide


def grouped(wide: np.ndarray, groups: int) -> np.ndarray:
    """The other way; fails where the groups are no longer whole."""
    *_, read, made = wide.shape
    blocks = [
        wide[..., group * read // groups : (group + 1) * read // groups, group * made // groups :][
            ..., : made // groups
        ]
        for group in range(groups)
    ]
    kernel = np.concatenate(blocks, axis=-1)
    assert np.array_equal(ungrouped(kernel, groups), wide), "channels left their group"
    return kernel


def check_permutation(model: keras.Model, trace: Trace, moved: dict[Axis, np.ndarray], scores: np.ndarray) -> None:
    """The model with these axes in another order computes the same, of an image whose channels moved as well.

    `scores` are what the model makes of `images_for(model)` before.
    """
    x, expected = images_for(model), scores[..., places(trace.output, moved)]
    layers, kept = layers_with_weights(model), {}
    changed = []
    for node in trace.nodes:
        if not node.has_weights:
            continue
        variables = weights_of(layers[node.name])
        kept[node.name] = [np.array(variable) for variable in variables]
        arrays = permuted(node, kept[node.name], moved)
        if not all(np.array_equal(a, b) for a, b in zip(arrays, kept[node.name], strict=True)):
            changed.append(node.name)
            assign(layers[node.name], arrays)
    assert changed, "nothing moved"
    found = outputs(model, x[..., places(trace.input, moved)])
    for name in changed:
        assign(layers[name], kept[name])
    assert_same_outputs(found, expected)


def images_for(model: keras.Model) -> np.ndarray:
    return random_images(2, *model.input_shape[1:])


def assign(layer: Any, arrays: list[np.ndarray]) -> None:
    for variable, array in zip(weights_of(layer), arrays, strict=True):
        variable.assign(array)
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()


def shuffled(axis: Axis, generator: np.random.Generator) -> np.ndarray:
    """Another order of an axis, in which every group keeps its channels."""
    size = axis.size // axis.groups
    while True:
        orders = [group * size + generator.permutation(size) for group in range(axis.groups)]
        found = np.concatenate(orders)
        if not np.array_equal(found, np.arange(axis.size)):
            return found


def check_axes(model: keras.Model, trace: Trace, least: int = 5) -> None:
    """The law for some axes at once, so chosen that of any two only one moves at least once."""
    generator = np.random.default_rng(0)
    constants = any(isinstance(node.op, Standardize) and node.op.mean is not None for node in trace.nodes)
    fixed = trace.input.runs[0].axis if constants else None  # constants do not move
    axes = [axis for axis in axes_of(trace) if axis.size > axis.groups and axis is not fixed]
    assert len(axes) >= least
    scores = outputs(model, images_for(model))
    for bit in range(len(axes).bit_length()):
        some = [axis for number, axis in enumerate(axes, start=1) if number >> bit & 1]
        check_permutation(model, trace, {axis: shuffled(axis, generator) for axis in some}, scores)


@pytest.mark.parametrize(
    "name", [name if number % 8 == 7 else pytest.param(name, marks=slow) for number, name in enumerate(SPECS)]
)
def test_channels_of_an_axis_may_change_places(name: str) -> None:
    check_axes(trained(SPECS[name]), trace_network(SPECS[name], classes=CLASSES))


GROUPED = [name for name, spec in SPECS.items() if "groups" in spec.stages[0].block.describe()]


@pytest.mark.parametrize("name", [GROUPED[0], *(pytest.param(name, marks=slow) for name in GROUPED[1:])])
def test_groups_may_change_places(name: str) -> None:
    """Those of all axes that one convolution sees in groups, on both of its sides."""
    trace, model = trace_network(SPECS[name], classes=CLASSES), trained(SPECS[name])
    found = [node for node in trace.nodes if isinstance(node.op, Conv) and node.op.groups > 1]
    assert len(found) == 4
    scores = outputs(model, images_for(model))
    for node in found:
        op: Any = node.op
        groups = op.groups
        [read], [made] = node.inputs[0].resolved, node.output.resolved
        assert (read.axis.groups, made.axis.groups, read.repeat, made.repeat) == (groups, groups, 1, 1)
        assert read.axis is not made.axis
        turned = {axis: np.roll(np.arange(axis.size), axis.size // groups) for axis in (read.axis, made.axis)}
        check_permutation(model, trace, turned, scores)


@slow
def test_channels_may_change_places_where_all_blocks_stand_in_one_network() -> None:
    spec = every_block_spec(32)
    check_axes(trained(spec), trace_network(spec, classes=CLASSES))


@slow
@pytest.mark.parametrize("name", BASES)
def test_channels_of_a_backbone_may_change_places(name: str) -> None:
    spec = small(name)
    # Branches that are added tie all channels of a stage.
    least = {"repvgg_a0": 4, "mobileone_s0": 3}.get(name, 5)
    check_axes(trained(spec), trace_network(spec, classes=CLASSES), least)


def test_the_law_sees_a_missing_tie() -> None:
    name = next(iter(SPECS))
    spec = SPECS[name]
    trace, model = trace_network(spec, classes=CLASSES), trained(spec)
    add = next(node for node in trace.nodes if isinstance(node.op, Add))
    maker = add.inputs[0].resolved[0].axis
    loose = replace_axis(trace, "block1a_project_conv", maker)
    scores = outputs(model, images_for(model))
    with pytest.raises(AssertionError):
        check_permutation(model, trace, {loose: np.roll(np.arange(loose.size), 1)}, scores)


def replace_axis(trace: Trace, name: str, tied: Axis) -> Axis:
    """As if the layer of that name (and what follows it up to the addition) made an axis of its own."""
    free = Axis(tied.size)
    nodes = list(trace.nodes)
    at = next(number for number, node in enumerate(nodes) if node.name == name)
    for node in nodes[at:]:
        if isinstance(node.op, Add):
            return free
        node.output.runs = (Run(free),)
    raise LookupError(name)


# Ties that are known by hand; the law alone would not see channels that are tied for no reason.


def axis_names(trace: Trace) -> dict[str, list[tuple[int, int, int]]]:
    """Of each layer with weights, the axes that it makes: (number, size, repeat), numbered as they appear."""
    numbers: dict[Axis, int] = {}
    found = {}
    for node in trace.nodes:
        if node.has_weights:
            for run in node.output.resolved:
                numbers.setdefault(run.axis, len(numbers))
            found[node.name] = [(numbers[run.axis], run.axis.size, run.repeat) for run in node.output.resolved]
    return found


def partition(trace: Trace, kinds: Any = Conv | Dense) -> list[set[str]]:
    """Layers that make channels, in sets of those that make the same."""
    makers = {node.name for node in trace.nodes if isinstance(node.op, kinds)}
    found: dict[tuple[tuple[int, int, int], ...], set[str]] = {}
    for name, axes in axis_names(trace).items():
        if name in makers:
            found.setdefault(tuple(axes), set()).add(name)
    return list(found.values())


def test_mbconv_ties_its_ends_and_its_gate() -> None:
    assert partition(trace_network(tiny_spec(STAGE_BLOCKS[0]))) == [
        {"stem_conv", "block1a_project_conv", "block1b_project_conv"},  # the stem is as wide as the stage
        {"block1a_expand_conv", "block1a_se_expand"},
        {"block1a_se_reduce"},
        {"block1b_expand_conv", "block1b_se_expand"},
        {"block1b_se_reduce"},
        {"top_conv"},
        {"predictions"},
    ]


def test_bottlenecks_tie_what_a_stage_emits() -> None:
    emits = {f"conv2_block{number}_{layer}" for number in (1, 2) for layer in ("3_conv", "se_expand")}
    found = partition(trace_network(tiny_spec(STAGE_BLOCKS[12])))
    assert {"conv2_block1_0_conv", *emits} in found
    inner = [{f"conv2_block{number}_{layer}"} for number in (1, 2) for layer in ("1_conv", "2_conv", "se_reduce")]
    assert all(alone in found for alone in inner)
    assert len(found) == 4 + len(inner)


def test_chains_without_skips_tie_nothing() -> None:
    trace = trace_network(tiny_spec(DepthwiseSeparable(multiplier=2), DepthwiseSeparable()))
    assert all(len(together) == 1 for together in partition(trace))
    axes = axis_names(trace)
    [(stem, *_)] = axes["stem_conv"]
    assert axes["conv_dw_1"] == axes["conv_dw_1_bn"] == [(stem, 8, 2)], "two filters for each channel of the stem"
    assert axes["conv_dw_3"] == axes["conv_pw_2"], "one for each channel"


def test_dense_blocks_put_axes_side_by_side() -> None:
    trace = trace_network(tiny_spec(STAGE_BLOCKS[14], depth=3))
    axes = axis_names(trace)
    assert all(len(together) == 1 for together in partition(trace))
    news = [axes[f"conv2_block{number}_2_conv"][0] for number in (1, 2, 3)]
    assert axes["conv2_block3_0_bn"] == [*axes["pool0_conv"], *news[:2]]
    assert [run.size for run in trace.blocks_of(1)[-1].output.resolved] == [4, 8, 8, 8]


def test_a_ghost_keeps_its_channel() -> None:
    trace = trace_network(tiny_spec(GhostBottleneck(se_ratio=0.25), GhostBottleneck(kernel=5, expand=2)))
    concats = {node.name: node.output.resolved for node in trace.nodes if isinstance(node.op, Concat)}
    [real, ghost] = concats["ghost1a_1_concat"]
    assert real == ghost
    # A Ghost module's halves are one axis, and so, behind an addition, are those of the stage's input: the stem.
    first, second, stem = (
        concats["ghost1a_2_concat"],
        concats["ghost1b_2_concat"],
        trace.blocks_of(0)[0].output.resolved,
    )
    assert first == second == stem
    assert [run.size for run in stem] == [4, 4]
    assert stem[0] == stem[1]


@pytest.fixture(autouse=True)
def plugin_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGIN))


def test_the_law_holds_for_a_plugin() -> None:
    from keras_effnet_fire import Fire  # pyright: ignore[reportMissingImports]

    spec = tiny_spec(Fire(), Fire(kernel=5, squeeze=0.5))
    trace, model = trace_network(spec, classes=CLASSES), trained(spec)
    check_layers(model, trace)
    check_axes(model, trace)


# Splits and joins that no block of this package needs.


def value(*sizes: int) -> Value:
    """An image of axes of these sizes, one after the other."""
    return Value(tuple(Run(Axis(size)) for size in sizes))


def sizes(found: Value) -> list[tuple[int, int]]:
    return [(run.axis.size, run.repeat) for run in found.resolved]


def test_axes_split_where_runs_of_the_other_image_end() -> None:
    left, right = value(4, 6), value(7, 3)
    tie(left, right, "add")
    assert left.resolved == right.resolved
    assert sizes(left) == [(4, 1), (3, 1), (3, 1)]
    assert left.channels == right.channels == 10
    assert [run.size for run in left.runs] == [4, 6], "what was known when it was made stays"


def test_what_was_split_is_split_wherever_it_stands() -> None:
    whole = value(10)
    twice = Value((*whole.runs, *whole.runs))
    tie(whole, value(4, 6), "add")
    assert sizes(twice) == [(4, 1), (6, 1), (4, 1), (6, 1)]
    assert twice.resolved[:2] == twice.resolved[2:]


def test_ties_reach_what_was_tied_before() -> None:
    one, two, three = value(6), value(6), value(2, 4)
    tie(one, two, "first")
    tie(two, three, "second")
    assert one.resolved == two.resolved == three.resolved
    tie(one, two, "again")
    assert sizes(one) == [(2, 1), (4, 1)]


def test_a_image_that_repeats_an_axis_makes_the_other_do_so() -> None:
    axis = Axis(4)
    left, right = Value((Run(axis), Run(axis))), value(8)
    tie(left, right, "add")
    assert right.resolved == left.resolved
    assert sizes(right) == [(4, 1), (4, 1)]
    assert right.resolved[0] == right.resolved[1]


def test_channels_shifted_against_themselves_become_one_by_one() -> None:
    axes = [Axis(2), Axis(4)]
    left, right = Value((Run(axes[0]), Run(axes[1]))), Value((Run(axes[1]), Run(axes[0])))
    tie(left, right, "add")
    assert left.resolved == right.resolved
    assert sizes(left) == [(2, 1)] * 3
    # a1 a2 b1 b2 b3 b4 beside b1 b2 b3 b4 a1 a2: a1 is b1, b1 is b3, b3 is a1.
    assert len({run.axis for run in left.resolved}) == 1


def test_what_was_tied_is_split_together_further_on() -> None:
    axis = Axis(4)
    left, right = Value((Run(axis), Run(Axis(2)), Run(Axis(2)))), Value((Run(Axis(4)), Run(axis)))
    tie(left, right, "add")
    assert left.resolved == right.resolved
    assert sizes(left) == [(2, 1)] * 4
    assert left.resolved[:2] == left.resolved[2:]


def test_filters_of_a_channel_tie_in_runs() -> None:
    channels = Axis(3)
    filters, plain = Value((Run(channels, 2),)), value(6)
    tie(plain, filters, "add")
    assert plain.resolved == filters.resolved == [Run(channels, 2)]
    deeper = Value((Run(plain.runs[0].axis, 3),))
    assert deeper.resolved == [Run(channels, 6)]
    other = Value((Run(Axis(3), 2),))
    tie(filters, other, "add")
    assert other.resolved == filters.resolved
    assert sizes(other) == [(3, 2)]
    uneven = value(2, 4)
    tie(uneven, filters, "add")
    assert sizes(uneven) == sizes(filters) == [(1, 2), (2, 2)]


def test_groups_go_over_to_what_is_tied() -> None:
    loose, held = value(8), value(8)
    held.runs[0].axis.groups = 4
    tie(held, loose, "add")
    assert [run.axis.groups for run in loose.resolved] == [4]
    late, tied = value(8), value(8)
    tied.runs[0].axis.groups = 2
    tie(late, tied, "add")
    assert [run.axis.groups for run in late.resolved] == [2]


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (
            lambda: Value((Run(Axis(3), 2),)),
            lambda: value(3, 3),
            r"'mine' ties channels in the middle of the filters.*Received: ",
        ),
        (
            lambda: Value((Run(Axis(3), 4),)),
            lambda: Value((Run(Axis(4), 3),)),
            r"different multipliers.*Received: 4 and 3",
        ),
        (
            lambda: Value((Run(Axis(4), 3),)),
            lambda: Value((Run(Axis(3), 4),)),
            r"different multipliers.*Received: 3 and 4",
        ),
    ],
)
def test_filters_that_cannot_be_tied_are_an_error(left: Any, right: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        tie(left(), right(), "mine")


def test_a_block_with_such_a_tie_is_an_error() -> None:
    class Shifted(Block):
        def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
            y = ops.depthwise(x, 3, multiplier=2, name=f"twice{at.block}")
            z = ops.depthwise(x, 3, multiplier=3, name=f"thrice{at.block}")
            y = ops.concat(y, x, name=f"joined{at.block}")
            return ops.add(y, z, name=f"shifted{at.block}")

        def describe(self) -> str:
            return "Shifted"

    spec = tiny_spec(ConvNeXtBlock())
    with pytest.raises(SpecError, match="'shifted0' ties"):
        trace_network(replace(spec, stages=(StageSpec(Shifted(), 24),)))


def test_a_layer_outside_the_vocabulary_makes_its_own_axis() -> None:
    class Foreign(Block):
        def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
            def make(name: str) -> Any:
                return keras.layers.Conv2D(at.width, 1, use_bias=False, name=name)

            params = ops.channels(x) * at.width
            height, width = (16, 16)
            return ops.layer(
                x, make, shape=(height, width, at.width), params=params, trainable_params=params, name="foreign"
            )

        def describe(self) -> str:
            return "Foreign"

    spec = replace(tiny_spec(ConvNeXtBlock()), stages=(StageSpec(Foreign(), 6),), head=None)
    trace, model = trace_network(spec, classes=CLASSES), trained(spec)
    check_layers(model, trace)
    node = next(node for node in trace.nodes if node.name == "foreign")
    assert node.mixes
    assert sizes(node.output) == [(6, 1)]
    [run] = list(trace.nodes)[-2].output.resolved
    assert run in resolve(node.output.runs)


def test_a_block_is_answered_without_sizes() -> None:
    class Asking(Block):
        def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
            asked.append((ops.channels(x), ops.size(x)))
            return ops.conv(x, at.width, 3, at.stride, name=f"asking{at.index}")

        def describe(self) -> str:
            return "Asking"

    asked: list[Any] = []
    spec = replace(tiny_spec(ConvNeXtBlock()), stages=(StageSpec(Asking(), 6, stride=2), StageSpec(Asking(), 7)))
    trace_network(spec)
    record_network(spec, size=(32, None))
    assert asked == [(8, (None, None)), (6, (None, None)), (8, (16, None)), (6, (8, None))]
