"""The grid of alpha, beta and gamma: against a brute force that scales and counts every triple by itself."""

from __future__ import annotations

import itertools
import math
from functools import cache

import pytest

from keras_effnet import estimate_cost, scale_spec
from keras_effnet.cli import search_command
from keras_effnet.errors import SearchError
from keras_effnet.registry import resolve_backbone
from keras_effnet.scaling import Coefficients, Rounding
from keras_effnet.search.candidates import spec_key
from keras_effnet.search.coefficient_grid import CoefficientGrid, Triple
from keras_effnet.search.searches import (
    EMBEDDED_ROUNDING,
    embedded_base,
    halving_rungs,
    plain_grid_steps,
    search_coefficients,
)
from keras_effnet.search.successive_halving import ETA, SuccessiveHalving

ROUNDING = Rounding(depth="round")


@cache
def scaled_by_triples(base, step):
    """Each triple of a wide grid with the key of its network, and what that costs."""
    sizes = [round(1 + number * step, 6) for number in range(int(2.6 / step) + 1)]
    triples = list(itertools.product(sizes, sizes[:6], sizes[:6]))
    specs = [scale_spec(base, coefficients=Coefficients(*triple), rounding=ROUNDING) for triple in triples]
    return [(triple, spec_key(spec), estimate_cost(spec)) for triple, spec in zip(triples, specs, strict=True)]


def brute_force(base, step, measure, tolerance):
    """{key: triples} of all networks within the tolerance of twice the cost."""
    goal = 2 * getattr(estimate_cost(base), measure)
    found: dict[str, set] = {}
    for triple, key, cost in scaled_by_triples(base, step):
        if abs(getattr(cost, measure) / goal - 1) <= tolerance:
            found.setdefault(key, set()).add(triple)
    return found


@cache
def scaled_by_phis(base, rounding):
    """Costs of the networks of many phi by the paper's constants."""
    return [estimate_cost(scale_spec(base, phi=number / 250, rounding=rounding)) for number in range(1000)]


@pytest.mark.parametrize("measure", ["macs", "params", "activations"])
def test_the_candidates_are_all_networks_of_about_twice_the_cost(measure):
    base = resolve_backbone("mobilenet_v2")
    made = CoefficientGrid(base, measure=measure).candidates(step=0.2, tolerance=0.15)
    expected = brute_force(base, 0.2, measure, 0.15)
    assert {each.candidate.key for each in made} == set(expected)
    for each in made:
        # Triples that promise more than twice what is asked for are not looked at, whatever they round to.
        likely = {triple for triple in expected[each.candidate.key] if Triple(*triple).nominal(measure) <= 4.6}
        assert set(each.triples) == likely
        cost = getattr(estimate_cost(each.candidate.spec), measure)
        assert each.ratio == pytest.approx(cost / getattr(estimate_cost(base), measure))
        assert 1.7 <= each.ratio <= 2.3


def test_no_two_candidates_are_the_same_network_and_the_nearest_triple_stands_for_each():
    made = CoefficientGrid("efficientnet_b0").candidates(step=0.1)
    keys = [each.candidate.key for each in made]
    assert len(set(keys)) == len(keys)
    assert max(len(each.triples) for each in made) > 1
    for each in made:
        first, *others = each.triples
        assert each.candidate.choices == {"alpha": first.alpha, "beta": first.beta, "gamma": first.gamma}
        assert all(abs(first.nominal() - 2) <= abs(other.nominal() - 2) for other in others)


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["macs", "params", "activations"])
@pytest.mark.parametrize(
    ("base", "rounding", "factor"),
    [
        pytest.param(embedded_base(), EMBEDDED_ROUNDING, 2, id="embedded"),
        pytest.param(resolve_backbone("resnet50"), Rounding(depth="ceil"), 3, id="resnet50", marks=pytest.mark.slow),
    ],
)
def test_no_network_of_the_papers_constants_is_nearer_to_the_cost(base, rounding, factor, measure):
    goal = factor * getattr(estimate_cost(base), measure)

    def distance(cost):
        return abs(getattr(cost, measure) / goal - 1)

    paper = CoefficientGrid(base, factor=factor, measure=measure, rounding=rounding).paper()
    # Between two steps of the search for phi there may be networks; they differ by a pixel or a few channels.
    nearest = min(map(distance, scaled_by_phis(base, rounding)))
    assert distance(estimate_cost(paper.spec)) <= nearest + 0.02
    triple = Coefficients(*paper.choices.values())
    assert spec_key(scale_spec(base, coefficients=triple, rounding=rounding)) == paper.key
    phis = [
        math.log(size) / math.log(constant)
        for size, constant in zip(paper.choices.values(), (1.2, 1.1, 1.15), strict=True)
    ]
    assert phis == pytest.approx([phis[0]] * 3, abs=2e-3)


def test_of_equal_networks_of_the_papers_constants_the_triple_itself_stands_for_them():
    base, rounding = embedded_base(), EMBEDDED_ROUNDING
    theirs, other = (scale_spec(base, phi=phi, rounding=rounding) for phi in (1, 0.97))
    assert spec_key(theirs) == spec_key(other)
    factor = estimate_cost(theirs).macs / estimate_cost(base).macs
    paper = CoefficientGrid(base, factor=factor, rounding=rounding).paper()
    assert paper.key == spec_key(theirs)
    assert paper.choices == {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}


def test_an_empty_set_says_which_limit_empties_it_and_what_is_nearest():
    with pytest.raises(SearchError, match=r"the nearest is \(2\.0, 1\.0, 1\.0\) with 2\.028 times") as caught:
        CoefficientGrid("efficientnet_b0").candidates(tolerance=1e-5, step=0.25)
    assert "Widen the tolerance" in str(caught.value)
    assert "Received: factor=2.0" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factor": 1}, "`factor`"),
        ({"tolerance": 0}, "`tolerance`"),
        ({"step": 0.001}, "`step`"),
        ({"measure": "flops"}, "`measure`"),
    ],
)
def test_bad_values_are_named(options, said):
    def make(factor=2, measure="macs", **others):
        CoefficientGrid("efficientnet_b0", factor=factor, measure=measure).candidates(**others)

    with pytest.raises(SearchError, match=said):
        make(**options)


def test_the_embedded_base_has_a_grid_worth_searching():
    made = CoefficientGrid(embedded_base(), rounding=EMBEDDED_ROUNDING, classes=40).candidates()
    assert len(made) >= 12
    grown = {axis for each in made for axis, size in zip("abg", each.triples[0], strict=True) if size > 1}
    assert grown == {"a", "b", "g"}


def test_rungs_end_at_the_steps_asked_for():
    assert halving_rungs(960, 4, 3) == (60, 240, 960)
    assert halving_rungs(7, 4, 1) == (7,)
    with pytest.raises(SearchError, match="must have a step"):
        halving_rungs(10, 4, 3)


def the_smaller_the_better(task):
    return 1 / task.candidate.cost["macs"]


def test_halving_that_would_cost_more_than_the_grid_is_replaced_and_says_so(tmp_path, caplog):
    asked = {"step": 0.25, "steps": 16, "tolerance": 0.05}  # four networks
    few = search_coefficients("efficientnet_b0", the_smaller_the_better, output=tmp_path, **asked)
    assert len(few.summary.candidates) * 16 == few.summary.grid_steps == few.summary.steps
    assert (few.summary.method, few.summary.finalists) == ("grid", ())
    assert few.summary.note is not None
    assert few.summary.note in caplog.text
    assert few.summary.note in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_halving_that_costs_less_than_the_grid_is_what_is_done(tmp_path):
    asked = {"step": 0.1, "steps": 16, "tolerance": 0.05, "seeds": 1}
    many = search_coefficients("efficientnet_b0", the_smaller_the_better, output=tmp_path, **asked)
    assert (many.summary.method, many.summary.note) == ("halving", None)
    assert many.summary.steps <= many.summary.grid_steps


def test_the_quick_search_halves_and_has_the_seeds_to_tell_chance_from_learning():
    grid = CoefficientGrid(embedded_base(), rounding=EMBEDDED_ROUNDING, classes=40)
    quick = dict(search_command.QUICK_COEFFICIENTS)
    found = grid.candidates(step=quick["step"])
    rungs = halving_rungs(quick["steps"], ETA, quick["rungs"])
    paper = grid.paper()
    candidates = tuple(each.candidate for each in found)
    plan = SuccessiveHalving(candidates, rungs, ETA, quick["finalists"], quick["seeds"], (paper,))
    assert plan.total()[1] <= plain_grid_steps(plan)
    assert quick["seeds"] >= 3, "the t-interval of two seeds is 13 times their standard error"
