"""What a run leaves: read back by other programs than those that wrote it, a browser among them."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from pages import WIDTHS, Reader, assert_nothing_is_hidden, assert_nothing_is_outside, probe, read_page, screenshot
from PIL import Image
from support import tiny_spec

from keras_effnet import build_model, explain
from keras_effnet.blocks import MBConv
from keras_effnet.data.images import Images
from keras_effnet.errors import DataError
from keras_effnet.report.examples import HITS, MISTAKES, choose_examples, surest_hits, worst_mistakes
from keras_effnet.report.finetune_page import report_page
from keras_effnet.report.text import json_text
from keras_effnet.report.thumbnails import confusion_image, heat_tile, image_tile, images_shown
from keras_effnet.report.write import format_table, write_history, write_report
from keras_effnet.training.calibration import calibrate
from keras_effnet.training.evaluation import evaluate_probabilities

SECTIONS = (
    "curves",
    "confusion",
    "mistakes",
    "hits",
    "classes",
    "confidence",
    "network",
    "recipe",
    "skipped",
    "origin",
)
NAMES = ('<b>cat</b> & "co"', "dog</td><script>alert(1)</script>", "owl")
SKIPPED = [
    {"name": "cat/<i>broken</i>.png", "reason": "image file is truncated"},
    {"name": "dog/\udce9t\udce9.png", "reason": "there is no such file"},  # no UTF-8 on its disk
]
SIDE = 32


class Rows:
    """Images of a source in order, as `Batches` gives them."""

    batch_size = 8

    def __init__(self, source: Images) -> None:
        self.source = source

    def __len__(self) -> int:
        return -(-len(self.source) // self.batch_size)

    def __getitem__(self, step: int) -> tuple[np.ndarray, None, None]:
        return self.source.images[step * self.batch_size : (step + 1) * self.batch_size].astype("float32"), None, None


def some_images(count: int, names: tuple[str, ...]) -> Images:
    generator = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int32) % len(names)
    return Images(generator.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8), labels, names)


def some_probabilities(labels: np.ndarray, classes: int, seed: int = 0) -> np.ndarray:
    """Right for most, by different margins."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(0, 1, (len(labels), classes))
    scores[np.arange(len(labels)), labels] += generator.normal(2, 1.5, len(labels))
    return (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype("float32")


def some_metrics(source: Images, probabilities: np.ndarray) -> dict[str, Any]:
    spec = tiny_spec(MBConv())
    history = [
        {"phase": phase, "epoch": epoch, "loss": 2.0 / epoch, "accuracy": 0.25 * epoch, "val_loss": 3.0 / epoch}
        | {"val_accuracy": 0.125 * epoch, "rate": 0.01, "seconds": 30.0, "images_per_second": 41.0}
        for phase, epoch in (("head", 1), ("head", 2), ("whole", 3))
    ]
    return {
        "command": "keras-effnet finetune 'my <images>' --epochs 1",
        "versions": {"keras": keras.version(), "python": "3.x"},
        "data": {"name": "my <images>", "classes": list(source.class_names), "train": 1234, "validation": 56}
        | {"test": len(source), "skipped": SKIPPED},
        "model": {"name": "tiny", "params": 4321, "macs": 5_000_000, "resolution": SIDE, "weights": "imagenet"}
        | {"table": str(explain(spec, classes=len(source.class_names)))},
        "recipe": {"rate": 0.01, "dropout": None, "augmentation": {"flip": True, "mixup": 0.25}},
        "history": history,
        "best": history[-1],
        "evaluation": {
            "split": "test",
            **evaluate_probabilities(probabilities, source.labels, source.class_names).to_dict(),
        },
        "calibration": calibrate(probabilities, source.labels, (probabilities, source.labels), "test").to_dict(),
    }


def tiny_model(classes: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_model(tiny_spec(MBConv(), depth=1), classes=classes)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], np.ndarray]:
    """A folder that a report was written to, its metrics and probabilities."""
    folder = tmp_path_factory.mktemp("report") / "new"
    source = some_images(60, NAMES)
    probabilities = some_probabilities(source.labels, 3)
    metrics = some_metrics(source, probabilities)
    write_report(metrics, tiny_model(3), source, probabilities, Rows(source), folder)
    return folder, metrics, probabilities


def test_every_file_is_there_and_says_the_same(report: tuple[Path, dict[str, Any], np.ndarray]) -> None:
    folder, metrics, _ = report
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    events = [f"tensorboard/{run}/events.out.tfevents.0.keras_effnet" for run in ("train", "validation")]
    assert files == ["curves.png", "history.csv", "metrics.json", "report.html", *events]
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [(row["phase"], int(row["epoch"]), float(row["val_loss"])) for row in rows] == [
        ("head", 1, 3.0),
        ("head", 2, 1.5),
        ("whole", 3, 1.0),
    ]
    with Image.open(folder / "curves.png") as image:
        assert min(image.size) > 300
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 50, "something is drawn"


def test_rows_of_numbers_stay_on_a_line_and_texts_as_they_are() -> None:
    content = {"confusion": [[1, 2], [3, 40]], "classes": ["[1,  2]", "[\n1]"], "empty": []}
    text = json_text(content)
    assert json.loads(text) == content
    assert "[ 3, 40 ]" in text


def test_tensorboard_reads_its_logs(report: tuple[Path, dict[str, Any], np.ndarray]) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder, metrics, _ = report
    expected = {
        "train": {"loss": "loss", "accuracy": "accuracy", "rate": "rate", "images_per_second": "images_per_second"},
        "validation": {"loss": "val_loss", "accuracy": "val_accuracy"},
    }
    write_history(metrics["history"], folder)  # again: nothing may be there twice
    for run, names in expected.items():
        found = events.EventAccumulator(str(folder / "tensorboard" / run)).Reload()
        assert sorted(found.Tags()["scalars"]) == sorted(names)
        for tag, name in names.items():
            scalars = [(event.step, event.value) for event in found.Scalars(tag)]
            assert scalars == [(row["epoch"], pytest.approx(row[name])) for row in metrics["history"]]


def test_without_tensorflow_there_are_no_logs_for_tensorboard_and_a_word(
    report: tuple[Path, dict[str, Any], np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    write_history(report[1]["history"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
    assert "need tensorflow" in caplog.text


def test_a_full_disk_is_said_by_the_logs_too(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    source = some_images(6, NAMES)
    history = some_metrics(source, some_probabilities(source.labels, 3))["history"]
    folder = tmp_path / "tensorboard" / "train"
    folder.mkdir(parents=True)
    (folder / "part-events.out.tfevents.0.keras_effnet").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot be written.*Received: .*tfevents"):
        write_history(history, tmp_path)
    assert os.listdir(folder) == []


def test_the_page_has_every_part(report: tuple[Path, dict[str, Any], np.ndarray]) -> None:
    folder, metrics, probabilities = report
    page = read_page(folder / "report.html")
    assert set(page.texts) >= {"top", *SECTIONS}
    evaluation = metrics["evaluation"]
    for text in (f"{100 * evaluation['accuracy']:.1f}\xa0%", f"{evaluation['loss']:.3f}", "4.32 k", "5 M", "0:01:30"):
        assert text in page.texts["top"]
    assert len(page.images["curves"]) == 2
    for row in evaluation["confusion"]:
        assert all(str(count) in page.texts["confusion"] for count in row if count)
    wrong = len(worst_mistakes(probabilities, np.arange(60) % 3))
    assert 3 < wrong <= MISTAKES
    assert len(page.images["mistakes"]) == 3 * wrong, "the image, and a map for each of the two classes"
    assert len(page.images["hits"]) == 2 * 3, "one a class, with one map"
    assert "image " in page.texts["mistakes"]
    assert "F1" in page.texts["classes"]
    assert metrics["model"]["table"] in page.texts["network"]
    for text in ("augmentation.mixup", "0.25", "augmentation.flip", "True"):
        assert text in page.texts["recipe"]
    assert metrics["command"] in page.texts["origin"]
    assert keras.version() in page.texts["origin"]
    for images in page.images.values():
        for content in images:
            with Image.open(io.BytesIO(content)) as image:
                image.load()


def test_what_users_wrote_stays_text(report: tuple[Path, dict[str, Any], np.ndarray]) -> None:
    page = read_page(report[0] / "report.html")
    assert not {"script", "i"} & set(page.tags)
    for section in ("confusion", "mistakes", "classes"):
        assert NAMES[0] in page.texts[section]
        assert NAMES[1] in page.texts[section]
    assert "cat/<i>broken</i>.png (image file is truncated)" in page.texts["skipped"]
    assert "dog/?t?.png (there is no such file)" in page.texts["skipped"]


def test_the_page_refers_to_nothing_outside(report: tuple[Path, dict[str, Any], np.ndarray]) -> None:
    assert_nothing_is_outside(report[0] / "report.html")


def test_the_terminal_shows_the_scores(report: tuple[Path, dict[str, Any], np.ndarray]) -> None:
    _, metrics, _ = report
    text = format_table(metrics)
    assert f"accuracy {metrics['evaluation']['accuracy']:.3f}" in text
    assert "Kept: epoch 3" in text
    assert "2 files skipped:\n  cat/<i>broken</i>.png (image file is truncated)\n" in text


def test_mistakes_and_hits_are_chosen_by_how_sure_they_are() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.1, 0.9], [0.95, 0.05]])
    assert worst_mistakes(probabilities, labels) == [4, 1]
    assert surest_hits(probabilities, labels) == [0, 3]
    many = np.tile([0.4, 0.6], (50, 1))
    assert worst_mistakes(many, np.zeros(50, int)) == list(range(MISTAKES))
    assert surest_hits(np.eye(9), np.arange(9)) == list(range(HITS))
    assert worst_mistakes(np.eye(9), np.arange(9)) == []
    assert surest_hits(many, np.zeros(50, int)) == []


def test_images_are_those_that_were_asked_for() -> None:
    source = some_images(20, NAMES)
    found = images_shown(Rows(source), [17, 3, 17, 8])
    assert sorted(found) == [3, 8, 17]
    for index, image in found.items():
        np.testing.assert_array_equal(image, source.images[index])


def test_heat_is_drawn_where_it_is() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[0, 3] = 1
    tile = np.asarray(heat_tile(np.full((SIDE, SIDE, 1), 128.0), heat)).astype(int)
    colourful = tile.max(axis=-1) - tile.min(axis=-1)
    row, column = np.unravel_index(colourful.argmax(), colourful.shape)
    assert row < len(tile) / 4
    assert column > 3 * len(tile) / 4
    assert colourful[len(tile) // 2 :, : len(tile) // 2].max() <= 2, "nothing is gray"
    red, green, blue = np.asarray(image_tile(np.full((5, 5, 3), [300.0, 128.0, -5.0])))[9, 9]
    assert (red, green, blue) == (255, 128, 0)


def test_two_hundred_classes_are_a_image_and_a_list() -> None:
    names = tuple(f"class {number:03d}" for number in range(200))
    source = some_images(800, names)
    probabilities = some_probabilities(source.labels, 200) * 0 + 1e-4
    taken = np.where(source.labels == 5, 7, source.labels)
    probabilities[np.arange(800), taken] = 1 - 199e-4
    metrics = some_metrics(source, probabilities)
    page = Reader(report_page(metrics, [], []).decode())
    assert "class 005class 0074 of 4" in page.texts["confusion"]
    assert "There is none: no image" in page.texts["hits"]
    with Image.open(io.BytesIO(page.images["confusion"][0])) as image:
        scale = image.width // 200
        pixels = np.asarray(image.convert("RGB"))[scale // 2 :: scale, scale // 2 :: scale]
    assert pixels.shape == (200, 200, 3)
    np.testing.assert_array_equal(np.argwhere(pixels[..., 0] > pixels[..., 2]), [[5, 7]])
    np.testing.assert_array_equal(np.argwhere(pixels[..., 2] > pixels[..., 0])[:, 0], np.delete(np.arange(200), 5))
    small = np.asarray(confusion_image(np.array([[99, 1], [0, 0]])))
    assert tuple(small[0, -1]) != (255, 255, 255), "one mistake among a hundred is seen"
    assert tuple(small[-1, 0]) == (255, 255, 255)


def test_a_model_without_a_map_is_shown_without_one() -> None:
    x = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(x, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x)))
    source = some_images(12, NAMES)
    probabilities = some_probabilities(source.labels, 3)
    mistakes, hits, note = choose_examples(model, source, probabilities, Rows(source))
    assert "There are no Grad-CAM maps" in note
    assert {len(look.images) for look in (*mistakes, *hits)} == {1}
    page = Reader(report_page(some_metrics(source, probabilities), mistakes, hits, note).decode())
    assert "There are no Grad-CAM maps" in page.texts["hits"]


def test_without_a_mistake_the_page_says_so() -> None:
    source = some_images(12, NAMES)
    page = Reader(report_page(some_metrics(source, np.eye(3, dtype="float32")[source.labels]), [], []).decode())
    assert "There is none: every image" in page.texts["mistakes"]


def test_validation_images_are_called_so() -> None:
    source = some_images(12, NAMES)
    metrics = some_metrics(source, some_probabilities(source.labels, 3))
    metrics["evaluation"]["split"] = "validation"
    assert "by which the best epoch was chosen" in Reader(report_page(metrics, [], []).decode()).texts["top"]


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_shows_every_part(
    report: tuple[Path, dict[str, Any], np.ndarray], tmp_path: Path, width: int
) -> None:
    folder, _, _ = report
    original = folder / "report.html"
    found = probe(original, tmp_path, width)
    assert found["sections"] == list(SECTIONS)
    assert_nothing_is_hidden(found)

    if width < 500:
        return  # Chromium makes no window narrower than that
    # The page itself, with its policy: its style and its images are there.
    image = tmp_path / "page.png"
    screenshot(original, image, width)
    with Image.open(image) as shown:
        assert shown.width == width
        colours = {colour: count for count, colour in shown.convert("RGB").getcolors(1 << 24) or ()}
    assert colours.get((246, 247, 249), 0) > 5_000, "the ground around the sections"
    assert colours.get((31, 119, 180), 0) > 100, "Matplotlib's blue: the curve of the validation"
