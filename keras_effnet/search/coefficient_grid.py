"""The paper's first step: alpha, beta and gamma for phi = 1 (Tan and Le 2019, arXiv:1905.11946, section 3.3).

"We first fix phi = 1, assuming twice more resources available, and do a small grid search of alpha, beta, gamma based
on Equation 2 and 3": depth alpha, width beta, resolution gamma, each at least 1, with alpha * beta^2 * gamma^2 near 2.
What a network really costs differs from that product, because sizes are rounded and stem, head and classifier grow as
they do. Here the *counted* cost of the rounded network must be near twice that of the base, and triples that round to
the same network are one candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import product, starmap
from typing import NamedTuple

from keras_effnet.checks import check_choice, check_number
from keras_effnet.errors import SearchError, SpecError
from keras_effnet.measures import MEASURES
from keras_effnet.registry import resolve_backbone
from keras_effnet.scaling import Coefficients, Compound, Rounding, scale_spec
from keras_effnet.search.candidates import Candidate, count_cost
from keras_effnet.spec import BackboneSpec

# Powers by which a measure grows with width and resolution; all grow in proportion to depth.
EXPONENTS = {"macs": (2, 2), "params": (2, 0), "model_bytes": (2, 0), "activations": (1, 2)}
# Finer than a hundredth, all sizes of any published network round to the same.
LEAST_STEP = 0.01
PHI_STEP = 0.01  # as fine: between two of them no side of a network up to 600 px grows by more than one
CHOICE_DIGITS = 4
ROUNDING = Rounding(depth="round")  # rounded up, nearly every depth costs far more than it promises


class Triple(NamedTuple):
    """One point of the grid: factors on depth, width and resolution."""

    alpha: float
    beta: float
    gamma: float

    def nominal(self, measure: str = "macs") -> float:
        """Factor on a measure before rounding; for multiply-adds alpha * beta^2 * gamma^2, the paper's equation 3.

        Weights do not grow with the resolution, and activations only in proportion to the width.
        """
        width, resolution = EXPONENTS.get(measure, EXPONENTS["macs"])
        return self.alpha * self.beta**width * self.gamma**resolution


PAPER = Triple(**asdict(Compound()))  # 1.2, 1.1, 1.15: arXiv:1905.11946, section 4


@dataclass(frozen=True, eq=False)
class CoefficientCandidate:
    """A network of the grid.

    Args:
        candidate: the network; its choices are the triple that stands for it.
        triples: all triples that round to it. The first one stands for them: its `nominal` is the nearest to the factor
            asked for, so it is the one to use for other phi.
        ratio: its cost, as a multiple of the base's.
    """

    candidate: Candidate
    triples: tuple[Triple, ...]
    ratio: float


def coefficient_candidates(
    spec: BackboneSpec | str,
    *,
    factor: float = 2.0,
    tolerance: float = 0.1,
    measure: str = "macs",
    step: float = 0.05,
    rounding: Rounding | None = None,
    classes: int = 1000,
) -> list[CoefficientCandidate]:
    """Lists all networks of the grid whose counted cost is about `factor` times the base's.

    Args:
        spec: base, or the name of a registered one.
        factor: cost of the networks as a multiple of the base's, above 1; the paper takes 2.
        tolerance: share of `factor` by which the cost may differ from it, in (0, 1).
        measure: name of the cost in `keras_effnet.measures`; "latency_ms" is estimated by this machine's calibration.
        step: distance between two values of a coefficient, at least 0.01.
        rounding: rounding of sizes; None for the paper's, but with depths rounded to the nearest: rounded up, nearly
            every triple costs far more than it promises.
        classes: number of classes of the classifier.

    Returns:
        The candidates, the cheapest first.

    Raises:
        SearchError: a value outside its range, or no network within the tolerance (the error names the nearest).
        RegistryError: an unknown name.

    Example:
        >>> found = coefficient_candidates("efficientnet_b0", step=0.1)
        >>> len(found), found[0].candidate.choices
        (21, {'alpha': 1.2, 'beta': 1.0, 'gamma': 1.2})
    """
    factor = check_number(SearchError, "factor", factor, 1, open_low=True)
    tolerance = check_number(SearchError, "tolerance", tolerance, 0, 1, open_low=True)
    step = check_number(SearchError, "step", step, LEAST_STEP)
    check_choice(SearchError, "measure", measure, MEASURES)
    base, rounding, cost_of = resolve_backbone(spec), rounding or ROUNDING, cost_reader(measure, classes)
    goal = cost_of(base)[measure] * factor
    # Rounding can make a network half as expensive as it promises, seldom less. Width and resolution go no further than
    # each alone would have to for the multiply-adds: a cost that does not see one of them would never end.
    limit = 2 * factor * (1 + tolerance)
    sizes = [round(1 + number * step, 6) for number in range(int(limit / step) + 1)]
    sides = [size for size in sizes if size**2 <= limit]
    groups: dict[BackboneSpec, list[Triple]] = {}
    for triple in starmap(Triple, product(sizes, sides, sides)):
        if triple.nominal(measure) <= limit:
            groups.setdefault(_scaled(base, triple, rounding), []).append(triple)
    found, nearest = [], (float("inf"), "")
    for network, triples in groups.items():
        with suppress(SpecError):  # at this resolution a stage would have no pixels left
            cost = cost_of(network)
            share = cost[measure] / goal
            near = abs(share - 1), f"{tuple(triples[0])} with {factor * share:.3f} times"
            nearest = min(nearest, near, key=lambda each: each[0])
            if abs(share - 1) <= tolerance:
                triples.sort(key=lambda each: (abs(each.nominal(measure) - factor), each))
                candidate = Candidate(triples[0]._asdict(), network, cost)
                found.append(CoefficientCandidate(candidate, tuple(triples), factor * share))
    if not found:
        raise SearchError(
            f"no network of the grid has {factor:g} times the `{measure}` of {base.name!r} within {tolerance:.0%}: the "
            f"nearest is {nearest[1]}. Widen the tolerance, or make `step` or the rounding's `divisor` smaller.",
            received=f"factor={factor!r}, tolerance={tolerance!r}, step={step!r}",
        )
    return sorted(found, key=lambda each: (each.ratio, each.triples[0]))


def paper_candidate(
    spec: BackboneSpec | str,
    *,
    factor: float,
    measure: str,
    rounding: Rounding | None = None,
    classes: int = 1000,
) -> Candidate:
    """Makes the network of the paper's constants at the same cost: of all (1.2, 1.1, 1.15)^phi the nearest to it.

    At phi = 1 rounding takes EfficientNet-B0 to 1.78 times its multiply-adds, at phi = 1.02 to 2.05 times. Compared
    with networks of twice the cost, the former would be behind for its size alone.

    Args:
        spec: base, or the name of a registered one.
        factor: cost of the network as a multiple of the base's, above 1.
        measure: name of the cost, as in `coefficient_candidates`.
        rounding: rounding of sizes, as in `coefficient_candidates`.
        classes: number of classes of the classifier.

    Returns:
        The network, with the triple raised to phi as its choices; of equal networks the one of the phi nearest to 1.

    Raises:
        SearchError: the constants lead to no network that can be built.
        RegistryError: an unknown name.

    Example:
        >>> paper_candidate("efficientnet_b0", factor=2, measure="macs").choices
        {'alpha': 1.2044, 'beta': 1.1021, 'gamma': 1.1532}
    """
    base, rounding, cost_of = resolve_backbone(spec), rounding or ROUNDING, cost_reader(measure, classes)
    goal = cost_of(base)[measure] * factor
    nominal = math.log(factor) / math.log(PAPER.nominal(measure))
    found: list[tuple[float, float, Candidate]] = []
    for number in range(1, int(2 * nominal / PHI_STEP) + 1):
        phi = number * PHI_STEP
        triple = Triple(*(round(size**phi, CHOICE_DIGITS) for size in PAPER))
        network = _scaled(base, triple, rounding)
        with suppress(SpecError):  # at this resolution a stage would have no pixels left
            cost = cost_of(network)
            found.append((abs(cost[measure] / goal - 1), abs(phi - 1), Candidate(triple._asdict(), network, cost)))
    if not found:
        raise SearchError(
            f"the paper's constants lead to no network of {base.name!r} that can be built.",
            received=f"factor={factor!r}",
        )
    return min(found, key=lambda each: each[:2])[2]


def _scaled(base: BackboneSpec, triple: Triple, rounding: Rounding) -> BackboneSpec:
    return scale_spec(base, coefficients=Coefficients(*triple), rounding=rounding)


def cost_reader(measure: str, classes: int) -> Callable[[BackboneSpec], dict[str, float]]:
    """Makes a function that counts a network's measures, and estimates its latency if that is the measure."""
    if measure != "latency_ms":
        return lambda spec: count_cost(spec, classes=classes)
    from keras_effnet.latency import calibrate_latency, read_work

    table = calibrate_latency()
    return lambda spec: {
        **count_cost(spec, classes=classes),
        "latency_ms": table.estimate(read_work(spec, classes=classes)),
    }
