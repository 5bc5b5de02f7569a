"""The measures of a network's size and speed that budgets limit, searches weigh and tables print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType

from keras_effnet.cost import Cost


@dataclass(frozen=True)
class Measure:
    """One number that says how large or how slow a network is.

    Args:
        name: key in results, and the argument of `fit_to_budget` that limits it.
        label: heading in tables and on axes.
        unit: what one of it is, such as "multiply-adds per image".
        of: reads the value from a counted cost; None if the cost does not hold it.

    Example:
        >>> from keras_effnet.cost import estimate_cost
        >>> MEASURES["model_bytes"].of(estimate_cost("efficientnet_b0"))
        21322284
    """

    name: str
    label: str
    unit: str
    of: Callable[[Cost], float] | None = None


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        measure.name: measure
        for measure in (
            Measure("params", "parameters", "weights, trained or not", attrgetter("params")),
            Measure("macs", "MACs", "multiply-adds per image", attrgetter("macs")),
            Measure(
                "activations",
                "activations",
                "outputs of convolutions and dense layers per image",
                attrgetter("activations"),
            ),
            Measure("model_bytes", "model bytes", "bytes of the weights as float32", attrgetter("weight_bytes")),
            Measure("peak_bytes", "peak bytes", "bytes of memory beside the weights while the engine runs one image"),
            Measure("latency_ms", "latency", "milliseconds per image on this machine"),
        )
    }
)
"""Every measure, by name."""

COUNTED: tuple[str, ...] = tuple(name for name, measure in MEASURES.items() if measure.of is not None)
"""Names of the measures that a cost holds: all but latency and the peak of memory."""

WEIGHED: tuple[str, ...] = (*COUNTED, "latency_ms")
"""Names of the measures that a search knows of each network: the counted ones and latency."""


def count(cost: Cost) -> dict[str, float]:
    """Reads every counted measure of a network.

    Args:
        cost: what `estimate_cost` returns.

    Returns:
        The value of each measure in `COUNTED`, by name.

    Example:
        >>> from keras_effnet.cost import estimate_cost
        >>> count(estimate_cost("efficientnet_b0"))["params"]
        5330571
    """
    return {name: measure.of(cost) for name, measure in MEASURES.items() if measure.of is not None}
