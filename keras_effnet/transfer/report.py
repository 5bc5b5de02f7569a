"""What a transfer job leaves: a table, metrics.json, history.csv and curves.png."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from keras_effnet.atomic import atomic_write
from keras_effnet.transfer.job import SCRATCH, TRANSFERRED


def summarize(metrics: dict[str, Any]) -> dict[str, Any]:
    """Scores of each run: of the transferred network its last, of the one from scratch its best.

    Args:
        metrics: as `TransferJob.run` returns them.

    Returns:
        "runs" (a row for each draw of labels), and for each network and for the gain the mean and standard deviation.
    """
    rows = []
    for number in range(1, metrics["options"]["repeats"] + 1):
        curves = {
            run["network"]: [row["held_out_accuracy"] for row in run["history"]]
            for run in metrics["runs"]
            if run["run"] == number
        }
        transferred, scratch = curves[TRANSFERRED][-1], max(curves[SCRATCH])
        rows.append({"run": number, TRANSFERRED: transferred, SCRATCH: scratch, "gain": transferred - scratch})
    summary: dict[str, Any] = {"runs": rows}
    for name in (TRANSFERRED, SCRATCH, "gain"):
        values = [row[name] for row in rows]
        summary[name] = {"mean": mean(values), "std": stdev(values) if len(values) > 1 else 0.0}
    return summary


def format_table(metrics: dict[str, Any]) -> str:
    """The scores as text, for people."""
    options, images, summary = metrics["options"], metrics["images"], summarize(metrics)
    backbone = options["backbone"] if isinstance(options["backbone"], str) else options["backbone"]["name"]
    name = f"{backbone}, phi = {options['phi']:g}, {options['resolution']} px"
    lines = [
        f"{name}: {metrics['network']['params']:,} parameters, {metrics['network']['macs']:,} MACs",
        f"{images['labelled']} labelled images of {len(images['classes'])} classes, accuracy on the "
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
        lines += ["", f"{len(images['skipped'])} unreadable files skipped:", *map("  {}".format, images["skipped"])]
    return "\n".join(lines)


def write_results(metrics: dict[str, Any], output: Path) -> None:
    """Writes metrics.json, history.csv and curves.png.

    Args:
        metrics: as `TransferJob.run` returns them.
        output: an existing folder.

    Raises:
        DataError: a file cannot be written.
    """
    content = json.dumps({**metrics, "summary": summarize(metrics)}, indent=2)
    atomic_write(output / "metrics.json", lambda path: path.write_text(content + "\n"))
    atomic_write(output / "history.csv", lambda path: _write_history(metrics, path))
    atomic_write(output / "curves.png", lambda path: _draw_curves(metrics, path))


def _write_history(metrics: dict[str, Any], path: Path) -> None:
    columns = ("network", "run", "seed", "epoch", "step", "loss", "accuracy", "held_out_accuracy")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in metrics["pretraining"]:
            writer.writerow({"network": "pre-training", "run": 0, "seed": metrics["options"]["seed"], **row})
        for run in metrics["runs"]:
            for row in run["history"]:
                writer.writerow({name: run[name] for name in ("network", "run", "seed")} | row)


def _draw_curves(metrics: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    options, summary = metrics["options"], summarize(metrics)
    figure = Figure(figsize=(10, 4), layout="constrained")
    letters, digits = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in metrics["pretraining"]]
    letters.plot(epochs, [row["accuracy"] for row in metrics["pretraining"]], "o--", color="0.6", label="training")
    held_out = [row["held_out_accuracy"] for row in metrics["pretraining"]]
    letters.plot(epochs, held_out, "o-", color="tab:blue", label="held out")
    letters.set(title="pre-training on drawn letters", xlabel="epoch", ylabel="accuracy", xticks=epochs)
    letters.legend()
    for network, colour in ((TRANSFERRED, "tab:blue"), (SCRATCH, "tab:orange")):
        label = f"{network}: {summary[network]['mean']:.3f}"
        for run in metrics["runs"]:
            if run["network"] == network:
                steps = [row["step"] for row in run["history"]]
                scores = [row["held_out_accuracy"] for row in run["history"]]
                digits.plot(steps, scores, "o-", color=colour, alpha=0.7, label=label)
                label = None
    what = "scikit-learn's digits" if options["data"] is None else Path(options["data"]).name
    title = f"{what}, {options['labels_per_class']} labels a class, {options['repeats']} draws"
    digits.set(title=title, xlabel="step", ylabel="held-out accuracy")
    digits.legend(loc="lower right")
    for axes in (letters, digits):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, format="png")
