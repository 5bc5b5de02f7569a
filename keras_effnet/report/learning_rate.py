"""What a search for a learning rate leaves: a table, a picture and a file for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_effnet.atomic import atomic_write
from keras_effnet.report.curves import PANEL_SIZE, TRAINING, VALIDATION
from keras_effnet.report.text import json_text, this_command

if TYPE_CHECKING:
    from keras_effnet.finetune.rate_finder import FoundRate

ROWS = 17  # of the table: two for each order of magnitude
CEILING = 1.5  # the picture's upper end in units of the first loss: above it, the loss has long lost its way


def write_rate(found: FoundRate, output: Path) -> None:
    """Writes learning_rate.json and learning_rate.png.

    Args:
        found: what the search came to.
        output: folder for the files; made if missing.

    Raises:
        DataError: a file cannot be written.
    """
    text = json_text({"command": this_command(), **found.to_dict()})
    atomic_write(output / "learning_rate.json", lambda path: path.write_text(text, encoding="utf-8"))
    atomic_write(output / "learning_rate.png", lambda path: _draw(found, path))


def format_rate(found: FoundRate) -> str:
    """The losses at some rates, and the suggestion, as text."""
    places = np.unique(np.linspace(0, len(found.rates) - 1, min(ROWS, len(found.rates))).round().astype(int))
    lines = [f"{'rate':>10}{'loss':>10}{'smoothed':>12}"]
    lines += [f"{found.rates[at]:>10.1e}{found.losses[at]:>10.3f}{found.smoothed[at]:>12.3f}" for at in places]
    if found.suggestion is None:
        lines += ["", "No suggestion: the loss fell at no rate."]
    else:
        lines += [
            "",
            f"Suggested: --rate {found.suggestion:g}, a tenth of {found.least:.2g}, where the smoothed loss is least.",
        ]
    return "\n".join(lines)


def _draw(found: FoundRate, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=PANEL_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color=TRAINING, linewidth=1, label="loss of a step")
    axes.plot(found.rates, found.smoothed, color=VALIDATION, label="mean of eleven steps")
    if found.suggestion is not None:
        axes.axvline(found.suggestion, color="tab:orange", label=f"suggested: {found.suggestion:g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
    if found.losses:
        axes.set_ylim(0, CEILING * max(found.losses[0], max(found.smoothed[: len(found.smoothed) // 2 + 1])))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=120, format="png")
