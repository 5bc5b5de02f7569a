"""report.html of a search and its text for a terminal: what was asked, what came out, and whether it is chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from keras_effnet.atomic import atomic_write, folder_lock
from keras_effnet.measures import MEASURES
from keras_effnet.report.html import Content, cards, element, page, section, settings, table
from keras_effnet.report.text import NOTHING, count, short
from keras_effnet.report.thumbnails import png_uri
from keras_effnet.search.candidates import Choice, Trial
from keras_effnet.search.plots import SearchPlot, search_plots
from keras_effnet.search.records import (
    NOT_LEARNED,
    ArchitectureSummary,
    CoefficientSummary,
    GridNetwork,
    SearchedNetwork,
    Summary,
    write_result,
)
from keras_effnet.search.successive_halving import CONFIDENCE, Finalist

if TYPE_CHECKING:
    import optuna

REFRESH = 30  # seconds between two readings of the page of a running search
SHOWN = 5  # networks on a terminal while there are no finalists


def write_search_report(
    summary: Summary, trials: Sequence[Trial], output: Path, study: optuna.Study | None = None
) -> None:
    """Writes result.json, report.html, and its plots as PNG files.

    Args:
        summary: summary of the search.
        trials: trials of the search.
        output: folder of the search; created if missing.
        study: Optuna's study of the search, of which the Pareto front is drawn; None to leave it out.

    Raises:
        DataError: a file cannot be written.
    """
    plots = search_plots(summary, trials, study)
    content = search_page(summary, trials, plots)
    with folder_lock(output):  # another host may report on the same search
        for each in plots:
            atomic_write(output / f"{each.name}.png", lambda path, each=each: path.write_bytes(each.content))
        atomic_write(output / "report.html", lambda path: path.write_bytes(content))
        write_result(output, summary)


def search_page(summary: Summary, trials: Sequence[Trial], plots: Sequence[SearchPlot]) -> bytes:
    """Makes the page.

    Args:
        summary: summary of the search.
        trials: trials of the search.
        plots: its plots.

    Returns:
        HTML in UTF-8 that refers to no other file. While the search runs, a browser reloads it by itself.
    """
    if isinstance(summary, CoefficientSummary):
        title = f"Coefficients for {summary.base['name']}"
        parts, networks = [_rule(summary), _finalists(summary)], _coefficient_table(summary)
    else:
        title, parts, networks = "Search for an architecture", [_best(summary)], _architecture_table(summary)
    made = {"seed": summary.seed, "data": summary.data, **summary.versions}
    return page(
        title,
        element("h1", title),
        element("p", " ".join(story(summary)), class_="soft"),
        cards(_cards(summary)),
        [] if summary.finished else _running(summary),
        [] if summary.learned else section("Nothing learned yet", "chance", element("p", not_learned(summary))),
        [part for part in parts if part is not None],
        [_plot(each) for each in plots],
        networks,
        _dashboard(summary),
        _failed(trials),
        section("Made by", "origin", element("pre", summary.command, class_="wrap"), settings(made)),
        refresh=None if summary.finished else REFRESH,
    )


def _cards(summary: Summary) -> dict[str, str]:
    metrics, _ = summary.winning_metrics()
    best = sum(metrics) / len(metrics) if metrics else None
    grid = {"steps of the plain grid": short(summary.grid_steps)} if isinstance(summary, CoefficientSummary) else {}
    return {
        f"best {summary.metric}": digits(best),
        "trials done": count(summary.trials["done"]),
        "failed": count(summary.trials["failed"]),
        "training steps": short(summary.steps),
        **grid,
        "since the last start": duration(summary.seconds),
    }


def _running(summary: Summary) -> Element:
    again = f"This page reloads every {REFRESH} seconds. If the search is stopped, the same command continues it."
    return section("Not finished", "running", element("p", progress(summary)), element("p", again, class_="soft"))


def _rule(summary: CoefficientSummary) -> Element | None:
    if not summary.rule or not summary.learned:
        return None
    code = f"from keras_effnet.scaling import Compound\n\nrule = {summary.rule}"
    title = "The winner, to paste" if summary.finished else "The best so far"
    return section(title, "winner", element("p", comparison(summary)), element("pre", code))


def _finalists(summary: CoefficientSummary) -> Element | None:
    if not summary.finalists:
        return None
    tested = any(each.test for each in summary.finalists)
    header = ("alpha / beta / gamma", f"mean {summary.metric}", "\N{PLUS-MINUS SIGN} sd")
    header += ("on the test images",) * tested + ("", f"{MEASURES[summary.measure].label} / base", "seeds")
    rows: list[tuple[Content, ...]] = []
    for each in summary.finalists:
        test = list(each.test.values())
        label = finalist_label(summary, each)
        row: tuple[Content, ...] = (triple(each.choices), digits(each.mean), digits(each.sd))
        row += (digits(sum(test) / len(test)) if test else NOTHING,) * tested
        row += (element("td", label, class_="right" if "winner" in label else ""),)
        rows.append((*row, ratio_text(summary, each), str(len(each.metrics))))
    if summary.chance is not None:
        rows.append(("chance", digits(summary.chance), "", *("",) * tested, "", "", ""))
    text = f"Trained anew to the end, all with the same seeds, none of which helped to choose them: {summary.metric}."
    return section("Is it really better?", "compared", element("p", text, class_="soft"), table(header, rows))


def _best(summary: ArchitectureSummary) -> Element | None:
    best = next((each for each in summary.candidates if each.key == summary.best), None)
    if best is None or not summary.learned:
        return None
    title = "The largest reward" if summary.finished else "The largest reward so far"
    stages = by_stage(best.choices)
    every = dict.fromkeys(name for choices in stages.values() for name in choices)
    names = sorted(every, key=lambda name: name not in ("width", "depth"))  # those first: a phone shows five columns
    rows = [(stage, *(choices.get(name, "") for name in names)) for stage, choices in stages.items()]
    content: list[Content] = [element("p", outcome(summary, best), class_="soft"), table(("stage", *names), rows)]
    if summary.table:
        content.append(element("pre", summary.table))
    return section(title, "best", *content)


def _plot(plot: SearchPlot) -> Element:
    image = element("img", src=png_uri(plot.content), alt=plot.title)
    return section(plot.title, plot.name, element("p", plot.text, class_="soft"), image)


def _coefficient_table(summary: CoefficientSummary) -> Element:
    """All networks: those trained the longest first, of these the best first."""
    ranked = sorted(summary.candidates, key=lambda each: (-each.steps, -(each.metric or 0.0)))
    header = ("alpha / beta / gamma", summary.metric, "steps", f"{MEASURES[summary.measure].label} / base", "px")
    rows: list[tuple[Content, ...]] = [
        (triple(each.choices), digits(each.metric), count(each.steps), f"{each.ratio:.3f}", str(each.resolution),
         *_sizes(each), *_costs(each.cost), count(len(each.triples)), each.key)
        for each in ranked
    ]  # fmt: skip
    if summary.chance is not None:
        rows.insert(0, ("chance", digits(summary.chance), *("",) * 9))
    text = "Those trained the longest first: a metric says little beside one of more steps."
    return _all(text, (*header, "depths", "widths", "MACs", "parameters", "triples", "network"), rows)


def _architecture_table(summary: ArchitectureSummary) -> Element:
    """All networks, the largest reward first."""
    front = set(summary.front)
    ranked = sorted(summary.candidates, key=lambda each: (each.value is None, -(each.value or 0.0)))
    cost = summary.reward["cost"]
    rows: list[tuple[Content, ...]] = [
        (str(each.number), digits(each.value), digits(each.metric), short_cost(each.cost[cost]),
         "yes" if each.key in front else "", *_sizes(each), each.parent or NOTHING, each.key)
        for each in ranked
    ]  # fmt: skip
    if summary.chance is not None:
        rows.insert(0, ("chance", "", digits(summary.chance), *("",) * 6))
    header = ("trial", "reward", summary.metric, MEASURES[cost].label, "on the front", "depths", "widths")
    return _all("The largest reward first.", (*header, "parent", "network"), rows)


def _sizes(network: GridNetwork | SearchedNetwork) -> tuple[str, str]:
    """Depth and width of each stage."""
    return "-".join(map(str, network.depths)), "-".join(map(str, network.widths))


def _costs(cost: Mapping[str, float]) -> list[str]:
    return [short_cost(cost[name]) if name in cost else NOTHING for name in ("macs", "params")]


def _all(text: str, header: Sequence[str], rows: Sequence[Sequence[Content]]) -> Element:
    return section("All networks", "candidates", element("p", text, class_="soft"), table(header, rows))


def _dashboard(summary: Summary) -> Element:
    text = "Every trial with its choices, history, parallel coordinates, importances and Pareto front, by Optuna:"
    command = element("pre", f"pip install optuna-dashboard\noptuna-dashboard {summary.storage}", class_="wrap")
    return section("All trials in Optuna", "optuna", element("p", text, class_="soft"), command)


def _failed(trials: Sequence[Trial]) -> Element:
    failed = [trial for trial in trials if trial.state in ("failed", "retried")]
    if not failed:
        return section("Failed trials", "failed", element("p", "None.", class_="soft"))
    text = "A trial that fails is tried again, as often as the search allows, and then given up. The others go on."
    lines = [
        (
            f"{trial.number}, {'tried again' if trial.state == 'retried' else 'given up'}",
            element("td", trial.error or "no reason is known"),
        )
        for trial in failed
    ]
    return section("Failed trials", "failed", element("p", text, class_="soft"), table((), lines, class_="settings"))


def format_coefficients(summary: CoefficientSummary) -> str:
    """Text of a search for coefficients, for a terminal."""
    lines = [*story(summary), progress(summary), ""]
    head = f"{'alpha / beta / gamma':<24}{MEASURES[summary.measure].label + ' / base':>14}{summary.metric:>14}"
    if summary.finalists:
        lines.append(f"{head}{'+- sd':>9}{'seeds':>7}")
        lines += [
            f"{triple(each.choices):<24}{ratio_text(summary, each):>14}{digits(each.mean):>14}{digits(each.sd):>9}"
            f"{len(each.metrics):>7}  {finalist_label(summary, each)}".rstrip()
            for each in summary.finalists
        ]
    elif best := _longest_first(summary.candidates)[:SHOWN]:
        lines.append(f"{head}{'steps':>9}")
        lines += [
            f"{triple(each.choices):<24}{each.ratio:>14.3f}{digits(each.metric):>14}{each.steps:>9,}" for each in best
        ]
    if summary.chance is not None:
        lines.append(f"{'chance':<38}{digits(summary.chance):>14}")
    if not summary.learned:
        return "\n".join([*lines, "", not_learned(summary)])
    if summary.rule:
        lines += ["", f"{'Winner' if summary.finished else 'Best so far'}: {summary.rule}"]
    if text := comparison(summary):
        lines.append(text)
    return "\n".join(lines)


def format_architecture(summary: ArchitectureSummary) -> str:
    """Text of a search for an architecture, for a terminal."""
    lines = [*story(summary), progress(summary)]
    by_key = {each.key: each for each in summary.candidates}
    best = by_key.get(summary.best or "")
    if best is not None and summary.learned:
        title = "Best" if summary.finished else "Best so far"
        lines += ["", f"{title} (trial {best.number}): {outcome(summary, best)}"]
        for stage, choices in by_stage(best.choices).items():
            lines.append(f"  {stage:<12}{', '.join(f'{name} {text}' for name, text in choices.items())}")
    if summary.front:
        cost = summary.reward["cost"]
        lines += ["", f"Pareto front:{MEASURES[cost].label:>14}{summary.metric:>24}{'trial':>8}"]
        for each in (by_key[key] for key in summary.front):
            lines.append(f"{short_cost(each.cost[cost]):>27}{digits(each.metric):>24}{each.number:>8}")
    if summary.chance is not None:
        lines.append(f"{'chance':<27}{digits(summary.chance):>24}")
    return "\n".join([*lines, *([] if summary.learned else ["", not_learned(summary)])])


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
    most = summary.limits.get("most", {})
    limits = "".join(f", of at most {short_cost(limit)} {MEASURES[name].label}" for name, limit in most.items())
    maximised = f"Maximised: {_maximised(summary)}."
    return [f"{summary.method.capitalize()} among {summary.size:.3g} networks{limits}.", maximised]


def _maximised(summary: ArchitectureSummary) -> str:
    reward = summary.reward
    exponent, over = reward["exponent"], reward["over"]
    if not exponent and not over:
        return summary.metric
    beyond = "" if over in (None, exponent) else f", {over:g} above the target"
    share = f"({MEASURES[reward['cost']].label} / {short_cost(reward['target'])})"
    return f"{summary.metric} x {share}^w, w = {exponent:g}{beyond}"


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


def not_learned(summary: Summary) -> str:
    """The verdict on a search whose winner is not above chance."""
    metrics, _ = summary.winning_metrics()
    return (
        f"Verdict: {NOT_LEARNED}. The best network's {summary.metric}, {digits(sum(metrics) / len(metrics))}, "
        f"is not above chance ({digits(summary.chance)}) at {CONFIDENCE:.0%} confidence."
    )


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


def finalist_label(summary: CoefficientSummary, finalist: Finalist) -> str:
    """Names what is special about a finalist: "winner", "the paper's", both or nothing."""
    labels = ["winner"] if finalist.key == summary.winner and summary.learned else []
    return ", ".join(labels + (["the paper's"] if finalist.label == "paper" else []))


def ratio_text(summary: CoefficientSummary, finalist: Finalist) -> str:
    """Cost of a finalist as a multiple of the base's; a dash if the base's is not known, as a latency may be."""
    known = {each.key: each.ratio for each in summary.candidates}
    base = summary.base.get(summary.measure)
    ratio = known.get(finalist.key) or (finalist.cost[summary.measure] / base if base else None)
    return NOTHING if ratio is None else f"{ratio:.3f}"


def outcome(summary: ArchitectureSummary, network: SearchedNetwork) -> str:
    """Metric, cost and reward of a network."""
    name, target = summary.reward["cost"], summary.reward["target"]
    cost = network.cost[name]
    return (
        f"{summary.metric} {digits(network.metric)}, {short_cost(cost)} {MEASURES[name].label} "
        f"({cost / target:.0%} of the target), reward {digits(network.value)}"
    )


def triple(choices: Mapping[str, Choice]) -> str:
    """The coefficients of a network as "1.05 / 1.15 / 1.2"."""
    return " / ".join(f"{choices[name]:.4g}" for name in ("alpha", "beta", "gamma"))


def by_stage(choices: Mapping[str, Choice]) -> dict[str, dict[str, str]]:
    """Groups choices by stage: `{"stage1.kernel": 5}` becomes `{"stage1": {"kernel": "5"}}`."""
    found: dict[str, dict[str, str]] = {}
    for name, value in choices.items():
        stage, _, choice = name.rpartition(".")
        text = (
            ("yes" if value else "no") if isinstance(value, bool) else value if isinstance(value, str) else f"{value:g}"
        )
        found.setdefault(stage, {})[choice] = text
    return found


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    Example:
        >>> duration(3725.4)
        '1:02:05'
    """
    return str(timedelta(seconds=round(seconds)))


def short_cost(cost: float) -> str:
    """A count of millions as "12.3 M", milliseconds as they are."""
    return short(cost) if cost >= 1000 else f"{cost:.4g}"


def digits(number: float | None) -> str:
    """A metric or reward: four decimals for an accuracy, five digits for larger numbers."""
    if number is None:
        return NOTHING
    return f"{number:.4f}" if abs(number) < 10 else f"{number:.5g}"


def _longest_first(candidates: Sequence[GridNetwork]) -> list[GridNetwork]:
    """The trained networks, those trained the longest first, of these the best first."""
    trained = [each for each in candidates if each.metric is not None]
    return sorted(trained, key=lambda each: (-each.steps, -(each.metric or 0.0)))
