"""The images of a search, each from its summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from keras_effnet.search.charts import (
    MAP,
    PAPER,
    WINNER,
    Mark,
    choice_axis,
    colour_bar,
    in_units,
    legend_below,
    new_figure,
    norm_of,
    number_axis,
    parallel,
    png,
    tidy,
)
from keras_effnet.search.plan import Row
from keras_effnet.search.surface import surface
from keras_effnet.search.trial_tables import TRIPLE, choice_text, cost_name, finalist_label, metric_name, papers

MARKERS = "osD^vP"  # a shape for each rung
AXES = 8  # side by side; more would be too narrow for their names


@dataclass(frozen=True)
class Plot:
    """An image of a report.

    Args:
        name: of its file, without the ending.
        title: of its section.
        text: how to read it.
        content: a PNG file.
    """

    name: str
    title: str
    text: str
    content: bytes


def search_images(summary: Mapping[str, Any], rows: Sequence[Row]) -> list[Plot]:
    """All images that there is something to draw for.

    Args:
        summary: as result.json holds it.
        rows: the trials of the search.
    """
    if not any(each.get("metric") is not None for each in summary["candidates"]):
        return []
    if summary["search"] == "coefficients":
        return _coefficient_images(summary, rows)
    return _architecture_images(summary)


def _coefficient_images(summary: Mapping[str, Any], rows: Sequence[Row]) -> list[Plot]:
    cost, metric = cost_name(summary["measure"]), metric_name(summary)
    first = first_metrics(summary, rows)
    found = [
        Plot(
            "surface",
            "The surface",
            f"The cost ties the three coefficients together, so that two are free: a cell for each depth (alpha) and "
            f"resolution (gamma), and in it the width (beta) that makes up the cost. Its colour is the {metric} after "
            f"{summary['rungs'][0]:,} steps, which all networks have; a dot for each rung that it climbed from there. "
            f"Triples that round to one network share its colour. Gray: not trained.",
            png(surface(summary, first)),
        ),
        Plot(
            "cost",
            f"{metric.capitalize()} against {cost}",
            "A point for each network, at its highest rung; finalists with mean and standard deviation over "
            "seeds. The band is the cost that was asked for.",
            png(_cost_of_coefficients(summary)),
        ),
        Plot(
            "ladder",
            "The halving ladder",
            "A line for each network. It ends where the network was not among the best of its rung.",
            png(_ladder(summary, rows)),
        ),
        Plot(
            "parallel",
            "Choices side by side",
            f"A line for each network, coloured by its {metric} after {summary['rungs'][0]:,} steps, the best on top.",
            png(_parallel_coefficients(summary, first)),
        ),
    ]
    if summary.get("finalists"):
        text = "A dot for each seed, a bar for their mean. None of these seeds took part in choosing the finalists."
        found.insert(0, Plot("finalists", "Finalists", text, png(_finalists(summary))))
    return found


def _architecture_images(summary: Mapping[str, Any]) -> list[Plot]:
    cost, metric = cost_name(summary["reward"]["cost"]), metric_name(summary)
    return [
        Plot(
            "cost",
            f"{metric.capitalize()} against {cost}",
            "A point for each network, coloured by its reward. No network is better and cheaper than one on the front.",
            png(_cost_of_architectures(summary)),
        ),
        Plot(
            "progress",
            "Best so far",
            "The reward of each trial in the order in which they started, and the best until then.",
            png(_progress(summary)),
        ),
        Plot(
            "parallel",
            "Choices side by side",
            "A line for each network, coloured by its reward, the best on top. What is the same in all is left out.",
            png(_parallel_architectures(summary)),
        ),
    ]


def _trained(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in summary["candidates"] if each.get("metric") is not None]


def _cost_of_coefficients(summary: Mapping[str, Any]) -> Any:
    from matplotlib import colormaps

    figure = new_figure(4.4)
    axes, measure, rungs = figure.subplots(), summary["measure"], summary["rungs"]
    trained = _trained(summary)
    goal = trained[0]["cost"][measure] / trained[0]["ratio"] * summary["factor"]
    band = ((1 - summary["tolerance"]) * goal, (1 + summary["tolerance"]) * goal)
    axes.axvspan(*band, color="0.93", zorder=0, label="asked for")
    for rung, steps in enumerate(rungs):
        here = [each for each in trained if each["rung"] == rung]
        axes.scatter(
            [each["cost"][measure] for each in here], [each["metric"] for each in here], s=26, alpha=0.8,
            marker=MARKERS[rung % len(MARKERS)], color=colormaps[MAP](0.85 * (1 - rung / max(len(rungs) - 1, 1))),
            edgecolors="white", linewidths=0.4, label=f"{steps:,} steps" if here else None,
        )  # fmt: skip
    for each in summary.get("finalists") or ():
        chosen, theirs = each["key"] == summary.get("winner"), each["label"] == "paper"
        name = "winner, over seeds" if chosen else "the paper's, over seeds" if theirs else "finalist, over seeds"
        known = axes.get_legend_handles_labels()[1]
        axes.errorbar(
            each["cost"][measure], each["mean"], yerr=each["sd"] or 0.0, fmt="*" if chosen else "X" if theirs else "P",
            color=WINNER if chosen else PAPER if theirs else "0.35", markersize=14 if chosen else 10, capsize=4,
            elinewidth=1.6, markeredgecolor="white", zorder=4, label=None if name in known else name,
        )  # fmt: skip
    _label_cost(axes, measure, metric_name(summary))
    legend_below(figure, axes)
    return figure


def _label_cost(axes: Any, cost: str, metric: str) -> None:
    units = {"latency_ms": "milliseconds an image", "macs": "MACs an image"}
    axes.set(xlabel=units.get(cost, cost_name(cost)), ylabel=metric)
    in_units(axes.xaxis)
    axes.margins(x=0.06, y=0.08)
    tidy(axes)


def _ladder(summary: Mapping[str, Any], rows: Sequence[Row]) -> Any:
    from matplotlib import colormaps

    figure = new_figure(4.4)
    axes, rungs, curves = figure.subplots(), summary["rungs"], ladder_curves(rows, summary["seed"])
    top = {key: sum(steps <= max(curve) for steps in rungs) - 1 for key, curve in curves.items()}
    names = {summary.get("winner"): ("winner", WINNER)}
    names |= {each["key"]: ("the paper's", PAPER) for each in papers(summary)}
    for key, curve in sorted(curves.items(), key=lambda item: (item[0] in names, top[item[0]])):
        name, colour = names.get(key, (None, colormaps[MAP](0.85 * (1 - top[key] / max(len(rungs) - 1, 1)))))
        steps = sorted(curve)
        strong = {"linewidth": 2.2, "alpha": 1} if name else {"linewidth": 1, "alpha": 0.7}
        axes.plot(steps, [curve[step] for step in steps], color=colour, label=name, **strong)
        axes.plot(steps[-1], curve[steps[-1]], "o", color=colour, markersize=4)
    for number, steps in enumerate(rungs):
        axes.axvline(steps, color="0.6", linewidth=1, linestyle="--", zorder=0)
        count = sum(steps in curve for curve in curves.values())
        axes.annotate(
            f"rung {number + 1}: {count}", (steps, 1), xycoords=("data", "axes fraction"), xytext=(-3, 4),
            textcoords="offset points", ha="right", fontsize=8, color="0.35",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(rungs, [f"{steps:,}" for steps in rungs])
    axes.minorticks_off()
    axes.set(xlabel="steps of training", ylabel=metric_name(summary))
    tidy(axes)
    legend_below(figure, axes)
    return figure


def ladder_curves(rows: Sequence[Row], seed: int) -> dict[str, dict[int, float]]:
    """The metric of each candidate after so many steps, over all rungs, trained with the search's own seed."""
    curves: dict[str, dict[int, float]] = {}
    done = [row for row in rows if row.state == "done" and row.job is not None and row.job.seed == seed]
    for row in sorted(done, key=lambda row: row.job.steps if row.job else 0):
        if row.job is not None and row.metric is not None:
            curves.setdefault(row.job.key, {}).update({**row.curve, row.job.steps: row.metric})
    return curves


def first_metrics(summary: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, float]:
    """The metric at the first rung: what can be compared between all candidates, as they have equally many steps."""
    first, curves = summary["rungs"][0], ladder_curves(rows, summary["seed"])
    return {key: curve[first] for key, curve in curves.items() if first in curve}


def _finalists(summary: Mapping[str, Any]) -> Any:
    finalists = summary["finalists"]
    figure = new_figure(1.1 + 0.5 * len(finalists))
    axes = figure.subplots()
    for place, each in enumerate(finalists):
        paper, chosen = each["label"] == "paper", each["key"] == summary.get("winner")
        colour = WINNER if chosen else PAPER if paper else "0.45"
        values = list(each["metrics"].values())
        axes.scatter(values, [place] * len(values), color=colour, alpha=0.6, s=36, edgecolors="white", linewidths=0.6)
        axes.plot([each["mean"]] * 2, [place - 0.3, place + 0.3], color=colour, linewidth=2.4)
    names = []
    for each in finalists:
        triple = " / ".join(choice_text(each["choices"][name]) for name in TRIPLE)
        label = finalist_label(summary, each)
        names.append(f"{triple}\n{label}" if label else triple)
    axes.set_yticks(range(len(finalists)), names)
    axes.set(xlabel=metric_name(summary), ylabel="alpha / beta / gamma", ylim=(len(finalists) - 0.4, -0.6))
    tidy(axes)
    return figure


def _parallel_coefficients(summary: Mapping[str, Any], first: Mapping[str, float]) -> Any:
    candidates, metric, rungs = summary["candidates"], metric_name(summary), summary["rungs"]
    values = [first.get(each["key"]) for each in candidates]
    axes = [number_axis(name, [each["choices"][name] for each in candidates]) for name in TRIPLE]
    axes.append(number_axis(f"{cost_name(summary['measure'])} / base", [each["ratio"] for each in candidates]))
    label = f"{metric} after {rungs[0]:,} steps"
    axes.append(number_axis(f"{metric},\n{rungs[0]:,} steps", values))
    if len(rungs) > 1:
        axes.append(number_axis(f"{metric},\nhighest rung", [each["metric"] for each in candidates]))
    theirs = {each["key"] for each in papers(summary)}
    marks = [Mark(number, "the paper's", PAPER) for number, each in enumerate(candidates) if each["key"] in theirs]
    marks += _winner_mark(candidates, summary.get("winner"), "winner")
    return parallel({"": axes}, values, label, marks)


def _winner_mark(candidates: Sequence[Mapping[str, Any]], key: str | None, label: str) -> list[Mark]:
    return [Mark(number, label, WINNER) for number, each in enumerate(candidates) if each["key"] == key][:1]


def _cost_of_architectures(summary: Mapping[str, Any]) -> Any:
    figure = new_figure(4.4)
    axes, trained = figure.subplots(), _trained(summary)
    cost, target = summary["reward"]["cost"], summary["reward"]["target"]
    by_key = {each["key"]: each for each in trained}
    norm = norm_of([each["value"] for each in trained])
    axes.scatter(
        [each["cost"][cost] for each in trained], [each["metric"] for each in trained],
        c=[each["value"] for each in trained], cmap=MAP, norm=norm, s=24, edgecolors="white", linewidths=0.4,
    )  # fmt: skip
    front = [by_key[key] for key in summary.get("front") or () if key in by_key]
    if front:
        across, up = [each["cost"][cost] for each in front], [each["metric"] for each in front]
        axes.step(across, up, where="post", color="0.25", linewidth=1.4, zorder=3, label="Pareto front")
        axes.scatter(across, up, s=46, facecolors="none", edgecolors="0.25", zorder=3)
    axes.axvline(target, color="0.4", linestyle="--", linewidth=1.2, zorder=0, label="target")
    best = by_key.get(summary.get("best") or "")
    if best is not None:
        style = {"markersize": 15, "markeredgecolor": "white", "linestyle": "", "zorder": 4}
        axes.plot(best["cost"][cost], best["metric"], marker="*", color=WINNER, label="largest reward", **style)
    _label_cost(axes, cost, metric_name(summary))
    colour_bar(figure, axes, norm, "reward")
    legend_below(figure, axes)
    return figure


def _progress(summary: Mapping[str, Any]) -> Any:
    figure = new_figure(3.8)
    axes, trained = figure.subplots(), _trained(summary)
    numbers, values = [each["number"] for each in trained], [each["value"] for each in trained]
    generations = [each["generation"] for each in trained if each.get("generation") is not None]
    style: dict[str, Any] = {"color": "0.55"}
    if len(generations) == len(trained) and len(set(generations)) > 1:
        norm = norm_of(generations)
        style = {"c": generations, "cmap": MAP, "norm": norm}
        colour_bar(figure, axes, norm, "generation", whole=True)
    axes.scatter(numbers, values, s=18, alpha=0.85, label="a trial", edgecolors="white", linewidths=0.3, **style)
    found: list[list[float]] = summary.get("best_so_far") or []
    if found:
        best = [*found, [max(numbers), found[-1][1]]]
        axes.step(*zip(*best, strict=True), where="post", color=WINNER, linewidth=1.8, label="best so far", zorder=3)
    axes.set(xlabel="trial", ylabel="reward")
    tidy(axes)
    legend_below(figure, axes)
    return figure


def _parallel_architectures(summary: Mapping[str, Any]) -> Any:
    candidates = summary["candidates"]
    values = [each["value"] for each in candidates]
    panels = {}
    for title, names in choice_groups(candidates).items():
        panels[title] = [_choice_axis(candidates, name) for name in names]
        panels[title].append(number_axis("reward", values))
    marks = _winner_mark(candidates, summary.get("best"), "largest reward")
    return parallel(panels or {"": [number_axis("reward", values)]}, values, "reward", marks)


def _choice_axis(candidates: Sequence[Mapping[str, Any]], name: str) -> Any:
    values = [each["choices"].get(name) for each in candidates]
    # Numbers by their size, words by the alphabet.
    known = sorted({value for value in values if value is not None}, key=lambda value: (isinstance(value, str), value))
    return choice_axis(name.rpartition(".")[2], values, {value: choice_text(value) for value in known})


def choice_groups(candidates: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The names of choices that differ, by what stands before their dot, and no more than fit side by side."""
    names = dict.fromkeys(name for each in candidates for name in each["choices"])
    varied = [name for name in names if len({each["choices"].get(name) for each in candidates}) > 1]
    groups: dict[str, list[str]] = {}
    for prefix, found in groupby(varied, key=lambda name: name.rpartition(".")[0]):
        group = list(found)
        for start in range(0, len(group), AXES):
            title = prefix if prefix not in groups else f"{prefix} ({start // AXES + 1})"
            groups[title] = group[start : start + AXES]
    return groups
