"""All that a backbone costs at every position of the sliders, as tables, and the few sums that read a cost off them.

`explorer.js` has the same sums as `read_costs`. Nothing is fitted: a part of the network (stem, stage, head, top) has a
row for each width that it can have, with what its blocks cost there, counted by `keras_effnet.counting`. Only where the
blocks of a stage all read more than the one before (DenseNet), a row has polynomials in the channels that are read.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from keras_effnet.backbones.catalogue import FAMILIES, family_of
from keras_effnet.blocks.base import Placement
from keras_effnet.cost import estimate_cost
from keras_effnet.counting import CostCounter, Shape, count_block
from keras_effnet.errors import SpecError
from keras_effnet.explorer.cells import CellCounter, FeatureMap, MapSizes
from keras_effnet.explorer.sliders import DIMENSIONS, Sliders, StepFunction, step_function
from keras_effnet.network import record_network
from keras_effnet.registry import backbones
from keras_effnet.scaling import Coefficients, Rounding, scale_spec
from keras_effnet.scaling.scale import deepened_stage, widened_stage
from keras_effnet.spec import BackboneSpec, StageSpec
from keras_effnet.variants import realised_coefficients

CLASSES, CHANNELS = 1000, 3
# Channels at which a block is counted to find its polynomials: whole after any transition that halves them.
SAMPLES = (64, 128, 192)
CHECKS, SEED = 12, 0  # random positions at which each table is compared with `estimate_cost`

Speak = Callable[[CellCounter, FeatureMap], FeatureMap]


class PartCost(NamedTuple):
    """What a part of a network costs: the stem, a stage, the head or the top.

    Args:
        operator: the block as the paper's Table 1 writes it.
        width: width in the spec; 0 for the top.
        side: cells along one side of the map that it reads.
        channels: number of channels that it emits.
        depth: number of blocks.
        params: number of weights.
        macs: multiply-adds per image.
        activations: outputs of convolutions and dense layers per image.
    """

    operator: str
    width: int
    side: int
    channels: int
    depth: int
    params: int
    macs: int
    activations: int


def cost_table(spec: BackboneSpec, sliders: Sliders) -> dict[str, Any]:
    """Makes the table of a backbone, and compares it with `estimate_cost` at random positions.

    Args:
        spec: the backbone, the network at phi = 0.
        sliders: every position of the sliders.

    Returns:
        JSON-able values; `read_costs` says what they mean.

    Raises:
        SpecError: the costs of a block of your own follow a law that the table cannot hold.

    Example:
        >>> from keras_effnet.explorer.sliders import read_sliders
        >>> table = cost_table(backbones.get("mobilenet_v2"), read_sliders())
        >>> sum(part.params for part in read_costs(table, Coefficients()) or ())
        3538984
    """
    rounding = Rounding()
    steps = step_function(
        sliders.places["resolution"], lambda factor: rounding.round_resolution(spec.resolution, factor)
    )
    sizes = MapSizes(steps.values, spec.resolution)
    reader = _PartReader(spec, sliders, rounding, sizes)
    parts = [reader.stage(number, stage) for number, stage in enumerate(spec.parts)]
    parts.append(reader.top())
    possible = [
        side if side >= spec.total_stride and all(each) else None
        for side, each in zip(steps.values, zip(*sizes.sides, strict=True), strict=True)
    ]
    table = {
        "name": spec.name,
        "registered": spec.name in backbones.names() and backbones.get(spec.name) == spec,
        "resolution": spec.resolution,
        "stages": len(spec.stages),
        "resolutions": {"bounds": steps.bounds, "values": possible},
        "sides": sizes.sides,
        "parts": parts,
        "powers": sliders.exact_powers({*steps.ties, *reader.ties}),
        "published": _published(spec),
    }
    _check(spec, table, sliders)
    return table


class _PartReader:
    """Reads the parts of a backbone in the order in which an image goes through them, each with a call."""

    def __init__(self, spec: BackboneSpec, sliders: Sliders, rounding: Rounding, sizes: MapSizes) -> None:
        self.spec, self.places, self.rounding, self.sizes = spec, sliders.places, rounding, sizes
        self.ties: set[float] = set()
        # What the next part reads, by the factor on width; None where no network is possible.
        self.given: StepFunction[FeatureMap | None] = StepFunction((), (FeatureMap(sizes.image, CHANNELS),))
        # Whether the channels that it reads depend on depth too, so that it is counted for any.
        self.any_channels = False
        self.more_params = _preprocessing_params(spec)

    def stage(self, number: int, base: StageSpec) -> dict[str, Any]:
        """The stem (number 0), a stage, or the head."""
        deepens = 0 < number <= len(self.spec.stages)
        widened = step_function(self.places["width"], lambda factor: widened_stage(base, factor, self.rounding))
        depths: StepFunction[int] = StepFunction((), (base.depth,))
        if deepens:
            depths = step_function(
                self.places["depth"], lambda factor: deepened_stage(base, factor, self.rounding).depth
            )

        def speakers(stage: StageSpec) -> list[Speak]:
            late = stage.block.strides_last
            strides = (1, 1, base.stride, base.stride) if late else (base.stride, 1)
            places = zip((0, 1, 2, 0), strides if deepens else (base.stride,), strict=False)
            at = [Placement(stage.width, stride, number, block, block) for block, stride in places]
            return [partial(_apply, stage, each) for each in at]

        return self._part(widened, speakers, depths, lambda stage: (stage.width, stage.block.describe()))

    def top(self) -> dict[str, Any]:
        """Pooling and classifier."""
        classifier, rounding = self.spec.classifier, self.rounding
        operator = estimate_cost(self.spec).stages[-1].operator
        widened = step_function(
            self.places["width"], lambda factor: classifier.widened(lambda width: rounding.round_width(width, factor))
        )
        return self._part(
            widened,
            lambda made: [lambda ops, x: made.apply(ops, x, CLASSES, "softmax")],
            StepFunction((), (1,)),
            lambda made: (0, operator),
        )

    def _part(
        self,
        widened: StepFunction[Any],
        speakers: Callable[[Any], list[Speak]],
        depths: StepFunction[int],
        label: Callable[[Any], tuple[int, str]],
    ) -> dict[str, Any]:
        given = self.given
        x = given.at(1.0) or FeatureMap(self.sizes.image, CHANNELS)
        first, *repeats = self._chain(speakers(widened.at(1.0)), x)
        self.any_channels |= any(block.output.channels != first.output.channels for block in repeats)
        if self.any_channels:
            rows = widened.with_values(lambda made: (made, [self._chain(speakers(made), x, some) for some in SAMPLES]))
            counted = [blocks for _, sampled in rows.values for blocks in sampled]
            self.given = StepFunction((), (counted[0][-1].output,))
        else:
            keys = step_function(self.places["width"], lambda factor: (widened.at(factor), given.at(factor)))
            rows = keys.with_values(lambda key: (key[0], self._possible(speakers(key[0]), key[1])))
            counted = [blocks for _, [blocks] in rows.values if blocks]
            self.given = rows.with_values(lambda row: row[1][0] and row[1][0][-1].output)
        self.more_params = 0
        self.ties |= {*rows.ties, *depths.ties}
        used = sorted({size for blocks in counted for block in blocks for size in block.sizes})
        operators = list(dict.fromkeys(label(made)[1] for made in widened.values))

        def row(made: Any, sampled: list[list[_BlockCounts]]) -> list[Any] | None:
            if not sampled[0]:
                return None
            width, operator = label(made)
            return [width, operators.index(operator), *(_numbers(same, used) for same in zip(*sampled, strict=True))]

        return {
            "operators": operators,
            "depths": {"bounds": depths.bounds, "values": depths.values},
            "widths": {"bounds": rows.bounds, "values": [row(*each) for each in rows.values]},
            "sizes": used,
            "input": x.size,
        }

    def _possible(self, speakers: list[Speak], x: FeatureMap | None) -> list[list[_BlockCounts]]:
        try:
            return [[] if x is None else self._chain(speakers, x)]
        except SpecError:
            return [[]]

    def _chain(self, speakers: list[Speak], x: FeatureMap, channels: int | None = None) -> list[_BlockCounts]:
        """Counts the blocks of a part: the first, one behind it, a last one that strides, and an only one.

        Each reads what the one before makes, or the same `channels`.
        """
        x = x if channels is None else x._replace(channels=channels)
        first = self._block(speakers[0], x)
        y = first.output if channels is None else first.output._replace(channels=channels)
        return [first, *(self._block(speak, x if number == 2 else y) for number, speak in enumerate(speakers[1:]))]

    def _block(self, speak: Speak, x: FeatureMap) -> _BlockCounts:
        ops = CellCounter(self.sizes)
        output = speak(ops, x)
        return _BlockCounts(output, ops.params + self.more_params, ops.macs, ops.activations)


class _BlockCounts(NamedTuple):
    """What one block makes, its weights, and its multiply-adds and activations in one cell of each size of map."""

    output: FeatureMap
    params: int
    macs: Mapping[int, int]
    activations: Mapping[int, int]

    @property
    def sizes(self) -> set[int]:
        return {size for size in self.activations if self.macs[size] or self.activations[size]}


def _preprocessing_params(spec: BackboneSpec) -> int:
    network = record_network(spec, channels=CHANNELS, size=(spec.resolution, spec.resolution))
    values = dict.fromkeys(network.inputs, Shape(spec.resolution, spec.resolution, CHANNELS))
    return sum(count_block(block, values, CostCounter).params for block in network.stages[0].blocks)


def _apply(stage: StageSpec, at: Placement, ops: CellCounter, x: FeatureMap) -> FeatureMap:
    return stage.block.apply(ops, x, at)


def _numbers(same: tuple[_BlockCounts, ...], sizes: list[int]) -> list[Any]:
    """Channels, parameters, multiply-adds and activations of a block, for one number of channels or for all samples."""
    lists = []
    for block in same:
        cells = (counts[size] for counts in (block.macs, block.activations) for size in sizes)
        lists.append([block.output.channels, block.params, *cells])
    return lists[0] if len(lists) == 1 else [_polynomial(*values) for values in zip(*lists, strict=True)]


def _polynomial(low: int, middle: int, high: int) -> list[float] | int:
    """The numbers a, b, c of a + b x + c x^2, whose values at `SAMPLES` are given; one number if they are equal."""
    if low == middle == high:
        return low
    step = SAMPLES[0]
    square = (high - 2 * middle + low) / (2 * step**2)
    slope = (middle - low) / step - 3 * step * square
    return [low - slope * step - square * step**2, slope, square]


def read_costs(table: Mapping[str, Any], factors: Coefficients) -> list[PartCost] | None:
    """Reads off a table what the network of these coefficients costs.

    Args:
        table: what `cost_table` made.
        factors: depth, width and resolution, each within what the sliders can ask for.

    Returns:
        The cost of each part; None if there is no such network.
    """
    at = bisect_right(table["resolutions"]["bounds"], factors.resolution)
    channels, found = CHANNELS, []
    if table["resolutions"]["values"][at] is None:
        return None
    for part in table["parts"]:
        row, depth = (
            part[name]["values"][bisect_right(part[name]["bounds"], factor)]
            for name, factor in (("widths", factors.width), ("depths", factors.depth))
        )
        if row is None:
            return None
        width, operator, *blocks = row
        cells = [table["sides"][size][at] ** 2 for size in part["sizes"]]
        sums = [0, 0, 0]
        for number in range(depth):
            late = 3 if depth == 1 else 2 if number == depth - 1 else 1
            block = blocks[late if len(blocks) > 2 and (number == depth - 1) else min(number, 1)]
            channels, params, *each = (_value(entry, channels) for entry in block)
            macs, activations = each[: len(cells)], each[len(cells) :]
            sums[0] += params
            sums[1] += sum(map(int.__mul__, macs, cells))
            sums[2] += sum(map(int.__mul__, activations, cells))
        side = table["sides"][part["input"]][at]
        found.append(PartCost(part["operators"][operator], width, side, channels, depth, *sums))
    return found


def _value(entry: int | list[float], channels: int) -> int:
    if isinstance(entry, int):
        return entry
    constant, slope, square = entry
    return int(constant + channels * (slope + channels * square))


def _published(spec: BackboneSpec) -> list[dict[str, Any]]:
    """The other published sizes of a registered backbone's family."""
    family = family_of(spec.name)
    if family is None or backbones.get(spec.name) != spec:
        return []
    members = [backbones.get(name) for name in (family, *FAMILIES[family]) if name != spec.name]
    rows = []
    for member in members:
        ratios = realised_coefficients(spec, member)
        size = {name: getattr(ratios, name) for name in DIMENSIONS}
        label = member.name.removeprefix(f"{spec.name.rpartition('_')[0]}_")
        rows.append({"name": member.name, "label": label, "macs": estimate_cost(member).macs, **size})
    return sorted(rows, key=lambda row: row["macs"])


def _check(spec: BackboneSpec, table: Mapping[str, Any], sliders: Sliders) -> None:
    """Compares the table with `estimate_cost`, at the base and at random positions.

    Raises:
        SpecError: they differ.
    """
    draw = random.Random(SEED)
    near = [[place for place in sliders.places[name] if 0.5 <= place <= 2] for name in DIMENSIONS]
    points = [tuple(map(draw.choice, near)) for _ in range(CHECKS)]
    for depth, width, resolution in ((1.0, 1.0, 1.0), *points):
        factors = Coefficients(depth, width, resolution)
        try:
            cost = estimate_cost(scale_spec(spec, coefficients=factors))
            wanted = [
                (stage.input.height, stage.output.channels, *(getattr(stage, name) for name in PartCost._fields[4:]))
                for stage in cost.stages
            ]
        except SpecError:
            wanted = None
        found = read_costs(table, factors)
        if (found and [part[2:] for part in found]) != wanted:
            raise SpecError(
                f"the explorer cannot show {spec.name!r}: what a block costs must depend on its input's shape, its "
                "width and its stride alone, and behind DenseNet's blocks there can be no others.",
                received=f"a block that is counted otherwise at {factors}",
            )
