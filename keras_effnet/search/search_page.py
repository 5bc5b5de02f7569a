"""What a search says, as report.html and on a terminal: what was asked, what came out, and whether it is chance."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

from keras_effnet.atomic import atomic_write, folder_lock
from keras_effnet.measures import MEASURES
from keras_effnet.report.html import cards, element, page, section, settings
from keras_effnet.report.parts import Part
from keras_effnet.report.text import NOTHING, count, digits, duration, json_text, short
from keras_effnet.search.candidates import Choice, Trial
from keras_effnet.search.plots import search_plots
from keras_effnet.search.records import NOT_LEARNED, ArchitectureSummary, CoefficientSummary, Summary
from keras_effnet.search.successive_halving import CONFIDENCE

REFRESH = 30  # seconds between two readings of the page of a running search
SHOWN = 6  # rows of the table of all networks on a terminal
Row = tuple[str, ...]


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
    code = f"pip install optuna-dashboard\noptuna-dashboard {summary.storage}"
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
        section("All trials in Optuna", "optuna", element("p", ours, class_="soft"), _wrapped(code)),
        Part("Failed trials", "failed", text if rows else "None.", (), rows).to_html(),
        section("Made by", "origin", _wrapped(summary.command), settings(made)),
        refresh=None if summary.finished else REFRESH,
    )


def format_search(summary: Summary) -> str:
    """Text of a search, for a terminal."""
    networks = _networks(summary)
    parts = [*_results(summary), replace(networks, rows=networks.rows[:SHOWN])]
    head = "\n".join((*story(summary), progress(summary)))
    return "\n\n".join((head, *(each.to_text() for each in parts)))


def _wrapped(code: str) -> Element:
    return element("pre", code, class_="wrap")


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
        labels = ["winner"] * (each.key == summary.winner and summary.learned) + ["the paper's"] * (
            each.label == "paper"
        )
        numbers = (digits(number) for number in (each.mean, each.sd, _mean(each.test.values())))
        cost = f"{each.cost[measure] / summary.base[measure]:.3f}"
        rows.append((triple(each.choices), *numbers, ", ".join(labels), cost, str(len(each.metrics))))
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
        ranked = sorted(summary.candidates, key=lambda each: (-each.steps, -(each.metric or 0.0)))
        rows = [
            (triple(each.choices), digits(each.metric), count(each.steps), f"{each.ratio:.3f}", str(each.resolution),
             _dashed(each.depths), _dashed(each.widths), short(each.cost["macs"]), short(each.cost["params"]),
             count(len(each.triples)), each.key)
            for each in ranked
        ]  # fmt: skip
    else:
        text, cost = "The largest reward first.", summary.reward["cost"]
        header = ("trial", "reward", summary.metric, MEASURES[cost].label, "depths", "widths", "parent", "network")
        networks = sorted(summary.candidates, key=lambda each: (each.value is None, -(each.value or 0.0)))
        rows = [
            (str(each.number), digits(each.value), digits(each.metric), short(each.cost[cost]), _dashed(each.depths),
             _dashed(each.widths), each.parent or NOTHING, each.key)
            for each in networks
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
