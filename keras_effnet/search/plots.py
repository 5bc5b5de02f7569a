"""The plots of a report, all so narrow that a phone shows their text.

History, parallel coordinates and importances are optuna-dashboard's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from keras_effnet.measures import MEASURES
from keras_effnet.report.parts import Part
from keras_effnet.search.candidates import Trial
from keras_effnet.search.records import ArchitectureSummary, CoefficientSummary, GridNetwork, Summary

WIDTH, DPI = 4.8, 160  # inches, dots per inch: at 330 px, as a phone shows it, 10 points are 10 px
# Told apart by people who see few colours, and in gray: viridis for values, and for the winner the vermilion of Okabe
# and Ito's palette (Color Universal Design, 2008; the value as the R packages colorblindr and see have it).
WINNER, PAPER = "#d55e00", "#000000"
COLOURS = "viridis"
EMPTY = "0.9"
STRIP = 0.3  # inches, least width of a strip that a number fits into


def search_plots(summary: Summary, trials: Sequence[Trial]) -> list[Part]:
    """Draws all plots for which there are results."""
    chance = "" if summary.chance is None else f" Dashed: chance, {summary.chance:.4f}."
    if isinstance(summary, ArchitectureSummary):
        text = f"A point for each network. No network is better and cheaper than one on the front.{chance}"
        return [Part("The Pareto front", "front", text, image=_front(summary))] if summary.front else []
    curves, start = metric_curves(trials, summary.seed), summary.rungs[0]
    first = {key: curve[start] for key, curve in curves.items() if start in curve}
    if all(each.metric is None for each in summary.candidates):
        return []
    surface = (
        f"The cost ties the coefficients together: a cell for each depth (alpha) and resolution (gamma) has the width "
        f"(beta) that makes up the cost. The colour is the {summary.metric} after {start:,} steps, which all networks "
        f"have; a dot for each rung that it was promoted from there. Gray: not trained.{chance}"
    )
    halving = f"A line for each network. It ends where the network was not among the best of its rung.{chance}"
    return [
        Part("The surface", "surface", surface, image=_surface(summary, first)),
        Part("Successive halving", "halving", halving, image=_halving(summary, curves)),
    ]


def metric_curves(trials: Sequence[Trial], seed: int) -> dict[str, dict[int, float]]:
    """Metric by number of steps of each candidate, over all rungs, trained with the search's own seed."""
    curves: dict[str, dict[int, float]] = {}
    done = [trial for trial in trials if trial.state == "done" and trial.job.seed == seed]
    for trial in sorted(done, key=lambda trial: trial.job.steps):
        if trial.metric is not None:
            curves.setdefault(trial.job.key, {}).update({**trial.curve, trial.job.steps: trial.metric})
    return curves


def _figure(height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def _png(figure: Any) -> bytes:
    file = BytesIO()
    figure.savefig(file, dpi=DPI, format="png")
    return file.getvalue()


def _finish(figure: Any, axes: Any, chance: float | None = None) -> bytes:
    if chance is not None:
        axes.axhline(chance, color="0.5", linestyle="--", label="chance")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return _png(figure)


def _marked(summary: CoefficientSummary) -> dict[str | None, tuple[str, str]]:
    """Label and colour of the networks that stand out; no winner stands out that has learned nothing."""
    found: dict[str | None, tuple[str, str]] = {}
    if summary.learned and summary.winner is not None:
        found[summary.winner] = ("winner", WINNER)
    return {**found, **{each.key: ("the paper's", PAPER) for each in summary.finalists if each.label == "paper"}}


def _halving(summary: CoefficientSummary, curves: Mapping[str, Mapping[int, float]]) -> bytes:
    from matplotlib import colormaps

    figure = _figure(3.8)
    axes, rungs, marked = figure.subplots(), summary.rungs, _marked(summary)
    top = {key: sum(steps <= max(curve) for steps in rungs) - 1 for key, curve in curves.items()}
    for key, curve in sorted(curves.items(), key=lambda item: (item[0] in marked, top[item[0]])):
        shade = colormaps[COLOURS](0.85 * (1 - top[key] / max(len(rungs) - 1, 1)))
        label, colour = marked.get(key, (None, shade))
        style = {"linewidth": 2.2, "alpha": 1} if label else {"linewidth": 1, "alpha": 0.7}
        steps = sorted(curve)
        axes.plot(steps, [curve[step] for step in steps], color=colour, label=label, **style)
        axes.plot(steps[-1], curve[steps[-1]], "o", color=colour, markersize=4)
    for number, steps in enumerate(rungs):
        axes.axvline(steps, color="0.6", linewidth=1, linestyle=":", zorder=0)
        count = sum(steps in curve for curve in curves.values())
        axes.annotate(
            f"rung {number + 1}: {count}", (steps, 1), xycoords=("data", "axes fraction"), xytext=(-3, 4),
            textcoords="offset points", ha="right", fontsize=8, color="0.35",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(rungs, [f"{steps:,}" for steps in rungs])
    axes.minorticks_off()
    axes.set(xlabel="training steps", ylabel=summary.metric)
    return _finish(figure, axes, summary.chance)


def _front(summary: ArchitectureSummary) -> bytes:
    from matplotlib.ticker import EngFormatter

    figure, cost, target = _figure(3.8), summary.reward["cost"], summary.reward["target"]
    axes, by_key = figure.subplots(), {each.key: each for each in summary.candidates}
    groups = ([each for each in summary.candidates if each.metric is not None], [by_key[key] for key in summary.front])
    (x, y), front = ([[each.cost[cost] for each in group], [each.metric for each in group]] for group in groups)
    axes.scatter(x, y, s=14, color="0.6")
    axes.plot(*front, "o-", color="#440154", markersize=5, linewidth=1)
    axes.axvline(target, color="0.7", linestyle=":", label="target")
    if summary.learned:
        best = by_key[summary.best or ""]
        style = {"markersize": 15, "markeredgecolor": "white", "linestyle": "", "label": "largest reward"}
        axes.plot(best.cost[cost], best.metric, "*", color=WINNER, **style)
    axes.xaxis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))
    axes.set(xlabel=MEASURES[cost].label, ylabel=summary.metric)
    return _finish(figure, axes, summary.chance)


def _surface(summary: CoefficientSummary, metrics: Mapping[str, float]) -> bytes:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    # A cell for each alpha and gamma: its betas are strips of it, rising from left to right.
    cells: dict[tuple[float, float], dict[float, GridNetwork]] = {}
    for network in summary.candidates:
        for triple in network.triples:
            alpha, beta, gamma = (round(value, 6) for value in triple)  # 1.1500000000000001 is 1.15
            cells.setdefault((alpha, gamma), {})[beta] = network
    alphas, gammas = (sorted({cell[axis] for cell in cells}) for axis in (0, 1))
    figure = _figure(min(2.0 + 0.3 * max(len(gammas), 4), 6.0))
    axes = figure.subplots()
    low, high = min(metrics.values(), default=0.0), max(metrics.values(), default=0.0)
    margin = 0.0 if high > low else 0.5 * (abs(low) or 1.0)
    scale: Any = ScalarMappable(Normalize(low - margin, high + margin), COLOURS)
    marked = _marked(summary)
    for (alpha, gamma), betas in cells.items():
        width, y = 1 / len(betas), gammas.index(gamma)
        for number, (beta, network) in enumerate(sorted(betas.items())):
            x = alphas.index(alpha) - 0.5 + (number + 0.5) * width
            colour: Any = scale.to_rgba(metrics[network.key]) if network.key in metrics else EMPTY
            axes.bar(x, 1, width, y - 0.5, color=[colour], edgecolor="white", linewidth=0.8)
            if network.key in marked:
                label, edge = marked.pop(network.key)
                axes.bar(x, 1, width, y - 0.5, fill=False, edgecolor=edge, linewidth=2.6, label=label, zorder=3)
            # The beta where there is room, and a dot for each promotion.
            words = [f"{beta:.4g}"] * (width * (WIDTH - 1.4) / len(alphas) >= STRIP)
            words += ["\N{BULLET}" * network.rung] if network.rung else []
            shade = "black" if colour == EMPTY or sum(colour[:3]) > 1.5 else "white"
            style = {"ha": "center", "va": "center", "fontsize": 7.5, "linespacing": 0.8, "color": shade}
            axes.text(x, y, "\n".join(words), **style)
    some = slice(None, None, -(-len(alphas) // 8))  # names of more would overlap
    axes.set_xticks(range(len(alphas))[some], [f"{value:.4g}" for value in alphas][some])
    axes.set_yticks(range(len(gammas)), [f"{value:.4g}" for value in gammas])
    axes.set(xlabel="alpha (depth)", ylabel="gamma (resolution)")
    axes.set(xlim=(-0.55, len(alphas) - 0.45), ylim=(-0.55, len(gammas) - 0.45))
    bar = figure.colorbar(scale, ax=axes, label=f"{summary.metric} after {summary.rungs[0]:,} steps", aspect=30)
    if summary.chance is not None and low <= summary.chance <= high:
        bar.ax.axhline(summary.chance, color="white", linestyle="--")
    return _finish(figure, axes)
