"""Recording: the blocks of a spec speak once, and what they say is kept as a network.

Every reader (count, build, trace, latency) is run over the record, as often as one likes, and needs no spec.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean
from typing import Literal, TypeVar, get_args

from keras_effnet.blocks.base import Block, Placement
from keras_effnet.checks import check_choice, check_int, check_name
from keras_effnet.dilation import dilate_network
from keras_effnet.errors import BuildError, SpecError
from keras_effnet.levels import keep_levels
from keras_effnet.ops import (
    ActivationFunction,
    Add,
    Concat,
    Conv,
    Dense,
    Depthwise,
    Flatten,
    GlobalPool,
    Merge,
    Multiply,
    Op,
    Opaque,
    Ops,
    Pool,
    Reuse,
    TransposedConv,
    Window,
)
from keras_effnet.recorded import (  # noqa: F401 - what is recorded is imported from here
    Network,
    Node,
    Reader,
    RecordedBlock,
    RecordedStage,
    run_block,
)
from keras_effnet.spec import BackboneSpec, StageSpec
from keras_effnet.windows import check_activation_name, sides_behind

Pooling = Literal["avg", "max"]
T = TypeVar("T")

# Ten times the layers of the deepest published network, ResNet-1202 (arXiv:1512.03385, section 4.2).
MAX_RECORDED_BLOCKS = 10_000


def record_network(
    spec: BackboneSpec,
    *,
    channels: int = 3,
    size: tuple[int | None, int | None] = (None, None),
    include_top: bool = True,
    pooling: Pooling | None = None,
    classes: int = 1000,
    classifier_activation: ActivationFunction = "softmax",
    features: Sequence[str] | None = None,
    output_stride: int | None = None,
    fold: bool = False,
) -> Network:
    """Records what the blocks of a spec say.

    Args:
        spec: the network.
        channels: number of channels of the image, at least 1.
        size: (height, width) of the image in pixels; None for a side that is known only when the model runs. Only
            blocks that ask for sizes depend on it.
        include_top: whether the classifier follows the features.
        pooling: how features are pooled over the image without the top: "avg", "max" or None for not at all.
        classes: number of classes of the classifier, at least 1.
        classifier_activation: activation of the class scores; None gives logits.
        features: names of levels, such as "P3", each of which becomes an output; what no level needs is left out, and
            so are head, pooling and classifier. None for one output at the end.
        output_stride: pixels of the image from one cell of the coarsest map to the next, 8, 16 or 32: strides beyond it
            become 1, and windows behind them are dilated. None for the spec's own strides.
        fold: whether equal blocks in a row are recorded once, with their number: enough to count, not to build.

    Returns:
        The recorded network.

    Raises:
        BuildError: an unknown pooling, or `classes` below 1; a level that the network does not have, or levels and a
            pooling; another `output_stride`, or a block of your own that cannot be dilated.
        SpecError: a block that cannot exist at its width; an activation that Keras does not know; a layer's name that
            it cannot take; more than 10,000 blocks to record: all of them, or with `fold` those that differ.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> network = record_network(resnet50_spec)
        >>> sum(isinstance(node.op, Conv) for node in network.nodes)
        53
        >>> [stage.name for stage in network.stages]
        ['input', 'stem', 'stage 1', 'stage 2', 'stage 3', 'stage 4', 'top']
    """
    check_choice(BuildError, "pooling", pooling, (None, *get_args(Pooling)))
    classes = check_int(BuildError, "classes", classes, 1)
    check_activation_name(BuildError, classifier_activation)
    if features is not None and pooling is not None:
        raise BuildError(
            "levels are maps, which are not pooled: leave `pooling` out, or `features`.", received=f"{pooling=}"
        )
    recorder = _Recorder(channels, size)
    stages = [RecordedStage("input", "Preprocessing", "", [recorder.block(lambda x: _preprocess(spec, recorder, x))])]
    names = ("stem", *(f"stage {number}" for number in range(1, len(spec.stages) + 1)), "head")
    for name, (stage, place) in zip(names, spec.placements(), strict=False):
        if features is None or name != "head":
            stages.append(recorder.stage(name, stage, place, fold))

    def top(x: Node) -> Node:
        if include_top:
            return spec.classifier.apply(recorder, x, classes, classifier_activation)
        if pooling:
            x = recorder.global_pool(x, kind=pooling, name=f"{pooling}_pool")
        return spec.classifier.finish(recorder, x)

    if features is None:
        # Some networks normalize the features that they give in place of a classifier.
        operator = "Pooling & FC" if include_top else "Pooling" if pooling else "Normalization"
        stages.append(RecordedStage("top", operator, type(spec.classifier).__name__, [recorder.block(top)]))
    network = Network(spec.name, (recorder.image,), (recorder.last,), tuple(stages))
    if features is not None:
        network = keep_levels(network, features, size)
    return network if output_stride is None else dilate_network(network, output_stride, size)


class _Recorder(Ops[Node]):
    """The verbs that write down what is said with them.

    Args:
        channels: number of channels of the image.
        size: (height, width) of the image; None for an unknown side.
    """

    def __init__(self, channels: int, size: tuple[int | None, int | None]) -> None:
        self.image = self.last = Node(None, "image", (), channels)
        self._sizes = {self.image: size}
        self._nodes: list[Node] = []
        self._blocks = 0

    def block(self, speak: Callable[[Node], Node], times: int = 1) -> RecordedBlock:
        """Records one block, which reads what was made last."""
        self._blocks += 1
        if self._blocks > MAX_RECORDED_BLOCKS:
            raise SpecError(
                f"a network may have {MAX_RECORDED_BLOCKS:,} blocks that are taken one by one: all where it is built, "
                "and where it is counted those that differ from the block before, as in DenseNet. Lower depths or phi.",
                received=f"more than {MAX_RECORDED_BLOCKS:,} blocks",
            )
        x, self._nodes = self.last, []
        self.last = speak(x)
        return RecordedBlock(x, self._nodes, self.last, times)

    def stage(self, name: str, stage: StageSpec, place: Callable[[int], Placement], fold: bool) -> RecordedStage:
        """Records the blocks of one stage."""
        # The first block changes the width; it strides too, or in networks that stride late, the last one does.
        repeated = range(1, stage.depth - stage.block.strides_last)
        operator, blocks, index = stage.block.describe(), [], 0
        while index < stage.depth:
            made = self.block(partial(_speak, self, stage.block, place(index)))
            if fold and index in repeated and made.output.channels == made.input.channels and not _crops(made):
                # All that follow in `repeated` read as many channels, so that they say the same.
                made.times = repeated.stop - index
            blocks.append(made)
            index += made.times
        return RecordedStage(name, operator, type(stage.block).__name__, blocks, stage.block.strides_last)

    def read(self, op: Op, name: str, *inputs: Node) -> Node:
        check_activation_name(SpecError, getattr(op, "activation", None))  # which may be a part of the name
        check_name(SpecError, "name of a layer", name, layer=True)
        node = Node(op, name, inputs, made_channels(op, *(node.channels for node in inputs)))
        self._nodes.append(node)
        return node

    def channels(self, x: Node) -> int:
        return x.channels

    def size(self, x: Node) -> tuple[int | None, int | None]:
        """Only blocks of other people ask, so that nothing is computed before."""
        if x not in self._sizes:
            match x.op:
                case GlobalPool():
                    found = (1, 1)
                case Opaque():
                    found = x.op.shape[:2]
                case Conv() | Depthwise() | Pool() as op:
                    found = sides_behind(op, self.size(x.inputs[0]))
                case _:
                    found = self.size(x.inputs[0])
            self._sizes[x] = found
        return self._sizes[x]


def made_channels(op: Op, *channels: int) -> int:
    """Number of channels of what an operation makes.

    Args:
        op: the operation.
        *channels: number of channels of each image that it reads.

    Example:
        >>> made_channels(Depthwise(3, multiplier=2), 8), made_channels(Concat(), 8, 4)
        (16, 12)
    """
    match op:
        case Conv() | Dense() | TransposedConv():
            return op.width
        case Depthwise():
            return channels[0] * op.multiplier
        case Concat():
            return sum(channels)
        case Add() | Multiply() | Merge():
            return max(channels)
        case Flatten():
            return op.cells * channels[0]
        case Opaque() if not (op.inert or op.elementwise):
            return op.shape[2]
        case Reuse():
            return made_channels(op.op, *channels)
    return channels[0]


def _crops(block: RecordedBlock) -> bool:
    """Whether each block reads a smaller image than the one before, because its windows stay inside the image."""
    windows = (node.op for node in block.nodes if isinstance(node.op, Window))
    return any(op.padding == "valid" and op.kernel != 1 for op in windows)


def _speak(ops: Ops[T], block: Block, at: Placement, x: T) -> T:
    return block.apply(ops, x, at)


def _preprocess(spec: BackboneSpec, ops: Ops[T], x: T) -> T:
    pixels = spec.preprocessing
    if pixels.rescales:
        x = ops.rescale(x, pixels.scale, pixels.offset, name="rescaling")
    if pixels.standardize:
        x = ops.standardize(x, name="normalization")
    if pixels.mean is not None and pixels.variance is not None:
        channels = ops.channels(x)
        fits = channels == len(pixels.mean)
        # An image of other channels than the statistics: each channel gets their mean.
        mean = pixels.mean if fits else (fmean(pixels.mean),) * channels
        variance = pixels.variance if fits else (fmean(pixels.variance),) * channels
        x = ops.standardize(x, mean=mean, variance=variance, name="normalization")
    return x
