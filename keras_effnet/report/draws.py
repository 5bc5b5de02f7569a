"""What the demonstration leaves: a table, metrics.json, history.csv and curves.png."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from keras_effnet.atomic import atomic_write
from keras_effnet.printable import printable
from keras_effnet.report.write import write_rows

LETTERS, TRANSFERRED, SCRATCH = "letters", "transferred", "from scratch"


def phase_name(kind: str, run: int) -> str:
    """The name of a phase in the history.

    Args:
        kind: `TRANSFERRED` or `SCRATCH`.
        run: number of the draw of labels, from 1.
    """
    return f"draw {run}, {kind}"


def summarize_draws(metrics: dict[str, Any]) -> dict[str, Any]:
    """The scores of each draw of labels: the transferred network's last one, the best one of that from scratch.

    Args:
        metrics: as `Demonstration.run` returns them.

    Returns:
        "runs", a row for each draw, and for each network and the gain its "mean" and "std" over the draws.
    """
    rows = []
    for run in range(1, metrics["options"]["repeats"] + 1):
        transferred = [row["val_accuracy"] for row in _rows(metrics, TRANSFERRED, run)][-1]
        scratch = max(row["val_accuracy"] for row in _rows(metrics, SCRATCH, run))
        rows.append({"run": run, TRANSFERRED: transferred, SCRATCH: scratch, "gain": transferred - scratch})
    summary: dict[str, Any] = {"runs": rows}
    for name in (TRANSFERRED, SCRATCH, "gain"):
        values = [row[name] for row in rows]
        summary[name] = {"mean": mean(values), "std": stdev(values) if len(values) > 1 else 0.0}
    return summary


def _rows(metrics: dict[str, Any], kind: str, run: int) -> list[dict[str, Any]]:
    return [row for row in metrics["history"] if row["phase"] == phase_name(kind, run)]


def format_draws(metrics: dict[str, Any]) -> str:
    """The scores as a text table.

    Args:
        metrics: as `Demonstration.run` returns them.
    """
    options, images, summary = metrics["options"], metrics["images"], summarize_draws(metrics)
    backbone = options["backbone"] if isinstance(options["backbone"], str) else options["backbone"]["name"]
    name = f"{backbone}, phi = {options['phi']:g}, {options['resolution']} px"
    lines = [
        f"{name}: {metrics['network']['params']:,} parameters, {metrics['network']['macs']:,} MACs",
        f"{images['labelled']} labelled images of {len(images['classes'])} classes, accuracy on "
        f"{images['held_out']} others:",
        "",
        f"{'labels drawn':<14}{TRANSFERRED:>14}{SCRATCH:>16}{'gain':>10}",
    ]
    lines += [
        f"{'draw ' + str(row['run']):<14}{row[TRANSFERRED]:>14.3f}{row[SCRATCH]:>16.3f}{row['gain']:>+10.3f}"
        for row in summary["runs"]
    ]
    for label in ("mean", "std"):
        cells = (summary[TRANSFERRED][label], summary[SCRATCH][label], summary["gain"][label])
        sign = "+" if label == "mean" else ""
        lines.append(f"{label:<14}{cells[0]:>14.3f}{cells[1]:>16.3f}{cells[2]:>{sign}10.3f}")
    lines += ["", "From scratch: twice the steps, and its best score of the whole run."]
    if images["skipped"]:
        lines += [
            "",
            f"{len(images['skipped'])} files skipped:",
            *map("  {name} ({reason})".format_map, images["skipped"]),
        ]
    return "\n".join(lines)


def write_draws(metrics: dict[str, Any], output: Path) -> None:
    """Writes metrics.json, history.csv and curves.png.

    Args:
        metrics: as `Demonstration.run` returns them.
        output: folder for the files; made if missing.

    Raises:
        DataError: a file cannot be written.
    """
    content = json.dumps({**metrics, "summary": summarize_draws(metrics)}, indent=2)
    atomic_write(output / "metrics.json", lambda path: path.write_text(content + "\n"))
    atomic_write(output / "history.csv", lambda path: write_rows(metrics["history"], path))
    atomic_write(output / "curves.png", lambda path: _draw_curves(metrics, path))


def _draw_curves(metrics: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    options, summary = metrics["options"], summarize_draws(metrics)
    figure = Figure(figsize=(10, 4), layout="constrained")
    letters, few = figure.subplots(1, 2)
    rows = [row for row in metrics["history"] if row["phase"] == LETTERS]
    epochs = list(range(1, len(rows) + 1))
    letters.plot(epochs, [row["accuracy"] for row in rows], "o--", color="0.6", label="training")
    letters.plot(epochs, [row["val_accuracy"] for row in rows], "o-", color="tab:blue", label="held out")
    letters.set(title="pre-training on drawn letters", xlabel="epoch", ylabel="accuracy", xticks=epochs)
    letters.legend()
    for kind, colour in ((TRANSFERRED, "tab:blue"), (SCRATCH, "tab:orange")):
        label = f"{kind}: {summary[kind]['mean']:.3f}"
        for run in range(1, options["repeats"] + 1):
            rows = _rows(metrics, kind, run)
            steps, scores = ([row[name] for row in rows] for name in ("step", "val_accuracy"))
            few.plot(steps, scores, "o-", color=colour, alpha=0.7, label=label)
            label = None
    data = printable(Path(options["data"]).name)
    title = f"{data}, {options['labels_per_class']} labels per class, {options['repeats']} draws"
    few.set(title=title, xlabel="step", ylabel="held-out accuracy")
    few.legend(loc="lower right")
    for axes in (letters, few):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, format="png")
