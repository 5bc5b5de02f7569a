"""The main job: does pre-training on drawn letters help where there are few labels?

Pre-trains a scaled backbone on images of letters, moves it to other images with few labels a class, and trains the
same network from scratch on the same labels. Several draws of labels, so that the difference means something; the
network from scratch gets twice the steps, and the best of its held-out scores counts, which favours it.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, cast

import keras
from tqdm import tqdm

from keras_effnet.atomic import atomic_write
from keras_effnet.builder.model import build_model
from keras_effnet.cost import estimate_cost
from keras_effnet.data.glyphs import render_letters
from keras_effnet.data.images import Images, load_digits, load_folder, split_few
from keras_effnet.errors import DataError
from keras_effnet.transfer.options import TransferOptions, transfer_spec
from keras_effnet.transfer.training import Schedule, compile_for, copy_features, evaluate, restore, snapshot, train

logger = logging.getLogger(__name__)

TRANSFERRED, SCRATCH = "transferred", "from scratch"

# The values below were found by trial on the embedded data, for two cores and a few minutes: docs/transfer.md.
HELD_OUT_LETTERS = 1_000
PRETRAIN_BATCH, PRETRAIN_RATE = 128, 4e-3
FEW_BATCH, FEW_JITTER = 50, 0.15
RATES = {TRANSFERRED: 4e-3, SCRATCH: 1e-2}
STEPS = {TRANSFERRED: 1, SCRATCH: 2}  # times `epochs`
CHECKS = 4  # looks at the held-out images during each run


class TransferJob:
    """One run of the main job in one folder, which it can be stopped in and started again.

    Args:
        options: what to do.
        output: folder for results; made if missing. What is finished in it is not done again.

    Raises:
        DataError: the folder belongs to a job with other options, or cannot be written.
    """

    def __init__(self, options: TransferOptions, output: Path) -> None:
        self.options = options
        self.output = output
        self.spec = transfer_spec(options)
        self.skipped: list[str] = []
        self._state_path = output / "checkpoint" / "state.json"

    def run(self) -> dict[str, Any]:
        """Does what is not done yet.

        Returns:
            The metrics, as `report.write_results` takes them.

        Raises:
            DataError: images that cannot be trained on, a folder of another job, or a loss that is no number.
        """
        images = self._load_images()
        # Before the long work: a class with too few images is found now.
        split_few(images, self.options.labels_per_class, self.options.seed)
        state = self._load_state()
        if len(state["pretraining"]) < self.options.pretrain_epochs:
            self._pretrain(state)
        runs = [(number, kind) for number in range(self.options.repeats) for kind in (TRANSFERRED, SCRATCH)]
        left = runs[len(state["runs"]) :]
        if left:
            self._train_few(images, left, state)
        return self._metrics(images, state)

    def _load_images(self) -> Images:
        if self.options.data is None:
            return load_digits(self.options.resolution)
        images, self.skipped = load_folder(self.options.data, self.options.resolution)
        return images

    def _load_state(self) -> dict[str, Any]:
        """What a job with these options has done in this folder; nothing yet, if it is new."""
        fresh = {"options": self.options.to_dict(), "pretraining": [], "runs": []}
        if not self._state_path.exists():
            try:
                self._state_path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"the output folder cannot be made: {error}. Received: {str(self.output)!r}") from error
            return fresh
        try:
            state = json.loads(self._state_path.read_text())
        except (OSError, ValueError) as error:
            raise DataError(
                f"the job cannot go on, its state cannot be read: {error}. Delete the folder to begin anew. "
                f"Received: {str(self._state_path)!r}"
            ) from error
        if state["options"] != fresh["options"]:
            changed = [name for name, value in fresh["options"].items() if state["options"].get(name) != value]
            raise DataError(
                f"the output folder holds a job with another {', '.join(changed)}; name another folder, or delete it. "
                f"Received: {str(self.output)!r}"
            )
        logger.info(
            "going on in %s: %d epochs and %d runs are done", self.output, len(state["pretraining"]), len(state["runs"])
        )
        return state

    def _pretrained_path(self, epochs: int) -> Path:
        # Named after its epoch: a model that is newer than the state that was saved with it would be trained twice.
        return self._state_path.with_name(f"pretrained-{epochs}.keras")

    def _load_pretrained(self, epochs: int) -> keras.Model:
        path = self._pretrained_path(epochs)
        try:
            return cast(keras.Model, keras.models.load_model(path))
        except (OSError, ValueError) as error:
            raise DataError(
                f"the job cannot go on, its checkpoint cannot be read: {error}. Delete the folder to begin anew. "
                f"Received: {str(path)!r}"
            ) from error

    def _save_state(self, state: dict[str, Any]) -> None:
        atomic_write(self._state_path, lambda path: path.write_text(json.dumps(state, indent=1)))

    def _pretrain(self, state: dict[str, Any]) -> None:
        options = self.options
        letters = render_letters(options.letters, options.resolution, options.seed)
        held_out = render_letters(HELD_OUT_LETTERS, options.resolution, options.seed + 1)
        steps = -(-options.letters // PRETRAIN_BATCH)
        schedule = Schedule(steps * options.pretrain_epochs, PRETRAIN_BATCH, PRETRAIN_RATE)
        done = len(state["pretraining"])
        if done:
            model = self._load_pretrained(done)
        else:
            keras.utils.set_random_seed(options.seed)
            model = build_model(self.spec, classes=len(letters.class_names))
            compile_for(model, schedule)
        with tqdm(total=schedule.steps, initial=done * steps, desc="pre-training on letters", unit="step") as progress:
            for epoch in range(done, options.pretrain_epochs):
                first = epoch * steps
                logs = train(
                    model, letters, schedule, seed=options.seed, progress=progress, first=first, last=first + steps
                )
                row = {"epoch": epoch + 1, **logs, "held_out_accuracy": evaluate(model, held_out)["accuracy"]}
                atomic_write(self._pretrained_path(epoch + 1), model.save)
                state["pretraining"].append(row)
                self._save_state(state)
                self._pretrained_path(epoch).unlink(missing_ok=True)

    def _train_few(self, images: Images, runs: list[tuple[int, str]], state: dict[str, Any]) -> None:
        options = self.options
        classes = len(images.class_names)
        schedules = {kind: self._few_schedule(kind, options.labels_per_class * classes) for kind in RATES}
        pretrained = self._load_pretrained(options.pretrain_epochs)
        keras.utils.set_random_seed(options.seed)
        model = build_model(self.spec, classes=classes)
        compile_for(model, schedules[SCRATCH])
        blank = snapshot(model)
        total = sum(schedules[kind].steps for _, kind in runs)
        with tqdm(total=total, desc=f"training on {options.labels_per_class} labels a class", unit="step") as progress:
            for number, kind in runs:
                seed = options.seed + number
                restore(blank)
                keras.utils.set_random_seed(seed)
                model.set_weights(build_model(self.spec, classes=classes).get_weights())
                if kind == TRANSFERRED:
                    copy_features(pretrained, model)
                few, held_out = split_few(images, options.labels_per_class, seed)
                rows = self._run_once(model, few, held_out, schedules[kind], seed, progress)
                if not state["runs"]:
                    atomic_write(self.output / "model.keras", model.save)
                state["runs"].append({"run": number + 1, "seed": seed, "network": kind, "history": rows})
                self._save_state(state)

    def _few_schedule(self, kind: str, count: int) -> Schedule:
        # An epoch of fewer images than a batch still takes a step: each image is then in it more than once.
        steps = self.options.epochs * STEPS[kind] * -(-count // FEW_BATCH)
        return Schedule(steps, FEW_BATCH, RATES[kind], jitter=FEW_JITTER)

    @staticmethod
    def _run_once(
        model: keras.Model, few: Images, held_out: Images, schedule: Schedule, seed: int, progress: tqdm
    ) -> list[dict[str, float]]:
        """Trains over one schedule, and looks at the held-out images `CHECKS` times, the last time at its end."""
        rows, first = [], 0
        marks = sorted({max(1, schedule.steps * number // CHECKS) for number in range(1, CHECKS + 1)})
        for last in marks:
            logs = train(model, few, schedule, seed=seed, progress=progress, first=first, last=last)
            rows.append({"step": last, **logs, "held_out_accuracy": evaluate(model, held_out)["accuracy"]})
            first = last
        return rows

    def _metrics(self, images: Images, state: dict[str, Any]) -> dict[str, Any]:
        options = self.options
        classes = len(images.class_names)
        cost = estimate_cost(self.spec, classes=classes)
        return {
            "options": options.to_dict(),
            "versions": {"keras": keras.version(), "backend": keras.backend.backend()},
            "network": {"params": cost.params, "macs": cost.macs, "flops": cost.flops},
            "images": {
                "labelled": options.labels_per_class * classes,
                "held_out": len(images) - options.labels_per_class * classes,
                "classes": list(images.class_names),
                "skipped": self.skipped,
            },
            "pretraining": state["pretraining"],
            "runs": state["runs"],
        }
