"""The report of a search, read back by a parser and by a browser."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pages import Reader, assert_nothing_is_hidden, assert_nothing_is_outside, probe, read_page, screenshot
from PIL import Image
from summaries import ERROR, NAME, TABLE, architecture, coefficients
from support import run_python

from keras_effnet.search.plan import Row
from keras_effnet.search.search_page import REFRESH, search_page, write_search_report

IMAGES = {
    "coefficients": ["finalists", "surface", "cost", "ladder", "parallel"],
    "architecture": ["cost", "progress", "parallel"],
}
SECTIONS = {
    "coefficients": ["winner", "compared", *IMAGES["coefficients"], "candidates", "failed", "origin"],
    "architecture": ["best", *IMAGES["architecture"], "candidates", "failed", "origin"],
}
Report = tuple[Path, dict[str, Any], Sequence[Row]]


@pytest.fixture(scope="module", params=[coefficients, architecture], ids=lambda make: make.__name__)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A folder that a report was written to, and what it is made of."""
    folder = tmp_path_factory.mktemp("search") / "new"
    summary, rows = request.param(17)
    write_search_report(summary, rows, folder)
    return folder, summary, rows


def test_every_file_is_there(report: Report) -> None:
    folder, summary, _ = report
    images = IMAGES[summary["search"]]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [".lock", "report.html", "result.json", *(f"{name}.png" for name in images)]
    )
    assert json.loads((folder / "result.json").read_text()) == json.loads(json.dumps(summary))
    page = read_page(folder / "report.html")
    assert list(page.images) == images
    for name in images:
        [content] = page.images[name]
        assert content == (folder / f"{name}.png").read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            assert min(image.size) > 300


def test_every_part_and_every_network_is_there(report: Report) -> None:
    folder, summary, _ = report
    page = read_page(folder / "report.html")
    assert [name for name in page.texts if name != "top"] == SECTIONS[summary["search"]]
    for each in summary["candidates"]:
        assert each["key"] in page.texts["candidates"]
        assert f"{each['metric']:.4f}" in page.texts["candidates"]
    for text in (summary["command"], "keras3.15.1", "seed0", "data.nameglyphs & <others>"):
        assert text in page.texts["origin"]
    assert "refresh" not in (folder / "report.html").read_text()
    assert "running" not in page.texts


def test_what_users_wrote_stays_text(report: Report) -> None:
    folder, summary, rows = report
    page = read_page(folder / "report.html")
    assert "script" not in page.tags
    failed = [row for row in rows if row.state in ("failed", "retried")]
    assert page.texts["failed"].count(ERROR) == len(failed) == 2
    if summary["search"] == "coefficients":
        assert NAME in page.texts["top"]
        assert page.texts["failed"].count("tried again") == 2, "once in the text, once for a trial"
        assert page.texts["failed"].count("given up") == 2
    else:
        assert TABLE in page.texts["best"]
        assert str(summary["candidates"][16]["parent"]) in page.texts["candidates"]


def test_the_page_refers_to_nothing_outside(report: Report) -> None:
    assert_nothing_is_outside(report[0] / "report.html")


def test_the_winner_can_be_pasted_and_is_compared() -> None:
    summary, rows = coefficients(5)
    page = Reader(search_page(summary, rows, []).decode())
    text, _, code = page.texts["winner"].partition("from keras_effnet")
    assert run_python(f"from keras_effnet{code}\nprint(rule)") == summary["rule"]
    assert "+0.0123, 95% interval -0.0040 to +0.0286: not told apart." in text
    for each in summary["finalists"]:
        assert f"{each['mean']:.4f}" in page.texts["compared"]
    assert "the paper's" in page.texts["compared"]
    best = max(each["mean"] for each in summary["finalists"])
    assert f"{best:.4f}best {summary['metric']}" in page.texts["top"], "not that of a single seed"


def test_two_drivers_report_to_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_effnet.search.search_page.search_images", lambda summary, rows: [])
    summary, rows = coefficients(5)

    def write_often(_: int) -> None:
        for _ in range(20):
            write_search_report(summary, rows, tmp_path)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_often, range(2)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "report.html", "result.json"]


@pytest.mark.parametrize("make", [coefficients, architecture])
def test_while_the_search_runs_the_page_says_so(make: Any) -> None:
    summary, rows = make(3, trained=False, finished=False)
    content = search_page(summary, rows, [])
    assert f'<meta http-equiv="refresh" content="{REFRESH}">' in content.decode()
    page = Reader(content.decode())
    assert "Still running: 0 of about" in page.texts["running"]
    assert not {"winner", "best", "compared"} & set(page.texts)
    assert page.texts["candidates"].count("0000000000") == 3
    summary, rows = make(3, trained=False)
    assert b"refresh" not in search_page(summary, rows, [])


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_every_part(report: Report, tmp_path: Path, width: int) -> None:
    folder, summary, _ = report
    found = probe(folder / "report.html", tmp_path, width)
    assert found["sections"] == SECTIONS[summary["search"]]
    assert_nothing_is_hidden(found)


@pytest.mark.slow
def test_a_browser_shows_the_images(report: Report, tmp_path: Path) -> None:
    image = tmp_path / "page.png"
    screenshot(report[0] / "report.html", image, 1200)
    with Image.open(image) as shown:
        colours = {colour: count for count, colour in shown.convert("RGB").getcolors(1 << 24) or ()}
    assert colours.get((213, 94, 0), 0) > 50, "the winner's colour: the images are shown"
