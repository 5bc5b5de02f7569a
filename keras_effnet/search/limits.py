"""What a network may cost: limits that are counted, so that nothing is built of what they leave out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from keras_effnet.checks import check_choice, check_number
from keras_effnet.errors import SearchError
from keras_effnet.search.reward import MEASURES
from keras_effnet.search.space import ArchitectureSpace, Choices

DRAWS = 1_000  # from the whole space before what is drawn comes from a walk within the limits
WALK = 100  # steps of such a walk: a few for each choice of a network
Costs = Mapping[str, float]


@dataclass(frozen=True)
class Limits:
    """Bounds on what is counted.

    Args:
        most: by name ("macs", "params", "activations", "model_bytes"), the largest value that is allowed, above 0.
        least: the smallest one.

    Raises:
        SearchError: an unknown name, a value outside its range, or a least value above the most.

    Example:
        >>> limits = Limits(most={"macs": 3e6})
        >>> limits.excess({"macs": 2e6}), limits.excess({"macs": 6e6})
        (0.0, 1.0)
    """

    most: Costs = field(default_factory=dict)
    least: Costs = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, limit in (*self.most.items(), *self.least.items()):
            check_choice(SearchError, "limits", name, MEASURES)
            check_number(SearchError, name, limit, 0, open_low=True)
        for name in set(self.most) & set(self.least):
            if self.least[name] > self.most[name]:
                raise SearchError(
                    f"the least `{name}` must be at most the most, or no network is left. "
                    f"Received: least={self.least[name]!r}, most={self.most[name]!r}"
                )

    def excess(self, cost: Costs) -> float:
        """By how much a cost is beyond the limits, as shares of them; 0 where it keeps them all."""
        over = sum(max(0.0, cost[name] / limit - 1) for name, limit in self.most.items())
        return over + sum(max(0.0, 1 - cost[name] / limit) for name, limit in self.least.items())

    def to_dict(self) -> dict[str, Any]:
        """The limits as JSON holds them."""
        return asdict(self)


def draw_feasible(space: ArchitectureSpace, limits: Limits, generator: Random, start: Choices) -> Choices:
    """Any network within the limits.

    Where next to none is, it comes from a walk that never leaves them.

    Args:
        space: of the networks.
        limits: to keep.
        generator: of random numbers.
        start: of the walk, within the limits: what `some_feasible` found.
    """
    for _ in range(DRAWS):
        choices = space.draw(generator)
        if not limits.excess(space.cost(choices)):
            return choices
    for _ in range(WALK):
        choices = space.step(start, generator)
        if not limits.excess(space.cost(choices)):
            start = choices
    return start


def some_feasible(space: ArchitectureSpace, limits: Limits) -> Choices:
    """A network within the limits, always the same.

    Raises:
        SearchError: there is none: says which limit leaves none, and what comes nearest to it; or none was found that
            keeps all limits at once.
    """
    generator = Random("feasible")
    nearest = min((space.draw(generator) for _ in range(DRAWS)), key=lambda each: limits.excess(space.cost(each)))
    if not limits.excess(space.cost(nearest)):
        return nearest
    found = [nearest]
    for bounds, sign, word in ((limits.most, 1, "smallest"), (limits.least, -1, "largest")):
        for name, limit in bounds.items():
            end = extreme(space, lambda cost, name=name, sign=sign: sign * cost[name])
            reached = space.cost(end)[name]
            if sign * reached > sign * limit:
                raise SearchError(
                    f"no network of the space keeps the limit on `{name}`: the {word} has {reached:,.4g} "
                    f"({_shown(space.cost(end))}). {'Raise' if sign > 0 else 'Lower'} that limit, or give the space "
                    f"other widths, depths or kinds of blocks. Received: {name}={limit:,.4g}"
                )
            found.append(end)
    return _walked(space, limits, min(found, key=lambda each: limits.excess(space.cost(each))), generator)


def _walked(space: ArchitectureSpace, limits: Limits, start: Choices, generator: Random) -> Choices:
    """The end of a walk that never goes further beyond the limits; raises SearchError where it stays beyond them."""
    excess = limits.excess(space.cost(start))
    for _ in range(DRAWS):
        choices = space.step(start, generator)
        beyond = limits.excess(space.cost(choices))
        if beyond <= excess:
            start, excess = choices, beyond
        if not excess:
            return start
    raise SearchError(
        "each limit can be kept, but no network was found that keeps all of them at once: widen one of them. The "
        f"nearest has {_shown(space.cost(start))}. Received: {limits!r}"
    )


def _shown(cost: Costs) -> str:
    return ", ".join(f"{name} {value:,.4g}" for name, value in cost.items())


def extreme(space: ArchitectureSpace, measure: Callable[[Costs], float]) -> Choices:
    """The network of a space that measures least, exactly.

    What a stage costs depends on its own choices and on the channels that it reads. So of all ways to a stage that end
    in as many channels only the least one counts (dynamic programming).

    Args:
        space: of the networks.
        measure: a sum over the stages, from their costs.
    """
    tail = tuple(space.options(number)[0] for number in range(len(space.base.stages)))
    ways: dict[int, Choices] = {space.entry: ()}
    for number in range(len(tail)):
        found: dict[int, tuple[float, Choices]] = {}
        for before in ways.values():
            for option in space.options(number):
                # What follows is the same for all of one width, so that whole networks compare as their beginnings.
                choices = (*before, option)
                value, width = measure(space.cost((*choices, *tail[number + 1 :]))), space.width(number, option)
                if width not in found or value < found[width][0]:
                    found[width] = value, choices
        ways = {width: choices for width, (_, choices) in found.items()}
    return space.canonical(min(ways.values(), key=lambda choices: measure(space.cost(choices))))
