"""The space of an architecture search: MnasNet's factorised space over the stages of a spec.

Tan et al. 2019, "MnasNet: Platform-Aware Neural Architecture Search for Mobile" (arXiv:1807.11626), section 4.1: the
blocks of a network differ, the layers within a block do not. So for each stage, and for all of its layers at once:

| choice | MnasNet | here |
|---|---|---|
| `kind` | conv, depthwise-separable conv, MBConv | "conv", "dconv", "mbconv", and "fused" (arXiv:2104.00298) |
| `kernel` | 3, 5 | the same |
| `se_ratio` | 0, 0.25 | the same; a plain convolution has no squeeze-and-excitation |
| `skip` | pooling, identity, none | identity or none: none of our blocks skips by pooling |
| `width` | 0.75, 1, 1.25 times MobileNetV2's | channels: so many times the base's, rounded as EfficientNet rounds |
| `depth` | -1, 0, +1 against MobileNetV2's | blocks: so many more than the base's, and at least one |
| `expand` | part of the kind of block | expansion of "mbconv" and "fused" |

Strides, stem, head, classifier and resolution are the base's. Two networks are equal if all their choices are: a choice
without effect (an expansion of a kind that has none, a skip where nothing can be added) has one fixed value.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import pairwise, product
from math import inf
from operator import eq
from random import Random
from typing import Any, NamedTuple

from keras_effnet.blocks import FusedMBConv, MBConv
from keras_effnet.checks import check_choice, check_int, check_number, store_plain
from keras_effnet.cost import FLOAT32_BYTES, estimate_cost
from keras_effnet.errors import SearchError
from keras_effnet.scaling.rounding import Rounding
from keras_effnet.search.candidates import Choice, Record
from keras_effnet.spec import BackboneSpec

KINDS = ("conv", "dconv", "mbconv", "fused")
EXPANDING = ("mbconv", "fused")
MEASURED = ("macs", "params", "activations")
STYLE = ("activation", "norm")  # fields that a block takes over from the base's
NAME_DIGITS = 8  # of a hash of the choices, in a network's name


class StageChoice(NamedTuple):
    """What is chosen for one stage; see the table above."""

    kind: str  # one of `KINDS`
    kernel: int  # side of the filter, in pixels
    expand: float  # hidden channels per input channel; 1 for a kind that does not expand
    se_ratio: float  # share of channels inside squeeze-and-excitation; 0 for none, as in a plain convolution
    width: int  # channels that the stage emits
    depth: int  # blocks
    skip: bool  # whether inputs are added; True where none could be, so that the stage skips once it is deepened


Choices = tuple[StageChoice, ...]


@dataclass(frozen=True, eq=False)
class ArchitectureSpace(Record):
    """The networks that can be made of a base by choosing for each stage; see the table above.

    The blocks of this space emit as many channels as the stage's `width`. If the base's blocks emit a multiple of it,
    as `Bottleneck` does, the stages of the space are narrower than the base's.

    Args:
        base: network that gives strides, widths, depths, stem, head and all else; activation and norm are kept too.
        kinds: kinds of blocks: "conv" (one convolution), "dconv" (depthwise, then 1x1), "mbconv" and "fused".
        kernels: odd sides of filters, in pixels, so that a block's output has the size of its input.
        expands: expansion ratios above 1; a block without expansion is a "dconv" or a "conv".
        se_ratios: squeeze-and-excitation ratios in [0, 1].
        widths: factors on the base's widths, above 0.
        depths: numbers of blocks to add to the base's depths; negative to remove blocks.
        skips: True, False or both.
        divisor: number of which all widths are multiples.
        classes: number of classes of the classifier, for the counted costs.
        channels: number of channels of the images.

    Raises:
        SearchError: a value outside its range, an empty tuple, or a value that stands twice.

    Example:
        >>> from keras_effnet.search.searches import embedded_base
        >>> space = ArchitectureSpace(embedded_base(), kinds=("mbconv",), se_ratios=(0.25,), skips=(True,))
        >>> f"{space.size:,}"
        '3,057,647,616'
        >>> space.network(space.draw(Random("1"))).stages[1].block.describe()
        'MBConv6, k5x5'
    """

    base: BackboneSpec
    kinds: tuple[str, ...] = KINDS
    kernels: tuple[int, ...] = (3, 5)
    expands: tuple[float, ...] = (3, 6)
    se_ratios: tuple[float, ...] = (0, 0.25)
    widths: tuple[float, ...] = (0.75, 1, 1.25)
    depths: tuple[int, ...] = (-1, 0, 1)
    skips: tuple[bool, ...] = (True, False)
    divisor: int = 8
    classes: int = 1000
    channels: int = 3

    def __post_init__(self) -> None:
        store_plain(self)
        if not isinstance(self.base, BackboneSpec):
            raise SearchError("`base` must be a BackboneSpec.", received=f"base={self.base!r}")
        for name in ("divisor", "classes", "channels"):
            check_int(SearchError, name, getattr(self, name), 1)
        for name in ("kinds", "kernels", "expands", "se_ratios", "widths", "depths", "skips"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values or len(set(values)) < len(values):
                raise SearchError(f"`{name}` must be a tuple of values, no two alike.", received=f"{name}={values!r}")
        for name, low, high in (("expands", 1, inf), ("widths", 0, inf), ("se_ratios", 0, 1)):
            for number in getattr(self, name):
                check_number(SearchError, name, number, low, high, open_low=high > 1)
        for name, allowed in (("kinds", KINDS), ("skips", (True, False))):
            for value in getattr(self, name):
                check_choice(SearchError, name, value, allowed)
        for kernel in self.kernels:
            check_int(SearchError, "kernels", kernel, 1, 31)
            if kernel % 2 == 0:
                raise SearchError("`kernels` must be odd.", received=f"kernels={self.kernels!r}")
        for depth in self.depths:
            check_int(SearchError, "depths", depth, -1_000, 1_000)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all choices: "stage1.kind", "stage1.kernel", ..."""
        numbers = range(1, len(self.base.stages) + 1)
        return tuple(f"stage{number}.{name}" for number, name in product(numbers, StageChoice._fields))

    @cached_property
    def values(self) -> dict[str, tuple[Choice, ...]]:
        """All values of each choice, by its name, in rising order."""
        found = (tuple(sorted(set(values))) for options in self.options for values in zip(*options, strict=True))
        return dict(zip(self.names, found, strict=True))

    @cached_property
    def size(self) -> int:
        """Exact number of networks in the space."""
        ways = Counter({self.entry: 1})  # number of ways to give the next stage so many channels
        for number, options in enumerate(self.options):
            found: Counter[int] = Counter()
            for option, (channels, count) in product(options, ways.items()):
                found[option.width] += count * (option == self._settled(number, option, channels))
            ways = found
        return ways.total()

    def draw(self, generator: Random) -> Choices:
        """Draws a network, each option of a stage with the same chance."""
        return self.canonical(tuple(generator.choice(options) for options in self.options))

    def step(self, choices: Choices, generator: Random) -> Choices:
        """Changes one choice of one stage, and what comes with it; raises SearchError in a space of one network."""
        turns = list(product(range(len(choices)), StageChoice._fields))
        generator.shuffle(turns)
        for number, name in turns:
            others = self._others(number, choices[number], name)
            generator.shuffle(others)
            for option in others:
                changed = self.canonical((*choices[:number], option, *choices[number + 1 :]))
                if changed != choices:
                    return changed
        raise SearchError("a space must have more than one network to change one.", received="a space of one")

    def read(self, choices: Mapping[str, Choice]) -> Choices:
        """Reads choices stage by stage, and sets those without effect to their fixed value.

        Raises SearchError for a choice that is missing or unknown, and for a value that is not in the space.
        """
        if wrong := sorted(set(choices) ^ set(self.names)):
            raise SearchError(
                f"choices are 'stage1.kind' to 'stage{len(self.base.stages)}.skip', all of them.",
                received=(f"among those that are missing or unknown is {wrong[0]!r}"),
            )
        found = []
        for number, options in enumerate(self.options, 1):
            values: dict[str, Any] = {name: choices[f"stage{number}.{name}"] for name in StageChoice._fields}
            option = _fixed(StageChoice(**values))
            if option not in options:
                raise SearchError(
                    f"stage {number} has no such choice in this space; every value must be one of the space's.",
                    received=repr(values),
                )
            found.append(option)
        return self.canonical(tuple(found))

    def flat(self, choices: Choices) -> dict[str, Choice]:
        """Choices by name."""
        return dict(zip(self.names, (value for option in choices for value in option), strict=True))

    def network(self, choices: Choices) -> BackboneSpec:
        """Makes the network of given choices; its name ends in a hash of them."""
        digest = sha256(json.dumps(choices).encode()).hexdigest()[:NAME_DIGITS]
        stages = []
        for stage, option in zip(self.base.stages, choices, strict=True):
            # With the activation and the norm of the base's block if that has any.
            style: Any = {name: getattr(stage.block, name) for name in STYLE if hasattr(stage.block, name)}
            made = FusedMBConv if option.kind in ("conv", "fused") else MBConv
            block = made(option.kernel, option.expand, se_ratio=option.se_ratio, skip=option.skip, **style)
            stages.append(replace(stage, block=block, width=option.width, depth=option.depth))
        return replace(self.base, name=f"{self.base.name}_{digest}", stages=tuple(stages))

    def cost(self, choices: Choices) -> dict[str, float]:
        """Counts the measures of a network by name, as `estimate_cost` does, but each stage once for all networks."""
        # Parts with the same choices that read as many channels cost the same: the stem, stages, and what follows them.
        widths = (self.entry, *(option.width for option in choices))
        keys = [(), *enumerate(zip(widths, choices, strict=False)), widths[-1]]
        if not all(key in self._counted for key in keys):
            stages = estimate_cost(self.network(choices), classes=self.classes, channels=self.channels).stages
            for key, part in zip(keys, pairwise((*range(len(keys)), None)), strict=True):
                self._counted[key] = [sum(getattr(stage, name) for stage in stages[slice(*part)]) for name in MEASURED]
        macs, params, activations = map(sum, zip(*(self._counted[key] for key in keys), strict=True))
        return {"params": params, "macs": macs, "activations": activations, "model_bytes": FLOAT32_BYTES * params}

    @cached_property
    def entry(self) -> int:
        """Number of channels that the first stage reads."""
        return estimate_cost(self.base, classes=self.classes, channels=self.channels).stages[0].output.channels

    @cached_property
    def _counted(self) -> dict[Any, list[int]]:
        """Costs of the parts that have been counted so far."""
        return {}

    @cached_property
    def options(self) -> tuple[tuple[StageChoice, ...], ...]:
        """All options of each stage."""
        rounding, found = Rounding(divisor=self.divisor), []
        for stage in self.base.stages:
            widths = [rounding.nearest_width(stage.width * factor) for factor in self.widths]
            depths = [max(1, stage.depth + change) for change in self.depths]
            every = product(self.kinds, self.kernels, self.expands, self.se_ratios, widths, depths, self.skips)
            found.append(tuple(dict.fromkeys(_fixed(StageChoice(*each)) for each in every)))
        return tuple(found)

    def _settled(self, number: int, option: StageChoice, channels: int) -> StageChoice:
        """Sets the skip of an option to its fixed value if a stage that reads so many channels can add nothing."""
        adds = option.depth > 1 or (self.base.stages[number].stride == 1 and channels == option.width)
        return option if adds else option._replace(skip=True in self.skips)

    def canonical(self, choices: Choices) -> Choices:
        """Sets the skips without effect to their fixed value."""
        channels, found = self.entry, []
        for number, option in enumerate(choices):
            found.append(self._settled(number, option, channels))
            channels = option.width
        return tuple(found)

    def _others(self, number: int, option: StageChoice, name: str) -> list[StageChoice]:
        """The options of a stage that differ in this choice alone, or in the kind and what that brings with it."""

        def alike(other: StageChoice) -> int:
            return sum(map(eq, other, option))

        changed = [other for other in self.options[number] if getattr(other, name) != getattr(option, name)]
        nearest = dict.fromkeys((other.kind for other in changed), 0 if name == "kind" else len(option) - 1)
        for other in changed:
            nearest[other.kind] = max(nearest[other.kind], alike(other))
        return [other for other in changed if alike(other) == nearest[other.kind]]


def _fixed(option: StageChoice) -> StageChoice:
    """Sets the choices that have no effect in any network to their fixed value."""
    return option._replace(
        expand=option.expand if option.kind in EXPANDING else 1,
        se_ratio=0 if option.kind == "conv" else option.se_ratio,
    )
