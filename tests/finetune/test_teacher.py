"""Distillation: which labels are learned, and which teachers can give them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from support import as_if_trained, random_images, tiny_spec

from keras_effnet import FinetuneJob, FinetuneOptions, Recipe, build_model
from keras_effnet.blocks import MBConv
from keras_effnet.builder.embedded_spec import name_classes
from keras_effnet.data.batches import Batches
from keras_effnet.data.images import load_digits
from keras_effnet.errors import TrainingError
from keras_effnet.finetune import job as module
from keras_effnet.finetune.teacher import TaughtBatches, Teacher

DIGITS = tuple("0123456789")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that calls the classes in another order, for images of 24 pixels."""
    keras.utils.set_random_seed(0)
    model = build_model(tiny_spec(MBConv(expand=2), depth=1, resolution=24), classes=10)
    as_if_trained(model)
    name_classes(model, DIGITS[::-1])
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    model.save(path)
    return path


def test_labels_are_shared_between_the_truth_and_the_teacher(path: Path) -> None:
    model = keras.models.load_model(path)
    images = random_images(4, 24, 24, 3)
    expected = np.asarray(model(images))[:, ::-1]  # pyright: ignore[reportCallIssue, reportOptionalCall]
    teacher = Teacher(str(path), DIGITS)
    np.testing.assert_allclose(teacher.probabilities(images), expected, atol=1e-5)
    batches = Batches(load_digits(16), resolution=16, batch_size=8, shuffle=True, padded=True)
    taught = TaughtBatches(batches, teacher, 0.25)
    images, labels, weights = batches[0]
    for given, other in zip(taught[0], (images, None, weights), strict=True):
        if other is not None:
            np.testing.assert_array_equal(given, other)
    mixed = 0.75 * labels + 0.25 * teacher.probabilities(images)
    np.testing.assert_allclose(taught[0][1], mixed, atol=1e-6)
    np.testing.assert_allclose(taught[0][1].sum(axis=1), 1, atol=1e-5)
    taught.epoch = 3
    assert (batches.epoch, len(taught), taught.batch_size) == (3, len(batches), 8)


def test_a_teacher_of_other_classes_is_refused(path: Path) -> None:
    for names in (("cat", "dog"), DIGITS[:9]):
        with pytest.raises(TrainingError, match=r"by their names, and no others.*Received: teacher=.*9, 8, 7"):
            Teacher(str(path), names)


@pytest.mark.slow
def test_a_run_learns_from_its_teacher(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_report", lambda *_: None)
    recipe = Recipe(head_epochs=0, epochs=2, batch_size=32, batchnorm="trained", label_smoothing=0.0, teacher_share=1.0)
    options = FinetuneOptions(
        backbone=tiny_spec(MBConv(expand=2), depth=1, resolution=16),
        weights="random",
        labels_per_class=10,
        teacher=path,
        recipe=recipe,
    )
    taught = FinetuneJob(options, tmp_path / "taught").run()
    alone = FinetuneJob(replace(options, teacher=None), tmp_path / "alone").run()
    assert taught is not None
    assert alone is not None
    assert taught["history"][0]["loss"] != alone["history"][0]["loss"]
    # It alone gives labels: the student comes to answer as the teacher does, right or wrong.
    teacher = Teacher(str(path), DIGITS)
    batch = Batches(load_digits(16), resolution=16, batch_size=200)[0][0]
    wanted = teacher.probabilities(batch)
    far = {}
    for name in ("taught", "alone"):
        model = keras.models.load_model(tmp_path / name / "model.keras")
        found = np.asarray(model(batch))  # pyright: ignore[reportCallIssue, reportOptionalCall]
        far[name] = -np.mean(np.sum(wanted * np.log(found + 1e-9), axis=1))
    assert far["taught"] < far["alone"]
