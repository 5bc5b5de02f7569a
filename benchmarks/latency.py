"""How close `fit_to_budget(latency_ms=...)` comes to its limit, timed again afterwards.

Command: python benchmarks/latency.py
Time: about 2 minutes on 2 cores, on a machine that does nothing else.
Result: results/latency.json and its table in docs/evidence/budget.md.
"""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import patch

from budget import write_page
from measure import save
from tqdm.auto import tqdm

from keras_effnet import fit_to_budget
from keras_effnet.latency import calibrate_latency, measure_latency
from keras_effnet.latency import latency_budget as search

CASES = [(name, limit) for name in ("efficientnet_b0", "mobilenet_v2", "resnet50") for limit in (10.0, 20.0, 50.0)]


def fitted(name: str, limit: float) -> dict[str, Any]:
    """Runs one search, counts the networks it builds, and times its result once more."""
    timed = []

    def counted(*arguments: Any, **options: Any) -> Any:
        timed.append(arguments)
        return measure_latency(*arguments, **options)

    started = time.perf_counter()
    with patch.object(search, "measure_latency", counted):
        spec = fit_to_budget(name, latency_ms=limit)
    seconds = time.perf_counter() - started
    again = measure_latency(spec)
    return {
        "base": name,
        "limit_ms": limit,
        "median_ms": again.median_ms,
        "low_ms": again.low_ms,
        "high_ms": again.high_ms,
        "share": again.median_ms / limit,
        "builds": len(timed),
        "seconds": seconds,
        "resolution": spec.resolution,
        "blocks": spec.depth,
    }


if __name__ == "__main__":
    table = calibrate_latency(again=True)
    rows = [fitted(name, limit) for name, limit in tqdm(CASES, unit="budget")]
    save("latency", "python benchmarks/latency.py", [{**row, "calibration_error": table.error} for row in rows])
    write_page()
