"""Looking for a rate: what is suggested can be trained at, and nothing is left that another run would trip over."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from support import tiny_spec

from keras_effnet.blocks import MBConv
from keras_effnet.cli.main import main, make_parser
from keras_effnet.data.batches import Batches
from keras_effnet.data.images import load_digits
from keras_effnet.errors import TrainingError
from keras_effnet.finetune.job import FinetuneJob
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.finetune.rate_finder import find_rate, has_diverged, judge
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.report.learning_rate import format_rate, write_rate
from keras_effnet.serialization import write_spec

RECIPE = Recipe(epochs=1, batch_size=64, clip=0.0, label_smoothing=0.0)


def linear() -> keras.Model:
    """Softmax regression, which learns digits at some rates, and none at others."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(10, "softmax")]
    )


def digits() -> Batches:
    return Batches(load_digits(8), resolution=8, batch_size=64, shuffle=True, padded=True)


def loss_after(rate: float) -> float:
    """The loss that plain SGD, as the recipe has it, comes to: by Keras alone."""
    model, images = linear(), load_digits(8)
    model.compile(keras.optimizers.SGD(rate, 0.9, nesterov=True), "sparse_categorical_crossentropy", jit_compile=False)
    pixels = np.stack([images.read(number) for number in range(len(images))]).astype("float32")
    model.fit(pixels, images.labels, batch_size=64, epochs=2, verbose=0)
    return float(model.evaluate(pixels, images.labels, verbose=0))


def test_what_is_suggested_can_be_trained_at() -> None:
    found = find_rate(linear(), digits(), RECIPE)
    assert found.suggestion is not None
    assert found.rates[0] == pytest.approx(1e-7)
    assert found.losses[0] == pytest.approx(math.log(10), abs=0.5), "the loss before anything was learned"
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 100
    assert found.smoothed[7] == pytest.approx(np.mean(found.losses[2:13]))
    assert found.suggestion == pytest.approx(found.least / 10, rel=0.05)
    good = loss_after(found.suggestion)
    assert good < 0.5 * math.log(10)
    assert good < min(loss_after(rate) for rate in (found.suggestion / 1000, found.suggestion * 1000))
    accumulating = find_rate(linear(), digits(), replace(RECIPE, accumulate=2), steps=30)
    assert len(accumulating.rates) <= 30
    assert accumulating.suggestion is not None


def test_a_search_that_goes_wrong_ends_and_is_said(tmp_path: Path) -> None:
    assert not has_diverged([1.0, 9.0])
    assert has_diverged([2.0] * 6 + [math.inf])
    rates = [10.0**number for number in range(-6, 2)]
    falls = judge(rates, [3.0, 3.0, 2.0, 1.0, 1.0, 2.0, math.nan, 1.0])
    assert falls.losses == (3.0, 3.0, 2.0, 1.0, 1.0, 2.0)
    for losses in ([float(number) for number in range(20)], [math.nan]):
        rises = judge([1e-7 * 2**number for number in range(len(losses))], losses)
        assert rises.suggestion is None
        assert "the loss fell at no rate" in format_rate(rises)
        write_rate(rises, tmp_path)
    assert json.loads((tmp_path / "learning_rate.json").read_text())["suggestion"] is None


@pytest.mark.slow
def test_the_command_suggests_a_rate_and_leaves_the_folder_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_spec(tiny_spec(MBConv(expand=2), depth=1, resolution=16), tmp_path / "tiny.json")
    words = ["finetune", "digits", "--backbone", str(tmp_path / "tiny.json"), "--weights", "random"]
    words += ["--head-epochs", "1", "--batch-size", "32", "--output", str(tmp_path / "out"), "--find-rate"]
    assert main(make_parser().parse_args(words)) == 0
    out, _ = capsys.readouterr()
    left = json.loads((tmp_path / "out" / "learning_rate.json").read_text())
    assert f"Suggested: --rate {left['suggestion']:g}, a tenth of " in out
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"features", "learning_rate.json", "learning_rate.png"}
    # The features are found again by a run, whose classifier learns on them.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "features").iterdir()}
    assert main(make_parser().parse_args(words)) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "features").iterdir()}


def test_what_has_no_rate_is_refused(tmp_path: Path) -> None:
    options = FinetuneOptions(weights="random", recipe=Recipe(head_epochs=1, epochs=0))
    with pytest.raises(TrainingError, match=r"must have epochs.*Received: epochs=0"):
        FinetuneJob(options, tmp_path).find_rate()
