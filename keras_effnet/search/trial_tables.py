"""What came out of a search, as text for a terminal; the report says the same in the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from keras_effnet.report.text import NOTHING, short

TRIPLE = ("alpha", "beta", "gamma")
SHOWN = 5  # candidates or points of a front, where there are no finalists to show
COSTS = {"macs": "MACs", "params": "parameters", "activations": "activations", "latency_ms": "ms"}


def format_coefficients(summary: Mapping[str, Any]) -> str:
    """The outcome of a search for coefficients.

    Args:
        summary: as result.json holds it.
    """
    lines = [*story(summary), progress(summary), ""]
    finalists = summary.get("finalists") or []
    measure = f"x {cost_name(summary['measure'])}"
    head = f"{'alpha':>7}{'beta':>7}{'gamma':>7}{measure:>14}"
    if finalists:
        lines.append(f"{head}{metric_name(summary) + ', mean':>28}{'+- sd':>9}{'seeds':>7}")
        for each in finalists:
            mark = f"  {label}" if (label := finalist_label(summary, each)) else ""
            sd = NOTHING if each["sd"] is None else digits(each["sd"])
            lines.append(f"{_triple(summary, each)}{digits(each['mean']):>28}{sd:>9}{len(each['metrics']):>7}{mark}")
    elif best := _best_first(summary["candidates"], "metric")[:SHOWN]:
        lines.append(f"{head}{metric_name(summary):>28}{'steps':>9}")
        lines += [f"{_triple(summary, each)}{digits(each['metric']):>28}{each['steps']:>9,}" for each in best]
    if summary.get("rule"):
        lines += ["", f"{'Winner' if summary['finished'] else 'Best so far'}: {summary['rule']}"]
    if text := comparison(summary):
        lines.append(text)
    return "\n".join(lines)


def format_architecture(summary: Mapping[str, Any]) -> str:
    """The outcome of a search for an architecture.

    Args:
        summary: as result.json holds it.
    """
    lines = [*story(summary), progress(summary)]
    by_key = {each["key"]: each for each in summary["candidates"]}
    best = by_key.get(summary.get("best") or "")
    if best is not None:
        title = "Best" if summary["finished"] else "Best so far"
        lines += ["", f"{title} (trial {best['number']}): {outcome(summary, best)}"]
        lines += [f"  {stage:<12}{text}" for stage, text in by_stage(best["choices"]).items()]
    front = [by_key[key] for key in summary.get("front") or () if key in by_key]
    if front:
        cost = summary["reward"]["cost"]
        lines += ["", f"Pareto front:{cost_name(cost):>14}{metric_name(summary):>24}{'trial':>8}"]
        lines += [
            f"{short_cost(each['cost'][cost]):>27}{digits(each['metric']):>24}{each['number']:>8}" for each in front
        ]
    return "\n".join(lines)


def story(summary: Mapping[str, Any]) -> list[str]:
    """What was searched for, in two sentences."""
    if summary["search"] == "coefficients":
        base, measure = summary["base"], cost_name(summary["measure"])
        triples = sum(len(each["triples"]) for each in summary["candidates"])
        return [
            f"{base['name']}, {base['resolution']} px: {short(base['params'])} parameters, {short(base['macs'])} MACs.",
            f"{len(summary['candidates'])} networks, of {triples} triples, cost {summary['factor']:g} times its "
            f"{measure}, within {summary['tolerance']:.0%}.",
        ]
    reward, size = summary["reward"], summary["space"].get("size")
    among = "" if size is None else f" among {size:.3g} networks"
    most = (summary.get("limits") or {}).get("most") or {}
    limits = "".join(f", of at most {short_cost(limit)} {cost_name(name)}" for name, limit in most.items())
    return [f"{summary['method'].capitalize()}{among}{limits}.", f"What is maximised: {_maximised(summary, reward)}."]


def _maximised(summary: Mapping[str, Any], reward: Mapping[str, Any]) -> str:
    exponent, over = reward["exponent"], reward.get("over")
    if not exponent and not over:
        return metric_name(summary)
    beyond = "" if over in (None, exponent) else f", {over:g} where it costs more"
    share = f"({cost_name(reward['cost'])} / {short_cost(reward['target'])})"
    return f"{metric_name(summary)} x {share}^w, w = {exponent:g}{beyond}"


def progress(summary: Mapping[str, Any]) -> str:
    """How far the search is, and what it took."""
    trials, work = summary["trials"], summary.get("trial_seconds")
    of_work = "" if work is None else f" in {duration(work)} of trials"
    took = f"{trials['failed']:,} failed; {summary['steps']:,} steps of training{of_work}, "
    took += f"{duration(summary['seconds'])} since the last start"
    if not summary["finished"]:
        of = f" of about {trials['total']:,}" if trials.get("total") else ""
        return f"Still running: {trials['done']:,}{of} trials done, {trials['running']:,} at work, {took}."
    grid = summary.get("grid_steps")
    return f"{trials['done']:,} trials done, {took}{f'; the plain grid: {grid:,} steps' if grid else ''}."


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    Example:
        >>> duration(3725.4)
        '1:02:05'
    """
    return str(timedelta(seconds=round(seconds)))


def comparison(summary: Mapping[str, Any]) -> str:
    """Whether the winner is really better than the paper's constants; nothing where that is not known."""
    found = summary.get("difference")
    if found is None:
        is_paper = any(each["key"] == summary.get("winner") for each in papers(summary))
        return "That is the network of the paper's constants." if is_paper else ""
    where = "test images, " if found.get("on") == "test" else ""
    interval = f"{found['confidence']:.0%} interval {found['low']:+.4f} to {found['high']:+.4f}"
    seeds = f"{where}{found['seeds']} seeds"
    told = f"{found['mean']:+.4f}, {interval}: {found['verdict']}."
    return f"Against the paper's constants at the same cost ({seeds}): {told}"


def finalist_label(summary: Mapping[str, Any], finalist: Mapping[str, Any]) -> str:
    """What is special about a finalist: "winner", "the paper's", both or nothing."""
    labels = ["winner"] if finalist["key"] == summary.get("winner") else []
    return ", ".join(labels + (["the paper's"] if finalist["label"] == "paper" else []))


def papers(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The network of the paper's constants among the finalists, if it is there."""
    return [each for each in summary.get("finalists") or () if each["label"] == "paper"]


def ratio_text(summary: Mapping[str, Any], candidate: Mapping[str, Any]) -> str:
    """How many times the base's cost a network has."""
    ratio = ratio_of(summary, candidate)
    return NOTHING if ratio is None else f"{ratio:.3f}"


def ratio_of(summary: Mapping[str, Any], candidate: Mapping[str, Any]) -> float | None:
    """Its cost, with that of the base as 1; None where the base's is not known, as a latency may be."""
    base = summary["base"].get(summary["measure"])
    return candidate.get("ratio") or (candidate["cost"][summary["measure"]] / base if base else None)


def metric_name(summary: Mapping[str, Any]) -> str:
    """What the metric is called."""
    return summary.get("metric") or "metric"


def cost_name(name: str) -> str:
    """What a cost is called."""
    return COSTS.get(name, name)


def short_cost(cost: float) -> str:
    """A count of millions as "12.3 M", milliseconds as they are."""
    return short(cost) if cost >= 1000 else f"{cost:.4g}"


def digits(number: float | None) -> str:
    """A metric or what is made of it: four decimals for an accuracy, five digits for what is larger."""
    if number is None:
        return NOTHING
    return f"{number:.4f}" if abs(number) < 10 else f"{number:.5g}"


def outcome(summary: Mapping[str, Any], candidate: Mapping[str, Any]) -> str:
    """Metric, cost and value of a candidate of an architecture search."""
    reward = summary["reward"]
    cost = candidate["cost"][reward["cost"]]
    return (
        f"{metric_name(summary)} {digits(candidate['metric'])}, {short_cost(cost)} {cost_name(reward['cost'])} "
        f"({cost / reward['target']:.0%} of the target), reward {digits(candidate['value'])}"
    )


def by_stage(choices: Mapping[str, Any]) -> dict[str, str]:
    """`{"stage1.kernel": 5, "stage1.expand": 6}` as `{"stage1": "kernel 5, expand 6"}`."""
    found: dict[str, list[str]] = {}
    for name, value in choices.items():
        stage, _, choice = name.rpartition(".")
        found.setdefault(stage, []).append(f"{choice} {choice_text(value)}")
    return {stage: ", ".join(parts) for stage, parts in found.items()}


def choice_text(value: Any) -> str:
    """A choice in few letters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _triple(summary: Mapping[str, Any], candidate: Mapping[str, Any]) -> str:
    alpha, beta, gamma = (candidate["choices"][name] for name in TRIPLE)
    return f"{alpha:>7.4g}{beta:>7.4g}{gamma:>7.4g}{ratio_text(summary, candidate):>14}"


def _best_first(candidates: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """Those that have been trained the longest first, of these the best first."""
    trained = [each for each in candidates if each.get(name) is not None]
    return sorted(trained, key=lambda each: (-each.get("steps", 0), -each[name]))
