"""The search for a budget in milliseconds: foretell, build, time, correct, and search again."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

from keras_effnet.errors import BudgetError
from keras_effnet.latency.table import calibrate_latency
from keras_effnet.latency.timing import measure_latency
from keras_effnet.latency.work import read_work
from keras_effnet.spec import BackboneSpec

logger = logging.getLogger(__name__)

# Builds that a search may take; each is told by the ones before it.
MAX_BUILDS = 5
# The share of a limit in milliseconds at which a search is content: two timings differ by more than what is left.
CLOSE_LATENCY = 0.95


def fit_latency(
    fit: Callable[[Callable[[BackboneSpec], Mapping[str, float]]], BackboneSpec],
    count: Callable[[BackboneSpec], Mapping[str, float]],
    limit: float,
    channels: int,
    classes: int,
) -> BackboneSpec:
    """Searches with foretold times, measures what comes out, corrects the foretelling by it, and searches again.

    Args:
        fit: the search, which takes what measures a spec.
        count: what is counted of a spec.
        limit: milliseconds.
        channels: of the image.
        classes: of the classifier.

    Returns:
        The slowest network measured at or under the limit.

    Raises:
        BudgetError: none of those built was.
    """
    table = calibrate_latency()
    correction, best, fastest = 1.0, None, math.inf
    tried: set[BackboneSpec] = set()
    best_time = 0.0
    for _ in range(MAX_BUILDS):

        def measure(spec: BackboneSpec, correction: float = correction) -> Mapping[str, float]:
            return {**count(spec), "latency_ms": correction * table.estimate(read_work(spec, channels, classes))}

        candidate = fit(measure)
        if candidate in tried:
            break
        tried.add(candidate)
        found = measure_latency(candidate, channels=channels, classes=classes).median_ms
        logger.info("%d px, %d blocks: %.2f ms of %.2f", candidate.resolution, candidate.depth, found, limit)
        fastest = min(fastest, found)
        if best_time < found <= limit:
            best, best_time = candidate, found
        if CLOSE_LATENCY * limit <= found <= limit:
            break
        correction = found / table.estimate(read_work(candidate, channels, classes))
        # A little more where it was too slow, so that the next one is not so by a hair.
        correction *= 1.02 if found > limit else 1.0
    if best is None:
        raise BudgetError(
            f"none of the {len(tried)} networks that were built and timed met `latency_ms`; the fastest took "
            f"{fastest:.3g} ms. Raise the limit, or wait until the machine is idle.",
            received=f"latency_ms={limit}",
        )
    return best
