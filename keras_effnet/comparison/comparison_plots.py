"""A comparison as a picture: accuracy against cost, and cost against phi. A line joins the networks of a group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras_effnet.comparison.compared import ComparedNetwork, Comparison
from keras_effnet.errors import ComparisonError
from keras_effnet.extras import import_extra
from keras_effnet.measures import MEASURES
from keras_effnet.report.curves import PANEL_SIZE, as_png

# Okabe and Ito's palette (Color Universal Design, 2008) without its yellow, which is too pale on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = "osD^vPX"
ACCURACY = "accuracy"
PANELS_ACROSS, LEGEND_COLUMNS = 2, 2  # columns of panels; columns of the legend below each
LEGEND_LINE = 0.22  # inches of a line of the legend
MOST_TICKS = 7
Read = Callable[[ComparedNetwork], Any]


class Panel(NamedTuple):
    """One panel: what its axes show.

    Args:
        name: name of the panel.
        x: reads the value to the right.
        y: reads the value upwards.
        labels: texts at the two axes.
        log: whether each axis is logarithmic.
        measured: whether upwards is an accuracy, which has intervals and a chance level.
    """

    name: str
    x: Read
    y: Read
    labels: tuple[str, str]
    log: tuple[bool, bool]
    measured: bool = False


def panels(comparison: Comparison) -> list[Panel]:
    """The panels for which a comparison has values."""
    rows, found = comparison.networks, []
    if comparison.training is not None and any(row.accuracies for row in rows):
        found.append(_accuracy_panel(comparison, "macs"))
        if any(row.latency_ms is not None for row in rows):
            found.append(_accuracy_panel(comparison, "latency_ms"))
    phis = {row.phi for row in rows}
    if len(phis) > 1 and all(isinstance(phi, float | int) for phi in phis):
        for measure in ("macs", "params"):
            label = MEASURES[measure].label
            read = _reader(measure)
            found.append(Panel(f"{label} against phi", _reader("phi"), read, ("phi", label), (False, True)))
    elif not found:
        labels = MEASURES["macs"].label, MEASURES["params"].label
        found.append(Panel("parameters against MACs", _reader("macs"), _reader("params"), labels, (True, True)))
    return found


def _accuracy_panel(comparison: Comparison, cost: str) -> Panel:
    label = f"{MEASURES[cost].label}, {'ms' if cost == 'latency_ms' else 'per image'}"
    metric = comparison.training.metric if comparison.training else ACCURACY
    name = f"{metric} against {MEASURES[cost].label}"
    return Panel(name, _reader(cost), _reader("mean"), (label, metric), (True, False), measured=True)


def _reader(name: str) -> Read:
    return lambda row: getattr(row, name)


def accuracy_png(comparison: Comparison, cost: str = "macs") -> bytes:
    """The accuracy against a cost, with intervals, as a PNG file in memory.

    Args:
        comparison: the comparison.
        cost: what lies to the right: "macs", "params", "activations" or "latency_ms".

    Raises:
        ComparisonError: the networks were not trained, or not timed; the message names the command that does so.
    """
    if not any(row.accuracies for row in comparison.networks):
        raise ComparisonError(
            "no network of this comparison has been trained: make the runs by the same command with `--train DATA`, or "
            "compare_networks(..., data=DATA).",
            received=f"{comparison.headline}, by {comparison.command!r}",
        )
    if all(getattr(row, cost, None) is None for row in comparison.networks):
        raise ComparisonError(
            f"no network of this comparison has a {cost}: `--latency` times them.",
            received=f"{cost=}, by {comparison.command!r}",
        )
    return _drawn(comparison, [_accuracy_panel(comparison, cost)])


def panel_pngs(comparison: Comparison) -> dict[str, bytes]:
    """Each panel as a PNG file in memory, by its name."""
    return {panel.name: _drawn(comparison, [panel]) for panel in panels(comparison)}


def comparison_png(comparison: Comparison) -> bytes:
    """All panels side by side, as a PNG file in memory."""
    return _drawn(comparison, panels(comparison))


def _drawn(comparison: Comparison, shown: Sequence[Panel]) -> bytes:
    groups = list(dict.fromkeys(row.group for row in comparison.networks))
    across = min(len(shown), PANELS_ACROSS)
    down, columns = -(-len(shown) // across), LEGEND_COLUMNS * across
    legend = LEGEND_LINE * -(-len(groups) // columns)
    size = PANEL_SIZE[0] * across, PANEL_SIZE[1] * down + legend
    figure = import_extra("matplotlib.figure", "a plot").Figure(figsize=size, layout="constrained")
    for number, panel in enumerate(shown, 1):
        _draw(figure.add_subplot(down, across, number), comparison, panel, groups)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    return as_png(figure)


def _draw(axes: Any, comparison: Comparison, panel: Panel, groups: Sequence[str]) -> None:
    for axis, log in (("x", panel.log[0]), ("y", panel.log[1])):
        if log:
            axes.set(**{f"{axis}scale": "log"})
    for number, group in enumerate(groups):
        rows = [row for row in comparison.networks if row.group == group]
        points = [(panel.x(row), panel.y(row), row) for row in rows]
        points = sorted((each for each in points if None not in each), key=lambda each: each[0])
        x, y = [each[0] for each in points], [each[1] for each in points]
        style = {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": ("-", "--", ":")[number // len(COLOURS) % 3],
            "markersize": 5,
            "linewidth": 1.4,
        }
        axes.plot(x, y, label=group, **style)
        for at, _, row in points:
            if panel.measured and row.interval:
                axes.plot([at, at], row.interval, color=style["color"], linewidth=1, alpha=0.7)
    if panel.measured:
        _mark_chance(axes, comparison)
    axes.set(xlabel=panel.labels[0], ylabel=panel.labels[1])
    for axis, log in ((axes.xaxis, panel.log[0]), (axes.yaxis, panel.log[1])):
        if log:
            _set_log_ticks(axis)
    if all(isinstance(panel.x(row), int) for row in comparison.networks) and not panel.log[0]:
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def _mark_chance(axes: Any, comparison: Comparison) -> None:
    """The accuracy of guessing, if the networks are near enough to it to share a plot."""
    chance = comparison.training.chance if comparison.training else None
    if chance is not None and axes.get_ylim()[0] < chance + 0.1:
        axes.axhline(chance, color="0.5", linestyle="--", linewidth=1, label="chance")


def _set_log_ticks(axis: Any) -> None:
    """Ticks with units, at 1, 2 and 5 of each decade, or at fewer of them where these are too many."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    for digits in ((1, 2, 5), (1, 3), (1,)):
        locator = LogLocator(subs=digits, numticks=100)
        if len([tick for tick in locator.tick_values(low, high) if low <= tick <= high]) <= MOST_TICKS:
            break
    axis.set_major_locator(locator)
    axis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))
    axis.set_minor_formatter(NullFormatter())
