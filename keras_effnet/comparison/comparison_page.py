"""A comparison as a page: the table, the plots, what was tried, and how it was made."""

from __future__ import annotations

from typing import Any

from keras_effnet.comparison.compared import Comparison, TrainingSummary
from keras_effnet.comparison.comparison_plots import panel_pngs
from keras_effnet.report.html import chart, element, page, section, settings, table
from keras_effnet.report.text import NOTHING, digits, duration

REFRESH = 30  # seconds between two readings of the page of a comparison that runs


def comparison_page(comparison: Comparison) -> bytes:
    """Makes the page, in one file that needs no network.

    Args:
        comparison: the comparison. If its runs are not finished, a browser reads the page again by itself.
    """
    training = comparison.training
    running = training is not None and not training.finished
    images = [chart(png, name, class_="half") for name, png in panel_pngs(comparison).items()]
    header, *rows = comparison.table(exact=False)
    plotted = "A line joins the networks of a group."
    if any(row.interval for row in comparison.networks):
        plotted += " Upright lines are intervals of 95 % over the seeds."
    command = element("pre", comparison.command, class_="wrap")
    return page(
        comparison.headline,
        element("h1", comparison.headline),
        [element("p", note, class_="soft") for note in comparison.notes],
        section("Networks", "networks", table(header, rows)),
        section("Plots", "plots", element("p", plotted, class_="soft"), element("div", images, class_="halves")),
        [] if training is None else _training_sections(comparison, training),
        section("Made by", "origin", command, settings(_made_with(comparison))),
        refresh=REFRESH if running else None,
    )


def _training_sections(comparison: Comparison, training: TrainingSummary) -> list[Any]:
    """What was tried, and what each seed came to."""
    sections = []
    if training.rate_seed is not None:
        rates = list(training.recipe["rates"])
        text = (
            f"Accuracy on the validation images of a run with each learning rate, all with seed {training.rate_seed}, "
            "which is not reported. A network gets the rate of its best run; a run without a number has failed, or "
            "has not ended."
        )
        rows = [
            (row.label, *(digits(row.rates.get(rate)) for rate in rates), f"{row.rate:g}" if row.rate else NOTHING)
            for row in comparison.networks
        ]
        header = ("network", *(f"{rate:g}" for rate in rates), "chosen")
        shown = table(header, rows)
        sections.append(section("Learning rates", "rates", element("p", text, class_="soft"), shown))
    text = f"The {training.metric} on the {training.measured_on} after training with each seed."
    header = ("network", *(f"seed {seed}" for seed in training.seeds))
    rows = [(row.label, *(digits(row.accuracies.get(seed)) for seed in training.seeds)) for row in comparison.networks]
    sections.append(section("Seeds", "seeds", element("p", text, class_="soft"), table(header, rows)))
    return sections


def _made_with(comparison: Comparison) -> dict[str, Any]:
    """What stands at the end of the page: how all was trained and timed."""
    training, machine = comparison.training, comparison.machine
    told: dict[str, Any] = {"confidence": "95 %, Student's t over the seeds"} if training else {}
    if training is not None:
        told |= {"data": training.data, "images": training.images, "recipe": training.recipe}
        told |= {"runs": training.runs, "time of all runs": duration(training.seconds)}
        told |= {"versions": "; ".join(training.versions)}
    return told | ({"latency": machine} if machine else {})
