"""Plots of searches: what stands in them where, that nothing is cut off, and that chance is shown."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.patches import Rectangle
from PIL import Image
from summaries import RUNGS, architecture, coefficients

from keras_effnet.search import search_page
from keras_effnet.search.candidates import Job, Trial
from keras_effnet.search.search_page import metric_curves, search_plots

Draw = Callable[..., dict[str, Any]]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """The axes of each plot by its name, in place of PNG files."""
    found: list[Any] = []

    def keep(figure: Any, dpi: int) -> bytes:
        found.append(figure)
        return bytes([len(found) - 1])

    monkeypatch.setattr(search_page, "as_png", keep)
    return lambda *made: {each.name: found[(each.image or b"")[0]].axes[0] for each in search_plots(*made)}


def points(axes: Any) -> set[tuple[float, float]]:
    parts = [part for part in axes.collections if type(part).__name__ == "PathCollection"]
    return {(round(float(x), 3), round(float(y), 6)) for part in parts for x, y in part.get_offsets()}


def lines(axes: Any, label: str) -> list[Any]:
    return [line for line in axes.get_lines() if line.get_label() == label]


def test_a_line_of_halving_ends_where_its_network_was_left(draw: Draw) -> None:
    summary, trials = coefficients(40)
    axes = draw(summary, trials)["halving"]
    ends = {tuple(line.get_xydata()[-1]) for line in axes.get_lines() if line.get_linestyle() == "-"}
    assert ends == {(each.steps, each.metric) for each in summary.candidates}
    [winner] = lines(axes, "winner")
    metric = next(each.metric for each in summary.candidates if each.key == summary.winner)
    assert tuple(winner.get_xydata()[-1]) == (RUNGS[-1], metric)
    assert [text.get_text() for text in axes.texts] == ["rung 1: 40", "rung 2: 10", "rung 3: 3"]


def test_a_curve_goes_on_over_the_rungs_of_the_own_seed() -> None:
    def trial(number: int, steps: int, seed: int = 0, state: Any = "done") -> Trial:
        return Trial(number, Job("a", {}, steps, seed), state, metric=0.1 * number, curve={steps // 2: 0.0})

    trials = [trial(1, 20), trial(2, 80), trial(9, 320, state="failed"), trial(5, 320, seed=1)]
    assert metric_curves(trials, 0) == {"a": {10: 0.0, 20: 0.1, 40: 0.0, 80: 0.2}}
    assert metric_curves(trials, 1) == {"a": {160: 0.0, 320: 0.5}}


def test_the_surface_has_the_metric_of_equal_steps_in_every_cell(draw: Draw) -> None:
    summary, trials = coefficients(40)
    # Two triples round to one network: it has two cells.
    extra = replace(summary.candidates[3], triples=(*summary.candidates[3].triples, (9.0, 1.25, 7.0)))
    summary = replace(summary, candidates=(*summary.candidates[:3], extra, *summary.candidates[4:]))
    axes = draw(summary, trials)["surface"]
    first = {key: curve[RUNGS[0]] for key, curve in metric_curves(trials, 0).items()}
    low, high = min(first.values()), max(first.values())
    strips = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_fill()]
    assert len(strips) == 41
    alphas, gammas = (
        sorted({round(triple[axis], 6) for each in summary.candidates for triple in each.triples}) for axis in (0, 2)
    )
    found: dict[tuple[float, float], list[Any]] = {}
    for patch in strips:
        cell = alphas[round(patch.get_x() + patch.get_width() / 2)], gammas[round(patch.get_y() + 0.5)]
        found.setdefault(cell, []).append(patch.get_facecolor())
    for each in summary.candidates:
        colour = colormaps["viridis"]((first[each.key] - low) / (high - low))
        for alpha, _, gamma in each.triples:
            assert any(np.allclose(colour, cell) for cell in found[round(alpha, 6), round(gamma, 6)])
    written = [text.get_text() for text in axes.texts]
    assert sum("\N{BULLET}\N{BULLET}" in text for text in written) == 3, "three were promoted twice"


def test_the_front_the_target_and_the_best_stand_out(draw: Draw) -> None:
    summary, trials = architecture(40)
    axes = draw(summary, trials)["front"]
    by_key = {each.key: each for each in summary.candidates}
    front = {(round(by_key[key].cost["macs"], 3), round(by_key[key].metric or 0, 6)) for key in summary.front}
    assert {(x, y) for x, y in points(axes) if (x, y) in front} == front
    assert len(points(axes)) == 40
    [best] = lines(axes, "largest reward")
    assert best.get_ydata() == [by_key[summary.best or ""].metric]
    assert set(lines(axes, "target")[0].get_xdata()) == {2e7}


def test_chance_is_a_line_and_no_winner_of_nothing_stands_out(draw: Draw) -> None:
    grid, trials = coefficients(40)
    network, tried = architecture(40)
    made = {**draw(grid, trials), **draw(network, tried)}
    for name in ("halving", "front"):
        assert lines(made[name], "chance")[0].get_ydata()[0] == grid.chance
    nothing = {
        **draw(replace(grid, chance=0.99), trials),
        **draw(replace(network, chance=0.99), tried),
    }
    for axes in nothing.values():
        shown = [*axes.get_legend_handles_labels()[1], *(label.get_text() for label in axes.get_yticklabels())]
        assert not any(word in text for text in shown for word in ("winner", "largest reward"))
    for axes in draw(replace(grid, chance=None), trials).values():
        assert not lines(axes, "chance")


CASES = {
    "one": {"count": 1},
    "five": {"count": 5},
    "equal": {"count": 12, "equal": True},
    "running": {"count": 20, "finished": False},
    "many": {"count": 200},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning")  # Matplotlib's words for a layout that has no room
def test_nothing_is_cut_off() -> None:
    for case in CASES.values():
        network, tried = architecture(**case)
        for plot in (*search_plots(*coefficients(**case)), *search_plots(network, tried)):
            with Image.open(io.BytesIO(plot.image)) as image:
                colours, pixels = image.convert("RGB").getcolors(1 << 24), np.asarray(image.convert("RGB"))
            assert len(colours or ()) > 20
            for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
                assert (edge == 255).all(), (plot.name, case)


@pytest.mark.parametrize("make", [coefficients, architecture])
def test_without_a_result_there_is_no_plot(make: Any) -> None:
    assert search_plots(*make(3, trained=False)) == []
