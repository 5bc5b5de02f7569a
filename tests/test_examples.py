"""The examples run, and give the results that they state."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout

import pytest
from support import import_example


def run(name: str) -> dict[str, list[float]]:
    """The numbers on each line that an example prints, by the words at its start."""
    with redirect_stdout(io.StringIO()) as out:
        import_example(name).main()
    lines = [line for line in out.getvalue().splitlines() if line]
    return {
        re.split(r"[ :]{2,}|: ", line)[0]: [float(number) for number in re.findall(r"\d\.\d+(?:e-\d+)?", line)]
        for line in lines
    }


@pytest.mark.slow
def test_fine_tuning_by_hand_beats_training_from_scratch() -> None:
    found = run("finetune_by_hand")
    [classifier], [whole], [scratch] = found["classifier alone"], found["whole network"], found["from scratch"]
    assert classifier > 0.5  # of ten classes
    assert whole > max(0.6, scratch)


@pytest.mark.slow
def test_a_network_for_gray_is_the_one_for_colours_and_learns_on() -> None:
    found = run("gray_images")
    assert found["three channels"] == found["one channel"]
    assert found["largest difference of the probabilities"][0] < 1e-4
    assert found["trained further"][0] >= 0.8  # of two classes


@pytest.mark.slow
def test_class_weights_make_the_rare_count_and_accuracy_hides_it() -> None:
    found = run("imbalanced_classes")
    for name in ("plain", "weighted"):
        accuracy, balanced, rare = found[name]
        assert accuracy > balanced > rare
