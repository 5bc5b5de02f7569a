"""The metric over (alpha, beta, gamma): a surface, as the cost ties the three together. Drawn by Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_effnet.search.charts import MAP, PAPER, WINNER, colour_bar, legend_below, new_figure, norm_of
from keras_effnet.search.trial_tables import TRIPLE, metric_name, papers

CELL = (0.62, 0.42)  # inches, wide enough for a number
LARGEST = (10.0, 8.0)  # inches; on a page of 1,080 pixels its letters are still read
NARROWEST = (0.29, 0.11)  # inches, of a cell that a number is written into; upright
EMPTY = "0.9"


def surface(summary: Mapping[str, Any], metrics: Mapping[str, float]) -> Any:
    """A cell for each alpha and gamma, cut into strips where several betas cost the same.

    Args:
        summary: of a search for coefficients.
        metrics: by the candidates' keys, all after the same number of steps.

    Returns:
        The figure.
    """
    cells = _cells(summary["candidates"])
    alphas, gammas = (sorted({cell[axis] for cell in cells}) for axis in (0, 1))
    most = max(map(len, cells.values()))
    width = min(1.9 + CELL[0] * len(alphas) * most, LARGEST[0])
    figure = new_figure(min(1.6 + CELL[1] * max(len(gammas), 4), LARGEST[1]), max(width, 5.0))
    axes = figure.subplots()
    norm = norm_of(list(metrics.values()) or [0.0])
    wide = (max(width, 5.0) - 1.9) / len(alphas)
    for (alpha, gamma), strips in cells.items():
        for number, (beta, candidate) in enumerate(strips):
            left = alphas.index(alpha) - 0.5 + number / len(strips)
            place = (left, gammas.index(gamma) - 0.5, 1 / len(strips))
            metric = metrics.get(candidate["key"])
            _draw_strip(axes, place, metric, norm)
            dark = metric is not None and norm(metric) < 0.6  # viridis turns bright above
            texts = [f"{beta:.4g}"] if wide / len(strips) >= NARROWEST[1] else []
            texts += ["\N{BULLET}" * candidate["rung"]] if candidate["rung"] else []
            upright = wide / len(strips) < NARROWEST[0]
            _write(axes, place, texts, "white" if dark else "black", upright)
    _outline(axes, summary, alphas, gammas, cells)
    axes.set_xticks(range(len(alphas)), [f"{value:.4g}" for value in alphas], rotation=90 if wide < 0.45 else 0)
    axes.set_yticks(range(len(gammas)), [f"{value:.4g}" for value in gammas])
    axes.set(xlabel="alpha (depth)", ylabel="gamma (resolution)", facecolor="white")
    axes.set(xlim=(-0.55, len(alphas) - 0.45), ylim=(-0.55, len(gammas) - 0.45))
    axes.spines[["top", "right"]].set_visible(False)
    colour_bar(figure, axes, norm, f"{metric_name(summary)} after {summary['rungs'][0]:,} steps")
    legend_below(figure, axes)
    return figure


def _cells(candidates: Sequence[Mapping[str, Any]]) -> dict[tuple[float, float], list[tuple[float, Mapping[str, Any]]]]:
    """By alpha and gamma: the betas, rising, each with its candidate."""
    found: dict[tuple[float, float], list[tuple[float, Mapping[str, Any]]]] = {}
    for candidate in candidates:
        for alpha, beta, gamma in dict.fromkeys(map(_rounded, [_triple(candidate), *candidate["triples"]])):
            found.setdefault((alpha, gamma), []).append((beta, candidate))
    return {cell: sorted(strips, key=lambda strip: strip[0]) for cell, strips in found.items()}


def _triple(candidate: Mapping[str, Any]) -> list[float]:
    return [candidate["choices"][name] for name in TRIPLE]


def _rounded(triple: Sequence[float]) -> tuple[float, ...]:
    """1.1500000000000001 is 1.15."""
    return tuple(round(value, 6) for value in triple)


def _draw_strip(axes: Any, place: tuple[float, float, float], metric: float | None, norm: Any) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    left, bottom, width = place
    colour = EMPTY if metric is None else colormaps[MAP](norm(metric))
    axes.add_patch(Rectangle((left, bottom), width, 1, facecolor=colour, edgecolor="white", linewidth=0.8))


def _write(axes: Any, place: tuple[float, float, float], texts: list[str], colour: str, upright: bool) -> None:
    left, bottom, width = place
    style = {"rotation": 90, "fontsize": 6.5} if upright else {"fontsize": 7.5, "linespacing": 0.9}
    text = (" " if upright else "\n").join(texts)
    axes.text(left + width / 2, bottom + 0.5, text, ha="center", va="center", color=colour, **style)


def _outline(axes: Any, summary: Mapping[str, Any], alphas: list[float], gammas: list[float], cells: Any) -> None:
    """Frames around the winner and the paper's network, where it is on the grid."""
    from matplotlib.patches import Rectangle

    by_key = {each["key"]: each for each in summary["candidates"]}
    framed = [("the paper's", PAPER, by_key.get(each["key"], each)) for each in papers(summary)]
    if summary.get("winner") in by_key:
        framed.append(("winner", WINNER, by_key[summary["winner"]]))
    for label, colour, candidate in framed:
        alpha, beta, gamma = _rounded(_triple(candidate))
        strips = [strip[0] for strip in cells.get((alpha, gamma), ())]
        if beta in strips:
            left = alphas.index(alpha) - 0.5 + strips.index(beta) / len(strips)
            place = (left, gammas.index(gamma) - 0.5)
            options = {"fill": False, "edgecolor": colour, "linewidth": 2.6, "label": label, "zorder": 3}
            axes.add_patch(Rectangle(place, 1 / len(strips), 1, **options))
