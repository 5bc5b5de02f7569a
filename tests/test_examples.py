"""The examples run, and give the results that they state."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from support import import_example, untraced

from keras_effnet.export import exporter

EXAMPLES = Path(__file__).parents[1] / "examples"


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


@pytest.mark.slow
def test_the_way_to_a_device_says_of_each_promise_whether_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A machine that calibrates with small networks, and little to learn from.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small = tuple(("mobilenet_v1", -8.0 + number / 2) for number in range(6))
    monkeypatch.setattr("keras_effnet.latency.table.CALIBRATION", small)
    example: Any = import_example("edge")
    for name, value in {"LATENCY_MS": 200.0, "MEGABYTES": 0.8, "TRAINED": 400, "TESTED": 80, "EPOCHS": 1}.items():
        monkeypatch.setattr(example, name, value)
    example.main()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("network: ")
    assert said[2].startswith("latency: ")
    assert said[2].endswith("at most 200.0 ms was promised: held")
    assert said[3].startswith("size: 0.")
    assert said[3].endswith("at most 0.8 MB was promised: held")
    assert said[4].startswith("accuracy lost: ")
    held = sum(line.endswith("promised: held") for line in said)
    assert said[-1] == f"{held} of 3 promises held"


@pytest.mark.slow
def test_a_network_for_a_microcontroller_is_held_to_its_memories(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example: Any = import_example("microcontroller")
    for name, value in {"TRAINED": 800, "TESTED": 80, "EPOCHS": 2}.items():
        monkeypatch.setattr(example, name, value)
    # Trained for seconds, it is sure of no letter, and a difference in rounding changes many answers.
    monkeypatch.setattr(exporter, "LEAST_AGREEMENT", 0.5)
    example.main()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("network: ")
    assert said[1].startswith("memory: ")
    assert said[3].startswith("RAM: ")
    assert said[3].endswith("at most 256 kB was promised: held")
    assert said[4].startswith("flash: ")
    assert said[4].endswith("at most 512 kB was promised: held")
    assert said[5].startswith("accuracy lost: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "measure", "few"),
    [
        ("segmentation", "mean IoU", {"MASKED": 20, "MASKED_EPOCHS": 8, "TESTED": 40}),
        ("detection", "average precision", {"BOXED": 40, "BOXED_EPOCHS": 8, "TESTED": 40}),
    ],
)
def test_a_grown_backbone_sees_more_than_one_from_scratch(
    example: str, measure: str, few: dict[str, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    module: Any = import_example(example)
    for name, value in few.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("segmentation.LABELLED", 1000)
    monkeypatch.setattr(module, "LABELLED", 1000, raising=False)
    with redirect_stdout(io.StringIO()) as out:
        module.main(["--output", str(tmp_path / "found.png")])
    said = {line.split(":")[0]: float(line.split(measure)[1].split(",")[0]) for line in out.getvalue().splitlines()[1:]}
    assert 0 <= said["from scratch"] < said["grown backbone"] <= 1
    assert (tmp_path / "found.png").stat().st_size > 1000


def contents(folder: Path) -> dict[str, list[bytes]]:
    """What the files of each class hold."""
    return {place.name: sorted(path.read_bytes() for path in place.iterdir()) for place in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(("library", "example"), [("datasets", "hugging_face_datasets"), ("tensorflow", "tf_data")])
def test_data_of_other_libraries_go_through_a_folder_and_as_they_are(
    library: str, example: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip(library)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    module: Any = import_example(example)
    for name, value in {"IMAGES": 10, "EPOCHS": 1}.items():
        monkeypatch.setattr(module, name, value)
    with untraced(), redirect_stdout(io.StringIO()) as out:
        module.main()
    said = dict(line.split(": ") for line in out.getvalue().splitlines() if ": " in line)
    assert int(said["images in the folder"]) == 50
    assert all(0 <= float(said[way]) <= 1 for way in ("finetune", "fit"))

    drawn, written = tmp_path / "drawn", tmp_path / "written"
    module.draw_folder(drawn, 2)
    if library == "datasets":
        found = module.datasets.load_dataset("imagefolder", data_dir=str(drawn), split="train", cache_dir=str(tmp_path))
        module.write_folder(found, written)
        assert contents(written) == contents(drawn)  # to the byte
        source = module.DatasetImages(found).take([3, 0])
        assert [source.class_names[label] for label in source.labels] == [source.class_names[1], source.class_names[0]]
        assert source.read(1).shape == (*source.dataset[1]["image"].size[::-1], 3)
    else:
        module.write_folder(module.pipeline(drawn), module.NAMES, written)
        assert {name: len(each) for name, each in contents(written).items()} == dict.fromkeys(module.NAMES, 2)
