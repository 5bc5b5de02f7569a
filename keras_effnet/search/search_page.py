"""report.html of a search: what was asked, what came out, and whether it is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from keras_effnet.atomic import atomic_write, folder_lock
from keras_effnet.report.html import Content, cards, element, page, section, settings, table
from keras_effnet.report.text import NOTHING, count, short
from keras_effnet.report.thumbnails import png_uri
from keras_effnet.search.plan import Row
from keras_effnet.search.plots import Plot, search_images
from keras_effnet.search.records import write_result
from keras_effnet.search.trial_tables import (
    TRIPLE,
    by_stage,
    choice_text,
    comparison,
    cost_name,
    digits,
    duration,
    finalist_label,
    metric_name,
    outcome,
    progress,
    ratio_text,
    short_cost,
    story,
)

REFRESH = 30  # seconds, while the search runs


def write_search_report(summary: dict[str, Any], rows: Sequence[Row], output: Path) -> None:
    """Writes result.json, report.html, and its images as PNG files.

    Args:
        summary: of the search, JSON-able.
        rows: its trials.
        output: a folder; made if missing.

    Raises:
        DataError: a file cannot be written.
    """
    plots = search_images(summary, rows)
    content = search_page(summary, rows, plots)
    with folder_lock(output):  # of another host that reports on the same search
        for each in plots:
            atomic_write(output / f"{each.name}.png", lambda path, each=each: path.write_bytes(each.content))
        atomic_write(output / "report.html", lambda path: path.write_bytes(content))
        write_result(output, summary)


def search_page(summary: Mapping[str, Any], rows: Sequence[Row], plots: Sequence[Plot]) -> bytes:
    """The whole page.

    Args:
        summary: as result.json holds it.
        rows: the trials of the search.
        plots: what it shows.

    Returns:
        HTML in UTF-8 that refers to no other file. While the search runs, a browser reads it again by itself.
    """
    coefficients = summary["search"] == "coefficients"
    title = f"Coefficients for {summary['base']['name']}" if coefficients else "Search for an architecture"
    parts = [_rule, _finalists] if coefficients else [_best]
    return page(
        title,
        element("h1", title),
        element("p", " ".join(story(summary)), class_="soft"),
        cards(_cards(summary)),
        [] if summary["finished"] else _running(summary),
        [made for part in parts if (made := part(summary)) is not None],
        [_image(each) for each in plots],
        _coefficient_table(summary) if coefficients else _architecture_table(summary),
        _failed(rows),
        _origin(summary),
        refresh=None if summary["finished"] else REFRESH,
    )


def _cards(summary: Mapping[str, Any]) -> dict[str, str]:
    trials = summary["trials"]
    found = [each["mean"] for each in summary.get("finalists") or ()]
    found = found or [each["metric"] for each in summary["candidates"] if each.get("metric") is not None]
    return {
        f"best {metric_name(summary)}": digits(max(found, default=None)),
        "trials done": count(trials["done"]),
        "failed": count(trials["failed"]),
        "networks": count(len(summary["candidates"])),
        "steps of training": short(summary["steps"]),
        **({"steps of the plain grid": short(summary["grid_steps"])} if summary.get("grid_steps") else {}),
        "since the last start": duration(summary["seconds"]),
    }


def _running(summary: Mapping[str, Any]) -> Element:
    again = f"This page is read again every {REFRESH} seconds. Should the search be stopped, the same command goes on."
    return section("Not finished", "running", element("p", progress(summary)), element("p", again, class_="soft"))


def _rule(summary: Mapping[str, Any]) -> Element | None:
    rule = summary.get("rule")
    if not rule:
        return None
    title = "The winner, to paste" if summary["finished"] else "The best so far"
    code = f"from keras_effnet.scaling import Compound\n\nrule = {rule}"
    return section(title, "winner", element("p", comparison(summary)), element("pre", code))


def _finalists(summary: Mapping[str, Any]) -> Element | None:
    finalists = summary.get("finalists") or []
    if not finalists:
        return None
    tested = any(each.get("test") for each in finalists)
    header = (*TRIPLE, f"{cost_name(summary['measure'])} / base", "mean", "\N{PLUS-MINUS SIGN} sd", "seeds")
    header += ("mean on the test images",) if tested else ()
    rows = []
    for each in finalists:
        test = list((each.get("test") or {}).values())
        label = finalist_label(summary, each)
        row = [
            *(choice_text(each["choices"][name]) for name in TRIPLE),
            ratio_text(summary, each),
            digits(each["mean"]),
        ]
        row += [digits(each["sd"]), str(len(each["metrics"]))]
        row += [digits(sum(test) / len(test)) if test else NOTHING] if tested else []
        rows.append([*row, element("td", label, class_="right" if each["key"] == summary.get("winner") else "")])
    text = (
        f"Trained anew to the end, each with the same seeds, which took no part in choosing them; "
        f"{metric_name(summary)} over these seeds."
    )
    return section("Is it really better?", "compared", element("p", text, class_="soft"), table((*header, ""), rows))


def _best(summary: Mapping[str, Any]) -> Element | None:
    best = next((each for each in summary["candidates"] if each["key"] == summary.get("best")), None)
    if best is None:
        return None
    content: list[Content] = [element("p", outcome(summary, best), class_="soft")]
    if summary.get("table"):
        content.append(element("pre", summary["table"]))
    content.append(settings(by_stage(best["choices"])))
    title = "The largest reward" if summary["finished"] else "The largest reward so far"
    return section(title, "best", *content)


def _image(plot: Plot) -> Element:
    image = element("img", src=png_uri(plot.content), alt=plot.title)
    return section(plot.title, plot.name, element("p", plot.text, class_="soft"), image)


def _coefficient_table(summary: Mapping[str, Any]) -> Element:
    """All networks: those trained the longest first, of these the best first."""
    ranked = sorted(summary["candidates"], key=lambda each: (-each["steps"], -(each["metric"] or 0.0)))
    rows = [
        (
            each["key"],
            *(choice_text(each["choices"][name]) for name in TRIPLE),
            count(len(each["triples"])),
            ratio_text(summary, each),
            *(short_cost(each["cost"][name]) if name in each["cost"] else NOTHING for name in ("macs", "params")),
            count(each["steps"]),
            digits(each["metric"]),
        )
        for each in ranked
    ]
    header = ("network", *TRIPLE, "triples", f"{cost_name(summary['measure'])} / base", "MACs", "parameters")
    text = "Those trained the longest first: a metric says little beside one of more steps."
    return _all(text, (*header, "steps", metric_name(summary)), rows, "numbers")


def _architecture_table(summary: Mapping[str, Any]) -> Element:
    """All networks, the largest reward first."""
    cost, front = summary["reward"]["cost"], set(summary.get("front") or ())
    ranked = sorted(summary["candidates"], key=lambda each: (each["value"] is None, -(each["value"] or 0.0)))
    rows = [
        (
            each["key"],
            str(each["number"]),
            digits(each["value"]),
            digits(each["metric"]),
            short_cost(each["cost"][cost]),
            "yes" if each["key"] in front else "",
            each.get("parent") or NOTHING,
            element("td", [element("div", f"{stage}: {text}") for stage, text in by_stage(each["choices"]).items()]),
        )
        for each in ranked
    ]
    header = ("network", "trial", "reward", metric_name(summary), cost_name(cost), "on the front", "parent", "choices")
    return _all("The largest reward first.", header, rows, "wide")


def _all(text: str, header: Sequence[str], rows: Sequence[Sequence[Content]], style: str) -> Element:
    return section("All networks", "candidates", element("p", text, class_="soft"), table(header, rows, class_=style))


def _failed(rows: Sequence[Row]) -> Element:
    failed = [row for row in rows if row.state in ("failed", "retried")]
    if not failed:
        return section("Failed trials", "failed", element("p", "None.", class_="soft"))
    text = (
        "A trial that fails is tried again, as often as the search allows, and then given up. No other is lost by it."
    )
    lines = [
        (
            str(row.number),
            row.job.key if row.job else NOTHING,
            row.worker or NOTHING,
            "tried again" if row.state == "retried" else "given up",
            element("td", row.error or "no reason is known"),
        )
        for row in failed
    ]
    header = ("trial", "network", "worker", "then", "reason")
    return section("Failed trials", "failed", element("p", text, class_="soft"), table(header, lines, class_="wide"))


def _origin(summary: Mapping[str, Any]) -> Element:
    command = element("pre", summary["command"], class_="wrap")
    made = {"seed": summary["seed"], "data": summary["data"], **summary["versions"]}
    return section("Made by", "origin", command, settings(made))
