"""What a search for a baseline maximises: accuracy, weighed against what it costs.

| source | reward |
|---|---|
| MnasNet, Tan et al. 2019, arXiv:1807.11626, equations 2, 3 | ACC * (LAT / T)^w, w = alpha where LAT <= T, else beta |
| there, the soft constraint | alpha = beta = -0.07 |
| there, the hard constraint | alpha = 0, beta = -1 |
| EfficientNet, Tan and Le 2019, arXiv:1905.11946, section 4 | ACC * (FLOPS / T)^w, w = -0.07, T = 400M |
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from keras_effnet.checks import check_choice, check_number
from keras_effnet.errors import SearchError

MEASURES = ("macs", "params", "activations", "model_bytes")  # what is counted of every candidate
EXPONENT = -0.07  # arXiv:1807.11626, section 3: twice the latency for 5 % more accuracy is worth the same


@dataclass(frozen=True)
class Reward:
    """metric * (cost / target)^w.

    Args:
        target: the cost at which the reward is the metric itself, above 0.
        cost: what is weighed: "macs", "params", "activations" or "model_bytes".
        exponent: w, at most 0; 0 leaves the cost out.
        over: w where the cost is above the target, at most 0; None: the same exponent. `exponent=0, over=-1` is the
            hard constraint: what is below the target is worth its metric alone.

    Raises:
        SearchError: a value outside its range.

    Example:
        >>> reward = Reward(target=400e6)
        >>> reward(0.75, 400e6), round(reward(0.75, 800e6), 4)
        (0.75, 0.7145)
        >>> Reward(target=400e6, exponent=0, over=-1)(0.75, 800e6)
        0.375
    """

    target: float
    cost: str = "macs"
    exponent: float = EXPONENT
    over: float | None = None

    def __post_init__(self) -> None:
        check_number(SearchError, "target", self.target, 0, open_low=True)
        check_choice(SearchError, "cost", self.cost, MEASURES)
        check_number(SearchError, "exponent", self.exponent, float("-inf"), 0)
        if self.over is not None:
            check_number(SearchError, "over", self.over, float("-inf"), 0)

    def __call__(self, metric: float, cost: float) -> float:
        """What a candidate is worth.

        Raises:
            SearchError: the metric is below 0, and a factor below 1 would make it better.
        """
        exponent = self.exponent if cost <= self.target or self.over is None else self.over
        if exponent and metric < 0:
            raise SearchError(
                "a metric is multiplied by a power of the cost, which is meant for values from 0, such as accuracies. "
                "For others put a limit on the cost, and leave it out of the reward with `exponent=0` and no `over`. "
                f"Received: metric={metric!r}, {self!r}"
            )
        return metric * (cost / self.target) ** exponent

    def to_dict(self) -> dict[str, Any]:
        """The reward as JSON holds it."""
        return asdict(self)
