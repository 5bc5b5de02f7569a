"""What people read of a comparison: table, CSV, Markdown, plots and page, read back by other parsers."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comparison_trains import Trains, run_in_memory
from pages import DARK, VIEWS, Reader, assert_nothing_is_hidden, assert_nothing_is_outside, probe, read_page
from PIL import Image

from keras_effnet import Comparison, Contender, ScratchRecipe, compare_networks, read_comparison
from keras_effnet.comparison.comparison_files import write_comparison
from keras_effnet.comparison.comparison_page import REFRESH, comparison_page
from keras_effnet.comparison.comparison_plots import panels

NAME = '<b>mine</b> & "co" | other'


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    """A folder of a comparison with all columns, and the comparison."""
    folder = tmp_path_factory.mktemp("comparison")
    networks = ["efficientnet_b0", Contender("mobilenet_v1", NAME, phi=0)]
    recipe = ScratchRecipe(steps=100, rates=(0.03, 0.1, 0.3), equal="compute")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_effnet.comparison.comparison_runs.run_search", run_in_memory)
        options: dict[str, Any] = {"phi": [0, 1, 2], "rule": ["compound", "width_only"], "recipe": recipe}
        found = compare_networks(networks, train=Trains(), output=folder, **options)
    assert found.training is not None
    rows = tuple(replace(row, latency_ms=row.macs / 4e7) for row in found.networks)
    training = replace(found.training, chance=0.1, images={"training": 90, "test": 10})
    found = replace(found, networks=rows, training=training, machine={"backend": "tensorflow"}, command=f"do {NAME}")
    write_comparison(found, folder)
    return folder, found


def test_csv_holds_every_number(report: tuple[Path, Comparison]) -> None:
    folder, found = report
    with (folder / "compare.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line, row in zip(lines, found.networks, strict=True):
        assert (line["label"], line["group"], line["rule"]) == (row.label, row.group, row.rule or "")
        for name in ("params", "macs", "activations", "latency_ms", "steps", "training_macs", "rate", "mean"):
            assert float(line[name]) == pytest.approx(getattr(row, name))
        assert (float(line["low"]), float(line["high"])) == pytest.approx(row.interval)
        assert [float(line[f"seed {seed}"]) for seed in (1, 2, 3)] == pytest.approx([*row.accuracies.values()])


def test_what_is_read_again_is_what_was_written(report: tuple[Path, Comparison]) -> None:
    folder, found = report
    assert read_comparison(folder) == found
    assert json.loads((folder / "compare.json").read_text())["networks"][0]["mean"] == found.networks[0].mean


def test_markdown_is_a_table_of_as_many_columns_in_every_row(report: tuple[Path, Comparison]) -> None:
    folder, found = report
    lines = (folder / "compare.md").read_text().splitlines()
    table = [line.replace(r"\|", "") for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == len(found.networks) + 2
    for line, row in zip(table[2:], found.networks, strict=True):
        assert f"| {row.params:,} | {row.macs:,} |" in line


def test_the_page_has_every_row_and_escapes_what_users_wrote(report: tuple[Path, Comparison]) -> None:
    folder, found = report
    page = read_page(folder / "index.html")
    assert [name for name in page.texts if name != "top"] == ["networks", "plots", "rates", "seeds", "origin"]
    for row in found.networks:
        assert row.label in page.texts["networks"]
        assert f"{row.mean:.4f}" in page.texts["networks"]
        assert (
            f"{row.macs / 1e6:.3g} M" in page.texts["networks"] or f"{row.macs / 1e9:.3g} G" in page.texts["networks"]
        )
        assert all(f"{accuracy:.4f}" in page.texts["seeds"] for accuracy in row.accuracies.values())
        assert all(f"{accuracy:.4f}" in page.texts["rates"] for accuracy in row.rates.values())
    assert f"do {NAME}" in page.texts["origin"]
    assert "chance is 0.1000" in page.texts["top"]
    assert len(page.images["plots"]) == len(panels(found)) == 4
    assert_nothing_is_outside(folder / "index.html")


def test_a_comparison_that_runs_says_so(report: tuple[Path, Comparison]) -> None:
    _, found = report
    assert found.training is not None
    running = replace(
        found, training=replace(found.training, finished=False, runs={"done": 3, "failed": 0, "total": 9})
    )
    content = comparison_page(running).decode()
    assert f'<meta http-equiv="refresh" content="{REFRESH}">' in content
    assert "Not finished: 3 of 9 runs; the same command goes on." in Reader(content).texts["top"]
    assert b"refresh" not in comparison_page(found)
    mixed = replace(found, training=replace(found.training, versions=("keras 3.14", "keras 3.15")))
    assert "different versions: keras 3.14; keras 3.15." in str(mixed)


def test_panels_are_those_that_there_is_something_for() -> None:
    several = compare_networks(["mobilenet_v1", "resnet50"], phi=[0, 1])
    assert [panel.name for panel in panels(several)] == ["MACs against phi", "parameters against phi"]
    for one in (
        compare_networks(["mobilenet_v1"]),
        compare_networks(["efficientnet_b0"], phi=["b1"], rule="tabulated"),
    ):
        assert [panel.name for panel in panels(one)] == ["parameters against MACs"]


def test_the_picture_holds_all_panels(report: tuple[Path, Comparison]) -> None:
    folder, _ = report
    with Image.open(io.BytesIO((folder / "compare.png").read_bytes())) as image:
        assert image.width > 1000
        colours = {colour: count for count, colour in image.convert("RGB").getcolors(1 << 24) or ()}
    for colour in ((0, 114, 178), (213, 94, 0), (0, 158, 115)):
        assert colours.get(colour, 0) > 50, "the line of a group"


@pytest.mark.slow
@pytest.mark.parametrize(("width", "medium"), VIEWS)
def test_a_browser_shows_every_part(report: tuple[Path, Comparison], tmp_path: Path, width: int, medium: str) -> None:
    found = probe(report[0] / "index.html", tmp_path, width, medium)
    assert found["sections"] == ["networks", "plots", "rates", "seeds", "origin"]
    assert found["paper"] < 0.02 if medium == DARK else found["paper"] == 1
    assert_nothing_is_hidden(found)
