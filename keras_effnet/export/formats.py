"""The formats, each with the function that writes it. Importing this loads neither keras nor an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_effnet.export.draft import Draft
from keras_effnet.export.export_metadata import METADATA_KEY
from keras_effnet.extras import import_extra


@dataclass(frozen=True)
class ExportFormat:
    """One format.

    Args:
        name: its name: "litert", "onnx", ...
        suffix: end of the file's name; "" for a folder.
        write: writes a draft to a path.
        tolerance: largest difference from the Keras model that counts as rounding, as a share of the largest output;
            None for a quantized network, of which the agreement of the classes is asked instead.
        needs: modules that write and run it.
        calibrated: whether it needs images to calibrate with.
    """

    name: str
    suffix: str
    write: Callable[[Draft, Path], None]
    tolerance: float | None
    needs: tuple[str, ...]
    calibrated: bool = False


def _write_onnx(draft: Draft, path: Path) -> None:
    path.write_bytes(_onnx_bytes(draft))


def _onnx_bytes(draft: Draft) -> bytes:
    onnx = import_extra("onnx", "this format")
    from keras_effnet.export.onnx_graph import onnx_model

    properties = {METADATA_KEY: draft.metadata.to_json()}
    shapes, first, names = draft.shapes, draft.channels_first, draft.metadata.file_names
    model = onnx_model(draft.network, draft.weights, shapes, properties, draft.batch, first, names)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _write_openvino(draft: Draft, path: Path) -> None:
    """Through ONNX: from Keras' own export the engine is 2 to 3.5 times slower on EfficientNet (docs/export.md)."""
    from keras_effnet.export.engines import weights_digest

    openvino = import_extra("openvino", "this format")
    model = openvino.Core().read_model(_onnx_bytes(draft))
    model.set_rt_info(draft.metadata.to_json(), METADATA_KEY)
    openvino.save_model(model, path, compress_to_fp16=False)
    # Now that the weights are known, the other file is bound to them.
    model.set_rt_info(weights_digest(path), f"{METADATA_KEY}_weights")
    openvino.save_model(model, path, compress_to_fp16=False)


def _write_saved_model(draft: Draft, path: Path) -> None:
    from keras_effnet.export.engines import METADATA_FILE
    from keras_effnet.export.tensorflow_graph import tensorflow_function

    tf = import_extra("tensorflow", "this format")
    shapes, first, names = draft.shapes, draft.channels_first, draft.metadata.file_names
    module = tf.Module()
    module.serve = tensorflow_function(draft.network, draft.weights, shapes, draft.batch, first, names)
    tf.saved_model.save(module, str(path), signatures=module.serve.get_concrete_function())
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / METADATA_FILE).write_text(draft.metadata.to_json(), encoding="utf-8")


def _litert(**options: Any) -> Callable[[Draft, Path], None]:
    """A function that writes a LiteRT file with these settings of the converter."""

    def write(draft: Draft, path: Path) -> None:
        from keras_effnet.export.engines import pack_metadata
        from keras_effnet.export.litert_converter import litert_converter

        tf = import_extra("tensorflow", "this format")
        converter = litert_converter(draft)
        if options:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if options.get("float16"):
            converter.target_spec.supported_types = [tf.float16]
        path.write_bytes(converter.convert())
        pack_metadata(path, draft.metadata)

    return write


def _write_int8(draft: Draft, path: Path) -> None:
    from keras_effnet.export.engines import pack_metadata
    from keras_effnet.export.int8 import int8_model

    path.write_bytes(int8_model(draft))
    pack_metadata(path, draft.metadata)


# Rounding in float32, and float16's 11 bits, add up over a network's layers.
_FLOAT32, _FLOAT16 = 1e-3, 5e-2
_LITERT = ("tensorflow", "ai_edge_litert")
FORMATS = {
    made.name: made
    for made in (
        ExportFormat("litert", ".tflite", _litert(), _FLOAT32, _LITERT),
        ExportFormat("litert-float16", ".tflite", _litert(float16=True), _FLOAT16, _LITERT),
        ExportFormat("litert-dynamic", ".tflite", _litert(dynamic=True), None, _LITERT),
        ExportFormat("litert-int8", ".tflite", _write_int8, None, _LITERT, calibrated=True),
        ExportFormat("onnx", ".onnx", _write_onnx, _FLOAT32, ("onnx", "onnxruntime")),
        ExportFormat("openvino", ".xml", _write_openvino, _FLOAT32, ("onnx", "openvino")),
        ExportFormat("saved_model", "", _write_saved_model, _FLOAT32, ("tensorflow",)),
    )
}
ENGINES = (*FORMATS, "keras")
"""What can run a network: a file in one of the formats, or `predict_on_batch` of the Keras model."""
