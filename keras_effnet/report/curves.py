"""Plots of a run's accuracy and loss over all its phases."""

from __future__ import annotations

from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any

PANELS = ("accuracy", "loss")
TRAINING, VALIDATION = "0.55", "tab:blue"
PANEL_SIZE = (4.8, 3.2)  # inches: at 330 px, as a phone shows it, 10 points are 10 px


def write_curves(history: list[dict[str, Any]], best: dict[str, Any], path: Path) -> None:
    """Draws all panels side by side.

    Args:
        history: a row for each epoch, as metrics.json holds them.
        best: the row whose weights were kept.
        path: path of the PNG file.
    """
    from matplotlib.figure import Figure

    panels = panels_of(history)
    figure = Figure(figsize=(PANEL_SIZE[0] * len(panels), PANEL_SIZE[1]), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, history, best, name)
    figure.savefig(path, dpi=120, format="png")


def as_png(figure: Any, dpi: int = 150) -> bytes:
    """A figure as a PNG file in memory.

    Args:
        figure: a figure of matplotlib.
        dpi: dots per inch.
    """
    file = BytesIO()
    figure.savefig(file, dpi=dpi, format="png")
    return file.getvalue()


def panels_of(history: list[dict[str, Any]]) -> tuple[str, ...]:
    """Names of the panels that a history has values for: only classifiers have an accuracy."""
    return tuple(name for name in PANELS if history[0][name] is not None)


def panel_png(history: list[dict[str, Any]], best: dict[str, Any], name: str) -> bytes:
    """One panel as a PNG file in memory.

    Args:
        history: a row for each epoch, as metrics.json holds them.
        best: the row whose weights were kept.
        name: name of the panel, one of `PANELS`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=PANEL_SIZE, layout="constrained")
    _draw(figure.subplots(), history, best, name)
    return as_png(figure)


def scatter_png(name: str, found: Any, true: Any) -> bytes:
    """Answers against true numbers as a PNG file in memory: on the diagonal, they are right.

    Args:
        name: name of the number.
        found: the answers, of shape `(images,)`.
        true: the true numbers, likewise.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=PANEL_SIZE, layout="constrained")
    axes = figure.subplots()
    ends = [min(found.min(), true.min()), max(found.max(), true.max())]
    axes.plot(ends, ends, color="0.55", linewidth=1)
    axes.plot(true, found, "o", color=VALIDATION, markersize=3, alpha=0.6)
    axes.set(xlabel=f"true {name}", ylabel="answer")
    axes.spines[["top", "right"]].set_visible(False)
    return as_png(figure)


def reliability_png(bins: list[dict[str, Any]]) -> bytes:
    """Accuracy against confidence as a PNG file in memory: on the diagonal, a network is as right as it is sure.

    Args:
        bins: the images by confidence, as metrics.json holds them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=PANEL_SIZE, layout="constrained")
    axes = figure.subplots()
    shown = [each for each in bins if each["images"]]
    widths = [each["high"] - each["low"] for each in shown]
    lows, accuracies = [each["low"] for each in shown], [each["accuracy"] for each in shown]
    axes.bar(lows, accuracies, widths, align="edge", color="#9ec5f8", edgecolor="white", label="accuracy")
    axes.plot([0, 1], [0, 1], color="0.55", linewidth=1, label="as sure as right")
    axes.plot(
        [each["confidence"] for each in shown],
        accuracies,
        "o",
        color=VALIDATION,
        markersize=4,
        label="mean probability",
    )
    axes.set(xlabel="largest probability", ylabel="share of images that are right", xlim=(0, 1), ylim=(0, 1.02))
    axes.spines[["top", "right"]].set_visible(False)
    # Below the panel: bars may be anywhere within it.
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return as_png(figure)


def _draw(axes: Any, history: list[dict[str, Any]], best: dict[str, Any], name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in history]
    marker = "o" if len(epochs) <= 40 else ""
    style = {"marker": marker, "markersize": 3.5}
    axes.plot(epochs, [row[name] for row in history], color=TRAINING, label="training", **style)
    axes.plot(epochs, [row[f"val_{name}"] for row in history], color=VALIDATION, label="validation", **style)
    ring = {"marker": "o", "markersize": 9, "fillstyle": "none", "linestyle": "", "color": VALIDATION}
    axes.plot(best["epoch"], best[f"val_{name}"], label="kept", **ring)
    for phase, rows in groupby(history, key=lambda row: row["phase"]):
        first = next(rows)["epoch"]
        if first > epochs[0]:
            axes.axvline(first - 0.5, color="0.8", linewidth=1, zorder=0)
        # Above the panel, where there are no curves.
        axes.annotate(
            phase, (first - 0.5, 1), xycoords=("data", "axes fraction"), xytext=(3, 3), textcoords="offset points",
            color="0.45", fontsize=8,
        )  # fmt: skip
    axes.set(xlabel="epoch", ylabel=name, xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
