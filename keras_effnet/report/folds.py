"""What cross-validation leaves beside its runs: a table, a picture and a file for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_effnet.atomic import atomic_write
from keras_effnet.report.curves import PANEL_SIZE, VALIDATION
from keras_effnet.report.text import json_text

# What the rows say of: the fold that a run has not seen, and the data's own test images, if there are any.
HELD_OUT, TEST = "held_out", "test"
TITLES = {"accuracy": "accuracy", "mean_average_precision": "mAP", "r2": "R2", "loss": "loss"}
LOOKS = {HELD_OUT: ("its own fold", VALIDATION), TEST: ("test images", "tab:orange")}


def write_folds(metrics: dict[str, Any], output: Path) -> None:
    """Writes folds.json and folds.png.

    Args:
        metrics: JSON-able content of folds.json: "folds", a row for each, and "summary".
        output: folder for the files; made if missing.

    Raises:
        DataError: a file cannot be written.
    """
    text = json_text(metrics)
    atomic_write(output / "folds.json", lambda path: path.write_text(text, encoding="utf-8"))
    atomic_write(output / "folds.png", lambda path: _draw(metrics, path))


def format_folds(metrics: dict[str, Any]) -> str:
    """The scores of all folds as a text table, with their mean and standard deviation."""
    rows, summary, score = metrics["folds"], metrics["summary"], metrics["score"]
    own, title = TEST in summary, TITLES[score]
    names = [name for name in (score, "loss") if name in summary[HELD_OUT]]
    head = f"{'fold':<6}{'trained on':>12}{'scored on':>12}" + "".join(f"{TITLES[name]:>12}" for name in names)
    lines = [head + (f"{f'test {title}':>16}" if own else "")]
    for row in rows:
        line = f"{row['fold']:<6}{row['train']:>12}{row[HELD_OUT]['images']:>12}"
        line += "".join(f"{row[HELD_OUT][name]:>12.3f}" for name in names)
        lines.append(line + (f"{row[TEST][score]:>16.3f}" if own else ""))
    for kind, label in (("mean", "mean"), ("std", "standard deviation")):
        line = f"{label:<30}" + "".join(f"{summary[HELD_OUT][name][kind]:>12.3f}" for name in names)
        lines.append(line + (f"{summary[TEST][score][kind]:>16.3f}" if own else ""))
    found = summary[HELD_OUT][score]
    lines += [
        "",
        f"{title[0].upper()}{title[1:]} over {len(rows)} folds: {found['mean']:.3f} \N{PLUS-MINUS SIGN} "
        f"{found['std']:.3f} (standard deviation of the folds, divided by {len(rows)} - 1)",
    ]
    return "\n".join(lines)


def _draw(metrics: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows, summary, score = metrics["folds"], metrics["summary"], metrics["score"]
    figure = Figure(figsize=PANEL_SIZE, layout="constrained")
    axes = figure.subplots()
    for name, found in summary.items():
        label, color = LOOKS[name]
        mean, std = found[score]["mean"], found[score]["std"]
        told = f"{label}: {mean:.3f} \N{PLUS-MINUS SIGN} {std:.3f}"
        axes.axhspan(mean - std, mean + std, color=color, alpha=0.12, linewidth=0)
        axes.axhline(mean, color=color, linewidth=1)
        axes.plot([row["fold"] for row in rows], [row[name][score] for row in rows], "o", color=color, label=told)
    axes.set(xlabel="fold", ylabel=TITLES[score], xlim=(0.5, len(rows) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    # Below the panel, where there are no points.
    figure.legend(frameon=False, loc="outside lower center", ncols=len(summary), title="mean and standard deviation")
    figure.savefig(path, dpi=120, format="png")
