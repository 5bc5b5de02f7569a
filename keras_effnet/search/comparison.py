"""Which finalist is best, and whether that is more than chance: the seeds decide.

Finalists and the paper's network are trained with the same seeds, which took no part in choosing the finalists. Two of
them differ, seed by seed, by amounts whose mean has a t-interval (Student 1908; any textbook: paired t). With few seeds
it is wide, and says so.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from keras_effnet.search.candidates import Candidate
from keras_effnet.search.plan import Row, outcomes
from keras_effnet.search.successive_halving import SuccessiveHalving

CONFIDENCE = 0.95


def compare_finalists(plan: SuccessiveHalving, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The candidates trained with the final seeds, the best mean first.

    Args:
        plan: of the search.
        rows: its trials.

    Returns:
        For each "key", "choices", "cost", "label" ("paper" for a reference, else "candidate"), "metrics" and "test" by
        seed, "mean" and "sd" (None for a single seed). Empty where none has finished.
    """
    found: dict[str, dict[str, Any]] = {}
    references = {each.key for each in plan.references}
    for (key, seed, steps), row in outcomes(rows).items():
        if seed not in plan.final_seeds() or steps != plan.rungs[-1] or row.state != "done" or row.job is None:
            continue
        candidate = plan.candidate(row.job.choices)
        label = "paper" if key in references else "candidate"
        entry = found.setdefault(key, {**_described(candidate), "label": label, "metrics": {}, "test": {}})
        entry["metrics"][str(seed)] = row.metric
        if "test_accuracy" in row.notes:
            entry["test"][str(seed)] = row.notes["test_accuracy"]
    for entry in found.values():
        values = list(entry["metrics"].values())
        entry["mean"] = statistics.fmean(values)
        entry["sd"] = statistics.stdev(values) if len(values) > 1 else None
    return sorted(found.values(), key=lambda entry: (-entry["mean"], entry["key"]))


def paired_difference(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, Any] | None:
    """How much larger our numbers are than theirs with the same seeds, and what chance leaves of that.

    Returns:
        "mean", "low" and "high" of the t-interval, "confidence", "seeds", and a "verdict" in words; None where fewer
        than two seeds are shared.

    Example:
        >>> found = paired_difference({"1": 0.8, "2": 0.82, "3": 0.81}, {"1": 0.7, "2": 0.71, "3": 0.72})
        >>> round(found["mean"], 3), round(found["low"], 3), found["verdict"]
        (0.1, 0.075, 'better')
    """
    shared = sorted(set(ours) & set(theirs))
    if len(shared) < 2:
        return None
    from scipy.stats import t

    differences = [ours[seed] - theirs[seed] for seed in shared]
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / len(shared) ** 0.5
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(shared) - 1)) * error
    verdict = "better" if mean > reach else "worse" if mean < -reach else "not told apart"
    return {
        "mean": mean,
        "low": mean - reach,
        "high": mean + reach,
        "confidence": CONFIDENCE,
        "seeds": len(shared),
        "verdict": verdict,
    }


def _described(candidate: Candidate) -> dict[str, Any]:
    return {"key": candidate.key, "choices": dict(candidate.choices), "cost": dict(candidate.cost)}
