"""What a search says, in its report (read back by a parser and by a browser) and on a terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pages import DARK, VIEWS, Reader, assert_nothing_is_hidden, assert_nothing_is_outside, probe, read_page, screenshot
from PIL import Image
from summaries import ERROR, NAME, TABLE, architecture, coefficients
from support import run_python

from keras_effnet.report.text import NOTHING, digits
from keras_effnet.search.candidates import Trial
from keras_effnet.search.records import NOT_LEARNED, ArchitectureSummary, CoefficientSummary, Summary
from keras_effnet.search.search_page import (
    REFRESH,
    comparison,
    format_search,
    search_page,
    write_search_report,
)

PLOTS = {"coefficients": ["surface", "halving"], "architecture": ["front"]}
SECTIONS = {
    "coefficients": ["winner", "compared", *PLOTS["coefficients"], "candidates", "optuna", "failed", "origin"],
    "architecture": ["best", "pareto", *PLOTS["architecture"], "candidates", "optuna", "failed", "origin"],
}
Report = tuple[Path, Summary, Sequence[Trial]]


@pytest.fixture(scope="module", params=[coefficients, architecture], ids=lambda make: make.__name__)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A folder that a report was written to, and what it is made of."""
    folder = tmp_path_factory.mktemp("search") / "new"
    summary, trials = request.param(17)
    write_search_report(summary, trials, folder)
    return folder, summary, trials


def test_every_file_is_there(report: Report) -> None:
    folder, summary, _ = report
    plots = PLOTS[summary.search]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [".lock", "report.html", "result.json", *(f"{name}.png" for name in plots)]
    )
    assert json.loads((folder / "result.json").read_text()) == json.loads(json.dumps(summary.to_dict()))
    page = read_page(folder / "report.html")
    assert list(page.images) == plots
    for name in plots:
        [content] = page.images[name]
        assert content == (folder / f"{name}.png").read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            assert min(image.size) > 300
            assert image.width <= 800, "narrow enough that its text is read at 330 px"


def test_every_part_and_every_network_is_there(report: Report) -> None:
    folder, summary, _ = report
    page = read_page(folder / "report.html")
    assert [name for name in page.texts if name != "top"] == SECTIONS[summary.search]
    for each in summary.candidates:
        assert each.key in page.texts["candidates"]
        assert digits(each.metric) in page.texts["candidates"]
        assert "-".join(map(str, each.widths)) in page.texts["candidates"]
    assert f"chance{'' if summary.search == 'architecture' else '0.0250'}" in page.texts["candidates"]
    assert "optuna-dashboard sqlite:////Results/<mine>/search.db" in page.texts["optuna"]
    for text in (summary.command, "keras3.15.1", "seed0", "data.nameglyphs & <others>"):
        assert text in page.texts["origin"]
    assert "refresh" not in (folder / "report.html").read_text()
    assert "running" not in page.texts


def test_what_users_wrote_stays_text(report: Report) -> None:
    folder, summary, trials = report
    page = read_page(folder / "report.html")
    assert "script" not in page.tags
    failed = [trial for trial in trials if trial.state in ("failed", "retried")]
    assert page.texts["failed"].count(ERROR) == len(failed) == 2
    if isinstance(summary, CoefficientSummary):
        assert NAME in page.texts["top"]
        assert page.texts["failed"].count("tried again") == 2, "once in the text, once for a trial"
        assert page.texts["failed"].count("given up") == 2
    if isinstance(summary, ArchitectureSummary):
        assert TABLE in page.texts["best"]
        assert str(summary.candidates[16].parent) in page.texts["candidates"]


def test_the_page_refers_to_nothing_outside(report: Report) -> None:
    assert_nothing_is_outside(report[0] / "report.html")


def test_the_winner_can_be_pasted_and_is_compared() -> None:
    summary, trials = coefficients(5)
    page = Reader(search_page(summary, trials, []).decode())
    text, _, code = page.texts["winner"].partition("from keras_effnet")
    assert run_python(f"from keras_effnet{code}\nprint(rule)") == summary.rule
    assert "+0.0123, 95% interval -0.0040 to +0.0286: not told apart." in text
    for each in summary.finalists:
        assert f"{each.mean:.4f}" in page.texts["compared"]
    assert "the paper's" in page.texts["compared"]
    winner = next(each for each in summary.finalists if each.key == summary.winner)
    assert f"{winner.mean:.4f}best {summary.metric}" in page.texts["top"], "not that of a single seed"


@pytest.mark.parametrize("make", [coefficients, architecture])
def test_a_search_that_has_learned_nothing_says_so_and_names_no_winner(make: Any) -> None:
    summary, trials = make(17)
    write = format_search
    assert NOT_LEARNED not in write(summary)
    nothing = replace(summary, chance=0.95)
    page = Reader(search_page(nothing, trials, []).decode())
    for text in (write(nothing), page.texts["chance"]):
        assert NOT_LEARNED in text
        assert "0.9500" in text
    everything = " ".join(page.texts.values()) + write(nothing)
    assert not any(word in everything for word in ("winner", "paste", "The largest reward:", "The largest reward\n"))
    assert not {"winner", "best"} & set(page.texts)


def test_two_drivers_report_to_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_effnet.search.search_page.search_plots", lambda summary, trials: [])
    summary, trials = coefficients(5)

    def write_often(_: int) -> None:
        for _ in range(20):
            write_search_report(summary, trials, tmp_path)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_often, range(2)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "report.html", "result.json"]


@pytest.mark.parametrize("make", [coefficients, architecture])
def test_while_the_search_runs_the_page_says_so(make: Any) -> None:
    summary, trials = make(3, trained=False, finished=False)
    content = search_page(summary, trials, [])
    assert f'<meta http-equiv="refresh" content="{REFRESH}">' in content.decode()
    page = Reader(content.decode())
    assert "Still running: 0 of about" in page.texts["running"]
    assert not {"winner", "best", "compared"} & set(page.texts)
    assert page.texts["candidates"].count("0000000000") == 3
    summary, trials = make(3, trained=False)
    assert b"refresh" not in search_page(summary, trials, [])


@pytest.mark.slow
@pytest.mark.parametrize(("width", "medium"), VIEWS)
def test_a_browser_shows_every_part(report: Report, tmp_path: Path, width: int, medium: str) -> None:
    folder, summary, _ = report
    found = probe(folder / "report.html", tmp_path, width, medium)
    assert found["sections"] == SECTIONS[summary.search]
    assert found["paper"] < 0.02 if medium == DARK else found["paper"] == 1
    assert_nothing_is_hidden(found)


@pytest.mark.slow
def test_a_browser_shows_the_plots(report: Report, tmp_path: Path) -> None:
    image = tmp_path / "page.png"
    screenshot(report[0] / "report.html", image, 1200, 2600)
    with Image.open(image) as shown:
        colours = {colour: count for count, colour in shown.convert("RGB").getcolors(1 << 24) or ()}
    assert colours.get((213, 94, 0), 0) > 50, "the winner's colour: the plots are shown"


def test_the_winner_the_finalists_and_the_difference_are_told() -> None:
    summary, _ = coefficients(40)
    text = format_search(summary)
    lines = text.splitlines()
    assert f"rule = {summary.rule}" in lines
    table = [line.replace("/", " ").split() for line in lines if line.endswith("  3")]
    for cells, finalist in zip(table, summary.finalists, strict=True):
        assert [float(cell) for cell in cells[:3]] == list(finalist.choices.values())
        assert float(cells[-2]) == pytest.approx(finalist.cost["macs"] / 3e7, abs=1e-3)
        assert float(cells[3]) == pytest.approx(finalist.mean, abs=1e-4)
        assert cells[-1] == "3"
        assert (cells[6:-2] == ["the", "paper's"]) == (finalist.label == "paper")
        assert (cells[6:-2] == ["winner"]) == (finalist.key == summary.winner)
    assert "(test images, 3 seeds): +0.0123, 95% interval -0.0040 to +0.0286: not told apart.\n" in text
    assert ["chance", "0.0250"] in [line.split() for line in lines]
    assert "53 trials done, 1 failed" in text
    assert "the plain grid: 12,800 steps" in text


def test_while_it_runs_the_longest_trained_are_told() -> None:
    summary, _ = coefficients(40, finished=False)
    least = min(summary.candidates, key=lambda each: each.steps)
    lucky = tuple(replace(each, metric=0.99) if each is least else each for each in summary.candidates)
    summary = replace(summary, candidates=lucky)  # by chance, after few steps
    text = format_search(summary)
    assert "Still running: 53 of about 58 trials done" in text
    trials = [line.replace("/", " ").split() for line in text.splitlines()[-5:]]
    trained = sorted(((each.steps, each.metric or 0) for each in summary.candidates), reverse=True)
    assert [(int(trial[4]), float(trial[3])) for trial in trials] == [
        (steps, round(metric, 4)) for steps, metric in trained[:5]
    ]
    assert "Winner" not in text


def test_before_the_first_result_there_is_something_to_read() -> None:
    for make in (coefficients, architecture):
        text = format_search(make(3, trained=False, finished=False)[0])
        assert "0 of about" in text
        assert "None" not in text


def test_the_paper_may_win_and_nothing_may_be_known_of_it() -> None:
    summary, _ = coefficients(40)
    paper = next(each.key for each in summary.finalists if each.label == "paper")
    assert comparison(replace(summary, difference=None)) == ""
    assert "paper's constants" in comparison(replace(summary, difference=None, winner=paper))
    assert summary.difference is not None
    assert "test images" not in comparison(replace(summary, difference=replace(summary.difference, on="metrics")))


def test_the_best_network_and_the_front_are_told() -> None:
    summary, _ = architecture(40)
    text = format_search(summary)
    by_key = {each.key: each for each in summary.candidates}
    best = by_key[summary.best or ""]
    macs = best.cost["macs"]
    assert f"The largest reward: accuracy {digits(best.metric)}" in text
    assert f"{macs / 1e6:.3g} M MACs ({macs / 2e7:.0%} of the target), reward {digits(best.value)}" in text
    part = text[text.index("Networks on the front") : text.index("All networks")].splitlines()[1:]
    assert part[1].split() == ["chance", "0.0250"]
    front = [line.split() for line in part[2:-1]]
    assert [int(cells[-2]) for cells in front] == [by_key[key].number for key in summary.front]
    assert [float(cells[0]) for cells in front] == sorted(float(cells[0]) for cells in front)
    assert "Maximised: accuracy x (MACs / 20 M)^w, w = -0.07, -1 above the target." in text
    assert "Evolution among 1.23e+11 networks, of at most 30 M MACs, of at most 1 M parameters." in text
    plain = replace(summary, reward={**summary.reward, "exponent": 0.0, "over": None})
    assert "Maximised: accuracy." in format_search(plain)
    assert TABLE in text


def test_numbers_are_short() -> None:
    assert [digits(number) for number in (0.5, -0.12345, 1234567.0, None)] == [
        "0.5000",
        "-0.1235",
        "1.2346e+06",
        NOTHING,
    ]
