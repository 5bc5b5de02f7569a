"""The classifier that `predict` and `evaluate` use, made from a model's file and command-line arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from keras_effnet.checks import check_int, check_number
from keras_effnet.cli.arguments import check_model_file, resolution_value
from keras_effnet.cli.class_names import names_of, read_names
from keras_effnet.errors import BuildError, DataError
from keras_effnet.messages import progress_bar
from keras_effnet.resolution import Resize, Resolution, check_resolution, resolution_text, sides_of
from keras_effnet.vision_tasks import THRESHOLD, VisionTask

if TYPE_CHECKING:
    import keras
    import numpy as np

    from keras_effnet.data.source import Source
    from keras_effnet.training.evaluation import Predicting

MODES = ("none", "tf", "torch", "caffe")


@dataclass(frozen=True, eq=False)
class Predictor:
    """A model that maps pixels from 0 to 255 to class probabilities, to those of labels, or to numbers.

    Attributes:
        model: the model.
        class_names: name of each class, label or number, in the order of the outputs; numbers if they are unknown.
        named: whether the names are known.
        resolution: side of the input images in pixels, or (height, width).
        channels: number of channels of the input images, at least 1.
        resize: how images of other proportions are brought to that size, as in `Batches`.
        bits: number of bits that images of 16 bits use; None if it is unknown.
        task: what the outputs are: "classification", "multilabel" or "regression".
        thresholds: probability from which an image has each label, of a multilabel model.
    """

    model: Predicting
    class_names: tuple[str, ...]
    named: bool
    resolution: Resolution
    channels: int
    resize: Resize = "stretch"
    bits: int | None = None
    task: VisionTask = "classification"
    thresholds: tuple[float, ...] = ()


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments for the model, and for properties that its file may lack."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=Path,
        help="a trained model: .keras or .h5, or what `export` made of one: .tflite, .onnx, .xml or a SavedModel",
    )
    group = parser.add_argument_group("properties that the model's file may lack")
    group.add_argument(
        "--classes",
        metavar="FILE",
        type=Path,
        help="file with the class names: one per line, a JSON list, or a JSON object of numbers by name, as Keras' "
        "`class_indices` (default: the model's)",
    )
    group.add_argument(
        "--resolution",
        type=resolution_value,
        help="side of the input images in pixels, or HEIGHTxWIDTH such as 96x160 (default: the model's)",
    )
    group.add_argument(
        "--resize",
        choices=get_args(Resize),
        help="how images of other proportions get there: stretched, whole with black beside them, or their middle "
        "(default: as the model was trained, else stretch)",
    )
    group.add_argument(
        "--preprocessing",
        choices=MODES,
        help="mode of keras.applications' preprocess_input, for models that are not from this package; 'none': the "
        "model takes pixels from 0 to 255 (default: none)",
    )
    parser.add_argument(
        "--center-crop",
        type=float,
        default=1.0,
        help="fraction of each side to keep, around the centre, in (0, 1] (default: 1)",
    )
    parser.add_argument("--batch-size", type=int, default=32, help="number of images per batch (default: 32)")
    parser.add_argument(
        "--mirror",
        "--tta",
        action="store_true",
        help="look at each image and at its mirror image, and take the mean: twice the time (default: no)",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="what the logits are divided by, above 0; a run's report has the value with which probabilities can be "
        "believed (default: 1)",
    )


def check_model_arguments(arguments: argparse.Namespace) -> None:
    """Checks what `add_model_arguments` added, as far as that goes without opening the model.

    Raises:
        DataError: a value outside its range, or class names that cannot be read.
        WeightsError: there is no such model.
    """
    check_model_file(arguments.model)
    check_int(DataError, "batch_size", arguments.batch_size, 1)
    check_number(DataError, "center_crop", arguments.center_crop, 0, 1, open_low=True)
    check_number(DataError, "temperature", arguments.temperature, 0, open_low=True)
    if arguments.resolution is not None:
        check_resolution(DataError, "resolution", arguments.resolution, 1)
    if arguments.classes is not None:
        read_names(arguments.classes)


def open_classifier(arguments: argparse.Namespace) -> Predictor:
    """Loads the model that the command line names.

    Raises:
        BuildError: the model is not a classifier of images, or the arguments contradict it.
        DataError: the class names cannot be read, or are not as many as the model's classes.
        WeightsError: there is no such model, or it cannot be read.
    """
    from keras_effnet.export.engines import is_exported, open_exported

    if is_exported(arguments.model):
        from keras_effnet.cli.exported_classifier import exported_classifier

        return exported_classifier(open_exported(arguments.model), arguments)
    from keras_effnet.inheritance.scaled_model import load_model

    return classifier_of(load_model(arguments.model), arguments)


def classifier_of(model: keras.Model, arguments: argparse.Namespace) -> Predictor:
    """A predictor of a model that is loaded already.

    Args:
        model: the model.
        arguments: the parsed arguments of `add_model_arguments`; `arguments.model` names the model in messages.

    Raises:
        BuildError, DataError: as `open_classifier`.
    """
    from keras_effnet.inheritance.raw_pixels import take_raw_pixels

    tag = _tag_of(model)
    shape = model.output_shape
    task, least = (_task_of(model), 2) if tag is None else (tag.task, 2 if tag.task == "classification" else 1)
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] is None or shape[1] < least:
        raise BuildError(
            "the model must end in a classifier with one output per class, and at least two classes.",
            received=f"{str(arguments.model)!r}, whose output has shape {shape}",
        )
    if tag is not None and arguments.preprocessing is not None:
        raise BuildError(
            "models from this package know their preprocessing; omit `--preprocessing`.",
            received=f"{arguments.preprocessing!r} for {str(arguments.model)!r}",
        )
    size, channels = _input_of(model, arguments, None if tag is None else tag.spec.resolution)
    names = None if tag is None else tag.class_names
    if arguments.classes is not None:
        names = names_of(arguments.classes, shape[1])
    whole = _with_mode(model, arguments.preprocessing or "none") if tag is None else take_raw_pixels(model)
    numbers = tuple(str(number) for number in range(shape[1]))
    resize = arguments.resize or ("stretch" if tag is None else tag.resize)
    bits = None if tag is None else tag.bits
    thresholds = (None if tag is None else tag.thresholds) or (THRESHOLD,) * shape[1]
    answering = _with_softmax(whole) if task == "classification" else whole
    images: dict[str, Any] = {"resolution": size, "channels": channels, "resize": resize, "bits": bits}
    return Predictor(answering, names or numbers, names is not None, **images, task=task, thresholds=thresholds)


def predict_source(classifier: Predictor, source: Source, arguments: argparse.Namespace, title: str) -> np.ndarray:
    """Predicts all images of a source, with a progress bar on standard error.

    Args:
        classifier: the model.
        source: the images.
        arguments: the parsed arguments of `add_model_arguments`.
        title: label of the progress bar.

    Returns:
        float32 array of shape `(images, classes)`.

    Raises:
        DataError: a value outside its range, or an image that cannot be read.
    """
    from keras_effnet.data.batches import Batches
    from keras_effnet.training.calibration import with_temperature
    from keras_effnet.training.evaluation import Mirrored, predict_all

    if arguments.temperature != 1 and classifier.task != "classification":
        raise DataError(
            "a temperature is for the probabilities of classes; leave it out.",
            received=f"--temperature={arguments.temperature} for the task {classifier.task!r}",
        )
    batches = Batches(
        source,
        resolution=classifier.resolution,
        channels=classifier.channels,
        batch_size=min(arguments.batch_size, max(len(source), 1)),
        padded=True,
        center_crop=arguments.center_crop,
        resize=classifier.resize,
    )
    with progress_bar(total=len(batches), desc=title, unit="batch") as progress:
        model = Mirrored(classifier.model) if arguments.mirror else classifier.model
        found = predict_all(model, _Watched(batches, progress.update))
    return found if arguments.temperature == 1 else with_temperature(found, arguments.temperature)


def class_numbers(classifier: Predictor, data_names: tuple[str, ...]) -> np.ndarray:
    """The model's class number for each class of some data.

    Args:
        classifier: the model.
        data_names: names of the data's classes.

    Returns:
        int array with a number for each class: by name if the model has names, else by order.

    Raises:
        DataError: the model lacks a class, or its number of classes differs and it has no names.
    """
    import numpy as np

    own = classifier.class_names
    if not classifier.named:
        if len(data_names) != len(own):
            raise DataError(
                f"the model's file has no class names, so the data must have the same {len(own)} classes in the same "
                "order; otherwise give the names with `--classes`.",
                received=f"{len(data_names)} classes",
            )
        return np.arange(len(own))
    strange = [name for name in data_names if name not in own]
    if strange:
        raise DataError(
            f"each class of the data must be one of the model's: {', '.join(own):.300}.",
            received=f"{', '.join(strange):.300}",
        )
    return np.array([own.index(name) for name in data_names])


def show(text: str, output: Path | None) -> None:
    """Writes a result to a file, completely or not at all, or to standard output.

    Args:
        text: the result.
        output: the file to write; None writes to standard output.

    Raises:
        DataError: the file cannot be written.
    """
    if output is None:
        sys.stdout.write(text)
        return
    from keras_effnet.atomic import atomic_write

    # A file's name need not be text at all.
    atomic_write(output, lambda path: path.write_text(text, encoding="utf-8", errors="backslashreplace"))


class _Watched:
    """Batches that report each time one was read."""

    def __init__(self, batches: Any, seen: Callable[[], Any]) -> None:
        self._batches, self._seen = batches, seen

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Any:
        batch = self._batches[number]
        self._seen()
        return batch


def _tag_of(model: keras.Model) -> Any:
    """The embedded spec, or None if the model is not from this package."""
    from keras_effnet.builder.embedded_spec import carries_spec, read_embedded_spec

    return read_embedded_spec(model) if carries_spec(model) else None


def _input_of(model: keras.Model, arguments: argparse.Namespace, known: int | None) -> tuple[Resolution, int]:
    """The size and the number of channels of a model's input images."""
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] is None:
        raise BuildError(
            "the model must take images of shape (height, width, channels), of so many channels.",
            received=f"{str(arguments.model)!r}, whose input has shape {shape}",
        )
    asked, fixed = arguments.resolution, shape[1:3]
    if asked is None and None in fixed and known is None:
        raise BuildError(
            "the model takes images of any size; choose one with `--resolution`.", received=repr(str(arguments.model))
        )
    chosen = known if asked is None else asked
    default = fixed if chosen is None or (asked is None and None not in fixed) else sides_of(chosen)
    if any(own not in (None, side) for own, side in zip(fixed, default, strict=True)):
        raise BuildError(
            "`--resolution` must be the size of the images that the model takes.",
            received=f"--resolution={resolution_text(default)} for an input of shape {shape}",
        )
    return check_resolution(BuildError, "resolution", default, 1), shape[3]


def _with_mode(model: keras.Model, mode: str) -> Any:
    """The model preceded by `preprocess_input` in the given mode."""
    if mode == "none":
        return model
    import keras

    pixels = keras.Input(model.input_shape[1:])
    preprocess: Any = keras.applications.imagenet_utils.preprocess_input
    return keras.Model(pixels, model(preprocess(pixels, mode=mode)))


def _task_of(model: Any) -> VisionTask:
    """What a model without a spec says: labels if it ends in a sigmoid, else one class."""
    import keras

    last = getattr(model.layers[-1], "activation", None)
    return "multilabel" if last is keras.activations.sigmoid else "classification"


def _with_softmax(model: Any) -> Any:
    """The model, followed by a softmax if it ends in logits."""
    import keras

    last = model.layers[-1]
    if getattr(last, "activation", None) is not keras.activations.linear:
        return model
    return keras.Model(model.inputs, keras.layers.Softmax(dtype="float32")(model.output))
