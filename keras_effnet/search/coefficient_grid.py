"""The paper's first step: alpha, beta and gamma for phi = 1 (Tan and Le 2019, arXiv:1905.11946, section 3.3).

"We first fix phi = 1, assuming twice more resources available, and do a small grid search of alpha, beta, gamma based
on Equation 2 and 3": depth alpha, width beta, resolution gamma, each at least 1, with alpha * beta^2 * gamma^2 near 2.
What a network really costs differs from that product, because sizes are rounded and stem, head and classifier grow as
they do. Here the *counted* cost of the rounded network is near twice the base's, and equal networks are one candidate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import product, starmap
from typing import NamedTuple

from keras_effnet.checks import check_choice, check_number
from keras_effnet.errors import SearchError, SpecError
from keras_effnet.measures import WEIGHED
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


class CoefficientGrid:
    """Networks that cost about `factor` times a base, made by coefficients for phi = 1.

    Args:
        spec: base, or the name of a registered one.
        factor: cost of the networks as a multiple of the base's, above 1; the paper takes 2.
        measure: name of the cost in `keras_effnet.measures`; "latency_ms" is estimated by this machine's calibration.
        rounding: rounding of sizes; None for the paper's, but with depths rounded to the nearest: rounded up, nearly
            every triple costs far more than it promises.
        classes: number of classes of the classifier.

    Raises:
        SearchError: a value outside its range.
        RegistryError: an unknown name.

    Example:
        >>> grid = CoefficientGrid("efficientnet_b0")
        >>> found = grid.candidates(step=0.1)
        >>> len(found), found[0].candidate.choices
        (21, {'alpha': 1.2, 'beta': 1.0, 'gamma': 1.2})
        >>> grid.paper().choices
        {'alpha': 1.2044, 'beta': 1.1021, 'gamma': 1.1532}
    """

    def __init__(
        self,
        spec: BackboneSpec | str,
        *,
        factor: float = 2.0,
        measure: str = "macs",
        rounding: Rounding | None = None,
        classes: int = 1000,
    ) -> None:
        self.factor = check_number(SearchError, "factor", factor, 1, open_low=True)
        self.measure = check_choice(SearchError, "measure", measure, WEIGHED)
        self.base, self.classes, self._rounding = resolve_backbone(spec), classes, rounding or ROUNDING
        if measure == "latency_ms":
            from keras_effnet.latency import calibrate_latency

            self._table = calibrate_latency()
        self.base_cost = self._cost(self.base)

    def candidates(self, *, tolerance: float = 0.1, step: float = 0.05) -> list[CoefficientCandidate]:
        """Lists all networks of the grid within the tolerance, the cheapest first.

        Args:
            tolerance: share of the factor by which a network's cost may differ from it, in (0, 1).
            step: distance between two values of a coefficient, at least 0.01.

        Raises:
            SearchError: a value outside its range, or no network within the tolerance (the error names the nearest).
        """
        tolerance = check_number(SearchError, "tolerance", tolerance, 0, 1, open_low=True)
        step = check_number(SearchError, "step", step, LEAST_STEP)
        # Rounding can make a network half as expensive as it promises, seldom less. Width and resolution go no further
        # than each alone would have to for the multiply-adds: a cost that does not see one of them would never end.
        limit = 2 * self.factor * (1 + tolerance)
        sizes = [round(1 + number * step, 6) for number in range(int(limit / step) + 1)]
        sides = [size for size in sizes if size**2 <= limit]

        def rank(triple: Triple) -> tuple[float, Triple]:
            return abs(triple.nominal(self.measure) - self.factor), triple

        triples = starmap(Triple, product(sizes, sides, sides))
        made = self._networks(sorted((each for each in triples if each.nominal(self.measure) <= limit), key=rank))
        found = [each for each in made if self._distance(each) <= tolerance]
        if not found:
            nearest = min(made, key=self._distance)
            raise SearchError(
                f"no network of the grid has {self.factor:g} times the `{self.measure}` of {self.base.name!r} within "
                f"{tolerance:.0%}: the nearest is {tuple(nearest.triples[0])} with {nearest.ratio:.3f} times. Widen "
                "the tolerance, or make `step` or the rounding's `divisor` smaller.",
                received=f"factor={self.factor!r}, tolerance={tolerance!r}, step={step!r}",
            )
        return sorted(found, key=lambda each: (each.ratio, each.triples[0]))

    def paper(self) -> Candidate:
        """Makes the network of the paper's constants at the same cost: of all (1.2, 1.1, 1.15)^phi the nearest to it.

        At phi = 1 rounding takes EfficientNet-B0 to 1.78 times its multiply-adds, at phi = 1.02 to 2.05 times: beside
        networks of twice the cost, the former is behind for its size alone. Of equal ones the phi nearest to 1 counts.

        Raises:
            SearchError: the constants lead to no network that can be built.
        """
        nominal = math.log(self.factor) / math.log(PAPER.nominal(self.measure))
        phis = (number * PHI_STEP for number in range(1, int(2 * nominal / PHI_STEP) + 1))
        nearest = sorted(phis, key=lambda phi: abs(phi - 1))
        made = self._networks(Triple(*(round(size**phi, CHOICE_DIGITS) for size in PAPER)) for phi in nearest)
        if not made:
            raise SearchError(
                f"the paper's constants lead to no network of {self.base.name!r} that can be built.",
                received=f"factor={self.factor!r}",
            )
        return min(made, key=self._distance).candidate

    def _networks(self, triples: Iterable[Triple]) -> list[CoefficientCandidate]:
        """The networks of triples that can be built; the first triple of each stands for it."""
        groups: dict[BackboneSpec, list[Triple]] = {}
        for triple in triples:
            network = scale_spec(self.base, coefficients=Coefficients(*triple), rounding=self._rounding)
            groups.setdefault(network, []).append(triple)
        found = []
        for network, same in groups.items():
            with suppress(SpecError):  # at this resolution a stage would have no pixels left
                candidate = Candidate(same[0]._asdict(), network, self._cost(network))
                ratio = candidate.cost[self.measure] / self.base_cost[self.measure]
                found.append(CoefficientCandidate(candidate, tuple(same), ratio))
        return found

    def _distance(self, network: CoefficientCandidate) -> float:
        return abs(network.ratio / self.factor - 1)

    def _cost(self, spec: BackboneSpec) -> dict[str, float]:
        cost = count_cost(spec, classes=self.classes)
        if self.measure == "latency_ms":
            from keras_effnet.latency import read_work

            cost["latency_ms"] = self._table.estimate(read_work(spec, classes=self.classes))
        return cost
