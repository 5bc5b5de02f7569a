"""The options of `keras-effnet finetune` and `keras-effnet transfer`. Loads neither keras nor tensorflow."""

from __future__ import annotations

from dataclasses import dataclass, fields
from os import PathLike, fspath
from typing import Any, get_args

from keras_effnet.checks import check_bool, check_choice, check_int, check_number, check_seed, store_plain
from keras_effnet.data.splits import check_fold
from keras_effnet.errors import TrainingError
from keras_effnet.finetune.recipe import Recipe, default_recipe
from keras_effnet.json_text import parse_json
from keras_effnet.resolution import Resize, Resolution, check_resolution
from keras_effnet.spec import BackboneSpec
from keras_effnet.vision_tasks import TASKS, VisionTask


@dataclass(frozen=True)
class FinetuneOptions:
    """The options of `keras-effnet finetune`.

    Args:
        data: images to learn, as `load_data` takes them: "digits", "glyphs", "scenes", a data set of the EfficientNet
            paper, "tfds:NAME", a folder or a CSV file.
        backbone: a spec, the name of a registered one, or the path of a saved model (`.keras`) that
            was built here, or is a registered backbone.
        weights: weights to start from: "imagenet", "saved" (those in the `.keras` file), the path of a weight file, or
            "random".
        phi: how the backbone is scaled; below 0 it shrinks.
        resolution: side of the images in pixels, or (height, width), each at least 8; by default the scaled backbone's
            own.
        resize: how images of other proportions get there: "stretch" changes them; "pad" keeps the whole image, with
            black on two sides; "crop" keeps its middle. The model remembers it.
        channels: channels of the images: 3, 1 for gray, or the number of bands of the files (multispectral images).
        data_dir: folder that the data set is in or is downloaded to; by default its library's own.
        validation: fraction of the training images that the best epoch is chosen by, in (0, 0.9]; unused if the data
            set has a validation part.
        labels_per_class: number of training images per class, at least 1; by default all.
        task: what is learned of a table's images: "classification", "multilabel" or "regression"; by default what the
            table's columns tell.
        targets: names of the table's columns to learn from, parted by commas; by default those that are named after
            what they hold (see `read_table`).
        fold: `(number, folds)`: the part of the training images, counted from 1, that takes its turn as test images;
            by default all are trained on. `CrossValidation` sets it.
        near_duplicates: whether to look for images of one split that look like one of another, and to name them.
        teacher: path of a trained model of the same classes whose answers are learned beside the true labels while the
            whole network learns; by default there is none.
        recipe: how the network is trained; by default `Recipe()`, and with random weights a recipe in which all layers
            and the statistics of BatchNorm learn from the first epoch on.
        deterministic: whether every operation must give the same bits in every run, which is slower on a GPU.

    Raises:
        TrainingError: a value is out of range.
    """

    data: str | PathLike[str] = "digits"
    backbone: BackboneSpec | str | PathLike[str] = "efficientnet_b0"
    weights: str | PathLike[str] = "imagenet"
    phi: float = 0.0
    resolution: Resolution | None = None
    resize: Resize = "stretch"
    channels: int = 3
    data_dir: str | PathLike[str] | None = None
    validation: float = 0.1
    labels_per_class: int | None = None
    task: VisionTask | None = None
    targets: str | None = None
    fold: tuple[int, int] | None = None
    near_duplicates: bool = False
    teacher: str | PathLike[str] | None = None
    recipe: Recipe = None  # pyright: ignore[reportAssignmentType] - it always holds one
    deterministic: bool = False

    def __post_init__(self) -> None:
        store_plain(self)
        _store_texts(self, "data", "backbone", "weights", "data_dir", "teacher")
        if self.recipe is None:
            object.__setattr__(self, "recipe", default_recipe(self.weights))
        check_number(TrainingError, "phi", self.phi, -1000)
        check_int(TrainingError, "channels", self.channels, 1)
        check_number(TrainingError, "validation", self.validation, 0, 0.9, open_low=True)
        check_choice(TrainingError, "task", self.task, (None, *TASKS))
        check_bool(TrainingError, "deterministic", self.deterministic)
        check_bool(TrainingError, "near_duplicates", self.near_duplicates)
        check_choice(TrainingError, "resize", self.resize, get_args(Resize))
        if self.resolution is not None:
            object.__setattr__(self, "resolution", check_resolution(TrainingError, "resolution", self.resolution, 8))
        if self.labels_per_class is not None:
            check_int(TrainingError, "labels_per_class", self.labels_per_class, 1)
        check_fold(TrainingError, self.fold)

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON holds them, a spec in full: its file may change before the run is continued.

        Raises:
            SpecError: the spec cannot be written.
        """
        return {**_to_dict(self), "recipe": self.recipe.to_dict()}

    def identity(self) -> dict[str, Any]:
        """What makes a run another one: all options but those that change no result, as JSON holds them.

        Raises:
            SpecError: the spec cannot be written.
        """
        return {name: value for name, value in self.to_dict().items() if name != "near_duplicates"}


@dataclass(frozen=True)
class DemonstrationOptions:
    """The options of `keras-effnet transfer`.

    Args:
        backbone: a spec, or the name of a registered one.
        phi: how the backbone is scaled in depth and width; below 0 it shrinks.
        data: images to learn from few labels, as `load_data` takes them; by default scikit-learn's digits.
        resolution: side of all images in pixels, at least 8.
        letters: number of letters to draw for pre-training, at least 1.
        pretrain_epochs: number of epochs of pre-training, at least 1.
        epochs: number of epochs on the few labelled images, at least 1; from scratch twice as many.
        labels_per_class: number of labelled images per class, at least 1.
        repeats: number of draws of labelled images, at least 1.
        seed: seed of everything random, 0 to 4294967295.

    Raises:
        TrainingError: a value is out of range.
    """

    backbone: BackboneSpec | str | PathLike[str] = "mobilenet_v1"  # three times as fast on a CPU as EfficientNet-B0
    phi: float = -10.0
    data: str | PathLike[str] = "digits"
    resolution: int = 16
    letters: int = 20_000
    pretrain_epochs: int = 2
    epochs: int = 60
    labels_per_class: int = 3
    repeats: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        store_plain(self)
        _store_texts(self, "data", "backbone")
        check_number(TrainingError, "phi", self.phi, -1000)
        check_int(TrainingError, "resolution", self.resolution, 8)
        for name in ("letters", "pretrain_epochs", "epochs", "labels_per_class", "repeats"):
            check_int(TrainingError, name, getattr(self, name), 1)
        check_seed(TrainingError, self.seed, more=self.repeats)

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON holds them, a spec in full: its file may change before the run is continued.

        Raises:
            SpecError: the spec cannot be written.
        """
        return _to_dict(self)


def _store_texts(options: FinetuneOptions | DemonstrationOptions, *names: str) -> None:
    """Stores paths as texts: options are compared, and written as JSON."""
    for name in names:
        value = getattr(options, name)
        if isinstance(value, PathLike):
            object.__setattr__(options, name, fspath(value))


def _to_dict(options: FinetuneOptions | DemonstrationOptions) -> dict[str, Any]:
    values = {item.name: getattr(options, item.name) for item in fields(options)}
    if isinstance(options.backbone, BackboneSpec):
        values["backbone"] = parse_json(options.backbone.to_json())["backbone"]
    return values
