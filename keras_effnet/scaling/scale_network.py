"""Scaling of a recorded network, wherever it comes from: (network, coefficients, rounding) -> network.

* Width: the channels of every set that is tied together, but for images, outputs, and what an operation outside the
  vocabulary reads or makes.
* Depth: the units of each run of equal units (`keras_effnet.scaling.units`).
* Resolution: the sides of the images, but for networks that flatten them, whose dense layer has weights for each cell,
  and for models that take images of any size.

Everything is rounded as in `scale_spec`. Channels that grouped convolutions see stay a multiple of the groups, and
images get the nearest size at which all that is added or joined has one size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from keras_effnet.blocks.groups import nearest_multiple
from keras_effnet.checks import is_keras_model
from keras_effnet.counting import Shape, network_shapes, sized
from keras_effnet.errors import ScalingError, SpecError
from keras_effnet.network import MAX_RECORDED_BLOCKS, Network, Node, RecordedBlock, RecordedStage, made_channels
from keras_effnet.ops import Concat, Conv, Flatten, GroupNorm, Mixing, Op, PReLU, Resize, Reuse
from keras_effnet.scaling.coefficients import Coefficients
from keras_effnet.scaling.rounding import Rounding
from keras_effnet.scaling.rules import ScalingRule
from keras_effnet.scaling.scale import resolve_coefficients
from keras_effnet.scaling.scaled_network import ScaledBlock, ScaledNetwork, ScaledStage
from keras_effnet.scaling.units import Cut, cut_network
from keras_effnet.trace import Trace, Value, trace_record

if TYPE_CHECKING:
    import keras

# Share of a scaled side by which images may become larger or smaller, so that all that is added has one size.
_FURTHEST = 0.25


def scale_network(
    network: keras.Model | Network,
    phi: float | str | None = None,
    *,
    rule: ScalingRule | str | None = None,
    coefficients: Coefficients | None = None,
    rounding: Rounding | None = None,
    images: Sequence[Shape] | None = None,
) -> ScaledNetwork:
    """Scales a network by what its graph says alone, as `scale_spec` scales a spec. Nothing is built.

    Args:
        network: a functional or Sequential Keras model, whoever built it, or a recorded network.
        phi: argument of the rule, as in `scale_spec`.
        rule: as in `scale_spec`.
        coefficients: as in `scale_spec`; factors on single stages belong to specs.
        rounding: as in `scale_spec`.
        images: (height, width, channels) of each input, in cells; a model's own by default. Needed for a recorded
            network. A side of 0 may have any length, as those of a model for images of any size: such images are
            counted with 256 cells, and the resolution is left alone.

    Returns:
        The scaled network, with what was scaled in each stage and what was not.

    Raises:
        InheritanceError: the model has no graph (see `read_model`).
        ScalingError: as `scale_spec`; or nothing of what was asked for can be scaled.
        SpecError: the scaled network cannot exist.

    Example:
        >>> import keras
        >>> vgg = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> scaled = scale_network(vgg, phi=1)
        >>> [row.depth for row in scaled.stages if row.depth[0] > 1]
        [(2, 3), (2, 3), (3, 4), (3, 4), (3, 4)]
    """
    found = resolve_coefficients(phi, rule, coefficients)
    if found.stages is not None:
        raise ScalingError("factors on single stages belong to specs: give one for all.", received=f"{found}")
    read = cast(Network, network)
    if is_keras_model(network):
        from keras_effnet.reading.read_model import image_shapes, read_layers

        model = read_layers(cast(Any, network))
        read, images = model.network, image_shapes(model) if images is None else images
    if not isinstance(read, Network):
        raise ScalingError(
            "a network is a functional or Sequential Keras model, or a recorded network; a spec is scaled by "
            "`scale_spec`.",
            received=f"{network!r:.200}",
        )
    if images is None:
        raise ScalingError("a recorded network needs the shapes of its inputs.", received="images=None")
    asked = tuple(Shape(*image) for image in images)
    given = tuple(map(sized, asked))
    tied = "the model takes images of any size" if given != asked else _tied_to_size(read)
    return _Scaling(read, given, found, rounding or Rounding(), tied).run()


class _Scaling:
    def __init__(
        self,
        network: Network,
        images: tuple[Shape, ...],
        coefficients: Coefficients,
        rounding: Rounding,
        tied: str,
    ) -> None:
        self.coefficients, self.rounding = coefficients, rounding
        self.images = images
        self.shapes = network_shapes(network, *images)
        self.cut: Cut = cut_network(network, self.shapes)
        self.base = self.cut.network
        self.trace: Trace = trace_record(self.base)
        self.held = {run.axis: reason for value, reason in reversed(self.trace.held) for run in value.resolved}
        self.tied = tied  # why the images keep their size; empty if they need not
        self.grown = self._grown()
        self.ops = {
            node: self._scaled(node.op, traced.output)
            for node, traced in zip(self.base.nodes, self.trace.nodes, strict=True)
        }
        self.twins: dict[Node, Node] = {node: replace(node) for node in self.base.inputs}
        self.names = {node.name for node in (*self.base.nodes, *self.base.inputs)}
        self.blocks: list[ScaledBlock] = []

    def run(self) -> ScaledNetwork:
        self._check_depth()
        stages = tuple(self._stage(number, stage) for number, stage in enumerate(self.base.stages))
        inputs, outputs = (tuple(self.twins[node] for node in each) for each in (self.base.inputs, self.base.outputs))
        network = Network(self.base.name, inputs, outputs, stages)
        new_images, shapes = self._sized(network)
        rows = tuple(
            self._row(number, shapes, network)
            for number, stage in enumerate(self.base.stages)
            if any(block.nodes for block in stage.blocks)
        )
        found = ScaledNetwork(
            self.coefficients,
            self.base,
            network,
            tuple(zip(self.images, new_images, strict=True)),
            tuple(self.blocks),
            rows,
            tuple(self._kept(new_images)),
        )
        self._check_anything(found)
        return found

    def _scaled(self, op: Op | None, made: Value) -> Op:
        """An operation with its new number of channels, or size."""
        if isinstance(op, Reuse):
            return Reuse(self._scaled(op.op, made))
        width = sum(self._width(run.axis) * run.repeat for run in made.resolved)
        if isinstance(op, Mixing):
            return replace(op, width=width)
        if isinstance(op, GroupNorm) and op.instance:
            return replace(op, groups=width)
        if isinstance(op, Resize) and not self.tied:
            height, width = (self._side(side) for side in (op.height, op.width))
            return replace(op, height=height, width=width)
        return cast(Op, op)

    def _width(self, axis: Any) -> int:
        if axis in self.held or (self.coefficients.width == 1 and axis not in self.grown):
            return axis.size
        if axis in self.grown:
            return round(axis.size * self.grown[axis] * self.coefficients.width)
        width = self.rounding.round_width(axis.size, self.coefficients.width)
        return nearest_multiple(width, axis.groups) if axis.groups > 1 else width

    def _grown(self) -> dict[Any, float]:
        """Factors on what reads a stage whose units add channels, as DenseNet's transitions do: it keeps its share."""
        found: dict[Any, float] = {}
        for number, stage in enumerate(self.base.stages):
            x, y = stage.blocks[-1].input.channels, stage.blocks[-1].output.channels
            if number in self.cut.fixed or y <= x or not isinstance(stage.blocks[-1].output.op, Concat):
                continue
            given = self.trace.blocks_of(number - 1)[0].input
            before = sum(run.size for run in given.resolved)
            start = sum(run.size * found.get(run.axis, 1.0) for run in given.resolved)
            factor = (start + (y - x) * self._depth(number, stage)) / (before + (y - x) * stage.depth)
            behind = (node for block in self.trace.blocks_of(number) for node in block.nodes)
            reader = next((node for node in behind if isinstance(node.op, Conv)), None)
            if reader is not None and factor != 1:
                found |= {run.axis: factor for run in reader.output.resolved if run.axis not in self.held}
        return found

    def _side(self, side: int) -> int:
        return self.rounding.round_resolution(side, self.coefficients.resolution)

    def _sized(self, network: Network) -> tuple[tuple[Shape, ...], dict[Node, Shape]]:
        """The images nearest to the scaled ones at which the network can exist, and the shapes in it."""
        step, error = self.rounding.resolution_multiple, None
        sides = [side for image in self.images for side in self._image(image, 0)[:2] if side > 1]
        most = max(1, int(_FURTHEST * min(sides, default=1) / step))
        for number in range(2 * most + 1):
            # 0, 1, -1, 2, -2, ...: of two that are as near, the larger.
            moved = step * ((number + 1) // 2 if number % 2 else -(number // 2))
            images = tuple(self._image(image, moved) for image in self.images)
            try:
                if all(min(image) > 0 for image in images):
                    return images, network_shapes(network, *images)
            except SpecError as caught:
                error = error or caught
            if self.tied or self.coefficients.resolution == 1:
                break
        raise error or SpecError("the scaled images would have no cells. Raise phi.", received=f"{self.coefficients}")

    def _image(self, image: Shape, moved: int) -> Shape:
        """A scaled input: a vector, and an image whose size is tied, stay as they are."""
        if image[:2] == (1, 1) or self.tied or self.coefficients.resolution == 1:
            return image
        return Shape(self._side(image.height) + moved, self._side(image.width) + moved, image.channels)

    def _depth(self, number: int, stage: RecordedStage) -> int:
        if number in self.cut.fixed:
            return stage.depth
        # A unit that strides at the end stands beside one that widens at the start.
        least = 2 if stage.strides_last else 1
        return max(least, self.rounding.round_depth(stage.depth, self.coefficients.depth))

    def _check_depth(self) -> None:
        """Raises SpecError if there would be more units than can be recorded one by one."""
        units = sum(self._depth(number, stage) for number, stage in enumerate(self.base.stages))
        if units > MAX_RECORDED_BLOCKS:
            raise SpecError(
                f"{self.base.name!r} would have {units:.3g} units, more than {MAX_RECORDED_BLOCKS:,}: lower phi, or "
                "the factor on depth.",
                received=f"{self.coefficients}",
            )

    def _stage(self, number: int, stage: RecordedStage) -> RecordedStage:
        depth, late = self._depth(number, stage), stage.strides_last
        early = list(stage.blocks[: len(stage.blocks) - late])
        blocks = [self._block(each, 0, None) for each in early[: depth - late]]
        for copy in range(1, depth - late - len(early) + 1):
            blocks.append(self._block(early[-1], copy, blocks[-1].output))
        if blocks:
            # What reads the stage reads its last unit.
            self.twins[early[-1].output] = blocks[-1].output
        blocks += [self._block(each, 0, None) for each in stage.blocks[len(early) :]]
        return replace(stage, blocks=blocks)

    def _block(self, origin: RecordedBlock, copy: int, given: Node | None) -> RecordedBlock:
        """A block like one of the base, on what its own twins read, or on another node."""
        twins = {each: self.twins[each] for node in origin.nodes for each in node.inputs if each in self.twins}
        twins[origin.input] = given or self.twins[origin.input]
        suffix = ""
        if copy:
            names = [node.name for node in origin.nodes]
            free = (number for number in range(copy, len(self.names) + copy + 1))
            suffix = next(f"_{n}" for n in free if self.names.isdisjoint(f"{name}_{n}" for name in names))
        for node in origin.nodes:
            inputs, op = tuple(twins[each] for each in node.inputs), self.ops[node]
            made = Node(op, node.name + suffix, inputs, made_channels(op, *(each.channels for each in inputs)))
            self.names.add(made.name)
            twins[node] = made
        block = RecordedBlock(twins[origin.input], [twins[node] for node in origin.nodes], twins[origin.output])
        if not copy:
            self.twins.update({node: twins[node] for node in origin.nodes})
        self.blocks.append(ScaledBlock(block, origin, twins))
        return block

    def _row(self, number: int, shapes: Mapping[Node, Shape], network: Network) -> ScaledStage:
        before, after = self.base.stages[number], network.stages[number]
        x, y = self.shapes[before.blocks[-1].output], shapes[after.blocks[-1].output]
        kept = []
        if number in self.cut.fixed and self.coefficients.depth != 1:
            kept.append(f"depth: {self.cut.fixed[number]}")
        reasons = {
            self.held[run.axis]
            for block in self.trace.blocks_of(number - 1)
            for node in block.nodes
            if isinstance(node.op, Mixing)
            for run in node.output.resolved
            if run.axis in self.held
        }
        if reasons and self.coefficients.width != 1:
            kept.append(f"width: {', '.join(sorted(reasons))}")
        return ScaledStage(
            before.name,
            before.operator,
            (before.depth, after.depth),
            (x.channels, y.channels),
            ((x.height, x.width), (y.height, y.width)),
            tuple(kept),
        )

    def _kept(self, images: tuple[Shape, ...]) -> list[str]:
        found = []
        for before, after in zip(self.images, images, strict=True):
            wanted = self._image(before, 0)
            if wanted != after:
                found.append(
                    f"Images have {after.height}x{after.width} in place of {wanted.height}x{wanted.width} cells: the "
                    "nearest size at which all that is added or joined has one size."
                )
        if self.tied and self.coefficients.resolution != 1:
            found.append(f"The resolution stays: {self.tied}.")
        if self.coefficients.dropout is not None:
            found.append("Dropout stays as it is: its rate belongs to specs.")
        return found

    def _check_anything(self, found: ScaledNetwork) -> None:
        """Raises if something was asked for, and nothing of it can be done at any size."""
        asked = self.coefficients
        free = any(
            run.axis not in self.held
            for node in self.trace.nodes
            if isinstance(node.op, Mixing)
            for run in node.output.resolved
        )
        can = {
            "depth": len(self.cut.fixed) < len(self.base.stages),
            "width": free,
            "resolution": not self.tied and any(image[:2] != (1, 1) for image in self.images),
        }
        wanted = [name for name in can if getattr(asked, name) != 1]
        if wanted and not any(can[name] for name in wanted):
            kept = (*(reason for row in found.stages for reason in row.kept), *found.kept)
            reasons = "; ".join(dict.fromkeys(reason.removesuffix(".") for reason in kept))
            raise ScalingError(
                f"no {' or '.join(wanted)} of {self.base.name!r} can be scaled: {reasons}. Scale something else, or a "
                "network that repeats its blocks.",
                received=f"{asked}",
            )


def _tied_to_size(network: Network) -> str:
    """Why images must keep their size; empty if they need not."""
    for node in network.nodes:
        if isinstance(node.op, Flatten) and node.op.cells > 1:
            return f"{node.name} makes a vector of {node.op.cells} cells, and what reads it has weights for each"
        if isinstance(node.op, PReLU) and node.op.cells > 1:
            return f"{node.name} has a slope for each of {node.op.cells} cells"
    return ""
