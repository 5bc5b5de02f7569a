"""A conformance kit for blocks, rules and backbones of your own: three calls for your tests.

    from keras_effnet.testing import check_backbone, check_block, check_rule

    def test_my_block():
        check_block(MyBlock(kernel=5))

Each raises a `ConformanceError` that says what does not hold, and returns nothing where all does. What is built is
counted layer by layer from the shapes that Keras reports, not with `keras_effnet.cost`. Importing this imports no
keras; checking a block or a backbone does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple, get_args

from keras_effnet.blocks import Block, ConvBlock, MBConv
from keras_effnet.checks import check_choice
from keras_effnet.cost import estimate_cost
from keras_effnet.errors import ConformanceError, RegistryError, ScalingError
from keras_effnet.registry import blocks
from keras_effnet.scaling import Coefficients, Compound, Rounding, ScalingRule, scale_spec
from keras_effnet.spec import BackboneSpec, StageSpec

# Sizes at which a network of four stages builds in a second.
_SIDE = 32
_WIDTHS = (8, 16, 16, 24)
_STRIDES = (1, 2, 1, 2)
_PHIS = (-2.0, -0.5, 0.5, 1.5)
# Widths and resolutions at which even large backbones build in seconds.
_SMALL = Coefficients(depth=0.3, width=0.25, resolution=0.25)


# Of the largest output: float32 rounding through a small network, with room to spare.
_EXACT = 1e-4

Place = Literal["stage", "stem", "head"]


class GraphCounts(NamedTuple):
    """What `graph_counts` found.

    Args:
        macs: multiply-adds of convolutions and dense layers, for one image.
        activations: numbers that they put out.
        params: all weights.
    """

    macs: int
    activations: int
    params: int


def graph_counts(layers: Sequence[Any]) -> GraphCounts:
    """Counts a built graph layer by layer, from the kernels and output shapes that Keras reports.

    Shares nothing with `keras_effnet.cost`: a kernel is used once for each cell of the output.

    Args:
        layers: of a built keras.Model with known sizes, channels last.

    Returns:
        Multiply-adds and outputs of convolutions and dense layers, and all weights.

    Example:
        >>> from keras_effnet.applications import MobileNet
        >>> graph_counts(MobileNet(weights=None).layers).params
        4253864
    """
    macs = activations = params = 0
    for layer in layers:
        # A Dropout keeps the state of its random numbers among its weights.
        params += sum(math.prod(weight.shape) for weight in layer.weights if "seed_generator" not in weight.path)
        if layer.__class__.__name__ not in ("Conv2D", "DepthwiseConv2D", "Dense"):
            continue
        shape = layer.output.shape[1:]
        macs += math.prod(layer.kernel.shape) * math.prod(shape[:-1])
        activations += math.prod(shape)
    return GraphCounts(macs, activations, params)


def check_block(block: Block, place: Place = "stage") -> None:
    """Checks that a block can stand in any network.

    It is a frozen, comparable value with a description; in a small network (of four stages of it, of one to three
    blocks each) the count equals the build, layer names are unique, blocks after the first cost the same, all of it at
    several phi; the model is made of Keras' own layers, and gives the same outputs after it was saved and loaded; a
    grown model computes the same, or its report says that it does not. A registered block also survives the way through
    a spec file.

    Args:
        block: an object, not a class.
        place: where the block stands: in "stage"s, or as the "stem" (with a stride of 4) or the "head".

    Raises:
        ConformanceError: something does not hold.

    Example:
        >>> from keras_effnet.blocks import MBConv
        >>> check_block(MBConv(kernel=5))
    """
    if not isinstance(block, Block):
        raise ConformanceError(f"a block is an object of a subclass of Block. Received: {block!r}")
    _check_value(block)
    if not isinstance(block.describe(), str) or not block.describe():
        raise ConformanceError(f"`describe` must return a text. Received: {block.describe()!r} from {block!r}")
    check_choice(ConformanceError, "place", place, get_args(Place))
    spec = _around(block, place)
    _check_network(spec)
    _check_growth(spec)
    for phi in _PHIS:
        _check_count(_scaled(spec, phi))
    if type(block) in _registered_blocks():
        _check_file(spec)


def check_rule(rule: ScalingRule, phis: Sequence[float] = (-3, -2, -1, -0.5, 0, 0.5, 1, 2, 3)) -> None:
    """Checks that a rule is a pure function from phi to coefficients: phi 0 scales nothing, a larger phi costs more.

    Args:
        rule: the rule.
        phis: rising, with 0 among them; those that the rule is made for.

    Raises:
        ConformanceError: something does not hold.

    Example:
        >>> from keras_effnet.scaling import Compound
        >>> check_rule(Compound(alpha=1.3))
    """
    found = [rule(phi) for phi in phis]
    for phi, made in zip(phis, found, strict=True):
        if not isinstance(made, Coefficients):
            raise ConformanceError(f"a rule must return Coefficients. Received: {made!r} at {phi=}")
        if rule(phi) != made:
            raise ConformanceError(
                f"a rule must give the same at the same phi. Received: {made} at {phi=}, then others"
            )
    if 0 in phis and not _is_identity(rule(0)):
        raise ConformanceError(f"phi = 0 must scale nothing. Received: {rule(0)}")
    costs = [made.macs for made in found]
    if costs != sorted(costs) or len(set(costs)) == 1:
        raise ConformanceError(
            "depth * width^2 * resolution^2 must grow with phi, and never fall. "
            f"Received: {dict(zip(phis, costs, strict=True))}"
        )
    try:
        rule(math.nan)
    except ScalingError:
        return
    raise ConformanceError(f"a phi that is no number must raise ScalingError. Received: {rule(math.nan)} at nan")


def check_backbone(spec: BackboneSpec) -> None:
    """Checks that a backbone scales, is counted as it is built, and survives files.

    Made small (the build takes seconds), its count equals its build, also without top; scaling by 0 is the identity and
    cost grows with phi; it comes back equal from a spec file, where its blocks are registered; the model is made of
    Keras' own layers and gives the same outputs after it was saved and loaded.

    Args:
        spec: the backbone.

    Raises:
        ConformanceError: something does not hold.

    Example:
        >>> from keras_effnet.applications import mobilenet_v1_spec
        >>> check_backbone(mobilenet_v1_spec)
    """
    if not isinstance(spec, BackboneSpec):
        raise ConformanceError(f"a backbone is a BackboneSpec. Received: {spec!r}")
    if scale_spec(spec, 0) != spec:
        raise ConformanceError(f"phi = 0 must scale nothing. Received: {scale_spec(spec, 0)!r}")
    costs = [estimate_cost(_scaled(spec, phi)).macs for phi in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    if costs != sorted(costs) or costs[0] == costs[-1]:
        raise ConformanceError(f"multiply-adds must grow with phi. Received: {costs} at phi -2 to 2")
    resolution = max(round(spec.resolution * _SMALL.resolution), spec.total_stride)
    small = scale_spec(spec, coefficients=replace(_SMALL, resolution=1))
    _check_network(replace(small, resolution=resolution))
    registered = _registered_blocks()
    if all(type(stage.block) in registered for stage in spec.parts):
        _check_file(spec)


def _registered_blocks() -> set[type[Block]]:
    """Those that can be loaded: a broken plugin is not what is checked here."""
    found = set()
    for name in blocks.names():
        with suppress(RegistryError):
            found.add(blocks.get(name))
    return found


def _is_identity(made: Coefficients) -> bool:
    pairs = made.stages or ()
    return all(value == 1 for value in (made.depth, made.width, made.resolution, *(x for pair in pairs for x in pair)))


def _check_value(block: Block) -> None:
    try:
        same = replace(block)
    except TypeError as error:
        raise ConformanceError(f"a block must be a dataclass: @dataclass(frozen=True). Received: {block!r}") from error
    try:
        equal = hash(same) == hash(block) and same == block
    except TypeError as error:
        raise ConformanceError(
            f"a block's fields must be hashable: tuples, not lists. Received: {block!r}, {error}"
        ) from error
    if not equal:
        raise ConformanceError(f"two equal blocks must compare equal. Received: {block!r}")


def _around(block: Block, place: Place) -> BackboneSpec:
    """A small network with stages that keep, widen and stride, of one to three blocks each."""
    stages = tuple(
        StageSpec(block if place == "stage" else MBConv(), width=width, depth=1 + number % 3, stride=stride)
        for number, (width, stride) in enumerate(zip(_WIDTHS, _STRIDES, strict=True), start=1)
    )
    return BackboneSpec(
        name="around_a_block",
        stem=_whole(StageSpec(block, width=8, stride=4)) if place == "stem" else StageSpec(ConvBlock(), 8, stride=2),
        stages=tuple(_whole(stage) for stage in stages),
        head=_whole(StageSpec(block, width=32)) if place == "head" else None,
        resolution=_SIDE,
        drop_path=0.1,
    )


def _whole(stage: StageSpec) -> StageSpec:
    """The stage with a width that suits the block's groups."""
    block, width = stage.block.widened(stage.width, 1.0)
    return replace(stage, block=block, width=width)


def _scaled(spec: BackboneSpec, phi: float) -> BackboneSpec:
    # Small images would fall below the total stride at low phi: what is checked is depth and width.
    made = Compound()(phi)
    coefficients = made if phi >= 0 else replace(made, resolution=1.0)
    return scale_spec(spec, coefficients=coefficients, rounding=Rounding(depth="round"))


def _build(spec: BackboneSpec, **options: Any) -> Any:
    from keras_effnet.builder.model import build_model

    side = spec.resolution
    return build_model(spec, input_shape=(side, side, 3), classes=10, **options)


def _check_count(spec: BackboneSpec, **options: Any) -> Any:
    model = _build(spec, **options)
    cost = estimate_cost(spec, classes=10, **options)
    found = graph_counts(model.layers)
    declared = any(layer.__class__.__name__ not in _COUNTED for layer in model.layers if layer.weights)
    pairs = {"params": (cost.params, found.params)}
    if not declared:
        # Layers from outside the vocabulary declare their cost; it cannot be read off their shapes.
        pairs |= {"macs": (cost.macs, found.macs), "activations": (cost.activations, found.activations)}
    for name, (counted, built) in pairs.items():
        if counted != built:
            raise ConformanceError(
                f"the count must equal the build, but `{name}` of {spec.name!r} does not. Blocks after a stage's first "
                f"must cost the same, and may use `at.block` for names only. Received: {counted:,} counted, "
                f"{built:,} built with {[stage.block for stage in spec.stages]}"
            )
    return model


_COUNTED = (
    "Conv2D",
    "DepthwiseConv2D",
    "Dense",
    "BatchNormalization",
    "LayerNormalization",
    "Normalization",
    "Dropout",
)


def _check_network(spec: BackboneSpec) -> None:
    _check_count(spec, include_top=False, pooling="avg")
    model = _check_count(spec)
    for name, count in Counter(layer.name for layer in model.layers).items():
        if count > 1:
            raise ConformanceError(f"layer names must be unique: make them from `at`. Received: {name!r} {count} times")
    for layer in model.layers:
        if not layer.__class__.__module__.startswith("keras."):
            raise ConformanceError(
                "a model must be made of Keras' own layers, or it will not load without your package. "
                f"Received: layer {layer.name!r} of {layer.__class__}"
            )
    _check_saved(model)


def _check_growth(spec: BackboneSpec) -> None:
    """What the trace says of the block's channels is true: a grown network computes what its report promises."""
    import numpy as np

    from keras_effnet.inheritance.grow import grow_model

    model, generator = _build(spec, classifier_activation=None), np.random.default_rng(0)
    for variable in model.weights:
        # With fresh statistics a misplaced channel would go unseen.
        if variable.path.rpartition("/")[2] in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    larger = scale_spec(spec, coefficients=Coefficients(depth=1.5, width=1.5))
    shape = model.input_shape[1:]
    grown, report = grow_model(model, larger, base=spec, exact=False, input_shape=shape, return_report=True)
    pixels = generator.uniform(0, 255, (2, *shape)).astype("float32")
    before, after = (np.asarray(each.predict_on_batch(pixels)) for each in (model, grown))
    difference = float(np.abs(after - before).max() / np.abs(before).max())
    if report.exact and not difference <= _EXACT:
        raise ConformanceError(
            "a network that grows must compute the same, or its report must say where it does not: does a channel "
            "reach another by a way that no verb tells of? "
            f"Received: a difference of {difference:.2g} of the largest output with {[s.block for s in spec.parts]}"
        )


def _check_saved(model: Any) -> None:
    import keras
    import numpy as np

    pixels = np.random.default_rng(0).uniform(0, 255, (2, *model.input_shape[1:])).astype("float32")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded: Any = keras.models.load_model(path, safe_mode=True)
    ours, theirs = (np.asarray(keras.ops.convert_to_numpy(each(pixels, training=False))) for each in (model, loaded))
    if not np.allclose(ours, theirs, rtol=0, atol=1e-6):
        raise ConformanceError(
            "a model must give the same outputs after it was saved and loaded. "
            f"Received: a difference of {float(np.abs(ours - theirs).max())}"
        )


def _check_file(spec: BackboneSpec) -> None:
    found = BackboneSpec.from_json(spec.to_json())
    if found != spec:
        raise ConformanceError(f"a spec must come back equal from its JSON. Received: {found!r} from {spec!r}")
