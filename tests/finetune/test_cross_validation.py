"""Cross-validation: every image is scored once, by a network that has not seen it, and a killed one goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from support import tiny_spec

from keras_effnet.blocks import MBConv
from keras_effnet.cli.main import main, make_parser
from keras_effnet.data.sets import load_data
from keras_effnet.errors import TrainingError
from keras_effnet.finetune import job as module
from keras_effnet.finetune.cross_validation import CrossValidation, summarize
from keras_effnet.finetune.job import FinetuneJob
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.report.folds import format_folds, write_folds
from keras_effnet.serialization import write_spec
from keras_effnet.training.task_evaluation import SCORES

SPEC = tiny_spec(MBConv(expand=2), depth=1, resolution=16)
RECIPE = Recipe(head_epochs=0, epochs=1, batch_size=32, rate=0.05, batchnorm="trained")
OPTIONS = FinetuneOptions(backbone=SPEC, weights="random", labels_per_class=5, recipe=RECIPE, deterministic=True)


def row(number: int, accuracy: float) -> dict[str, Any]:
    scores = {"images": 20, "accuracy": accuracy, "loss": 1 - accuracy}
    return {"fold": number, "train": 80, "validation": 9, "best_epoch": 3, "held_out": scores, "test": scores}


def test_the_deviation_is_that_of_a_sample(tmp_path: Path) -> None:
    accuracies = [0.91, 0.84, 0.88, 0.95]
    rows = [row(number, accuracy) for number, accuracy in enumerate(accuracies, 1)]
    found = summarize([each["held_out"] for each in rows], SCORES["classification"])
    assert found["accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert found["accuracy"]["std"] == pytest.approx(np.std(accuracies, ddof=1))
    metrics: dict[str, Any] = {"score": "accuracy", "folds": rows, "summary": {"held_out": found, "test": found}}
    write_folds(metrics, tmp_path)
    assert json.loads((tmp_path / "folds.json").read_text())["summary"]["held_out"] == found
    assert (tmp_path / "folds.png").read_bytes()[1:4] == b"PNG"
    table = format_folds(metrics)
    assert f"{np.mean(accuracies):.3f} \N{PLUS-MINUS SIGN} {np.std(accuracies, ddof=1):.3f}" in table
    assert "test accuracy" in table
    alone = {"score": "accuracy", "folds": rows, "summary": {"held_out": found}}
    assert "test accuracy" not in format_folds(alone)


def test_what_cannot_take_turns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"`folds`.*Received: folds=1"):
        CrossValidation(OPTIONS, tmp_path, folds=1)
    with pytest.raises(TrainingError, match=r"leave `fold` at None\. Received: fold=\(1, 3\)"):
        CrossValidation(replace(OPTIONS, fold=(1, 3)), tmp_path)
    with pytest.raises(TrainingError, match=r"`fold`.*Received: "):
        FinetuneOptions(fold=(4, 3))


@pytest.mark.slow
def test_each_network_is_scored_on_what_it_has_not_seen_and_a_killed_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "write_report", lambda *_: None)
    whole = CrossValidation(OPTIONS, tmp_path / "whole", folds=2).run()
    data = load_data("digits")
    assert data.test is not None
    assert sum(each["held_out"]["images"] for each in whole["folds"]) == len(data.train) + len(data.validation)
    for each in whole["folds"]:
        model: Any = keras.models.load_model(tmp_path / "whole" / each["folder"] / "model.keras")
        fold = load_data("digits", labels_per_class=5, fold=(each["fold"], 2))
        assert (each["train"], each["validation"]) == (len(fold.train), len(fold.validation))
        for name, source in (("held_out", fold.test), ("test", data.test)):
            assert source is not None
            assert each[name]["images"] == len(source)
            images = [Image.fromarray(source.read(number)).resize((16, 16), 2) for number in range(len(source))]
            right = (
                model.predict(np.stack([np.asarray(image, "float32") for image in images]), verbose=0).argmax(1)
                == source.labels
            ).mean()
            assert each[name]["accuracy"] == pytest.approx(right, abs=1e-6)

    class Killed(BaseException):
        pass

    run = FinetuneJob.run

    def die(self: FinetuneJob) -> Any:
        if self.options.fold == (2, 2):
            raise Killed
        return run(self)

    with monkeypatch.context() as patch:
        patch.setattr(FinetuneJob, "run", die)
        with pytest.raises(Killed):
            CrossValidation(OPTIONS, tmp_path / "cut", folds=2).run()
    assert not (tmp_path / "cut" / "folds.json").exists()
    before = (tmp_path / "cut" / "fold-1" / "model.keras").stat().st_mtime_ns
    capsys.readouterr()
    write_spec(SPEC, tmp_path / "tiny.json")
    (tmp_path / "recipe.json").write_text(RECIPE.to_json())
    words = ["finetune", "digits", "--backbone", str(tmp_path / "tiny.json"), "--recipe", str(tmp_path / "recipe.json")]
    words += ["--weights", "random", "--labels-per-class", "5", "--deterministic"]
    words += ["--folds", "2", "--output", str(tmp_path / "cut")]
    assert main(make_parser().parse_args(words)) == 0
    assert (tmp_path / "cut" / "fold-1" / "model.keras").stat().st_mtime_ns == before, "nothing is done again"
    found = json.loads((tmp_path / "cut" / "folds.json").read_text())
    assert found["folds"] == whole["folds"]
    out, err = capsys.readouterr()
    assert "Accuracy over 2 folds" in out
    assert "In " in out.splitlines()[-1]
    assert "fold-2, folds.json, folds.png" in out.splitlines()[-1]
    assert "fold 2 of 2" in err
    with pytest.raises(TrainingError, match=r"another fold"):
        CrossValidation(OPTIONS, tmp_path / "cut", folds=3).run()
