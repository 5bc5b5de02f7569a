"""Limits on the cost of a network; they are counted, so that nothing is built that exceeds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from keras_effnet.checks import check_choice, check_number, store_plain
from keras_effnet.errors import SearchError
from keras_effnet.measures import COUNTED
from keras_effnet.search.space import ArchitectureSpace, Choices

DRAWS = 1_000  # draws from the whole space before a walk within the limits replaces them
WALK = 100  # steps of such a walk: a few for each choice of a network
Costs = Mapping[str, float]


@dataclass(frozen=True)
class Limits:
    """Bounds on counted measures.

    Args:
        most: largest allowed value of each limited measure, by its name, above 0.
        least: smallest allowed value of each limited measure, by its name, above 0.

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
        store_plain(self)
        for name, limit in (*self.most.items(), *self.least.items()):
            check_choice(SearchError, "limits", name, COUNTED)
            check_number(SearchError, name, limit, 0, open_low=True)
        for name in set(self.most) & set(self.least):
            if self.least[name] > self.most[name]:
                raise SearchError(
                    f"the least `{name}` must be at most the most, or no network is left.",
                    received=f"least={self.least[name]!r}, most={self.most[name]!r}",
                )

    def excess(self, cost: Costs) -> float:
        """Tells how far a cost is beyond the limits, as a sum of shares of them; 0 if it keeps them all."""
        over = sum(max(0.0, cost[name] / limit - 1) for name, limit in self.most.items())
        return over + sum(max(0.0, 1 - cost[name] / limit) for name, limit in self.least.items())


def draw_feasible(space: ArchitectureSpace, limits: Limits, generator: Random, start: Choices) -> Choices:
    """Draws a network within the limits.

    If hardly any network of the space keeps them, the draw comes from a random walk that never leaves the limits.

    Args:
        space: space of the networks.
        limits: limits to keep.
        generator: source of random numbers.
        start: start of the walk, a network within the limits, as `some_feasible` finds it.
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
    """Finds a network within the limits, always the same.

    Raises:
        SearchError: a limit leaves no network (the error names it, and the network that comes nearest), or no network
            was found that keeps all limits at once.
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
                    "other widths, depths or kinds of blocks.",
                    received=f"{name}={limit:,.4g}",
                )
            found.append(end)
    return _walked(space, limits, min(found, key=lambda each: limits.excess(space.cost(each))), generator)


def _walked(space: ArchitectureSpace, limits: Limits, start: Choices, generator: Random) -> Choices:
    """The end of a walk that never goes further beyond the limits; raises SearchError if it stays beyond them."""
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
        f"nearest has {_shown(space.cost(start))}.",
        received=repr(limits),
    )


def _shown(cost: Costs) -> str:
    return ", ".join(f"{name} {value:,.4g}" for name, value in cost.items())


def extreme(space: ArchitectureSpace, measure: Callable[[Costs], float]) -> Choices:
    """Finds the network of a space that measures least, exactly.

    The cost of a stage depends on its own choices and on the channels that it reads. So of all ways to a stage that end
    in equally many channels only the least one counts (dynamic programming).

    Args:
        space: space of the networks.
        measure: maps the costs of a network to a number that is a sum over its stages.
    """
    tail = tuple(space.options(number)[0] for number in range(len(space.base.stages)))
    ways: dict[int, Choices] = {space.entry: ()}
    for number in range(len(tail)):
        found: dict[int, tuple[float, Choices]] = {}
        for before in ways.values():
            for option in space.options(number):
                # What follows is the same for all of one width, so that whole networks compare as their beginnings.
                choices = (*before, option)
                value, width = measure(space.cost((*choices, *tail[number + 1 :]))), option.width
                if width not in found or value < found[width][0]:
                    found[width] = value, choices
        ways = {width: choices for width, (_, choices) in found.items()}
    return space.canonical(min(ways.values(), key=lambda choices: measure(space.cost(choices))))
