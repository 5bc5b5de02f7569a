"""What a search says, as report.html and on a terminal: what was asked, what came out, and whether it is chance.

Plots are so narrow that a phone shows their text. What they leave out of the trials, optuna-dashboard draws.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_effnet.atomic import atomic_write, folder_lock
from keras_effnet.intervals import CONFIDENCE
from keras_effnet.measures import MEASURES
from keras_effnet.report.curves import as_png
from keras_effnet.report.html import cards, element, page, section, settings
from keras_effnet.report.parts import Part
from keras_effnet.report.text import NOTHING, count, digits, duration, json_text, short
from keras_effnet.search.candidates import Choice, Trial
from keras_effnet.search.records import NOT_LEARNED, ArchitectureSummary, CoefficientSummary, GridNetwork, Summary

REFRESH = 30  # seconds between two readings of the page of a running search
SHOWN = 6  # rows of the table of all networks on a terminal
Row = tuple[str, ...]

WIDTH, DPI = 4.8, 160  # inches, dots per inch: at 330 px, as a phone shows it, 10 points are 10 px
# Told apart by people who see few colours, and in gray: viridis for values, and for the winner the vermilion of Okabe
# and Ito's palette (Color Universal Design, 2008; the value as the R packages colorblindr and see have it).
WINNER, PAPER = "#d55e00", "#000000"
COLOURS = "viridis"
EMPTY = "0.9"
STRIP = 0.3  # inches, least width of a strip that a number fits into


def write_search_report(summary: Summary, trials: Sequence[Trial], output: Path) -> None:
    """Writes result.json, report.html, and its plots as PNG files."""
    plots = search_plots(summary, trials)
    files = {f"{each.name}.png": each.image for each in plots if each.image}
    files["report.html"] = search_page(summary, trials, plots)
    files["result.json"] = json_text(summary.to_dict()).encode()
    with folder_lock(output):  # another host may report on the same search
        for name, content in files.items():
            atomic_write(output / name, lambda path, content=content: path.write_bytes(content))


def search_page(summary: Summary, trials: Sequence[Trial], plots: Sequence[Part]) -> bytes:
    """Makes the page."""
    grid = isinstance(summary, CoefficientSummary)
    title = f"Coefficients for {summary.base['name']}" if grid else "Search for an architecture"
    again = f" This page reloads every {REFRESH} seconds. If the search is stopped, the same command continues it."
    running = [] if summary.finished else [Part("Not finished", "running", progress(summary) + again)]
    numbers = {
        f"best {summary.metric}": digits(_mean(summary.winning_metrics()[0])),
        "trials done": count(summary.trials["done"]),
        "failed": count(summary.trials["failed"]),
        "training steps": short(summary.steps),
        **({"steps of the plain grid": short(summary.grid_steps)} if grid else {}),
        "since the last start": duration(summary.seconds),
    }
    ours = "Every trial with its choices, history, parallel coordinates, importances and Pareto front, by Optuna:"
    code = element("pre", f"pip install optuna-dashboard\noptuna-dashboard {summary.storage}", class_="wrap")
    ends = {"retried": "tried again", "failed": "given up"}
    ended = [trial for trial in trials if trial.state in ends]
    rows = [(f"{trial.number}, {ends[trial.state]}", trial.error or "no reason is known") for trial in ended]
    text = "A trial that fails is tried again, as often as the search allows, and then given up. The others go on."
    made = {"seed": summary.seed, "data": summary.data, **summary.versions}
    return page(
        title,
        element("h1", title),
        element("p", " ".join(story(summary)), class_="soft"),
        cards(numbers),
        [each.to_html() for each in (*running, *_results(summary), *plots, _networks(summary))],
        section("All trials in Optuna", "optuna", element("p", ours, class_="soft"), code),
        Part("Failed trials", "failed", text if rows else "None.", (), rows).to_html(),
        section("Made by", "origin", element("pre", summary.command, class_="wrap"), settings(made)),
        refresh=None if summary.finished else REFRESH,
    )


def format_search(summary: Summary) -> str:
    """Text of a search, for a terminal."""
    networks = _networks(summary)
    parts = [*_results(summary), replace(networks, rows=networks.rows[:SHOWN])]
    head = "\n".join((*story(summary), progress(summary)))
    return "\n\n".join((head, *(each.to_text() for each in parts)))


def _results(summary: Summary) -> list[Part]:
    """What came out, without a winner if nothing has been learned."""
    parts = _grid_results(summary) if isinstance(summary, CoefficientSummary) else _space_results(summary)
    if summary.learned:
        return parts
    text = (
        f"Verdict: {NOT_LEARNED}. The best network's {summary.metric}, {digits(_mean(summary.winning_metrics()[0]))}, "
        f"is not above chance ({digits(summary.chance)}) at {CONFIDENCE:.0%} confidence."
    )
    return [Part("Nothing learned yet", "chance", text), *parts[1:]]


def _grid_results(summary: CoefficientSummary) -> list[Part]:
    """The winner, and the finalists with their further seeds."""
    if not summary.rule:
        return []
    title = "The winner, to paste" if summary.finished else "The best so far"
    code = f"from keras_effnet.scaling import Compound\n\nrule = {summary.rule}"
    winner, measure = Part(title, "winner", comparison(summary), code=code), summary.measure
    if not summary.finalists:
        return [winner]
    header = ("alpha / beta / gamma", f"mean {summary.metric}", "\N{PLUS-MINUS SIGN} sd", "on the test images", "")
    header += (f"{MEASURES[measure].label} / base", "seeds")
    rows = []
    for each in summary.finalists:
        labels = {"winner": each.key == summary.winner and summary.learned, "the paper's": each.label == "paper"}
        numbers = (digits(number) for number in (each.mean, each.sd, _mean(each.test.values())))
        cost = f"{each.cost[measure] / summary.base[measure]:.3f}"
        said = ", ".join(label for label, holds in labels.items() if holds)
        rows.append((triple(each.choices), *numbers, said, cost, str(len(each.metrics))))
    text = f"Trained anew to the end, all with the same seeds, none of which helped to choose them: {summary.metric}."
    return [winner, Part("Is it really better?", "compared", text, header, _with_chance(summary, header, rows))]


def _space_results(summary: ArchitectureSummary) -> list[Part]:
    """The network of the largest reward, and those on the Pareto front."""
    by_key, name = {each.key: each for each in summary.candidates}, summary.reward["cost"]
    best, label = by_key.get(summary.best or ""), MEASURES[name].label
    if best is None:
        return []
    text = (
        f"{summary.metric} {digits(best.metric)}, {short(best.cost[name])} {label} "
        f"({best.cost[name] / summary.reward['target']:.0%} of the target), reward {digits(best.value)}"
    )
    title = "The largest reward" if summary.finished else "The largest reward so far"
    header = (label, summary.metric, "reward", "trial", "network")
    rows = [
        (short(each.cost[name]), digits(each.metric), digits(each.value), str(each.number), each.key)
        for each in map(by_key.__getitem__, summary.front)
    ]
    front = _with_chance(summary, header, rows)
    return [
        Part(title, "best", text, code=summary.table or ""),
        Part("Networks on the front", "pareto", "No other network is better and cheaper.", header, front),
    ]


def _networks(summary: Summary) -> Part:
    """All networks: the longest trained first, or the largest reward first."""
    rows: list[Row]
    if isinstance(summary, CoefficientSummary):
        text = "Those trained the longest first: a metric says little beside one of more steps."
        header = ("alpha / beta / gamma", summary.metric, "steps", f"{MEASURES[summary.measure].label} / base", "px")
        header += ("depths", "widths", "MACs", "parameters", "triples", "network")
        rows = [
            (triple(each.choices), digits(each.metric), count(each.steps), f"{each.ratio:.3f}", str(each.resolution),
             _dashed(each.depths), _dashed(each.widths), short(each.cost["macs"]), short(each.cost["params"]),
             count(len(each.triples)), each.key)
            for each in sorted(summary.candidates, key=lambda each: (-each.steps, -(each.metric or 0.0)))
        ]  # fmt: skip
    else:
        text, cost = "The largest reward first.", summary.reward["cost"]
        header = ("trial", "reward", summary.metric, MEASURES[cost].label, "depths", "widths", "parent", "network")
        rows = [
            (str(each.number), digits(each.value), digits(each.metric), short(each.cost[cost]), _dashed(each.depths),
             _dashed(each.widths), each.parent or NOTHING, each.key)
            for each in sorted(summary.candidates, key=lambda each: (each.value is None, -(each.value or 0.0)))
        ]  # fmt: skip
    return Part("All networks", "candidates", text, header, _with_chance(summary, header, rows))


def _with_chance(summary: Summary, header: Row, rows: list[Row]) -> list[Row]:
    """Rows below one with the chance level in the column of the metric."""
    if summary.chance is None:
        return rows
    level = {at: digits(summary.chance) for at, name in enumerate(header) if name.endswith(summary.metric)}
    return [tuple("chance" if at == 0 else level.get(at, "") for at in range(len(header))), *rows]


def story(summary: Summary) -> list[str]:
    """Says in two or three sentences what is searched."""
    if isinstance(summary, CoefficientSummary):
        base, measure = summary.base, MEASURES[summary.measure].label
        triples = sum(len(each.triples) for each in summary.candidates)
        return [
            f"{base['name']}, {base['resolution']} px: {short(base['params'])} parameters, {short(base['macs'])} MACs.",
            f"{len(summary.candidates)} networks, of {triples} triples, cost {summary.factor:g} times its {measure}, "
            f"within {summary.tolerance:.0%}.",
            *([summary.note] if summary.note else []),
        ]
    limits = "".join(f", of at most {short(limit)} {MEASURES[name].label}" for name, limit in summary.limits.items())
    reward = summary.reward
    exponent, over, maximised = reward["exponent"], reward["over"], summary.metric
    if exponent or over:
        beyond = "" if over in (None, exponent) else f", {over:g} above the target"
        share = f"({MEASURES[reward['cost']].label} / {short(reward['target'])})"
        maximised += f" x {share}^w, w = {exponent:g}{beyond}"
    return [f"{summary.method.capitalize()} among {summary.size:.3g} networks{limits}.", f"Maximised: {maximised}."]


def progress(summary: Summary) -> str:
    """Says how far the search is, and what it took."""
    trials = summary.trials
    took = f"{trials['failed']:,} failed; {summary.steps:,} training steps in {duration(summary.trial_seconds)} "
    took += f"of trials, {duration(summary.seconds)} since the last start"
    if not summary.finished:
        counts = f"{trials['done']:,} of about {trials['total']:,} trials done, {trials['running']:,} at work"
        return f"Still running: {counts}, {took}."
    grid = f"; the plain grid: {summary.grid_steps:,} steps" if isinstance(summary, CoefficientSummary) else ""
    return f"{trials['done']:,} trials done, {took}{grid}."


def comparison(summary: CoefficientSummary) -> str:
    """Says whether the winner is really better than the paper's constants; nothing if that is not known."""
    found = summary.difference
    if found is None:
        papers = {each.key for each in summary.finalists if each.label == "paper"}
        return "That is the network of the paper's constants." if summary.winner in papers else ""
    where = "test images, " if found.on == "test" else ""
    return (
        f"Against the paper's constants at the same cost ({where}{found.seeds} seeds): {found.mean:+.4f}, "
        f"{CONFIDENCE:.0%} interval {found.low:+.4f} to {found.high:+.4f}: {found.verdict}."
    )


def triple(choices: Mapping[str, Choice]) -> str:
    """The coefficients of a network as "1.05 / 1.15 / 1.2"."""
    return " / ".join(f"{choices[name]:.4g}" for name in ("alpha", "beta", "gamma"))


def _dashed(sizes: Sequence[int]) -> str:
    return "-".join(map(str, sizes))


def _mean(numbers: Collection[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


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


def _finish(figure: Any, axes: Any, chance: float | None = None) -> bytes:
    if chance is not None:
        axes.axhline(chance, color="0.5", linestyle="--", label="chance")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return as_png(figure, DPI)


def _marked(summary: CoefficientSummary) -> dict[str | None, tuple[str, str]]:
    """Label and colour of the networks that stand out; no winner stands out that has learned nothing."""
    found = {summary.winner: ("winner", WINNER)} if summary.learned else {}
    return found | {each.key: ("the paper's", PAPER) for each in summary.finalists if each.label == "paper"}


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
