"""The int8 form of a network, all of it or all but its worst layers, and what each layer loses by it.

TensorFlow's quantization debugger runs each layer twice, in int8 and in float32 on what the int8 network gives it
(tensorflow.org/lite/performance/quantization_debugger).
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from keras_effnet.checks import check_int
from keras_effnet.errors import ExportError
from keras_effnet.export.draft import Draft
from keras_effnet.export.litert_converter import litert_converter, one_by_one
from keras_effnet.export.tensorflow_graph import first_scope, scope_of
from keras_effnet.extras import import_extra
from keras_effnet.network import Network

_CODES = 255  # steps between the lowest and the highest code of an int8


@dataclass(frozen=True)
class Int8Layer:
    """How well a layer's output fits into the 256 codes of an int8.

    Args:
        layer: name of the layer in the Keras model.
        operator: the operator in the file: "CONV_2D", "ADD", ...
        lowest: value of the lowest code.
        highest: value of the highest code.
        noise: what rounding and clipping change, as a share of the output (root mean squares of each channel, at most
            1, and their mean over channels). Channels that fill the range evenly have 0.002; where it is large, a few
            large numbers leave the other channels few codes.
    """

    layer: str
    operator: str
    lowest: float
    highest: float
    noise: float

    def to_dict(self) -> dict[str, Any]:
        """The layer as JSON holds it."""
        return asdict(self)


def _converter(draft: Draft, named: bool = False) -> Any:
    """TensorFlow's converter, set to int8 by the ranges of the draft's images."""
    tf = import_extra("tensorflow", "this format")
    converter = litert_converter(draft, named)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = partial(one_by_one, draft, named)
    return converter


def int8_model(draft: Draft) -> bytes:
    """Writes a network in int8.

    Args:
        draft: the network; its `float_layers` says how many layers stay in float32, with those that read them.

    Returns:
        The LiteRT file. It takes uint8 pixels, or float32 ones if a layer stays in float32.

    Raises:
        ExportError: the network has fewer layers than shall stay.
    """
    if draft.float_layers:
        return _mixed_model(draft)
    tf = import_extra("tensorflow", "this format")
    converter = _converter(draft)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8  # pixels as they are
    with _quiet():
        return converter.convert()


def _mixed_model(draft: Draft) -> bytes:
    """The same with some layers in float32, and those that read them, which would else turn the numbers into int8."""
    found = int8_layers(draft)
    count = check_int(ExportError, "float_layers", draft.float_layers, 1, len(found))
    tensors: dict[str, list[str]] = {}
    for layer, tensor in found:
        tensors.setdefault(layer.layer, []).append(tensor)
    stay = {tensor for _, tensor in found[:count]}
    for layer, _ in found[:count]:
        for reader in _readers(draft.network, layer.layer, tensors):
            stay.update(tensors[reader])
    with _quiet():
        return _debugger(draft, denylisted_nodes=sorted(stay)).get_nondebug_quantized_model()


def _readers(network: Network, layer: str, known: Container[str]) -> Iterator[str]:
    """The layers of the file that read what a layer makes; between them may stand what became part of others."""
    made = {node for node in network.nodes if node.name == layer}
    for node in network.nodes:
        if made.intersection(node.inputs):
            if node.name in known:
                yield node.name
            else:
                made.add(node)


def int8_layers(draft: Draft) -> list[tuple[Int8Layer, str]]:
    """What each layer loses.

    Args:
        draft: the network, with images to calibrate with.

    Returns:
        The layers, the worst first, each with the name of its output in the file.
    """
    names = {scope_of(node.name): node.name for node in draft.network.nodes}
    with _quiet():
        # Read from its own file: a debugger that has just made it lets layers write over what others have left.
        whole = _debugger(draft).quant_model
        lite = import_extra("tensorflow", "this format").lite.experimental
        debugger = lite.QuantizationDebugger(
            quant_debug_model_content=whole,
            debug_dataset=partial(one_by_one, draft, named=True),
            debug_options=lite.QuantizationDebugOptions(layer_direct_compare_metrics={"noise": _noise}),
        )
        debugger.run()
        text = io.StringIO()
        debugger.layer_statistics_dump(text)
    found = []
    for row in csv.DictReader(io.StringIO(text.getvalue())):
        if row["op_name"] == "SOFTMAX":
            continue  # its codes are the same for every network: steps of 1/256
        tensor, scale, zero = row["tensor_name"], float(row["scale"]), float(row["zero_point"])
        scope = first_scope(tensor.split(";")[0].split("/")[0])
        lowest = (-128 - zero) * scale
        layer = names.get(scope, scope)
        noise = float(row["noise"])
        found.append((Int8Layer(layer, row["op_name"], lowest, lowest + _CODES * scale, noise), tensor))
    return sorted(found, key=lambda pair: -pair[0].noise)


def _noise(exact: Sequence[np.ndarray], codes: Sequence[np.ndarray], scale: float, zero: int) -> float:
    """What the codes of an output miss of it: the mean over its channels, which stand last."""
    wanted = np.asarray(exact, np.float64)
    channels = wanted.shape[-1] if wanted.ndim else 1
    wanted = wanted.reshape(-1, channels)
    found = (np.asarray(codes, np.float64).reshape(-1, channels) - zero) * scale
    size, missed = (np.sqrt(np.mean(each**2, axis=0)) for each in (wanted, wanted - found))
    alive = size > 0
    return float(np.minimum(missed[alive] / size[alive], 1).mean()) if alive.any() else 0.0


def _debugger(draft: Draft, **options: Any) -> Any:
    tf = import_extra("tensorflow", "this format")
    lite = tf.lite.experimental
    return lite.QuantizationDebugger(
        converter=_converter(draft, named=True),
        debug_dataset=partial(one_by_one, draft, named=True),
        debug_options=lite.QuantizationDebugOptions(**options),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, warnings that concern TensorFlow's developers are not shown."""
    with warnings.catch_warnings():
        # It asks for the ranges of an input, though the images have just told them.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated", UserWarning)
        warnings.filterwarnings("ignore", r"\s*Warning: Enabling `experimental_preserve_all_tensors`", UserWarning)
        yield
