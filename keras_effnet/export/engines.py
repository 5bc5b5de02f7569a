"""Exported files opened in the engine that runs them on a device: LiteRT, ONNX Runtime, OpenVINO, TensorFlow."""

from __future__ import annotations

import json
import os
import zipfile
from abc import ABC, abstractmethod
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from keras_effnet.checks import check_int
from keras_effnet.errors import ExportError
from keras_effnet.export.export_metadata import METADATA_KEY, ExportMetadata, metadata_from_json
from keras_effnet.extras import import_extra
from keras_effnet.given_path import given_path
from keras_effnet.json_text import parse_json

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
    def run(self, images: np.ndarray) -> np.ndarray:
        """Runs one call.

        Args:
            images: float32 array of shape (batch, height, width, channels).

        Returns:
            float32 array with a row for each image.
        """

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        """Runs any number of images, in as many calls as the file's batch asks for.

        Args:
            x: float32 array of shape (images, height, width, channels).

        Returns:
            float32 array with a row for each image.

        Raises:
            ExportError: the engine cannot run the file on these images.
        """
        images = np.ascontiguousarray(x, np.float32)
        try:
            return self._in_batches(images)
        except Exception as error:  # every engine has errors of its own, and some raise bare ones
            raise ExportError(
                f"{self.engine} cannot run the file: {str(error).strip()[:300]}. Ranges of an untrained network may be "
                "too small for int8.",
                received=f"images of shape {images.shape}",
            ) from error

    def _in_batches(self, images: np.ndarray) -> np.ndarray:
        if self.batch is None:
            return self.run(images)
        rows = []
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            whole = np.concatenate([part, np.repeat(part[-1:], self.batch - len(part), axis=0)])
            rows.append(self.run(whole)[: len(part)])
        return np.concatenate(rows)


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
        self._input, self._output = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        first = int(self._input["shape_signature"][0])
        self.batch = None if first == -1 else first
        self._shape: tuple[int, ...] = ()

    def run(self, images: np.ndarray) -> np.ndarray:
        if images.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input["index"], images.shape)
            self._interpreter.allocate_tensors()
            self._shape = images.shape
        self._interpreter.set_tensor(self._input["index"], _quantized(images, self._input))
        self._interpreter.invoke()
        return _dequantized(self._interpreter.get_tensor(self._output["index"]), self._output)


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
        given = self._session.get_inputs()[0]
        self._name = given.name
        self.batch = given.shape[0] if isinstance(given.shape[0], int) else None

    def run(self, images: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._name: images})[0]


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
        first = model.input().get_partial_shape()[0]
        self.batch = first.get_length() if first.is_static else None

    def run(self, images: np.ndarray) -> np.ndarray:
        return np.array(self._compiled(images)[0])


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
        [(self._name, given)] = self._serve.structured_input_signature[1].items()
        self.batch = given.shape[0]

    def run(self, images: np.ndarray) -> np.ndarray:
        tf = import_extra("tensorflow", "this format")
        [output] = self._serve(**{self._name: tf.constant(images)}).values()
        return output.numpy()
