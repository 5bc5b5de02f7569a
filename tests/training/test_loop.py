"""The loop: what it learns, that a run in pieces is the run in one go, and what it says when it cannot go on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import tiny_spec

from keras_effnet import build_model
from keras_effnet.blocks import MBConv
from keras_effnet.data.batches import Batches
from keras_effnet.data.images import Images
from keras_effnet.errors import DataError, TrainingError
from keras_effnet.training.checkpoint import Checkpoint, Snapshot, training_variables
from keras_effnet.training.compilation import compile_model, set_batchnorm_momentum
from keras_effnet.training.evaluation import evaluate
from keras_effnet.training.loop import has_stalled, train
from keras_effnet.training.schedules import warmup_cosine
from keras_effnet.training.window import Window

STEPS = 12
SCHEDULE = partial(warmup_cosine, peak=0.05, steps=STEPS, warmup=0.1)


def stripes() -> Images:
    """Two classes that anything can tell apart: bright left half, bright right half."""
    images = np.zeros((20, 16, 16, 3), np.uint8)
    labels = np.arange(20, dtype=np.int32) % 2
    images[labels == 0, :, :8] = 255
    images[labels == 1, :, 8:] = 255
    return Images(images, labels, ("left", "right"))


def batches(**options: Any) -> Batches:
    return Batches(stripes(), resolution=16, batch_size=8, **options)


@pytest.fixture(scope="module")
def compiled() -> tuple[keras.Model, Snapshot]:
    """One model with dropout and averaged weights, compiled once for all tests."""
    keras.utils.set_random_seed(0)
    model = build_model(tiny_spec(MBConv(expand=2), depth=1, resolution=16), classes=2)
    set_batchnorm_momentum(model, 0.9)
    compile_model(model, SCHEDULE, steps=STEPS, average=0.5, label_smoothing=0.1, clip=1.0)
    return model, Snapshot(model)


def run(model: keras.Model, folder: Path, *, steps: int = STEPS, every: int = 5, **options: Any) -> Checkpoint:
    checkpoint = Checkpoint(folder, {})
    learned = batches(seed=1, shuffle=True)
    train(model, learned, checkpoint, SCHEDULE, steps=steps, every=every, phase="whole", seed=1, **options)
    return checkpoint


def values(model: keras.Model) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in training_variables(model)]


def test_training_learns_and_validates_what_it_keeps(compiled: tuple[keras.Model, Snapshot], tmp_path: Path) -> None:
    model, start = compiled
    start.restore()
    before = evaluate(model, batches())
    kept: list[dict[str, float]] = []
    checkpoint = run(model, tmp_path, validation=batches(), keep=lambda: kept.append(evaluate(model, batches())))
    rows = checkpoint.progress.history
    assert [(row.epoch, row.step, row.phase) for row in rows] == [(1, 5, "whole"), (2, 10, "whole"), (3, 12, "whole")]
    assert [row.rate for row in rows] == [SCHEDULE(step) for step in (4, 9, 11)]
    assert rows[-1].loss < rows[0].loss
    # The averages are what is validated, kept, and left behind.
    best = checkpoint.progress.best
    assert best is not None
    assert kept[-1] == {"loss": best.val_loss, "accuracy": best.val_accuracy}
    assert evaluate(model, batches())["loss"] == pytest.approx(rows[-1].val_loss, rel=1e-5)
    assert evaluate(model, batches())["loss"] < before["loss"]


def test_a_run_in_pieces_is_the_run_in_one_go_to_the_bit(
    compiled: tuple[keras.Model, Snapshot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, start = compiled
    start.restore()
    whole = run(model, tmp_path / "whole").progress
    expected = values(model)

    class Killed(BaseException):
        pass

    save, saves = Checkpoint.save_weights, []

    def die(self: Checkpoint, variables: Any, **changes: Any) -> None:
        save(self, variables, **changes)
        saves.append(changes)
        if len(saves) == 2:
            raise Killed

    start.restore()
    run(model, tmp_path / "pieces", steps=3)  # cut within an epoch, and within a stretch
    monkeypatch.setattr(Checkpoint, "save_weights", die)
    with pytest.raises(Killed):
        run(model, tmp_path / "pieces")
    monkeypatch.undo()
    start.restore()
    pieces = run(model, tmp_path / "pieces").progress
    assert [row.step for row in pieces.history] == [3, 5, 10, 12]
    assert pieces.history[-1].loss == whole.history[-1].loss
    for one, other in zip(expected, values(model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_no_longer_gets_better_ends_early_and_stays_ended(
    compiled: tuple[keras.Model, Snapshot], tmp_path: Path
) -> None:
    model, start = compiled
    start.restore()
    options: dict[str, Any] = {"every": 1, "validation": batches(), "keep": lambda: None}
    whole = run(model, tmp_path / "whole", **options).progress
    start.restore()
    checkpoint = run(model, tmp_path / "early", patience=2, **options)
    rows, best = checkpoint.progress.history, checkpoint.progress.best
    assert best is not None
    assert rows[-1].epoch == best.epoch + 2 < STEPS
    assert [row.val_loss for row in rows] == [row.val_loss for row in whole.history[: len(rows)]]
    assert run(model, tmp_path / "early", patience=2, **options).progress.history == rows
    assert has_stalled(checkpoint.progress, "whole", 2)
    assert not has_stalled(checkpoint.progress, "whole", 3)
    assert not has_stalled(checkpoint.progress, "another", 1)
    assert not has_stalled(checkpoint.progress, "whole", 0)


def test_the_focal_loss_counts_what_is_right_already_less() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    probabilities, labels = np.array([[0.9, 0.1], [0.4, 0.6]], "float32"), np.eye(2, dtype="float32")[[0, 0]]
    for gamma in (0.0, 2.0):
        compile_model(model, SCHEDULE, steps=STEPS, focal=gamma)
        right = np.array([0.9, 0.4])
        expected = np.mean(-((1 - right) ** gamma) * np.log(right))  # equation 4 of the paper
        loss: Any = model.loss
        assert float(loss(labels, probabilities)) == pytest.approx(expected, rel=1e-5)


def test_a_row_holds_means_over_its_steps(compiled: tuple[keras.Model, Snapshot], tmp_path: Path) -> None:
    model, start = compiled
    start.restore()
    single = run(model, tmp_path / "single", steps=4, every=1).progress.history
    start.restore()
    [whole] = run(model, tmp_path / "whole", steps=4, every=9).progress.history
    for name in ("loss", "accuracy"):
        assert getattr(whole, name) == pytest.approx(np.mean([getattr(row, name) for row in single]), abs=1e-4)


def test_restoring_puts_back_weights_and_optimizer(compiled: tuple[keras.Model, Snapshot], tmp_path: Path) -> None:
    model, start = compiled
    start.restore()
    expected = values(model)
    run(model, tmp_path, steps=1)
    assert any((one != other).any() for one, other in zip(expected, values(model), strict=True))
    start.restore()
    for one, other in zip(expected, values(model), strict=True):
        np.testing.assert_array_equal(one, other)
    optimizer: Any = model.optimizer
    assert int(optimizer.iterations) == 0


def test_what_cannot_be_trained_is_said(compiled: tuple[keras.Model, Snapshot], tmp_path: Path) -> None:
    model, start = compiled
    start.restore()
    kernel = model.layers[-1].kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(
        TrainingError, match=r"no longer a number; lower.*Received: loss=nan in the phase 'whole', step"
    ):
        run(model, tmp_path / "nan")
    start.restore()

    class Vanished(Images):
        def read(self, index: int, size: int | None = None) -> np.ndarray:
            raise DataError("the image is gone.", received="3.png")

    source = stripes()
    gone = Batches(Vanished(source.images, source.labels, source.class_names), resolution=16, batch_size=8)
    with pytest.raises(DataError, match=r"the image is gone"):
        train(model, gone, Checkpoint(tmp_path / "gone", {}), SCHEDULE, steps=4, every=4, phase="whole")
    with pytest.raises(DataError, match=r"the image is gone"):
        run(model, tmp_path / "validation", validation=gone)


def test_a_window_crosses_the_bounds_of_epochs() -> None:
    shuffled = batches(seed=3, shuffle=True)  # 3 batches per epoch
    window = Window(shuffled, 2, 5)
    found = [window[index][1] for index in (0, 1, 0, 1, 2)]  # Keras reads the first two twice
    expected = []
    for epoch, number in ((0, 2), (1, 0), (0, 2), (1, 0), (1, 1)):
        shuffled.epoch = epoch
        expected.append(shuffled[number][1])
    np.testing.assert_array_equal(found, expected)
    assert len(window) == 3
