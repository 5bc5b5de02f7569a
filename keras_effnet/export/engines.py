"""Exported files opened in the engine that runs them on a device: LiteRT, ONNX Runtime, OpenVINO, TensorFlow."""

from __future__ import annotations

import json
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_effnet.checks import check_int
from keras_effnet.errors import ExportError
from keras_effnet.export.export_metadata import METADATA_KEY, ExportMetadata, metadata_from_json
from keras_effnet.extras import import_extra
from keras_effnet.given_path import given_path
from keras_effnet.json_text import parse_json
from keras_effnet.tensor_names import check_arrays, quoted

if TYPE_CHECKING:
    from keras_effnet.tensor_names import Arrays

METADATA_FILE = "keras_effnet.json"
LABELS_FILE = "labels.txt"
SUFFIXES = (".tflite", ".onnx", ".xml")


class Exported(ABC):
    """An exported network in its engine.

    Attributes:
        engine: name of the engine.
        metadata: what the file says about itself.
        batch: number of images in a call; None for any.
    """

    engine: str
    metadata: ExportMetadata
    batch: int | None

    @abstractmethod
    def run(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Runs one call.

        Args:
            images: float32 array for each input, in the order of `metadata.inputs`, of shape (batch, height, width,
                channels), or (batch, numbers) of a vector.

        Returns:
            float32 array for each output, in the order of `metadata.returns`, with a row for each image.
        """

    def predict_on_batch(self, x: Arrays) -> Any:
        """Runs any number of images, in as many calls as the file's batch asks for.

        Args:
            x: float32 array of shape (images, height, width, channels); for several inputs a list of arrays in the
                order of `metadata.inputs`, or a dict by their names.

        Returns:
            float32 array with a row for each image; of several outputs a dict by name, in the order of
            `metadata.returns`.

        Raises:
            ExportError: not an array for each input, or the engine cannot run the file on them.
        """
        # A file of a version that wrote one input alone does not name it.
        names = [each.name for each in self.metadata.inputs] or ["image"]
        found = self.compute(check_arrays(ExportError, "x", x, names))
        if len(found) == 1:
            return found[0]
        return {each.name: array for each, array in zip(self.metadata.returns, found, strict=True)}

    def compute(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs any number of images, given and returned as lists in the order of inputs and outputs.

        Args:
            images: an array for each input, as `predict_on_batch` takes them.

        Returns:
            float32 array for each output.

        Raises:
            ExportError: the engine cannot run the file on these images.
        """
        given = [np.ascontiguousarray(each, np.float32) for each in images]
        try:
            return self._in_batches(given)
        except Exception as error:  # every engine has errors of its own, and some raise bare ones
            raise ExportError(
                f"{self.engine} cannot run the file: {str(error).strip()[:300]}. Ranges of an untrained network may be "
                "too small for int8.",
                received=f"images of shape {' and '.join(str(each.shape) for each in given)}",
            ) from error

    def _in_batches(self, images: list[np.ndarray]) -> list[np.ndarray]:
        if self.batch is None:
            return self.run(images)
        rows = []
        for start in range(0, len(images[0]), self.batch):
            parts = [each[start : start + self.batch] for each in images]
            missing = self.batch - len(parts[0])
            whole = [np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) for part in parts]
            rows.append([made[: len(parts[0])] for made in self.run(whole)])
        return [np.concatenate(each) for each in zip(*rows, strict=True)]


def _in_order(found: Mapping[str, Any], names: Sequence[str], path: Path) -> list[Any]:
    """What an engine lists by name, in the order of the model; one alone may have any name."""
    if len(found) == 1:
        return list(found.values())
    if set(found) != set(names):
        raise ExportError(
            f"the file must have {quoted(names)}, as its metadata says: export the model again.",
            received=f"{str(path)!r} with {quoted(found)}",
        )
    return [found[name] for name in names]


def is_exported(path: Path) -> bool:
    """Whether a path names an exported file, by its suffix, or a SavedModel's folder."""
    return path.suffix in SUFFIXES or (path / "saved_model.pb").is_file()


def open_exported(path: str | os.PathLike[str], *, threads: int | None = None) -> Exported:
    """Opens an exported file in its engine.

    Args:
        path: a `.tflite`, `.onnx` or `.xml` file, or the folder of a SavedModel, that `export_model` wrote.
        threads: number of threads that one call may use, at least 1; by default as many as there are processors.
            TensorFlow, which runs SavedModels, has one setting for the whole process, which stays as it is.

    Returns:
        The network, ready to run.

    Raises:
        ExportError: the file is missing, cut, or not one that `export_model` wrote; or its engine is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from keras_effnet import build_model, export_model, scale_spec
        >>> model = build_model(scale_spec("mobilenet_v2", phi=-6), classes=3)
        >>> with TemporaryDirectory() as folder:
        ...     _ = export_model(model, f"{folder}/net.onnx")
        ...     net = open_exported(f"{folder}/net.onnx")
        >>> net.engine, net.predict_on_batch(np.zeros((2, *model.input_shape[1:]))).shape
        ('ONNX Runtime', (2, 3))
    """
    threads = check_int(ExportError, "threads", os.cpu_count() or 1 if threads is None else threads, 1)
    path = given_path(ExportError, path)
    kinds = {".tflite": _LiteRt, ".onnx": _OnnxRuntime, ".xml": _OpenVino}
    if not path.exists():
        raise ExportError("there must be such a file.", received=repr(str(path)))
    if not is_exported(path):
        raise ExportError(
            "an exported file ends in .tflite, .onnx or .xml, or is the folder of a SavedModel.",
            received=repr(str(path)),
        )
    kind = kinds.get(path.suffix, _TensorFlow)
    try:
        return kind(path, threads)
    except ExportError:
        raise
    except Exception as error:  # every engine has errors of its own, and some raise bare ones
        raise ExportError(
            f"{kind.engine} cannot open the file: {str(error).strip()[:300]}. It may be cut: export the model again.",
            received=repr(str(path)),
        ) from error


class _LiteRt(Exported):
    engine = "LiteRT"

    def __init__(self, path: Path, threads: int) -> None:
        content = path.read_bytes()
        self.metadata = _packed_metadata(path, content)
        interpreter = import_extra("ai_edge_litert.interpreter", "this format")
        self._interpreter = interpreter.Interpreter(model_content=content, num_threads=threads)
        self._inputs, self._outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if self._interpreter.get_signature_list():  # their order is another one then
            read, returned = self.metadata.file_names
            runner = self._interpreter.get_signature_runner()
            self._inputs = _in_order(runner.get_input_details(), read, path)
            self._outputs = _in_order(runner.get_output_details(), returned, path)
        first = int(self._inputs[0]["shape_signature"][0])
        self.batch = None if first == -1 else first
        self._shapes: list[tuple[int, ...]] = []

    def run(self, images: list[np.ndarray]) -> list[np.ndarray]:
        shapes = [each.shape for each in images]
        if shapes != self._shapes:
            for tensor, shape in zip(self._inputs, shapes, strict=True):
                self._interpreter.resize_tensor_input(tensor["index"], shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for tensor, image in zip(self._inputs, images, strict=True):
            self._interpreter.set_tensor(tensor["index"], _quantized(image, tensor))
        self._interpreter.invoke()
        return [_dequantized(self._interpreter.get_tensor(tensor["index"]), tensor) for tensor in self._outputs]


def _quantized(images: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    if tensor["dtype"] == np.float32:
        return images
    scale, zero = tensor["quantization"]
    low, high = np.iinfo(tensor["dtype"]).min, np.iinfo(tensor["dtype"]).max
    return np.clip(np.rint(images / scale + zero), low, high).astype(tensor["dtype"])


def _dequantized(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    if tensor["dtype"] == np.float32:
        return values
    scale, zero = tensor["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale)


def pack_metadata(path: Path, metadata: ExportMetadata) -> None:
    """Appends metadata to a `.tflite` file as an archive, which LiteRT reads past, and labels where its tools look.

    Args:
        path: the file.
        metadata: what it says about itself.
    """
    content = path.read_bytes()
    with zipfile.ZipFile(path, "a") as archive:
        check = {"bytes": len(content), "sha256": sha256(content).hexdigest()}
        archive.writestr(METADATA_FILE, metadata.to_json())
        archive.writestr("check.json", json.dumps(check))
        if metadata.class_names is not None:
            archive.writestr(LABELS_FILE, "\n".join(metadata.class_names) + "\n")


def _packed_metadata(path: Path, content: bytes) -> ExportMetadata:
    """Reads it, and makes sure that the network before it is whole: LiteRT itself would crash on half of one."""
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(METADATA_FILE).decode()
            check = parse_json(archive.read("check.json").decode())
        whole = sha256(content[: check["bytes"]]).hexdigest() == check["sha256"]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError) as error:
        raise _not_whole(path) from error
    if not whole:
        raise _not_whole(path)
    return metadata_from_json(text, repr(str(path)))


def _not_whole(path: Path) -> ExportError:
    return ExportError(
        "the file must be whole, and one that `export_model` wrote: it was cut or changed, or comes from elsewhere.",
        received=repr(str(path)),
    )


def onnx_session(path: Path, threads: int, profile: str | None = None) -> Any:
    """ONNX Runtime with a file.

    Args:
        path: the file.
        threads: number of threads that one call may use, at least 1.
        profile: beginning of the name of a file that it writes its times to; None for none.

    Returns:
        An `onnxruntime.InferenceSession`.
    """
    runtime = import_extra("onnxruntime", "this format")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors alone
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def openvino_network(model: Any, threads: int, **options: Any) -> Any:
    """OpenVINO with a network.

    Args:
        model: an `openvino.Model`, or the path of a file.
        threads: number of threads that one call may use, at least 1.
        **options: more properties of the engine, such as PERF_COUNT.

    Returns:
        An `openvino.CompiledModel`.
    """
    # On recent processors its default is bfloat16, which loses a decimal.
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    return import_extra("openvino", "this format").Core().compile_model(model, "CPU", {**hints, **options})


class _OnnxRuntime(Exported):
    engine = "ONNX Runtime"

    def __init__(self, path: Path, threads: int) -> None:
        self._session = onnx_session(path, threads)
        found = self._session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in found:
            raise _not_whole(path)
        self.metadata = metadata_from_json(found[METADATA_KEY], repr(str(path)))
        given = self._session.get_inputs()
        self._names = [each.name for each in given]
        first = given[0].shape[0]
        self.batch = first if isinstance(first, int) else None

    def run(self, images: list[np.ndarray]) -> list[np.ndarray]:
        return self._session.run(None, dict(zip(self._names, images, strict=True)))


class _OpenVino(Exported):
    engine = "OpenVINO"

    def __init__(self, path: Path, threads: int) -> None:
        model = import_extra("openvino", "this format").Core().read_model(path)
        if not model.has_rt_info(METADATA_KEY):
            raise _not_whole(path)
        self.metadata = metadata_from_json(model.get_rt_info(METADATA_KEY).value, repr(str(path)))
        if model.get_rt_info(f"{METADATA_KEY}_weights").value != weights_digest(path):
            raise _not_whole(path.with_suffix(".bin"))
        self._compiled = openvino_network(model, threads)
        first = model.inputs[0].get_partial_shape()[0]
        self.batch = first.get_length() if first.is_static else None

    def run(self, images: list[np.ndarray]) -> list[np.ndarray]:
        found = self._compiled(images)
        return [np.array(found[place]) for place in range(len(self._compiled.outputs))]


def weights_digest(path: Path) -> str:
    """SHA-256 of the weights that stand beside OpenVINO's `.xml` file."""
    return sha256(path.with_suffix(".bin").read_bytes()).hexdigest()


class _TensorFlow(Exported):
    engine = "TensorFlow"

    def __init__(self, path: Path, threads: int) -> None:
        tf = import_extra("tensorflow", "this format")
        extra = path / "assets.extra" / METADATA_FILE
        if not extra.is_file():
            raise _not_whole(path)
        self.metadata = metadata_from_json(extra.read_text(encoding="utf-8"), repr(str(path)))
        self._loaded = tf.saved_model.load(str(path))
        self._serve = self._loaded.signatures["serving_default"]
        given, made = self._serve.structured_input_signature[1], self._serve.structured_outputs
        read, returned = self.metadata.file_names
        self._inputs = _in_order({name: name for name in given}, read, path)
        self._outputs = _in_order({name: name for name in made}, returned, path)
        self.batch = next(iter(given.values())).shape[0]

    def run(self, images: list[np.ndarray]) -> list[np.ndarray]:
        tf = import_extra("tensorflow", "this format")
        found = self._serve(**{name: tf.constant(each) for name, each in zip(self._inputs, images, strict=True)})
        return [found[name].numpy() for name in self._outputs]
