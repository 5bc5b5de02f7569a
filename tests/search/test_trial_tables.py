"""What a search says on a terminal."""

from __future__ import annotations

import pytest
from summaries import architecture, coefficients

from keras_effnet.report.text import NOTHING
from keras_effnet.search.trial_tables import (
    by_stage,
    comparison,
    digits,
    format_architecture,
    format_coefficients,
    ratio_of,
)


def test_the_winner_the_finalists_and_the_difference_are_told() -> None:
    summary, _ = coefficients(40)
    text = format_coefficients(summary)
    lines = text.splitlines()
    assert f"Winner: {summary['rule']}" in lines
    table = [line.split() for line in lines if line.endswith(("winner", "the paper's", "  3"))]
    assert len(table) == len(summary["finalists"])
    for cells, finalist in zip(table, summary["finalists"], strict=True):
        choices = finalist["choices"]
        assert [float(cell) for cell in cells[:3]] == [choices["alpha"], choices["beta"], choices["gamma"]]
        assert float(cells[3]) == pytest.approx(finalist["cost"]["macs"] / 3e7, abs=1e-3)
        assert float(cells[4]) == pytest.approx(finalist["mean"], abs=1e-4)
        assert cells[6] == "3"
        assert (cells[7:] == ["the", "paper's"]) == (finalist["label"] == "paper")
        assert (cells[7:] == ["winner"]) == (finalist["key"] == summary["winner"])
    assert "(test images, 3 seeds): +0.0123, 95% interval -0.0040 to +0.0286: not told apart." in lines[-1]
    assert "53 trials done, 1 failed" in text
    assert "the plain grid: 12,800 steps" in text


def test_while_it_runs_the_longest_trained_are_told() -> None:
    summary, _ = coefficients(40, finished=False)
    least = min(summary["candidates"], key=lambda each: each["steps"])
    least["metric"] = 0.99  # by chance, after few steps
    text = format_coefficients(summary)
    assert "Still running: 53 of about 58 trials done" in text
    rows = [line.split() for line in text.splitlines()[-5:]]
    trained = sorted(((each["steps"], each["metric"]) for each in summary["candidates"]), reverse=True)
    assert [(int(row[5]), float(row[4])) for row in rows] == [
        (steps, round(metric, 4)) for steps, metric in trained[:5]
    ]
    assert "Winner" not in text


def test_before_the_first_result_there_is_something_to_read() -> None:
    for make, write in ((coefficients, format_coefficients), (architecture, format_architecture)):
        summary, _ = make(3, trained=False, finished=False)
        assert "0 of about" in write(summary)
        assert "None" not in write(summary)


def test_the_paper_may_win_and_nothing_may_be_known_of_it() -> None:
    summary, _ = coefficients(40)
    paper = next(each["key"] for each in summary["finalists"] if each["label"] == "paper")
    assert comparison({**summary, "difference": None}) == ""
    assert "paper's constants" in comparison({**summary, "difference": None, "winner": paper})
    assert "test images" not in comparison({**summary, "difference": {**summary["difference"], "on": "metrics"}})


def test_the_best_network_and_the_front_are_told() -> None:
    summary, _ = architecture(40)
    text = format_architecture(summary)
    by_key = {each["key"]: each for each in summary["candidates"]}
    best = by_key[summary["best"]]
    macs = best["cost"]["macs"]
    assert f"Best (trial {best['number']}): accuracy {best['metric']:.4f}" in text
    assert f"{macs / 1e6:.3g} M MACs ({macs / 2e7:.0%} of the target), reward {best['value']:.4f}" in text
    front = [line.split() for line in text.splitlines()[-len(summary["front"]) :]]
    assert [int(cells[-1]) for cells in front] == [by_key[key]["number"] for key in summary["front"]]
    assert [float(cells[0]) for cells in front] == sorted(float(cells[0]) for cells in front)
    assert "What is maximised: accuracy x (MACs / 20 M)^w, w = -0.07, -1 where it costs more." in text
    assert "Evolution among 1.23e+11 networks, of at most 30 M MACs, of at most 1 M parameters." in text
    summary["reward"] |= {"exponent": 0.0, "over": None}
    assert "What is maximised: accuracy." in format_architecture(summary)
    for number in (1, 2, 3):
        assert f"kernel {best['choices'][f'stage{number}.kernel']}" in text


def test_choices_and_numbers_are_short() -> None:
    choices = {"stage1.kernel": 5, "stage1.skip": True, "stage2.width": 0.75, "alone": "x"}
    assert by_stage(choices) == {"stage1": "kernel 5, skip yes", "stage2": "width 0.75", "": "alone x"}
    assert [digits(number) for number in (0.5, -0.12345, 1234567.0, None)] == [
        "0.5000",
        "-0.1235",
        "1.2346e+06",
        NOTHING,
    ]


def test_a_ratio_is_made_of_two_costs() -> None:
    summary = {"measure": "params", "base": {"params": 4.0, "macs": 100.0}}
    assert ratio_of(summary, {"cost": {"params": 10, "macs": 7}}) == 2.5
    assert ratio_of({**summary, "measure": "latency_ms"}, {"cost": {"latency_ms": 3.0}}) is None
