"""The search for a budget in milliseconds: predict, build, time, correct, and search again."""

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

# Networks that one search may build; each is chosen with the timings of those before it.
MAX_BUILDS = 5
# The share of the limit at which the search ends: two timings of one network differ by more than the rest.
CLOSE_LATENCY = 0.95


def fit_latency(
    fit: Callable[[Callable[[BackboneSpec], Mapping[str, float]]], BackboneSpec],
    meter: Callable[[BackboneSpec], Mapping[str, float]],
    limit: float,
    channels: int,
    classes: int,
    engine: str,
) -> BackboneSpec:
    """Searches by predicted times, times the result, corrects the prediction by it, and searches again.

    Args:
        fit: search for the largest network under all limits, given a function from a spec to its measures by name.
        meter: function from a spec to its counted measures, by name.
        limit: longest time for one image, in milliseconds, above 0.
        channels: channels of the image.
        classes: number of classes.
        engine: what runs the network, as in `measure_latency`.

    Returns:
        The slowest of the timed networks that met the limit.

    Raises:
        BudgetError: none met it.
    """
    table = calibrate_latency(engine=engine)
    correction, best, fastest = 1.0, None, math.inf
    tried: set[BackboneSpec] = set()

    def estimate(spec: BackboneSpec) -> float:
        return table.estimate(read_work(spec, channels, classes, deployed=engine != "keras"))

    best_time = 0.0
    for _ in range(MAX_BUILDS):

        def predict(spec: BackboneSpec, correction: float = correction) -> Mapping[str, float]:
            return {**meter(spec), "latency_ms": correction * estimate(spec)}

        candidate = fit(predict)
        if candidate in tried:
            break
        tried.add(candidate)
        found = measure_latency(candidate, channels=channels, classes=classes, engine=engine).median_ms
        logger.info("%d px, %d blocks: %.2f ms of %.2f", candidate.resolution, candidate.depth, found, limit)
        fastest = min(fastest, found)
        if best_time < found <= limit:
            best, best_time = candidate, found
        if CLOSE_LATENCY * limit <= found <= limit:
            break
        correction = found / estimate(candidate)
        # A margin after a network that was too slow, so that the next is not too slow by a hair.
        correction *= 1.02 if found > limit else 1.0
    if best is None:
        raise BudgetError(
            f"none of the {len(tried)} networks that were built and timed met `latency_ms`; the fastest took "
            f"{fastest:.3g} ms. Raise the limit, or wait until the machine is idle.",
            received=f"latency_ms={limit}",
        )
    return best
