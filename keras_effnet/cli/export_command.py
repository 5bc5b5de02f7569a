"""`keras-effnet export MODEL.keras --format litert-int8 onnx`: writes a model for a device, and checks the files."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_effnet.atomic import atomic_write, check_writable
from keras_effnet.checks import check_int
from keras_effnet.cli.arguments import check_model_file
from keras_effnet.cli.printer import print_result
from keras_effnet.errors import DataError, ExportError
from keras_effnet.export.formats import FORMATS
from keras_effnet.messages import say

if TYPE_CHECKING:
    import keras
    import numpy as np

DESCRIPTION = """Writes a model for the engines that run it on a device, runs each file in its engine, and compares it
with the model. A file that does not do what the model does is not kept. Prints a table: same class, differences,
accuracy, size and latency."""

_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "saved_model": "-saved_model"}


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the parser of this command."""
    parser = commands.add_parser(
        "export", help="write a model for a device, and check the file", description=DESCRIPTION
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="a trained model: .keras or .h5")
    parser.add_argument(
        "--format", nargs="+", choices=FORMATS, default=["litert"], help="one or several formats (default: litert)"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="folder for the files (default: the model's)")
    parser.add_argument("--batch", type=int, help="number of images in a call, fixed in the file (default: any)")
    parser.add_argument(
        "--calibration",
        metavar="DATA",
        help="labelled images, as for finetune: those to train on give the ranges of litert-int8, the others are what "
        "the files are compared on (default: two photographs, which cannot calibrate)",
    )
    parser.add_argument("--data-dir", metavar="FOLDER", help="folder of a named set, where it is also downloaded to")
    parser.add_argument(
        "--images", type=int, default=200, help="number of images to calibrate with, and to compare on (default: 200)"
    )
    parser.add_argument(
        "--tolerance", type=float, help="largest difference that counts as rounding (default: by format)"
    )
    parser.add_argument(
        "--float-layers",
        type=int,
        default=0,
        metavar="N",
        help="number of layers of litert-int8 that stay in float32: those that lose the most (default: 0)",
    )
    parser.add_argument(
        "--explain-int8",
        action="store_true",
        help="also say what each layer loses as int8, the worst first, and write all to MODEL-int8-layers.csv",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the files and prints how they compare."""
    check_model_file(arguments.model)
    check_int(DataError, "images", arguments.images, 1)
    asked = "--explain-int8" if arguments.explain_int8 else "--format litert-int8"
    if ("litert-int8" in arguments.format or arguments.explain_int8) and arguments.calibration is None:
        raise ExportError(
            "an int8 network is made for the ranges of real images: name some with `--calibration`.",
            received=f"{asked} without --calibration",
        )
    folder = arguments.output or arguments.model.parent
    check_writable(folder, folder=True)
    if arguments.calibration is not None:
        from keras_effnet.data.sets import check_data

        check_data(arguments.calibration)
    paths = {name: folder / _file_name(arguments.model.stem, name) for name in dict.fromkeys(arguments.format)}
    from keras_effnet.export.exporter import export_files
    from keras_effnet.export.verify import report_table
    from keras_effnet.inheritance.scaled_model import load_model

    model = load_model(arguments.model)
    if arguments.calibration is not None and (len(model.inputs) > 1 or len(model.outputs) > 1):
        from keras_effnet.reading.model_form import names_of_tensors
        from keras_effnet.tensor_names import quoted

        raise ExportError(
            "labelled images are for a model of one image and one output. Calibrate this one in Python, with an array "
            "for each input: `export_model(path, ..., calibration={name: array})`.",
            received=f"--calibration={arguments.calibration} for the inputs "
            f"{quoted(names_of_tensors(model, 'input'))} and the outputs {quoted(names_of_tensors(model, 'output'))}",
        )
    images: dict[str, Any] = {} if arguments.calibration is None else _images(model, arguments)
    reports = export_files(
        model,
        paths,
        batch=arguments.batch,
        tolerance=arguments.tolerance,
        float_layers=arguments.float_layers,
        progress=lambda name: say(f"keras-effnet export: writing {paths[name]}"),
        **images,
    )
    found: dict[str, Any] = {"model": str(arguments.model), "files": [each.to_dict() for each in reports]}
    text = report_table(reports)
    if arguments.explain_int8:
        from keras_effnet.export.explain_int8 import explain_int8, int8_csv, int8_table

        layers = explain_int8(model, images["calibration"])
        table = folder / f"{arguments.model.stem}-int8-layers.csv"
        atomic_write(table, lambda path: path.write_text(int8_csv(layers), encoding="utf-8"))
        say(f"keras-effnet export: wrote {table}")
        found["int8_layers"] = [each.to_dict() for each in layers]
        text += "\n" + int8_table(layers)
    print_result(json.dumps(found, indent=2) + "\n" if arguments.json else text)


def _file_name(stem: str, name: str) -> str:
    return stem + (_SUFFIXES.get(name) or f"{name.removeprefix('litert')}.tflite")


def _images(model: keras.Model, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """Images to calibrate with, images to compare on, and their classes: as many of each class as the others."""
    import numpy as np

    from keras_effnet.cli.labelled_data import load_labelled
    from keras_effnet.cli.model_arguments import classifier_of
    from keras_effnet.cli.predictor import class_numbers
    from keras_effnet.data.resizing import resize_image
    from keras_effnet.data.splits import at_most
    from keras_effnet.resolution import sides_of

    options = {"classes": None, "resolution": None, "preprocessing": None, "resize": None}
    classifier = classifier_of(model, argparse.Namespace(model=arguments.model, **options))
    size, channels = classifier.resolution, classifier.channels
    data = load_labelled(classifier, arguments.calibration, data_dir=arguments.data_dir)
    numbers = class_numbers(classifier, data.train.class_names)
    found = {}
    for name, source in (("calibration", data.train), ("images", data.test or data.validation)):
        if source.task == "regression":
            chosen = source.take(np.unique(np.linspace(0, len(source) - 1, arguments.images).astype(int)))
        else:
            chosen = at_most(source, math.ceil(arguments.images / len(source.class_names)), seed=0)
        shape: dict[str, Any] = {"gray": channels == 1, "resize": classifier.resize}
        images = (chosen.read(number, max(sides_of(size))) for number in range(len(chosen)))
        pixels = [resize_image(image, size, **shape) for image in images]
        found[name] = np.stack(pixels).astype(np.float32)
        if source.task == "classification":
            found["labels"] = numbers[chosen.labels]
    return found
