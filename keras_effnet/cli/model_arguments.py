"""The classifier that the command line names: its arguments, and how it is opened."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from keras_effnet.checks import check_int, check_number
from keras_effnet.cli.arguments import check_model_file, resolution_value
from keras_effnet.cli.class_names import names_of, read_names
from keras_effnet.cli.predictor import Predictor
from keras_effnet.errors import BuildError, DataError
from keras_effnet.messages import say
from keras_effnet.resolution import Resize, Resolution, check_resolution, resolution_text, sides_of
from keras_effnet.vision_tasks import THRESHOLD, VisionTask

if TYPE_CHECKING:
    import keras

MODES = ("none", "tf", "torch", "caffe")


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

        exported = open_exported(arguments.model)
        if arguments.preprocessing is None and not exported.metadata.pixels:
            _say_raw(arguments)
        return exported_classifier(exported, arguments)
    from keras_effnet.inheritance.scaled_model import load_model

    model = load_model(arguments.model)
    if arguments.preprocessing is None and _tag_of(model) is None:
        _say_raw(arguments)
    return classifier_of(model, arguments)


def _say_raw(arguments: argparse.Namespace) -> None:
    """Says that a model from elsewhere is shown pixels as they are: nobody knows what it was trained on."""
    say(
        f"keras-effnet {arguments.command}: {arguments.model} is not from this package: it is shown RGB pixels from 0 "
        "to 255; if it was trained on others, say so with --preprocessing ('none' if not)"
    )


def classifier_of(model: keras.Model, arguments: argparse.Namespace) -> Predictor:
    """A predictor of a model that is loaded already.

    Args:
        model: the model.
        arguments: the parsed arguments of `add_model_arguments`; `arguments.model` names the model in messages.

    Raises:
        BuildError, DataError: as `open_classifier`.
    """
    from keras_effnet.inheritance.raw_pixels import take_raw_pixels

    model = _of_one_image(model, arguments.model)
    tag = _tag_of(model)
    shape = model.output_shape
    task: VisionTask = _task_of(model) if tag is None else tag.task
    least = 2 if task == "classification" else 1
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


def _of_one_image(model: keras.Model, path: Path) -> keras.Model:
    """The model of one tensor alone to another, also where a list or a dict stands around them."""
    import keras

    from keras_effnet.reading.model_form import names_of_tensors
    from keras_effnet.tensor_names import quoted

    inputs, outputs = (getattr(model, each, None) or [None] for each in ("inputs", "outputs"))
    if len(inputs) > 1 or len(outputs) > 1:
        raise BuildError(
            "the command line shows a model one image, and reads one output. In Python, `model.predict(...)` takes all "
            "inputs; a model of one image becomes one of one output by `keras.Model(model.inputs, model.outputs[0])`.",
            received=f"{str(path)!r} with the inputs {quoted(names_of_tensors(model, 'input'))} and the outputs "
            f"{quoted(names_of_tensors(model, 'output'))}",
        )
    ends = (model.input, model.output) if isinstance(model, keras.Function) else ()
    bare = all(isinstance(each, keras.KerasTensor) for each in ends)
    return model if bare else keras.Model(inputs[0], outputs[0], name=model.name)


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
    from keras_effnet.export.model_outputs import outputs_of

    return "multilabel" if outputs_of(model) == "labels" else "classification"


def _with_softmax(model: Any) -> Any:
    """The model, followed by a softmax if it ends in logits."""
    import keras

    from keras_effnet.export.model_outputs import outputs_of
    from keras_effnet.reading.model_form import with_outputs

    if outputs_of(model) != "logits":
        return model
    return with_outputs(model, keras.layers.Softmax(dtype="float32")(model.output))
