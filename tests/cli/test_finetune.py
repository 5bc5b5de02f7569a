"""`keras-effnet finetune`: what a command line asks for."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from keras_effnet.cli.finetune_command import AUGMENTATION_HELP, OPTIONS_HELP, RECIPE_HELP, read_options
from keras_effnet.cli.main import main, make_parser
from keras_effnet.data.augment import Augmentation, augmentation_for
from keras_effnet.errors import TrainingError
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.finetune.recipe import Recipe


def options(*words: str) -> FinetuneOptions:
    return read_options(make_parser().parse_args(["finetune", *words]))


def test_every_field_has_an_option() -> None:
    assert set(OPTIONS_HELP) == {field.name for field in fields(FinetuneOptions)} - {"data", "recipe", "fold"}
    assert set(RECIPE_HELP) == {field.name for field in fields(Recipe)} - {"augmentation"}
    assert set(AUGMENTATION_HELP) == {field.name for field in fields(Augmentation)}


def test_without_options_the_defaults_hold() -> None:
    assert options("flowers") == FinetuneOptions(data="flowers", recipe=Recipe(augmentation=augmentation_for(0)))
    assert not options("digits").recipe.augmentation.flip
    assert options("flowers", "--phi", "3").recipe.augmentation == augmentation_for(3)


def test_options_change_a_recipe_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(Recipe(epochs=7, rate=0.5, augmentation=Augmentation(mixup=0.4)).to_json())
    found = options("digits", "--recipe", str(path), "--rate", "0.25", "--flip", "--weights", "random").recipe
    assert found == Recipe(epochs=7, rate=0.25, augmentation=Augmentation(mixup=0.4, flip=True))


def test_every_kind_of_value_is_read() -> None:
    words = "--phi -1 --resolution 64 --labels-per-class 5 --data-dir d --deterministic --dropout 0.5 --optimizer adamw"
    found = options("x", *words.split(), "--crop", "0.5", "--operations", "3", "--engine", "keras", "--seed", "4")
    assert (found.phi, found.resolution, found.labels_per_class, found.data_dir) == (-1.0, 64, 5, "d")
    assert found.deterministic
    assert (found.recipe.dropout, found.recipe.optimizer, found.recipe.seed) == (0.5, "adamw", 4)
    assert options("x", "--average", "auto", "--layer-decay", "0.75").recipe == Recipe(
        average="auto", layer_decay=0.75, augmentation=augmentation_for(0)
    )
    assert options("x", "--average", "0.5").recipe.average == 0.5
    assert (found.recipe.augmentation.crop, found.recipe.augmentation.operations) == (0.5, 3)


def test_images_of_any_proportions_and_bands_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--resolution 96x160 --resize pad --channels 5 --near-duplicates"
    found = options("x", *words.split())
    assert (found.resolution, found.resize, found.channels, found.near_duplicates) == ((96, 160), "pad", 5, True)
    assert options("x", "--size", "64X64").resolution == 64
    for wrong in ("96x", "96x160x3", "wide", "9.5"):
        with pytest.raises(SystemExit):
            options("x", "--resolution", wrong)
        assert f"height and width such as 96x160. Received: '{wrong}'" in capsys.readouterr().err
    for wrong in ((96, 4), 4, (96, 160, 3), "96"):
        with pytest.raises(TrainingError, match="resolution"):
            FinetuneOptions(resolution=wrong)
    assert FinetuneOptions(resolution=[96, 160]).to_dict()["resolution"] == (96, 160)


@pytest.mark.parametrize(
    "words",
    [
        *(
            "--rate -1",
            "--labels-per-class 0",
            "--folds 1",
            "--class-weights balanced --sampling balanced",
            "--recipe none.json",
            "--mixup 2",
        ),
        pytest.param("--weights saved", marks=pytest.mark.slow),
    ],
)
def test_nonsense_is_one_line_and_a_status(words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = make_parser().parse_args(["finetune", "digits", "--output", str(tmp_path), *words.split()])
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Received: " in err.splitlines()[-1]
