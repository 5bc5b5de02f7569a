"""Charts that know nothing of searches: parallel coordinates, and what all images share. Drawn by Matplotlib."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

WIDTH = 8.0  # inches
DPI = 130
# Seen by people who see few colours, and in gray: viridis for values, and for what stands out the vermilion of Okabe
# and Ito's palette (Color Universal Design, 2008; the value as the R packages colorblindr and see have it).
WINNER, PAPER = "#d55e00", "#000000"
MAP = "viridis"
FAINT = "0.75"
JITTER = 0.028  # of the height of an axis: lines through one value are then told apart
TICKS = 9  # on an axis, beyond which only some values are named


@dataclass(frozen=True)
class Axis:
    """One of several parallel axes.

    Args:
        label: its name.
        places: where each line crosses it, from 0 to 1; None: it does not.
        ticks: names of places.
    """

    label: str
    places: tuple[float | None, ...]
    ticks: Mapping[float, str]


@dataclass(frozen=True)
class Mark:
    """A line that stands out.

    Args:
        index: of the line.
        label: for the legend.
        colour: of Matplotlib's.
    """

    index: int
    label: str
    colour: str


def new_figure(height: float, width: float = WIDTH) -> Any:
    """An empty figure that leaves nothing cut off."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def png(figure: Any) -> bytes:
    """A figure as a PNG file in memory."""
    file = BytesIO()
    figure.savefig(file, dpi=DPI, format="png")
    return file.getvalue()


def tidy(axes: Any) -> None:
    """Takes away what says nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def norm_of(values: Sequence[float]) -> Any:
    """From values to colours, also where all are equal."""
    from matplotlib.colors import Normalize

    low, high = min(values), max(values)
    margin = 0.0 if high > low else 0.5 * (abs(low) or 1.0)
    return Normalize(low - margin, high + margin)


def colour_bar(figure: Any, axes: Any, norm: Any, label: str, *, whole: bool = False) -> None:
    """The scale of colours beside the axes, of whole numbers alone if it must be."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(integer=True) if whole else None
    figure.colorbar(ScalarMappable(norm, MAP), ax=axes, label=label, ticks=ticks, pad=0.02, fraction=0.05, aspect=30)


def legend_below(figure: Any, axes: Any) -> None:
    """The legend where no point is; without entries none."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)


def in_units(axis: Any) -> None:
    """Millions as "12 M"."""
    from matplotlib.ticker import EngFormatter

    axis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))


def number_axis(label: str, values: Sequence[float | None]) -> Axis:
    """An axis on which numbers stand where they are between the smallest and the largest."""
    known = sorted({value for value in values if value is not None})
    if not known:
        return Axis(label, tuple(None for _ in values), {})
    low, span = known[0], known[-1] - known[0]
    place = (lambda value: (value - low) / span) if span else (lambda _: 0.5)
    named = known if len(known) <= TICKS else [low + span * part / 4 for part in range(5)]
    ticks: dict[float, str] = {}
    for value in named:
        if not ticks or place(value) - max(ticks) > 0.055:  # names would overlap
            ticks[place(value)] = f"{value:.4g}"
    return Axis(label, tuple(None if value is None else place(value) for value in values), ticks)


def choice_axis(label: str, values: Sequence[Any], names: Mapping[Any, str]) -> Axis:
    """An axis on which values stand at equal distances in the order of `names`, each line a little beside its own."""
    rank = {value: number / max(len(names) - 1, 1) if len(names) > 1 else 0.5 for number, value in enumerate(names)}
    generator = random.Random(label)
    places = tuple(rank[value] + generator.uniform(-JITTER, JITTER) if value in rank else None for value in values)
    return Axis(label, places, {rank[value]: text for value, text in names.items()})


def parallel(
    panels: Mapping[str, Sequence[Axis]], colours: Sequence[float | None], label: str, marks: Sequence[Mark]
) -> Any:
    """Parallel coordinates: a line for each thing, which crosses each axis at its value.

    Args:
        panels: a row of axes for each title, one above another.
        colours: a value for each line; None: the line is faint.
        label: of the scale of colours.
        marks: lines that stand out.

    Returns:
        The figure.
    """
    from matplotlib import colormaps

    figure = new_figure(0.9 + 2.9 * len(panels), WIDTH + 1)
    every = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    known = [value for value in colours if value is not None]
    norm = norm_of(known or [0.0])
    strength = max(0.35, min(0.9, 25 / max(len(colours), 1)))
    marked = {mark.index for mark in marks}
    # The best on top.
    order = sorted(range(len(colours)), key=lambda line: (colours[line] is not None, colours[line] or 0.0))
    for axes, (title, beside) in zip(every, panels.items(), strict=True):
        for line in (each for each in order if each not in marked):
            value = colours[line]
            style = {"color": FAINT, "linestyle": ":"} if value is None else {"color": colormaps[MAP](norm(value))}
            _draw_line(axes, beside, line, linewidth=1.2, alpha=strength, **style)
        for mark in marks:
            _draw_line(axes, beside, mark.index, linewidth=2.4, color=mark.colour, label=mark.label, zorder=3)
        _draw_axes(axes, beside, title)
    if known:
        colour_bar(figure, list(every), norm, label)
    legend_below(figure, every[0])
    return figure


def _draw_line(axes: Any, beside: Sequence[Axis], line: int, **style: Any) -> None:
    places = [axis.places[line] for axis in beside]
    axes.plot(range(len(beside)), [float("nan") if place is None else place for place in places], **style)


def _draw_axes(axes: Any, beside: Sequence[Axis], title: str) -> None:
    for number, axis in enumerate(beside):
        axes.axvline(number, color="0.3", linewidth=1, zorder=2)
        for place, text in axis.ticks.items():
            axes.annotate(
                text, (number, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, zorder=4,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
    axes.set(xlim=(-0.15, len(beside) - 0.5), ylim=(-0.07, 1.07), yticks=[])
    axes.set_xticks(range(len(beside)), [axis.label for axis in beside], fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, loc="left", fontsize=10)
