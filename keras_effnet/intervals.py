"""How far means over seeds can be believed: Student's t-interval of a mean, and of a mean difference seed by seed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairedDifference:
    """By how much one network is ahead of another, with the t-interval of 95 % over the shared seeds.

    Args:
        mean: mean difference.
        low: lower end of the interval.
        high: upper end of the interval.
        seeds: number of shared seeds.
        on: "test" if test images decided, as they chose nothing; otherwise "metrics".
    """

    mean: float
    low: float
    high: float
    seeds: int
    on: str = "metrics"

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "not told apart", by the interval alone."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "not told apart"


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The interval of 95 % of the mean of at least two values, by Student's t (Student 1908).

    Example:
        >>> [round(end, 3) for end in t_interval([0.7, 0.8, 0.9])]
        [0.552, 1.048]
    """
    from scipy.stats import t

    error = statistics.stdev(values) / len(values) ** 0.5
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return statistics.fmean(values) - reach, statistics.fmean(values) + reach


def paired_difference(
    ours: Mapping[int, float], theirs: Mapping[int, float], on: str = "metrics"
) -> PairedDifference | None:
    """Says how far one network is ahead of another, by the seeds that both have; None if these are fewer than two.

    Example:
        >>> paired_difference({1: 0.9, 2: 0.8, 3: 0.9}, {1: 0.7, 2: 0.6, 3: 0.7}).verdict
        'better'
    """
    shared = sorted(set(ours) & set(theirs))
    if len(shared) < 2:
        return None
    differences = [ours[seed] - theirs[seed] for seed in shared]
    return PairedDifference(statistics.fmean(differences), *t_interval(differences), len(shared), on)
