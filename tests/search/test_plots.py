"""Images of searches: what stands in them where, and that nothing is cut off."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.patches import Rectangle
from PIL import Image
from summaries import RUNGS, architecture, coefficients

from keras_effnet.search import plots
from keras_effnet.search.charts import JITTER, choice_axis, norm_of, number_axis
from keras_effnet.search.plan import Job, Row
from keras_effnet.search.plots import choice_groups, first_metrics, ladder_curves, search_images

Draw = Callable[[dict[str, Any], Sequence[Row]], dict[str, Any]]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """The axes of each image by its name, in place of PNG files."""
    found: list[Any] = []

    def keep(figure: Any) -> bytes:
        found.append(figure)
        return bytes([len(found) - 1])

    monkeypatch.setattr(plots, "png", keep)
    return lambda summary, rows: {each.name: found[each.content[0]].axes[0] for each in search_images(summary, rows)}


def points(axes: Any) -> set[tuple[float, float]]:
    return {(round(float(x), 3), round(float(y), 6)) for part in axes.collections for x, y in _offsets(part)}


def _offsets(part: Any) -> Any:
    # Error bars are lines, which have one offset of their own.
    return part.get_offsets() if type(part).__name__ == "PathCollection" else ()


def lines(axes: Any, label: str) -> list[Any]:
    return [line for line in axes.get_lines() if line.get_label() == label]


def test_every_network_is_a_point_at_its_cost(draw: Draw) -> None:
    summary, rows = coefficients(40)
    axes = draw(summary, rows)["cost"]
    assert points(axes) == {
        (round(each["cost"]["macs"], 3), round(each["metric"], 6)) for each in summary["candidates"]
    }
    band = next(patch for patch in axes.patches if patch.get_label() == "asked for").get_extents()
    assert axes.transData.inverted().transform(band)[:, 0] == pytest.approx([0.9 * 6e7, 1.1 * 6e7])


def test_a_line_of_the_ladder_ends_where_its_network_was_left(draw: Draw) -> None:
    summary, rows = coefficients(40)
    axes = draw(summary, rows)["ladder"]
    ends = [tuple(line.get_xydata()[-1]) for line in axes.get_lines() if line.get_linestyle() == "-"]
    ends = list(dict.fromkeys(ends))  # each has a dot there, too
    assert sorted(ends) == sorted((each["steps"], each["metric"]) for each in summary["candidates"])
    [winner] = lines(axes, "winner")
    metric = next(each["metric"] for each in summary["candidates"] if each["key"] == summary["winner"])
    assert tuple(winner.get_xydata()[-1]) == (RUNGS[-1], metric)
    assert [text.get_text() for text in axes.texts] == ["rung 1: 40", "rung 2: 10", "rung 3: 3"]


def test_a_curve_goes_on_over_the_rungs_of_the_own_seed() -> None:
    def row(number: int, steps: int, seed: int = 0, state: Any = "done") -> Row:
        return Row(number, Job("a", {}, steps, seed), state, metric=0.1 * number, curve={steps // 2: 0.0})

    rows = [row(1, 20), row(2, 80), row(9, 320, state="failed"), row(5, 320, seed=1)]
    assert ladder_curves(rows, 0) == {"a": {10: 0.0, 20: 0.1, 40: 0.0, 80: 0.2}}
    assert ladder_curves(rows, 1) == {"a": {160: 0.0, 320: 0.5}}
    assert first_metrics({"rungs": [20, 80], "seed": 0}, rows) == {"a": 0.1}


def test_the_surface_has_the_metric_of_equal_steps_in_every_cell(draw: Draw) -> None:
    summary, rows = coefficients(40)
    # Two triples round to one network: it has two cells.
    extra = [9.0, 1.25, 7.0]
    summary["candidates"][3]["triples"].append(extra)
    axes = draw(summary, rows)["surface"]
    first = [curve_value for each in summary["candidates"] if (curve_value := first_of(rows, each["key"]))]
    norm = norm_of(first)
    strips = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_fill()]
    assert len(strips) == 41
    gammas = [label.get_text() for label in axes.get_yticklabels()]
    alphas = [label.get_text() for label in axes.get_xticklabels()]
    assert (alphas[-1], gammas[-1]) == ("9", "7")
    found = {}
    for patch in strips:
        middle = patch.get_x() + patch.get_width() / 2, patch.get_y() + 0.5
        column, row = round(middle[0]), round(middle[1])
        found.setdefault((alphas[column], gammas[row]), []).append(patch.get_facecolor())
    for each in summary["candidates"]:
        for alpha, _, gamma in each["triples"]:
            colour = colormaps["viridis"](norm(first_of(rows, each["key"])))
            assert any(np.allclose(colour, cell) for cell in found[f"{alpha:.4g}", f"{gamma:.4g}"])
    written = [text.get_text() for text in axes.texts]
    assert "1.25" in written
    assert sum("\N{BULLET}\N{BULLET}" in text for text in written) == 3, "three have climbed two rungs"


def first_of(rows: Sequence[Row], key: str) -> float:
    [found] = [row.metric for row in rows if row.job and row.job.key == key and row.job.steps == RUNGS[0]]
    assert found is not None
    return found


def test_every_seed_of_a_finalist_is_a_dot(draw: Draw) -> None:
    summary, rows = coefficients(40)
    axes = draw(summary, rows)["finalists"]
    expected = {
        (metric, place) for place, each in enumerate(summary["finalists"]) for metric in each["metrics"].values()
    }
    assert points(axes) == {(round(metric, 3), place) for metric, place in expected}
    assert [float(line.get_xdata()[0]) for line in axes.get_lines()] == [each["mean"] for each in summary["finalists"]]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert [name.endswith("the paper's") for name in names] == [
        each["label"] == "paper" for each in summary["finalists"]
    ]


def test_the_front_the_target_and_the_best_stand_out(draw: Draw) -> None:
    summary, rows = architecture(40)
    axes = draw(summary, rows)["cost"]
    by_key = {each["key"]: each for each in summary["candidates"]}
    expected = [(by_key[key]["cost"]["macs"], by_key[key]["metric"]) for key in summary["front"]]
    [front] = lines(axes, "Pareto front")
    assert [tuple(point) for point in front.get_xydata()] == expected
    assert len(points(axes)) == 40
    [best] = lines(axes, "largest reward")
    assert best.get_ydata() == [by_key[summary["best"]]["metric"]]
    [target] = lines(axes, "target")
    assert set(target.get_xdata()) == {2e7}


def test_the_best_so_far_rises_to_the_last_trial(draw: Draw) -> None:
    summary, rows = architecture(40)
    axes = draw(summary, rows)["progress"]
    [line] = lines(axes, "best so far")
    assert [list(point) for point in line.get_xydata()[:-1]] == summary["best_so_far"]
    assert list(line.get_xydata()[-1]) == [39, summary["best_so_far"][-1][1]]
    assert points(axes) == {(each["number"], round(each["value"], 6)) for each in summary["candidates"]}


def test_a_line_crosses_each_axis_at_its_value(draw: Draw) -> None:
    summary, rows = architecture(40, stages=2)
    axes = draw(summary, rows)["parallel"]
    assert axes.get_title("left") == "stage1"
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["block", "kernel", "expand", "se_ratio", "width", "depth", "skip", "reward"]
    [best] = lines(axes, "largest reward")
    choices = next(each["choices"] for each in summary["candidates"] if each["key"] == summary["best"])
    expected = [
        ["FusedMBConv", "MBConv"].index(choices["stage1.block"]),
        [3, 5, 7].index(choices["stage1.kernel"]) / 2,
        [1, 3, 6].index(choices["stage1.expand"]) / 2,
    ]
    np.testing.assert_allclose(best.get_ydata()[:3], expected, atol=JITTER)
    assert best.get_ydata()[-1] == 1
    assert len(lines(axes, "largest reward")) == 1
    assert sum(len(line.get_xdata()) == len(names) for line in axes.get_lines()) == 40


def test_numbers_stand_where_they_are_and_choices_at_equal_distances() -> None:
    axis = number_axis("x", [1.0, 2.0, 5.0, None])
    assert axis.places == (0, 0.25, 1, None)
    assert axis.ticks == {0: "1", 0.25: "2", 1: "5"}
    assert number_axis("x", [3.0, 3.0]).places == (0.5, 0.5)
    assert number_axis("x", [None]).ticks == {}
    close = number_axis("x", [0.0, 0.001, 1.0]).ticks
    assert list(close.values()) == ["0", "1"], "names that would overlap are left out"
    choices = choice_axis("kernel", [7, 3, 5, None], {3: "3", 5: "5", 7: "7"})
    assert choices.places[3] is None
    np.testing.assert_allclose([place or 0 for place in choices.places[:3]], [1, 0, 0.5], atol=JITTER)
    assert choices == choice_axis("kernel", [7, 3, 5, None], {3: "3", 5: "5", 7: "7"}), "the same in every report"


def test_what_does_not_differ_is_left_out_and_what_is_wide_is_cut() -> None:
    many = {f"stage1.c{number}": 0 for number in range(10)}
    groups = choice_groups(
        [{"choices": {**many, "stage2.k": 3, "a": 1}}, {"choices": {**dict.fromkeys(many, 1), "stage2.k": 3, "a": 2}}]
    )
    assert {title: len(names) for title, names in groups.items()} == {"stage1": 8, "stage1 (2)": 2, "": 1}


CASES = {
    "one": {"count": 1},
    "five": {"count": 5},
    "equal": {"count": 12, "equal": True},
    "running": {"count": 20, "finished": False},
    "many": {"count": 200},
}


def assert_whole(content: bytes) -> None:
    """Something is drawn, and nothing reaches the edge."""
    with Image.open(io.BytesIO(content)) as image:
        colours, pixels = image.convert("RGB").getcolors(1 << 24), np.asarray(image.convert("RGB"))
    assert len(colours or ()) > 20
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()


@pytest.mark.parametrize("make", [coefficients, architecture])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning")  # Matplotlib's words for a layout that has no room
def test_nothing_is_cut_off(make: Any, case: str) -> None:
    for image in search_images(*make(**CASES[case])):
        assert_whole(image.content)


@pytest.mark.parametrize("make", [coefficients, architecture])
def test_without_a_result_there_is_no_image(make: Any) -> None:
    assert search_images(*make(3, trained=False)) == []


def test_a_latency_is_drawn_though_that_of_the_base_is_not_known(draw: Draw) -> None:
    summary, rows = coefficients(5)
    for each in (*summary["candidates"], *summary["finalists"]):
        each["cost"] = {"latency_ms": each["cost"]["macs"] / 1e6}
    summary |= {"measure": "latency_ms"}
    axes = draw(summary, rows)["cost"]
    assert axes.get_xlabel() == "milliseconds an image"
