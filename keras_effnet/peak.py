"""The most memory that what flows through a network takes at once, read from its record alone.

Each value has a buffer from the operation that makes it to the last one that reads it; while an operation runs, what it
reads, what it makes and what waits for later all have theirs. Engines for small devices plan their memory in this way
(R. David et al. 2021, TensorFlow Lite Micro, arXiv:2010.08678, section 4.4.2). A training step goes back through the
same operations, which need what they read or made a second time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from keras_effnet.checks import check_int, is_keras_model
from keras_effnet.cost import FLOAT32_BYTES, check_own
from keras_effnet.counting import Shape, layer_cost
from keras_effnet.deployed.folded_network import deployed_network, record_deployed
from keras_effnet.errors import BuildError
from keras_effnet.network import Network, Node
from keras_effnet.ops import (
    Activation,
    Add,
    BatchNorm,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    GroupNorm,
    LayerNorm,
    Merge,
    Multiply,
    Op,
    Opaque,
    Pool,
    RMSNorm,
    TransposedConv,
    Unflatten,
    UnitNorm,
    Weighted,
    first_call,
)
from keras_effnet.padding import padding_zeros
from keras_effnet.registry import resolve_backbone
from keras_effnet.resolution import Resolution, check_resolution, sides_of
from keras_effnet.spec import BackboneSpec
from keras_effnet.windows import reaches

if TYPE_CHECKING:
    import keras

# Activations that engines apply while they write a convolution or a sum.
_FUSED = ("linear", "relu", "relu6")
_WRITING = Conv | TransposedConv | Depthwise | Dense
# Normalizations that make an image without its mean, or its squares, before their output.
_CENTRING = LayerNorm | GroupNorm | RMSNorm | UnitNorm
# Activations that are a product of the image with a gate of the same size.
_GATED = ("swish", "silu")
# What TensorFlow Lite Micro keeps beside the values: a multiplier and a shift of four bytes each for every channel that
# a layer with weights writes (OpDataConv in tensorflow/lite/micro/kernels/conv.h); and, measured on a 64-bit machine,
# 240 bytes for each layer (docs/evidence/devices.md).
CHANNEL_BYTES, LAYER_BYTES = 8, 240


class Peak(NamedTuple):
    """The moment at which the most values are in memory.

    Args:
        values: number of values then, for one image.
        layer: name of the layer that runs then.
    """

    values: int
    layer: str


@dataclass(frozen=True)
class DevicePeak:
    """The memory that a network takes on a device, beside its weights.

    Args:
        values: the most values that are in memory at once, for one image.
        layer: name of the layer that runs then.
        layers: number of layers that are run.
        channels: number of channels that layers with weights write, all together.
        litert_values: the most values that LiteRT plans, which keeps the image to the end, and writes sums and products
            over one of the images that they are made of.
        opaque: names of a model's layers that may take more inside than what they read and make: nobody knows.
    """

    values: int
    layer: str
    layers: int
    channels: int
    litert_values: int
    opaque: tuple[str, ...] = ()

    def bytes_on(self, engine: str) -> int:
        """Bytes in an engine.

        Args:
            engine: "keras" or a format of `export_model`. "litert-int8" is a microcontroller's: one byte for each
                value, and what TensorFlow Lite Micro notes of layers and channels. Four bytes for each value in all
                others, whatever their weights take; in LiteRT, of the values that it plans.

        Example:
            >>> peak = DevicePeak(values=1000, layer="conv", layers=1, channels=10, litert_values=900)
            >>> peak.bytes_on("litert-int8"), peak.bytes_on("litert"), peak.bytes_on("onnx")
            (1320, 3600, 4000)
        """
        if engine == "litert-int8":
            return self.values + CHANNEL_BYTES * self.channels + LAYER_BYTES * self.layers
        return FLOAT32_BYTES * (self.litert_values if engine.startswith("litert") else self.values)


class _Step(NamedTuple):
    """One operation of an engine: the buffers that it reads, the one that it fills, and how many values go into it.

    `elementwise`: each value is made of the values in its place, so that it can be written over one of them.
    """

    layer: str
    reads: tuple[int, ...]
    writes: int
    values: int
    elementwise: bool = False


def estimate_peak(
    spec: BackboneSpec | str | keras.Model,
    *,
    channels: int = 3,
    classes: int = 1000,
    resolution: Resolution | None = None,
) -> DevicePeak:
    """Finds what memory a network takes on a device beside its weights, without building it.

    Normalization is folded and branches are merged, as in exported files.

    Args:
        spec: a backbone, the name of a registered one, or a functional or Sequential Keras model, which has its own
            channels, classes and top.
        channels: number of channels of the image, at least 1.
        classes: number of classes of the classifier, at least 1.
        resolution: side of the image in pixels, or (height, width), at least the total stride of a spec; by default
            that of the spec or the model.

    Returns:
        The most values in memory at once, and where; `bytes_on(engine)` makes bytes of it.

    Raises:
        BuildError, InheritanceError, RegistryError, SpecError: as `estimate_cost`.

    Example:
        >>> peak = estimate_peak("mobilenet_v2")
        >>> peak.values, peak.layer
        (1505280, 'block_1_depthwise')
    """
    if is_keras_model(spec):
        from keras_effnet.counted_model import read_counted

        check_own(channels=channels, classes=classes)
        counted = read_counted(spec, resolution)
        return replace(device_peak(deployed_network(counted.network), *counted.images), opaque=counted.opaque)
    spec = resolve_backbone(spec)
    channels = check_int(BuildError, "channels", channels, 1)
    size = spec.resolution
    if resolution is not None:
        size = check_resolution(BuildError, "resolution", resolution, spec.total_stride)
    network = record_deployed(spec, channels=channels, classes=classes, resolution=size)
    return device_peak(network, Shape(*sides_of(size), channels))


def device_peak(network: Network, *images: Shape) -> DevicePeak:
    """The memory of a network as it runs on a device.

    Args:
        network: the network with its normalization folded.
        *images: shape of each input.
    """
    layers = written = 0
    for block in network.blocks:
        layers += block.times * len(block.nodes)
        weighted = (node.channels for node in block.nodes if isinstance(first_call(node.op), _WRITING))
        written += block.times * sum(weighted)
    planned = find_peak(network, images, in_place=True).values
    return DevicePeak(*find_peak(network, images), layers, written, planned)


def find_peak(
    network: Network,
    image: Shape | Sequence[Shape],
    *,
    training: bool = False,
    norms_learn: bool = True,
    in_place: bool = False,
) -> Peak:
    """Finds the most values that are in memory at once while a network runs for one image.

    Args:
        network: the network as it runs: for a device with its normalization folded.
        image: shape of the image that it reads; one for each input of a network with several.
        training: whether it learns from the image: what the way back needs is kept, and has gradients.
        norms_learn: whether BatchNorm learns as well, which needs what it reads a second time.
        in_place: whether it runs as in LiteRT, which keeps the image to the end, and writes sums and products over one
            of the images that they are made of (`InputTensorCanBeShared` in tensorflow/lite/arena_planner.cc).

    Returns:
        The number of values, and the layer that runs while they are in memory.

    Raises:
        SpecError: an operation that is impossible on the shape that it reads.

    Example:
        >>> from keras_effnet.applications import efficientnet_b0_spec
        >>> from keras_effnet.network import record_network
        >>> network, image = record_network(efficientnet_b0_spec), Shape(224, 224, 3)
        >>> find_peak(network, image).layer
        'block2a_expand_activation'
        >>> find_peak(network, image, training=True).values > 5 * find_peak(network, image).values
        True
    """
    plan = _Learning(network, image, norms_learn) if training else _Running(network, image)
    steps = list(plan.steps())
    last = {buffer: number for number, step in enumerate(steps) for buffer in (*step.reads, step.writes)}
    last.update((plan.home[node], len(steps)) for node in network.outputs)
    if in_place:
        last.update(dict.fromkeys(plan.inputs, len(steps)))
    sizes = dict(plan.inputs)
    alive, most = sum(sizes.values()), Peak(0, "")
    for number, step in enumerate(steps):
        if in_place and step.elementwise:
            over = [each for each in step.reads if last[each] == number and sizes[each] == step.values]
            alive -= sum(sizes.pop(each) for each in over[:1])
        if step.writes not in sizes:
            sizes[step.writes] = step.values
            alive += step.values
        most = max(most, Peak(alive, step.layer), key=lambda peak: peak.values)
        # What was read for the last time goes; an output that nobody reads goes too.
        gone = {buffer for buffer in (*step.reads, step.writes) if last[buffer] == number}
        alive -= sum(sizes.pop(buffer, 0) for buffer in gone)
    return most


class _Running:
    """Which buffer holds what a node makes, when a network runs in an engine for devices."""

    def __init__(self, network: Network, image: Shape | Sequence[Shape]) -> None:
        self.network = network
        images = [image] * len(network.inputs) if isinstance(image, Shape) else image
        self.shapes = dict(zip(network.inputs, images, strict=True))
        self.home = {node: number for number, node in enumerate(network.inputs)}
        self.inputs = {self.home[node]: math.prod(shape) for node, shape in self.shapes.items()}
        self._readers = Counter(given for node in network.nodes for given in node.inputs)
        self._next = len(self.home)

    def steps(self) -> Iterator[_Step]:
        """The operations of an engine, in order."""
        for node in self.network.nodes:
            yield from self.forward(node)

    def forward(self, node: Node) -> Iterator[_Step]:
        """The operations that one node takes."""
        op = first_call(node.op)
        shapes = [self.shapes[each] for each in node.inputs]
        self.shapes[node] = layer_cost(op, node.name, *shapes).shape
        if self.stays(op, node.inputs[0]):
            self.home[node] = self.home[node.inputs[0]]
            return
        reads = tuple(self.home[each] for each in node.inputs)
        size = math.prod(self.shapes[node])
        between = self.between(op, shapes[0], size)
        if between:
            step = self.step(node, reads, between)
            yield step
            reads = (step.writes, *reads) if isinstance(op, Activation) else (step.writes,)
        made, *others = reads
        for other in others[:-1] if _is_sum_or_product(op) else ():
            # Engines join two at a time.
            step = self.step(node, (made, other), size, True)
            yield step
            made, reads = step.writes, (step.writes, others[-1])
        step = self.step(node, reads, size, _is_sum_or_product(op))
        yield step
        self.home[node] = step.writes

    def step(self, node: Node, reads: tuple[int, ...], values: int, elementwise: bool = False) -> _Step:
        """A step that fills a new buffer."""
        self._next += 1
        return _Step(node.name, reads, self._next, values, elementwise)

    def stays(self, op: Op, given: Node) -> bool:
        """Whether an operation leaves its input where it is, or is done while its input is written."""
        match op:
            case Dropout() | Unflatten() | Flatten(channels_first=False) | Activation(activation=None):
                return True
            case Opaque():
                return op.inert
            case Activation():
                made = isinstance(first_call(given.op), Conv | Depthwise | Dense | Add)
                return made and op.activation in _FUSED and self._readers[given] == 1
        return False

    def between(self, op: Op, x: Shape, size: int) -> int:
        """Number of values of a step that comes first: the image with its zeros, a gate, an image without its mean."""
        if isinstance(op, _CENTRING) or (isinstance(op, Activation) and op.activation in _GATED):
            return size
        return _padded_values(op, x)


def _is_sum_or_product(op: Op) -> bool:
    return isinstance(op, Add | Multiply | Merge) or (isinstance(op, Activation) and op.activation in _GATED)


def _padded_values(op: Op, x: Shape) -> int:
    """Number of values of an image with its zeros, where these are no engine's own."""
    if not isinstance(op, Conv | Depthwise | Pool) or op.padding in ("same", "valid"):
        return 0
    windows = list(zip(reaches(op), x[:2], strict=True))
    zeros = [padding_zeros(op.padding, *window, side) for window, side in windows]
    if zeros == [padding_zeros("same", *window, side) for window, side in windows]:
        return 0
    return math.prod(side + sum(zero) for side, zero in zip(x[:2], zeros, strict=True)) * x.channels


class _Learning(_Running):
    """The same for a training step in a framework, with the way back."""

    def __init__(self, network: Network, image: Shape | Sequence[Shape], norms_learn: bool) -> None:
        super().__init__(network, image)
        self.norms_learn = norms_learn

    def steps(self) -> Iterator[_Step]:
        """The operations of a training step, in order."""
        back: list[tuple[Node, tuple[int, ...]]] = []
        for node in self.network.nodes:
            done = list(self.forward(node))
            yield from done
            back.append((node, self.kept(node, done)))
        gradients = {node: self.step(node, (), 0).writes for node in self.home}
        for node in self.network.outputs:
            yield _Step(node.name, (self.home[node],), gradients[node], math.prod(self.shapes[node]))
        for node, kept in reversed(back):
            for given in node.inputs:
                # An image has no gradient, but the first layer's weights have.
                size = 0 if given.op is None else math.prod(self.shapes[given])
                yield _Step(node.name, (gradients[node], *kept), gradients[given], size)

    def stays(self, op: Op, given: Node) -> bool:
        moved = isinstance(op, Unflatten) or (isinstance(op, Flatten) and not op.channels_first)
        return moved or (isinstance(op, Activation) and op.activation is None)

    def between(self, op: Op, x: Shape, size: int) -> int:
        return size if isinstance(op, _CENTRING) else _padded_values(op, x)

    def kept(self, node: Node, done: list[_Step]) -> tuple[int, ...]:
        """The buffers that the way back through a node reads."""
        read = tuple(self.home[each] for each in node.inputs)
        match first_call(node.op):
            case BatchNorm() if not self.norms_learn:
                return ()
            case op if isinstance(op, Weighted):
                return done[-1].reads
            case Activation(activation=activation) if activation in _GATED:
                return read
            case Activation():
                return (self.home[node],)
            case Multiply() | Merge(kind="maximum" | "minimum"):
                return read
            case Pool(kind="max") | UnitNorm():
                return (*read, self.home[node])
            case Opaque(inert=False):
                return (*read, self.home[node])  # nobody knows; most need no more than these
        return ()
