"""Results as notebooks and editors show them."""
# pyright: reportArgumentType=true, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any, assert_type

import keras
import pytest
from support import without_weights

from keras_effnet import (
    InheritanceReport,
    build_model,
    estimate_cost,
    explain,
    explain_layers,
    grow_model,
    scale_model,
    scale_spec,
)
from keras_effnet.applications import mobilenet_v2_spec
from keras_effnet.tables import Shown, aligned
from keras_effnet.weights.load_report import LoadReport, LoadRow


def shown() -> list[Shown]:
    row = LoadRow("loaded", "stem/kernel", "conv_stem.weight", (3, 3, 3, 8), (8, 3, 3, 3), "")
    return [
        estimate_cost("mobilenet_v2"),
        explain("mobilenet_v2", phi=1),
        explain_layers("mobilenet_v2"),
        LoadReport("<file>", "timm", (row,)),
        InheritanceReport("old", "new", (), (), 1e-7),
    ]


@pytest.mark.parametrize("result", shown(), ids=lambda result: type(result).__name__)
def test_a_notebook_shows_the_table_and_a_list_one_line(result: Shown) -> None:
    html = result._repr_html_()
    assert unescape(html.partition(">")[2].removesuffix("</pre>")).splitlines() == str(result).splitlines()
    assert "<file>" not in html
    line = repr([result])
    assert type(result).__name__ in line
    assert result.headline in line
    assert len(line) < 120
    assert "\n" not in line


def test_a_notebook_shows_a_spec_stage_by_stage_and_its_repr_can_be_copied() -> None:
    html = mobilenet_v2_spec._repr_html_()
    assert html.count("\n") == 3 + len(mobilenet_v2_spec.parts)
    for stage in mobilenet_v2_spec.parts:
        assert stage.block.describe() in html
    assert repr(mobilenet_v2_spec).startswith("BackboneSpec(")


def test_an_explanation_is_drawn_stage_by_stage(tmp_path: Path) -> None:
    made = explain("mobilenet_v2", phi=1)
    figure = made.plot()
    [axes] = figure.axes
    bars = [[bar.get_width() for bar in group] for group in axes.containers]
    for name, found in zip(("params", "macs"), bars, strict=True):
        expected = [100 * getattr(row, name) / getattr(made.cost, name) for row in made.rows]
        assert found == pytest.approx(expected)
    figure.savefig(tmp_path / "stages.png")


def test_the_table_of_a_cost_adds_up() -> None:
    cost = estimate_cost("efficientnet_b0")
    lines = str(cost).splitlines()
    counted = [int(line.split()[-2].replace(",", "")) for line in lines[2:]]
    assert len(counted) == len(cost.stages) + 1
    assert sum(counted[:-1]) == counted[-1] == cost.macs


def test_texts_begin_on_the_left_and_numbers_end_on_the_right() -> None:
    assert aligned([("a", "b"), ("long", "1"), ("x", "200")], text_column=0) == [
        "a       b",
        "----  ---",
        "long    1",
        "x     200",
    ]
    assert aligned([("a", "b"), ("long", "1")], text_column=None) == ["a     b", "----  -", "long  1"]


@pytest.mark.parametrize("arguments", [{}, {"include_top": False}, {"include_top": False, "pooling": "avg"}])
def test_a_model_is_counted_and_explained_as_it_is(arguments: dict[str, Any]) -> None:
    spec = scale_spec("efficientnet_b0", phi=-4)
    with without_weights():
        model = build_model(spec, input_shape=(64, 64, 1), classes=7, **arguments)
    cost = estimate_cost(model)
    assert cost.params == model.count_params()
    assert cost == estimate_cost(spec, resolution=64, channels=1, classes=7, **arguments)
    assert estimate_cost(model, resolution=96).macs > cost.macs
    made = explain(model)
    assert (made.cost, made.resolution) == (cost, 64)
    assert sum(row.params for row in made.rows) == cost.params
    assert (
        explain(model, phi=1).cost.params
        == estimate_cost(
            scale_spec(spec, phi=1),
            channels=1,
            classes=7,
            **arguments,
        ).params
    )


def types() -> None:
    """Read by the type checker alone."""
    model = scale_model("resnet50", phi=1)
    assert_type(model, keras.Model)
    assert_type(scale_model(model, phi=1.5, return_report=True), tuple[keras.Model, InheritanceReport])
    assert_type(scale_model("efficientnet_b0", "b4", rule="tabulated"), keras.Model)
    assert_type(grow_model(model, phi=2), keras.Model)
    assert_type(grow_model(model, "resnet101", return_report=True), tuple[keras.Model, InheritanceReport])
    scale_model("resnet50", phi="1")  # pyright: ignore[reportArgumentType]
