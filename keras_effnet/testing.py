"""A conformance kit for your own blocks, rules and backbones: three calls for your tests.

    from keras_effnet.testing import check_backbone, check_block, check_rule

    def test_my_block():
        check_block(MyBlock(kernel=5))

Each raises a `ConformanceError` that names the first law that is broken, and returns None if all of them hold. Built
models are counted layer by layer from the shapes that Keras reports, independently of `keras_effnet.cost`. Importing
this module does not import keras; checking a block or a backbone does.
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

from keras_effnet.blocks import Block, ConvBlock, DepthwiseSeparable
from keras_effnet.checks import check_choice
from keras_effnet.cost import estimate_cost
from keras_effnet.errors import ConformanceError, RegistryError, ScalingError
from keras_effnet.registry import blocks
from keras_effnet.scaling import Coefficients, Compound, Rounding, ScalingRule, scale_spec
from keras_effnet.spec import BackboneSpec, StageSpec

# Small enough for a network of four stages to build in half a second. The stages keep the width, widen and stride.
_SIDE = 32
_WIDTHS = (8, 16, 16, 24)
_STRIDES = (1, 2, 1, 2)
_DEPTHS = (1, 3, 1, 1)
# A phi at which this network loses blocks, and one at which it gains some.
_LOW, _HIGH = -2.0, 1.5
# Small enough for even large backbones to build in seconds.
_SMALL = Coefficients(depth=0.2, width=0.25, resolution=0.25)
# Largest difference, relative to the largest output, that float32 rounding in a small network explains with room to
# spare.
_EXACT = 1e-4
# A drop-path rate that no block has by accident.
_DROP_PATH = 0.6

Place = Literal["stage", "stem", "head"]


class GraphCounts(NamedTuple):
    """The totals of a built graph.

    Attributes:
        macs: multiply-adds of all convolutions and dense layers for one image.
        activations: number of output values of all convolutions and dense layers for one image.
        params: number of weights, trainable or not.
    """

    macs: int
    activations: int
    params: int


def graph_counts(layers: Sequence[Any]) -> GraphCounts:
    """Counts a built graph layer by layer, from the kernels and output shapes that Keras reports.

    Independent of `keras_effnet.cost`: each kernel is applied once per output position.

    Args:
        layers: the layers of a built `keras.Model` with a fixed input size, channels last.

    Returns:
        The multiply-adds, output values and weights.

    Example:
        >>> from keras_effnet.applications import MobileNet
        >>> graph_counts(MobileNet(weights=None).layers).params
        4253864
    """
    macs = activations = params = 0
    for layer in layers:
        # A Dropout layer lists the state of its random generator among its weights.
        params += sum(math.prod(weight.shape) for weight in layer.weights if "seed_generator" not in weight.path)
        if layer.__class__.__name__ not in ("Conv2D", "DepthwiseConv2D", "Dense"):
            continue
        shape = layer.output.shape[1:]
        macs += math.prod(layer.kernel.shape) * math.prod(shape[:-1])
        activations += math.prod(shape)
    return GraphCounts(macs, activations, params)


def check_block(block: Block, place: Place = "stage") -> None:
    """Checks that a block can be used in any network.

    The block must be a frozen, comparable value with a description. In a small network of four stages, with one to
    three blocks each and at several phi,

    * the count equals the build, and all blocks of a stage but the first cost the same,
    * layer names are unique, and all layers are Keras' own,
    * a saved model gives the same outputs when it is loaded,
    * a grown model computes the same function, or its report says that it does not,
    * in stages, whatever the block adds to its own input has passed drop-path at the rate `at.drop_path`. A block
      without such a residual connection (an addition of which one operand is computed from the other) has nothing to
      drop.

    A registered block must also survive a round trip through a spec file.

    Args:
        block: the block: an object, not a class.
        place: where the block is used: in the stages ("stage"), as the stem with a stride of 4 ("stem"), or as the head
            ("head"). Default: "stage".

    Raises:
        ConformanceError: one of these laws is broken.

    Example:
        >>> from keras_effnet.blocks import MBConv
        >>> check_block(MBConv(kernel=5))
    """
    if not isinstance(block, Block):
        raise ConformanceError("a block is an object of a subclass of Block.", received=repr(block))
    _check_value(block)
    if not isinstance(block.describe(), str) or not block.describe():
        raise ConformanceError("`describe` must return a text.", received=f"{block.describe()!r} from {block!r}")
    check_choice(ConformanceError, "place", place, get_args(Place))
    spec = _around(block, place)
    _check_count(_scaled(spec, _LOW), include_top=False, pooling="avg")
    if place == "stage":
        _check_drop_path(block)
    model = _check_network(spec)
    _check_growth(model, spec)
    _check_count(_scaled(spec, _HIGH))
    if type(block) in _registered_blocks():
        _check_file(spec)


def check_rule(rule: ScalingRule, phis: Sequence[float] = (-3, -2, -1, -0.5, 0, 0.5, 1, 2, 3)) -> None:
    """Checks that a rule is a pure function from phi to coefficients: phi = 0 scales nothing, a larger phi costs more.

    Args:
        rule: the scaling rule.
        phis: values of phi that the rule supports, ascending, 0 among them. Default: nine values from -3 to 3.

    Raises:
        ConformanceError: one of these laws is broken.

    Example:
        >>> from keras_effnet.scaling import Compound
        >>> check_rule(Compound(alpha=1.3))
    """
    found = [rule(phi) for phi in phis]
    for phi, made in zip(phis, found, strict=True):
        if not isinstance(made, Coefficients):
            raise ConformanceError("a rule must return Coefficients.", received=f"{made!r} at {phi=}")
        if rule(phi) != made:
            raise ConformanceError(
                "a rule must give the same coefficients at the same phi.", received=f"{made} at {phi=}, then others"
            )
    if 0 in phis and not _is_identity(rule(0)):
        raise ConformanceError("phi = 0 must scale nothing.", received=str(rule(0)))
    costs = [made.macs for made in found]
    if costs != sorted(costs) or len(set(costs)) == 1:
        raise ConformanceError(
            "depth * width^2 * resolution^2 must grow with phi, and never fall.",
            received=str(dict(zip(phis, costs, strict=True))),
        )
    try:
        rule(math.nan)
    except ScalingError:
        return
    raise ConformanceError("phi = nan must raise ScalingError.", received=str(rule(math.nan)))


def check_backbone(spec: BackboneSpec) -> None:
    """Checks that a backbone scales, is counted as it is built, and survives files.

    phi = 0 changes nothing and cost grows with phi. Scaled down so that it builds in seconds, with and without its top,
    its count equals its build, its layers are Keras' own, and a saved model gives the same outputs when it is loaded.
    If all of its blocks are registered, it comes back equal from a spec file.

    Args:
        spec: the backbone.

    Raises:
        ConformanceError: one of these laws is broken.

    Example:
        >>> from keras_effnet.applications import mobilenet_v1_spec
        >>> check_backbone(mobilenet_v1_spec)
    """
    if not isinstance(spec, BackboneSpec):
        raise ConformanceError("a backbone is a BackboneSpec.", received=repr(spec))
    if scale_spec(spec, 0) != spec:
        raise ConformanceError("phi = 0 must scale nothing.", received=repr(scale_spec(spec, 0)))
    costs = [estimate_cost(_scaled(spec, phi)).macs for phi in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    if costs != sorted(costs) or costs[0] == costs[-1]:
        raise ConformanceError("multiply-adds must grow with phi.", received=f"{costs} at phi -2 to 2")
    resolution = max(round(spec.resolution * _SMALL.resolution), spec.total_stride)
    small = replace(scale_spec(spec, coefficients=replace(_SMALL, resolution=1)), resolution=resolution)
    _check_count(small, include_top=False, pooling="avg")
    _check_network(small)
    registered = _registered_blocks()
    if all(type(stage.block) in registered for stage in spec.parts):
        _check_file(spec)


def _registered_blocks() -> set[type[Block]]:
    """The registered blocks that can be loaded; a broken plugin is not what is checked here."""
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
        raise ConformanceError("a block must be a dataclass: @dataclass(frozen=True).", received=repr(block)) from error
    try:
        equal = hash(same) == hash(block) and same == block
    except TypeError as error:
        raise ConformanceError(
            "a block's fields must be hashable: tuples, not lists.", received=f"{block!r}, {error}"
        ) from error
    if not equal:
        raise ConformanceError("two equal blocks must compare equal.", received=repr(block))


def _around(block: Block, place: Place) -> BackboneSpec:
    """A small network around the block."""
    repeated = block if place == "stage" else DepthwiseSeparable()
    stages = tuple(
        StageSpec(repeated, width, depth, stride)
        for width, depth, stride in zip(_WIDTHS, _DEPTHS, _STRIDES, strict=True)
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
    """The stage with a width that is a whole number of the block's groups."""
    block, width = stage.block.widened(stage.width, 1.0)
    return replace(stage, block=block, width=width)


def _scaled(spec: BackboneSpec, phi: float) -> BackboneSpec:
    # At low phi small images would fall below the total stride; depth and width are what matters here.
    made = Compound()(phi)
    coefficients = made if phi >= 0 else replace(made, resolution=1.0)
    return scale_spec(spec, coefficients=coefficients, rounding=Rounding(depth="round"))


def _build(spec: BackboneSpec, **options: Any) -> Any:
    from keras_effnet.builder.model import build_model

    side = spec.resolution
    # As logits: a softmax would hide differences.
    return build_model(spec, input_shape=(side, side, 3), classes=10, classifier_activation=None, **options)


def _check_count(spec: BackboneSpec, **options: Any) -> Any:
    model = _build(spec, **options)
    cost = estimate_cost(spec, classes=10, **options)
    found = graph_counts(model.layers)
    declared = any(layer.__class__.__name__ not in _COUNTED for layer in model.layers if layer.weights)
    pairs = {"params": (cost.params, found.params)}
    if not declared:
        # The cost of layers from outside the vocabulary is declared; it cannot be derived from their shapes.
        pairs |= {"macs": (cost.macs, found.macs), "activations": (cost.activations, found.activations)}
    for name, (counted, built) in pairs.items():
        if counted != built:
            raise ConformanceError(
                f"the count must equal the build, but `{name}` of {spec.name!r} does not. All blocks of a stage but "
                "the first must cost the same, and may use `at.block` in names only.",
                received=f"{counted:,} counted, {built:,} built with {[stage.block for stage in spec.stages]}",
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


def _check_network(spec: BackboneSpec) -> Any:
    """Checks the network of a spec as it is and as it comes back from a file, and returns it: it emits logits."""
    import numpy as np

    model, generator = _check_count(spec), np.random.default_rng(0)
    for name, count in Counter(layer.name for layer in model.layers).items():
        if count > 1:
            raise ConformanceError(
                "layer names must be unique: build them from `at`.", received=f"{name!r} {count} times"
            )
    for layer in model.layers:
        if not layer.__class__.__module__.startswith("keras."):
            raise ConformanceError(
                "a model must consist of Keras' own layers, or it will not load without your package.",
                received=f"layer {layer.name!r} of {layer.__class__}",
            )
    for variable in model.weights:
        # Fresh ones are alike, so that a misplaced channel would go unnoticed, or let nothing pass a narrow ReLU.
        if variable.path.rpartition("/")[2] in ("bias", "gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    _check_saved(model)
    return model


def _check_growth(model: Any, spec: BackboneSpec) -> None:
    """A grown network computes what its report promises: the trace describes the block's channels correctly."""
    import numpy as np

    from keras_effnet.inheritance.compare import compute_once
    from keras_effnet.inheritance.grow import grow_model

    larger = scale_spec(spec, coefficients=Coefficients(depth=1.3, width=1.5))
    shape = model.input_shape[1:]
    grown, report = grow_model(model, larger, base=spec, exact=False, input_shape=shape, return_report=True)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
    before, after = (compute_once(each, pixels) for each in (model, grown))
    difference = float(np.abs(after - before).max() / np.abs(before).max())
    if report.exact and not difference <= _EXACT:
        raise ConformanceError(
            "a grown network must compute the same function, or its report must say where it does not. Check that "
            "channels reach each other through the verbs of `ops` only.",
            received=f"a difference of {difference:.2g} of the largest output with {[s.block for s in spec.parts]}",
        )


def _check_drop_path(block: Block) -> None:
    """Whatever the block adds to its own input comes straight from drop-path, at the rate of its placement."""
    # The ramp of drop-path starts at 0 in the network's first block, which is another one here.
    stages = (StageSpec(DepthwiseSeparable(), width=8), _whole(StageSpec(block, width=8, depth=3, stride=2)))
    spec = replace(_around(block, "stage"), stages=stages, drop_path=_DROP_PATH)
    rates = [place(number).drop_path for stage, place in spec.placements() for number in range(stage.depth)]
    for add, branch in _residual_branches(_build(spec).layers):
        rate = branch.rate if branch.__class__.__name__ == "Dropout" and branch.noise_shape else 0.0
        if not any(math.isclose(rate, each) for each in rates if each > 0):
            raise ConformanceError(
                "what a block adds to its own input must come from `ops.dropout(y, at.drop_path, per_sample=True)`, "
                "or drop-path does nothing.",
                received=f"layer {add.name!r}, which adds {branch.name!r}, in {block!r}",
            )


def _residual_branches(layers: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Each Add layer of which one operand is computed from the other, and the layer that puts out the former."""
    maker = {id(layer.output): layer for layer in layers}
    ancestors: dict[str, set[str]] = {}
    found = []
    for layer in layers:  # in an order in which each comes after its inputs
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        parents = [parent for each in inputs if (parent := maker[id(each)]) is not layer]
        ancestors[layer.name] = {parent.name for parent in parents}.union(*(ancestors[each.name] for each in parents))
        if layer.__class__.__name__ == "Add":
            one, other = parents
            found += [(layer, one)] if other.name in ancestors[one.name] else []
            found += [(layer, other)] if one.name in ancestors[other.name] else []
    return found


def _check_saved(model: Any) -> None:
    import keras
    import numpy as np

    pixels = np.random.default_rng(0).uniform(0, 255, (2, *model.input_shape[1:])).astype("float32")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded: Any = keras.models.load_model(path, safe_mode=True)
    ours, theirs = (np.asarray(keras.ops.convert_to_numpy(each(pixels, training=False))) for each in (model, loaded))
    if not np.allclose(ours, theirs, rtol=0, atol=1e-6 * max(1, np.abs(ours).max())):
        raise ConformanceError(
            "a saved model must give the same outputs when it is loaded.",
            received=f"a difference of {float(np.abs(ours - theirs).max())}",
        )


def _check_file(spec: BackboneSpec) -> None:
    if (found := BackboneSpec.from_json(spec.to_json())) != spec:
        raise ConformanceError("a spec must come back from JSON unchanged.", received=f"{found!r} from {spec!r}")
