"""Pictures of searches: what stands in them where, and that nothing is cut off."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.patches import Rectangle
from PIL import Image
from summaries import RUNGS, architecture, coefficients, curve

from keras_effnet.search import plots
from keras_effnet.search.charts import JITTER, choice_axis, norm_of, number_axis
from keras_effnet.search.plan import Job, Row
from keras_effnet.search.plots import choice_groups, first_metrics, ladder_curves, search_pictures

FINALIST_NAMES = ["finalists", "surface", "cost", "ladder", "parallel"]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures in the order in which they are drawn, in place of their PNG files."""
    found: list[Any] = []
    monkeypatch.setattr(plots, "png", lambda figure: found.append(figure) or b"")
    return found


def points(axes: Any) -> set[tuple[float, float]]:
    return {(round(float(x), 6), round(float(y), 6)) for part in axes.collections for x, y in part.get_offsets()}


def by_label(axes: Any, label: str) -> Any:
    [found] = [artist for artist in axes.get_children() if artist.get_label() == label]
    return found


def test_every_network_is_a_point_at_its_cost(figures: list[Any]) -> None:
    summary, rows = coefficients(40)
    named = dict(zip([each.name for each in search_pictures(summary, rows)], [0, 1, 2, 3, 4], strict=True))
    assert list(named) == FINALIST_NAMES
    axes = figures[FINALIST_NAMES.index("cost") - 1 if len(figures) < 5 else 1].axes[0]
    expected = {(round(each["cost"]["macs"], 6), round(each["metric"], 6)) for each in summary["candidates"]}
    assert points(axes) == expected
