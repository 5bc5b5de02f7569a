"""Where the sliders of the page can stand, and what becomes of a size there.

A slider has finitely many positions. So each rounded size is a step function of its coefficient that can be written
down whole, and the page rounds nothing itself: it looks up.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

from keras_effnet.errors import ScalingError
from keras_effnet.registry import rules
from keras_effnet.scaling import Coefficients, ScalingRule

T = TypeVar("T")

STEPS = 100  # positions of a slider within 1
# From a sixteenth of the base, at two to the power of phi, to beyond EfficientNet-B8.
PHIS = tuple(number / STEPS for number in range(-4 * STEPS, 8 * STEPS + 1))
# What alpha, beta and gamma can be: the paper's search has all of them from 1 to 1.4 (arXiv:1905.11946, section 3.3).
BASES = tuple(number / STEPS for number in range(STEPS, 3 * STEPS // 2 + 1))
# The largest coefficients that the page counts. EfficientNet-L2, the largest published network, has 5.3, 4.3 and 3.6.
LARGEST_SHOWN = Coefficients(depth=8.0, width=4.5, resolution=4.0)
DIMENSIONS = ("depth", "width", "resolution")
# A browser's power may differ from Python's in the last digit or two; coefficients this near are told apart by neither.
TIE = 1e-12


@dataclass(frozen=True)
class StepFunction(Generic[T]):
    """A function that keeps its value between bounds.

    Args:
        bounds: where the value changes, rising; at a bound it has changed.
        values: the values, one more than bounds.
        ties: bounds so near to a coefficient that the last digit of a power decides.
    """

    bounds: tuple[float, ...]
    values: tuple[T, ...]
    ties: tuple[float, ...] = ()

    def at(self, coefficient: float) -> T:
        """The value at a coefficient."""
        return self.values[bisect_right(self.bounds, coefficient)]

    def with_values(self, value_of: Callable[[T], Any]) -> StepFunction[Any]:
        """The same steps with other values."""
        return StepFunction(self.bounds, tuple(map(value_of, self.values)), self.ties)


def step_function(places: Sequence[float], value_of: Callable[[float], T]) -> StepFunction[T]:
    """Finds the steps of a function whose value, once left, does not come back on the same side of 1.

    Args:
        places: all coefficients at which the function will be asked, rising; among them 1, where nothing is rounded.
        value_of: the function.

    Example:
        >>> found = step_function((0.8, 0.9, 1.0, 1.1, 1.2), lambda coefficient: round(10 * coefficient) // 2)
        >>> found.bounds, found.values
        ((0.95, 1.15), (4, 5, 6))
    """
    bounds, values, ties = [], [value_of(places[0])], []
    one, last = bisect_left(places, 1.0), len(places) - 1
    ends = [0, one - 1, one, one + 1, last] if 1 < one < last - 1 else [0, *range(1, last), last]
    at_low = values[0]
    for low, high in pairwise(ends):
        at_high = value_of(places[high])
        for place, value in _changes(places, value_of, low, high, at_low, at_high):
            bound = _bound(places[place - 1], places[place])
            bounds.append(bound)
            values.append(value)
            ties += [bound] if bound == places[place] else []
        at_low = at_high
    return StepFunction(tuple(bounds), tuple(values), tuple(ties))


def _changes(
    places: Sequence[float], value_of: Callable[[float], T], low: int, high: int, at_low: T, at_high: T
) -> Iterator[tuple[int, T]]:
    """The places from which on the function has another value, with that value, by bisection."""
    if low >= high or at_low == at_high:
        return
    if high == low + 1:
        yield high, at_high
        return
    middle = (low + high) // 2
    at_middle = value_of(places[middle])
    yield from _changes(places, value_of, low, middle, at_low, at_middle)
    yield from _changes(places, value_of, middle, high, at_middle, at_high)


def _bound(low: float, high: float) -> float:
    """The number of fewest digits well between two coefficients; the higher one if they are too near each other."""
    if high - low < TIE * high:
        return high
    quarter = (high - low) / 4
    tries = (round((low + high) / 2, digits) for digits in range(1, 17))
    return next((found for found in tries if low + quarter <= found <= high - quarter), (low + high) / 2)


@dataclass(frozen=True)
class Sliders:
    """The rules that the page offers, and every coefficient that their sliders can ask for.

    Args:
        rules: for each rule its factors for one step of phi ("bases"), or, where it is no power of phi, its
            coefficients at each phi ("rows", from the first of `PHIS` on). "compound" has sliders for its factors.
        places: the coefficients on each dimension that the page counts, rising.
    """

    rules: Mapping[str, Mapping[str, Any]]
    places: Mapping[str, Sequence[float]]

    def exact_powers(self, ties: Iterable[float]) -> dict[str, float]:
        """Python's powers next to ties, by "base^phi" as JavaScript writes the numbers."""
        near = set(ties)
        if not near:
            return {}
        bases = {base for rule in self.rules.values() for base in rule.get("bases", ())} | set(BASES)
        powers = {(base, phi): base**phi for base in bases for phi in PHIS}
        return {
            f"{_text(base)}^{_text(phi)}": power
            for (base, phi), power in powers.items()
            if any(abs(power - tie) < TIE * tie for tie in near)
        }


def _text(number: float) -> str:
    return repr(float(number)).removesuffix(".0")


def read_sliders() -> Sliders:
    """The registered rules that take any phi from the lowest to 0, and what can be asked for with them."""
    found = {name: made for name in rules.names() if (made := _rule(rules.get(name))) is not None}
    places = {}
    for number, name in enumerate(DIMENSIONS):
        bases = {*BASES, *(rule["bases"][number] for rule in found.values() if "bases" in rule)}
        reached = {1.0, *(float(base) ** phi for base in bases for phi in PHIS)}
        reached |= {row[number] for rule in found.values() for row in rule.get("rows", ())}
        places[name] = tuple(sorted(each for each in reached if each <= getattr(LARGEST_SHOWN, name)))
    return Sliders(found, places)


def _rule(rule: ScalingRule) -> dict[str, Any] | None:
    """How the page follows a rule; None for one that has no phi for every size, as a table, or factors for stages."""
    rows: list[tuple[float, ...]] = []
    for phi in PHIS:
        try:
            made = rule(phi)
        except ScalingError:
            break
        if made.stages is not None:
            return None
        rows.append(tuple(float(getattr(made, dimension)) for dimension in DIMENSIONS))
    if len(rows) <= PHIS.index(0.0):
        return None
    if len(rows) == len(PHIS):
        bases = rows[PHIS.index(1.0)]
        if all(row == tuple(base**phi for base in bases) for phi, row in zip(PHIS, rows, strict=True)):
            return {"bases": bases}
    return {"rows": rows}
