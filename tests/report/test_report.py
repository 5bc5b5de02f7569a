"""What a run leaves: read back by other programs than those that wrote it, a browser among them."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from pages import (
    DARK,
    PAPER,
    VIEWS,
    Reader,
    assert_nothing_is_hidden,
    assert_nothing_is_outside,
    probe,
    read_page,
    screenshot,
)
from PIL import Image
from support import tiny_spec

from keras_effnet import build_model, explain
from keras_effnet.blocks import MBConv
from keras_effnet.cli.main import parse
from keras_effnet.data.augment import Augmentation
from keras_effnet.data.batches import Batches
from keras_effnet.data.images import Images
from keras_effnet.errors import DataError
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.report.examples import HITS, MISTAKES, choose_examples, seen_images, surest_hits, worst_mistakes
from keras_effnet.report.finetune_page import report_page
from keras_effnet.report.text import NOTHING, count, json_text
from keras_effnet.report.thumbnails import confusion_image, image_tile, images_shown, overlay_tile
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
    "use",
    "data",
    "seen",
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
RECIPE = Recipe(rate=0.01, augmentation=Augmentation(flip=True, operations=1, magnitude=5, mixup=0.25))


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
    spec, classes = tiny_spec(MBConv()), len(source.class_names)
    history = [
        {"phase": phase, "epoch": epoch, "loss": 2.0 / epoch, "accuracy": 0.25 * epoch, "val_loss": 3.0 / epoch}
        | {"val_accuracy": 0.125 * epoch, "rate": 0.01, "seconds": 30.0, "images_per_second": 41.0}
        for phase, epoch in (("head", 1), ("head", 2), ("whole", 3))
    ]
    counts = {"train": [1000 + number for number in range(classes)], "validation": [17] * classes}
    counts["test"] = np.bincount(source.labels, minlength=classes).tolist()
    stages = [
        {"operator": row.operator, "resolution": list(row.resolution), "width": row.channels, "depth": row.layers}
        | {"params": row.params, "macs": row.macs}
        for row in explain(spec, classes=classes).rows
    ]
    evaluation = evaluate_probabilities(probabilities, source.labels, source.class_names)
    return {
        "command": "keras-effnet finetune 'my <images>' --epochs 1",
        "versions": {"keras": keras.version(), "python": "3.x"},
        "data": {"name": "my <images>", "classes": list(source.class_names), "skipped": SKIPPED}
        | {name: sum(split) for name, split in counts.items()}
        | {"counts": counts},
        "model": {"name": "tiny", "backbone": "tiny.json", "path": "my results/model.keras", "weights": "imagenet"}
        | {"params": 4321, "macs": 5_000_000, "phi": 1.5, "resolution": SIDE, "channels": 3, "stages": stages}
        | {"scaling": {"depth": [1.2, 1.25], "MACs": [1.9, 2.001]}},
        "recipe": RECIPE.to_dict(),
        "realised": {"dropout": 0.264286, "drop_path": 0.2, "augmentation.engine": "keras", "steps_per_epoch": 39},
        "history": history,
        "best": history[-1],
        "task": "classification",
        "evaluation": {
            "split": "test",
            "headline": evaluation.headline,
            **evaluation.to_dict(),
        },
        "calibration": calibrate(probabilities, source.labels, (probabilities, source.labels), "test").to_dict(),
    }


def shown(metrics: dict[str, Any], *examples: Any, **others: Any) -> Reader:
    """The page of these metrics, without examples unless they are given."""
    return Reader(report_page(metrics, *(examples or ([], [])), **others).decode())


def training_batches(source: Images, **augmentation: Any) -> Batches:
    made = Augmentation(**augmentation)
    return Batches(source, resolution=SIDE, batch_size=8, seed=3, shuffle=True, padded=True, augmentation=made)


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
    training = training_batches(source, mixup=0.25)
    write_report(metrics, tiny_model(3), source, probabilities, Rows(source), folder, training)
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
    result = f"{100 * evaluation['accuracy']:.1f}\xa0%"
    assert page.title == f"my <images>: {result}"
    assert page.texts["top"].count(page.title) == 2, "as the title, and as the heading"
    for text in (result, f"{evaluation['loss']:.3f}", "4.32 k", "5 M", "0:01:30", "60test images"):
        assert text in page.texts["top"]
    assert len(page.images["curves"]) == 2
    for row in evaluation["confusion"]:
        assert all(str(count) in page.texts["confusion"] for count in row if count)
    wrong = len(worst_mistakes(probabilities, np.arange(60) % 3))
    assert 3 < wrong <= MISTAKES
    assert len(page.images["mistakes"]) == 3 * wrong, "the image, and a map for each of the two classes"
    size = "16\xa0x\xa016\xa0cells"
    assert {*page.captions["mistakes"]} == {"the image", f"for its answer, {size}", f"for the truth, {size}"}
    assert page.folded["mistakes"] == 3 * (wrong - 3), "all but three"
    assert f"{wrong - 3} more" in page.texts["mistakes"]
    assert len(page.images["hits"]) == 2 * 3, "one a class, with one map"
    assert "image " in page.texts["mistakes"]
    assert "F1" in page.texts["classes"]
    assert len(page.images["seen"]) == 8
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
    tile = np.asarray(overlay_tile(np.full((SIDE, SIDE, 1), 128.0), heat)).astype(int)
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
    page = shown(metrics)
    assert "class 005class 0074 of 4" in page.texts["confusion"]
    assert "There is none: no image" in page.texts["hits"]
    with Image.open(io.BytesIO(page.images["confusion"][0])) as image:
        scale = image.width // 200
        pixels = np.asarray(image.convert("RGB"))[scale // 2 :: scale, scale // 2 :: scale]
    assert pixels.shape == (200, 200, 3)
    np.testing.assert_array_equal(np.argwhere(pixels[..., 0] > pixels[..., 2]), [[5, 7]])
    np.testing.assert_array_equal(np.argwhere(pixels[..., 2] > pixels[..., 0])[:, 0], np.delete(np.arange(200), 5))
    with Image.open(io.BytesIO(confusion_image(np.array([[99, 1], [0, 0]])))) as image:
        small = np.asarray(image)
    assert tuple(small[0, -1]) != (255, 255, 255), "one mistake among a hundred is seen"
    assert tuple(small[-1, 0]) == (255, 255, 255)


def test_a_model_without_a_map_is_shown_without_one() -> None:
    x = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(x, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x)))
    source = some_images(12, NAMES)
    probabilities = some_probabilities(source.labels, 3)
    mistakes, hits, note = choose_examples(model, source, probabilities, Rows(source))
    assert "There are no class activation maps" in note
    assert {len(look.images) for look in (*mistakes, *hits)} == {1}
    page = shown(some_metrics(source, probabilities), mistakes, hits, note)
    assert "There are no class activation maps" in page.texts["hits"]


def test_without_a_mistake_the_page_says_so() -> None:
    source = some_images(12, NAMES)
    page = shown(some_metrics(source, np.eye(3, dtype="float32")[source.labels]))
    assert "There is none: every image" in page.texts["mistakes"]


def test_validation_images_are_called_so() -> None:
    source = some_images(12, NAMES)
    metrics = some_metrics(source, some_probabilities(source.labels, 3))
    metrics["evaluation"]["split"] = "validation"
    del metrics["data"]["counts"]["test"]
    page = shown(metrics)
    assert "by which the best epoch was chosen" in page.texts["top"]
    assert f"{17 * 3}validation images" in page.texts["top"]
    assert "On the validation images" in page.texts["classes"]
    assert page.rows["data"][0] == ["class", "training", "validation"]


@pytest.mark.parametrize("classes", [3, 120])
def test_every_class_is_counted(classes: int) -> None:
    names = tuple(f"class {number:03d}" for number in range(classes))
    source = some_images(300, names)
    metrics = some_metrics(source, some_probabilities(source.labels, classes))
    page = shown(metrics)
    assert f"1\N{NARROW NO-BREAK SPACE}000 to {count(999 + classes)} training images a class" in page.texts["data"]
    rows = page.rows["data"]
    heads = [at for at, row in enumerate(rows) if row == ["class", "training", "validation", "test"]]
    assert max(np.diff([*heads, len(rows)])) <= 41, "a table is no longer than a screen or two"
    found = [row for at, row in enumerate(rows) if at not in heads]
    counts = metrics["data"]["counts"]
    assert [row[0] for row in found] == list(names)
    for column, split in enumerate(("train", "validation", "test"), start=1):
        assert [int(row[column].replace("\N{NARROW NO-BREAK SPACE}", "")) for row in found] == counts[split]


def test_the_networks_card_has_phi_and_the_sizes() -> None:
    source = some_images(12, NAMES)
    metrics = some_metrics(source, some_probabilities(source.labels, 3))
    rows = shown(metrics).rows["network"]
    values = {row[0]: row[1] for row in rows if len(row) == 2}
    assert values["phi"] == "1.5"
    assert values["resolution"] == f"{SIDE} px, 3 channels"
    assert values["backbone"] == "tiny.json"
    assert values["parameters"].replace("\N{NARROW NO-BREAK SPACE}", ",") == "4,321"
    stages = [row for row in rows if len(row) == 6][1:]
    spec = tiny_spec(MBConv())
    expected = [stage for stage in (spec.stem, *spec.stages, spec.head) if stage is not None]
    assert [row[2:4] for row in stages] == [[str(stage.width), str(stage.depth)] for stage in expected]
    assert [row[0].split()[0] for row in stages] == [str(number + 1) for number in range(len(stages))]
    assert ["MACs", "1.9", "2"] in rows
    metrics["model"]["scaling"] = None
    assert not any(row[1:] == ["asked for", "realised"] for row in shown(metrics).rows["network"])


def test_the_whole_recipe_is_there_with_what_came_of_it() -> None:
    source = some_images(12, NAMES)
    metrics = some_metrics(source, some_probabilities(source.labels, 3))
    found: dict[str, str] = dict(shown(metrics).rows["recipe"])  # pyright: ignore[reportArgumentType] - pairs
    recipe = RECIPE.to_dict()
    augmentation = recipe.pop("augmentation")
    asked = {**recipe, **{f"augmentation.{name}": value for name, value in augmentation.items()}}
    opened = {name for name, value in asked.items() if value in (None, "auto")}
    assert opened == {"dropout", "drop_path", "augmentation.engine"}
    assert {name: found[name] for name in set(asked) - opened} == {
        name: str(value) for name, value in asked.items() if name not in opened
    }
    assert found["dropout"] == "0.264286 (follows from phi)"
    assert found["drop_path"] == "0.2 (the backbone's own)"
    assert found["augmentation.engine"] == "keras (chosen by auto)"
    assert found["steps_per_epoch"] == "39"
    metrics["recipe"]["dropout"] = metrics["realised"]["dropout"] = 0.5
    metrics["realised"]["augmentation.engine"] = None
    rows = shown(metrics).rows["recipe"]
    assert ["dropout", "0.5"] in rows, "asked for, and so without a reason"
    assert ["augmentation.engine", NOTHING] in rows


def test_the_lines_on_how_to_use_the_model_work(tmp_path: Path) -> None:
    source = some_images(5, NAMES)
    metrics = some_metrics(source, some_probabilities(source.labels, 3))
    path = tmp_path / 'it\'s "mine"' / "model.keras"
    path.parent.mkdir()
    model = tiny_model(3)
    model.save(path)
    metrics["model"]["path"] = str(path)
    command, code = shown(metrics).code["use"]
    arguments = parse(shlex.split(command))
    assert Path(arguments.model) == path
    assert len(code.splitlines()) == 2
    images = source.images.astype("float32")
    space = {"images": images}
    exec(code, space)  # noqa: S102 - as a reader would paste it
    np.testing.assert_allclose(np.asarray(space["probabilities"]), model.predict(images, verbose=0), atol=1e-6)


def test_images_are_shown_as_the_network_saw_them() -> None:
    source = some_images(20, NAMES)
    mixed = training_batches(source, mixup=0.5, flip=True, crop=0.5)
    found = seen_images(mixed, source)
    assert found == seen_images(training_batches(source, mixup=0.5, flip=True, crop=0.5), source), "the same bits"
    images, labels, _ = training_batches(source, mixup=0.5, flip=True, crop=0.5)[0]
    assert len(found) == len(images) == 8
    for (caption, uri), image, label in zip(found, images, labels, strict=True):
        named = {name: float(share) / 100 for share, name in re.findall(r"(\d+)% (.*?)(?:, (?=\d+%)|$)", caption)}
        named = named or {caption: 1.0}
        assert named == pytest.approx(
            {name: share for name, share in zip(NAMES, label, strict=True) if share >= 0.005}, abs=0.006
        )
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as tile:
            pixels = np.asarray(tile.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
        assert np.corrcoef(pixels.ravel(), image.ravel())[0, 1] > 0.9, "the very image"
    assert any("%" in caption for caption, _ in found)
    plain = seen_images(training_batches(source), source)
    assert {caption for caption, _ in plain} <= set(NAMES)


def test_the_page_says_how_images_were_changed() -> None:
    source = some_images(12, NAMES)
    metrics = some_metrics(source, some_probabilities(source.labels, 3))
    seen = [("cat", "data:image/jpeg;base64,")]
    text = shown(metrics, seen=seen).texts["seen"]
    randomized = "RandAugment (operations an image: 1, magnitude: 5)"
    for words in ("half of them mirrored", randomized, "mixed in pairs by MixUp,"):
        assert words in text
    assert not any(words in text for words in ("cropped", "CutMix"))
    metrics["recipe"]["augmentation"] = Augmentation().__dict__
    assert "without any augmentation" in shown(metrics, seen=seen).texts["seen"]


def test_what_the_metrics_lack_is_left_out() -> None:
    source = some_images(12, NAMES)
    metrics = some_metrics(source, some_probabilities(source.labels, 3))
    del metrics["calibration"], metrics["evaluation"]["confusion"], metrics["evaluation"]["per_class"]
    del metrics["data"]["counts"]
    page = shown(metrics, None, None)
    lacking = {"confidence", "confusion", "classes", "data", "mistakes", "hits", "seen"}
    assert set(page.texts) - {"top"} == set(SECTIONS) - lacking


@pytest.mark.slow
@pytest.mark.parametrize(("width", "medium"), VIEWS)
def test_a_browser_shows_every_part(
    report: tuple[Path, dict[str, Any], np.ndarray], tmp_path: Path, width: int, medium: str
) -> None:
    folder, _, probabilities = report
    original = folder / "report.html"
    found = probe(original, tmp_path, width, medium)
    assert found["sections"] == list(SECTIONS)
    wrong = len(worst_mistakes(probabilities, np.arange(60) % 3))
    assert_nothing_is_hidden(found, folded=0 if medium == PAPER else 3 * (wrong - 3))
    assert found["cut"] == []
    assert found["scrolled"] == []
    assert found["paper"] < 0.02 if medium == DARK else found["paper"] == 1

    if width < 500 or medium == PAPER:
        return  # Chromium makes no window narrower than that
    # The page itself, with its policy: its style and its images are there.
    image = tmp_path / "page.png"
    screenshot(original, image, width, dark=medium == DARK)
    with Image.open(image) as shown:
        assert shown.width == width
        colours = {colour: count for count, colour in shown.convert("RGB").getcolors(1 << 24) or ()}
    ground, blue = ((246, 247, 249), (31, 119, 180)) if not medium else ((14, 17, 22), (87, 167, 225))
    assert colours.get(ground, 0) > 5_000, "the ground around the sections"
    near = [count for colour, count in colours.items() if max(abs(np.subtract(colour, blue))) <= 12]
    assert sum(near) > 100, "Matplotlib's blue, the curve of the validation, brighter in the dark"
    assert not medium or colours.get((255, 255, 255), 0) < 20_000, "no chart on white"


@pytest.mark.slow
@pytest.mark.parametrize("classes", [12, 40, 120])
def test_many_classes_are_read_on_a_phone_and_on_paper(tmp_path: Path, classes: int) -> None:
    names = tuple(f"n0{number:07d} Chesapeake_Bay_retriever" for number in range(classes))
    source = some_images(6 * classes, names)
    page = tmp_path / "report.html"
    page.write_bytes(report_page(some_metrics(source, some_probabilities(source.labels, classes)), [], []))
    for width, medium in VIEWS:
        found = probe(page, tmp_path, width, medium)
        assert found["cut"] == [], (width, medium)
        # The same matrix is a table where there is room, and an image where there is none.
        assert_nothing_is_hidden(found, folded=int(classes == 40 and width > 760))
        assert {each for each in found["scrolled"] if "DIV scroll" not in each} == set()
        assert medium != PAPER or found["scrolled"] == []
