"""Every operation of the vocabulary, written in each format: engines compute what the Keras layer does."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, get_args

import keras
import numpy as np
import pytest
from support import assert_same_outputs, random_images

from keras_effnet import ops as verbs
from keras_effnet.builder.computation import Computation, Flow
from keras_effnet.builder.layers import KerasLayers
from keras_effnet.counting import Shape, layer_cost
from keras_effnet.errors import BuildError, ExportError
from keras_effnet.export.layer_weights import read_weights
from keras_effnet.export.onnx_graph import onnx_model
from keras_effnet.export.tensorflow_graph import tensorflow_function
from keras_effnet.latency.work import WorkReader
from keras_effnet.network import Network, Node, RecordedBlock, RecordedStage
from keras_effnet.peak import find_peak
from keras_effnet.reading.read_model import ReadModel, read_layers

# Those of keras.activations that are written; the others are for sequences, or hardly used.
ACTIVATIONS = (
    *("celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid"),
    *("log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "tanh"),
    "tanh_shrink",
)
IMAGE, ODD, VECTOR, CELL = (6, 8, 4), (7, 9, 4), (4,), (1, 1, 4)
Sides = tuple[int, ...]


def function(call: Any) -> verbs.Opaque:
    """One of Keras' functions of single numbers, as a layer."""
    made: Any = call(keras.Input((2,)))
    return verbs.Opaque(lambda name: made._keras_history.operation, (0, 0, 0), elementwise=True, infer=lambda x: x)


def layer(make: Callable[[], Any]) -> verbs.Opaque:
    """One of Keras' layers of single numbers."""
    return verbs.Opaque(lambda name: make(), (0, 0, 0), elementwise=True, infer=lambda x: x)


def positive(call: Any) -> list[verbs.Op]:
    """The function of numbers above 0."""
    return [verbs.Activation("softplus"), function(call)]


# What is read, and the operations in a row. Those that join several read as many images.
CASES: dict[str, tuple[list[Sides], list[verbs.Op]]] = {
    "conv": ([ODD], [verbs.Conv(5, 3, 2, bias=True)]),
    "conv_1x7": ([ODD], [verbs.Conv(5, (1, 7))]),
    "conv_steps": ([ODD], [verbs.Conv(5, (3, 2), (2, 1), "valid")]),
    "conv_dilated": ([ODD], [verbs.Conv(5, 3, dilation=2, activation="relu")]),
    "conv_dilated_valid": ([ODD], [verbs.Conv(5, (2, 3), padding="valid", dilation=(3, 1))]),
    "conv_groups": ([ODD], [verbs.Conv(6, 3, groups=2, dilation=(2, 1))]),
    "transposed": ([ODD], [verbs.TransposedConv(5, 2, 2)]),
    "transposed_same": ([ODD], [verbs.TransposedConv(5, (3, 4), 2, "same", activation="relu")]),
    "transposed_wide": ([ODD], [verbs.TransposedConv(5, (2, 5), (3, 2), "valid", bias=False)]),
    "transposed_gaps": ([ODD], [verbs.TransposedConv(5, 2, (3, 4), "same")]),
    "depthwise": ([ODD], [verbs.Depthwise(3, 2, multiplier=2, bias=True)]),
    "depthwise_1x5": ([ODD], [verbs.Depthwise((1, 5))]),
    "depthwise_dilated": ([ODD], [verbs.Depthwise(3, dilation=2)]),
    "depthwise_dilated_steps": ([ODD], [verbs.Depthwise((3, 2), 2, dilation=2)]),
    "dense": ([VECTOR], [verbs.Dense(5)]),
    "dense_image": ([IMAGE], [verbs.Dense(5, bias=False)]),
    "batch_norm": ([IMAGE], [verbs.BatchNorm()]),
    "batch_norm_center": ([IMAGE], [verbs.BatchNorm(scale=False)]),
    "batch_norm_scale": ([VECTOR], [verbs.BatchNorm(center=False)]),
    "batch_norm_plain": ([IMAGE], [verbs.BatchNorm(center=False, scale=False)]),
    "layer_norm": ([IMAGE], [verbs.LayerNorm()]),
    "layer_norm_vector": ([VECTOR], [verbs.LayerNorm()]),
    "layer_norm_center": ([IMAGE], [verbs.LayerNorm(scale=False)]),
    "layer_norm_scale": ([IMAGE], [verbs.LayerNorm(center=False)]),
    "layer_norm_plain": ([VECTOR], [verbs.LayerNorm(center=False, scale=False)]),
    "group_norm": ([IMAGE], [verbs.GroupNorm(2)]),
    "group_norm_center": ([IMAGE], [verbs.GroupNorm(2, scale=False)]),
    "group_norm_scale": ([IMAGE], [verbs.GroupNorm(1, center=False)]),
    "group_norm_vector": ([VECTOR], [verbs.GroupNorm(2)]),
    "rms_norm": ([IMAGE], [verbs.RMSNorm()]),
    "unit_norm": ([IMAGE], [verbs.UnitNorm()]),
    "unit_norm_vector": ([VECTOR], [verbs.UnitNorm()]),
    "channel_scale": ([IMAGE], [verbs.ChannelScale(0.5)]),
    "prelu": ([IMAGE], [verbs.PReLU()]),
    "prelu_cells": ([IMAGE], [verbs.PReLU(48)]),
    "prelu_vector": ([VECTOR], [verbs.PReLU()]),
    "pool": ([ODD], [verbs.Pool(3, 2, "max", "same")]),
    "pool_avg": ([ODD], [verbs.Pool(3, 1, "avg", "same")]),
    "pool_wide": ([ODD], [verbs.Pool((2, 3), (1, 2), "avg")]),
    "global_pool": ([IMAGE], [verbs.GlobalPool("max")]),
    "global_pool_cell": ([IMAGE], [verbs.GlobalPool(keepdims=True)]),
    "add": ([IMAGE] * 3, [verbs.Add()]),
    "add_cell": ([IMAGE, CELL], [verbs.Add()]),
    "add_vector": ([VECTOR, IMAGE], [verbs.Add()]),
    "multiply": ([CELL, IMAGE, IMAGE], [verbs.Multiply()]),
    "multiply_gate": ([(6, 8, 1), IMAGE], [verbs.Multiply()]),
    "subtract": ([IMAGE] * 2, [verbs.Merge("subtract")]),
    "average": ([IMAGE] * 3, [verbs.Merge("average")]),
    "maximum": ([IMAGE] * 3, [verbs.Merge("maximum")]),
    "minimum": ([IMAGE, CELL], [verbs.Merge("minimum")]),
    "concat": ([IMAGE, (6, 8, 2), IMAGE], [verbs.Concat()]),
    "concat_vectors": ([VECTOR, (3,)], [verbs.Concat()]),
    "dropout": ([IMAGE], [verbs.Dropout(0.5)]),
    "flatten": ([CELL], [verbs.Flatten()]),
    "flatten_cells": ([IMAGE], [verbs.Flatten(48), verbs.Dense(3)]),
    "flatten_first": ([IMAGE], [verbs.Flatten(48, channels_first=True), verbs.Dense(3)]),
    "unflatten": ([VECTOR], [verbs.Unflatten(), verbs.Conv(3)]),
    "zero_pad": ([IMAGE], [verbs.ZeroPad((1, 2), (0, 3))]),
    "crop": ([IMAGE], [verbs.Crop((1, 2), (0, 3))]),
    "crop_nothing": ([IMAGE], [verbs.Crop((1, 0), (2, 0))]),
    "up_sample": ([ODD], [verbs.UpSample(2, 3)]),
    "up_sample_bilinear": ([ODD], [verbs.UpSample(2, 2, "bilinear")]),
    "up_sample_bicubic": ([ODD], [verbs.UpSample(3, 2, "bicubic")]),
    "resize": ([ODD], [verbs.Resize(5, 13)]),
    "resize_nearest": ([ODD], [verbs.Resize(5, 13, "nearest")]),
    "resize_antialias": ([ODD], [verbs.Resize(3, 4, antialias=True)]),
    "resize_lanczos": ([ODD], [verbs.Resize(12, 4, "lanczos3")]),
    "rescale": ([IMAGE], [verbs.Rescale(0.5, -1.0)]),
    "rescale_channels": ([IMAGE], [verbs.Rescale((0.5, 1.0, 2.0, 3.0), (0.0, 1.0, 2.0, 3.0))]),
    "standardize": ([IMAGE], [verbs.Standardize((1.0, 2.0, 3.0, 4.0), (0.5, 1.0, 2.0, 4.0))]),
    "relu_cut": ([IMAGE], [layer(lambda: keras.layers.ReLU(0.7))]),
    "relu_sloped": ([IMAGE], [layer(lambda: keras.layers.ReLU(0.7, 0.1))]),
    "relu_threshold": ([IMAGE], [layer(lambda: keras.layers.ReLU(None, 0.2, 0.3))]),
    "leaky_relu_sloped": ([IMAGE], [layer(lambda: keras.layers.LeakyReLU(0.25))]),
    "elu_scaled": ([IMAGE], [layer(lambda: keras.layers.ELU(0.5))]),
    "celu_scaled": ([IMAGE], [function(lambda x: keras.ops.celu(x, 0.5))]),
    "clip": ([IMAGE], [function(lambda x: keras.ops.clip(x, -0.5, 0.7))]),
    "gelu_tanh": ([IMAGE], [function(keras.ops.gelu)]),
    "gelu_exact": ([IMAGE], [function(lambda x: keras.ops.gelu(x, approximate=False))]),
    **{f"act_{name}": ([IMAGE], [verbs.Activation(name)]) for name in (*ACTIVATIONS, None)},
    **{
        f"function_{call.__name__}": ([IMAGE], [function(call)])
        for call in (keras.ops.absolute, keras.ops.negative, keras.ops.exp, keras.ops.square)
    },
    **{
        f"function_{call.__name__}": ([IMAGE], positive(call))
        for call in (keras.ops.log, keras.ops.sqrt, keras.ops.rsqrt, keras.ops.reciprocal)
    },
    "reuse": ([IMAGE], [verbs.Conv(4, 3, activation="relu"), verbs.Reuse(verbs.Conv(4, 3, activation="relu"))]),
    "inert": ([IMAGE], [verbs.Opaque(lambda name: keras.layers.GaussianNoise(1.0, name=name), (6, 8, 4), inert=True)]),
}

if keras.backend.backend() == "torch":
    del CASES["resize_lanczos"]  # Keras does not have it there


def kinds(union: Any) -> set[type]:
    return {each for part in get_args(union) for each in (kinds(part) if get_args(part) else {part})}


def test_every_operation_has_a_case() -> None:
    assert {type(op) for _, row in CASES.values() for op in row} == kinds(verbs.Op)


def row_of(case: str) -> tuple[list[Node], list[Node]]:
    """The inputs and the operations of one case."""
    shapes, row = CASES[case]
    inputs = [Node(None, f"{case}_in{place}", (), shape[-1]) for place, shape in enumerate(shapes)]
    nodes: list[Node] = []
    for place, op in enumerate(row):
        name = nodes[-1].name if isinstance(op, verbs.Reuse) else f"{case}_{place}"
        # What a node makes is asked of no reader here.
        nodes.append(Node(op, name, (nodes[-1],) if nodes else tuple(inputs), inputs[0].channels))
    return inputs, nodes


@cache
def whole() -> tuple[Network, keras.Model]:
    """All cases in one network, each with inputs and an output of its own: one file for all."""
    rows = {case: row_of(case) for case in CASES}
    inputs = tuple(node for given, _ in rows.values() for node in given)
    nodes = [node for _, made in rows.values() for node in made]
    block = RecordedBlock(inputs[0], nodes, nodes[-1])
    outputs = tuple(made[-1] for _, made in rows.values())
    network = Network("whole", inputs, outputs, (RecordedStage("network", "", "", [block]),))
    tensors = [keras.Input(shape, name=node.name) for node, shape in zip(inputs, shapes_of_all(), strict=True)]
    model = keras.Model(tensors, list(network.run(KerasLayers(), *tensors)))
    generator = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(generator.uniform(0.2, 1.2, weight.shape) * (1 if "variance" in weight.path else 0.5))
    return network, model


@cache
def read_whole() -> ReadModel:
    return read_layers(whole()[1])


def shapes_of_all() -> list[Sides]:
    return [shape for shapes, _ in CASES.values() for shape in shapes]


@cache
def given() -> list[np.ndarray]:
    """Images for all inputs, of numbers of both signs."""
    return [random_images(2, *shape, seed=seed) / 64 - 2 for seed, shape in enumerate(shapes_of_all())]


@cache
def expected() -> dict[str, np.ndarray]:
    made: Any = whole()[1](given(), training=False)
    return dict(zip(CASES, (np.asarray(keras.ops.convert_to_numpy(each)) for each in made), strict=True))


def drafted() -> tuple[Network, dict[str, list[np.ndarray]], list[tuple[int | None, ...]]]:
    return whole()[0], read_weights(read_whole()), [(None, *shape) for shape in shapes_of_all()]


@cache
def from_onnx() -> dict[str, np.ndarray]:
    import onnx
    import onnxruntime

    written = onnx_model(*drafted(), {})
    onnx.checker.check_model(written, full_check=True)
    session = onnxruntime.InferenceSession(written.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    made: Any = session.run(None, dict(zip(names, given(), strict=True)))
    return dict(zip(CASES, made, strict=True))


@cache
def from_openvino() -> dict[str, np.ndarray]:
    import openvino

    from keras_effnet.export.engines import openvino_network

    written = onnx_model(*drafted(), {})
    made = openvino_network(openvino.Core().read_model(written.SerializeToString()), 1)(given())
    return dict(zip(CASES, made.values(), strict=True))


@cache
def from_saved_model() -> dict[str, np.ndarray]:
    from tempfile import TemporaryDirectory

    import tensorflow as tf

    module: Any = tf.Module()
    module.serve = tensorflow_function(*drafted())
    with TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=module.serve.get_concrete_function())
        loaded: Any = tf.saved_model.load(folder)
    return dict(zip(CASES, (each.numpy() for each in loaded.serve(*given())), strict=True))


@cache
def from_litert() -> dict[str, np.ndarray]:
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    written = tensorflow_function(*drafted())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([written.get_concrete_function()], written)
    interpreter = Interpreter(model_content=converter.convert())
    for tensor, images in zip(interpreter.get_input_details(), given(), strict=True):
        interpreter.resize_tensor_input(tensor["index"], images.shape)
    interpreter.allocate_tensors()
    for tensor, images in zip(interpreter.get_input_details(), given(), strict=True):
        interpreter.set_tensor(tensor["index"], images)
    interpreter.invoke()
    made = [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]
    return dict(zip(CASES, made, strict=True))


ENGINES = [from_onnx, from_saved_model, pytest.param(from_openvino, marks=pytest.mark.slow)]
ENGINES.append(pytest.param(from_litert, marks=pytest.mark.slow))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_computes_what_the_layer_does(engine: Any, case: str) -> None:
    assert_same_outputs(engine()[case], expected()[case], 2e-5)


@pytest.mark.parametrize("case", CASES)
def test_scores_compute_what_the_layer_does(case: str) -> None:
    network, model = whole()
    # Scores see fresh networks: statistics of the batch, factors of 1.
    if any(
        isinstance(op, verbs.BatchNorm | verbs.LayerNorm | verbs.GroupNorm | verbs.RMSNorm) for op in CASES[case][1]
    ):
        return
    inputs, nodes = row_of(case)
    block = RecordedBlock(inputs[0], nodes, nodes[-1])
    one = Network(case, tuple(inputs), (nodes[-1],), (RecordedStage("network", "", "", [block]),))
    tensors = dict(zip((node.name for node in network.inputs), given(), strict=True))
    [found] = one.run(Computation(model), *(Flow(keras.ops.convert_to_tensor(tensors[node.name])) for node in inputs))
    assert_same_outputs(keras.ops.convert_to_numpy(found.x), expected()[case], 2e-5)


def as_shape(shape: Sides) -> Shape:
    return Shape(*(shape if len(shape) == 3 else (1, 1, *shape)))


# Two layers, and what Keras' layers broadcast, but its functions do not.
READ_OTHERWISE = ("flatten_first", "add_vector")


@pytest.mark.parametrize("case", [case for case in CASES if case not in READ_OTHERWISE])
def test_what_is_built_is_read_as_the_same_operation(case: str) -> None:
    found = {node.name: node.op for node in read_whole().network.nodes if not isinstance(node.op, verbs.Reuse)}
    for node in row_of(case)[1]:
        if not isinstance(node.op, verbs.Opaque | verbs.Reuse):
            assert found[node.name] == node.op


@pytest.mark.parametrize("case", CASES)
def test_shapes_are_those_of_the_layer(case: str) -> None:
    inputs, nodes = row_of(case)
    values = {node: as_shape(shape) for node, shape in zip(inputs, CASES[case][0], strict=True)}
    for node in nodes:
        cost = layer_cost(node.op, node.name, *(values[each] for each in node.inputs))  # pyright: ignore[reportArgumentType]
        values[node] = cost.shape
    assert values[nodes[-1]] == as_shape(expected()[case].shape[1:])


def test_work_and_peak_have_a_meaning_for_every_operation() -> None:
    network, reader = whole()[0], WorkReader()
    network.run(reader, *map(as_shape, shapes_of_all()))
    assert min(reader.counts.pointwise, reader.counts.spatial, reader.counts.depthwise) > 0
    peak = find_peak(network, [as_shape(shape) for shape in shapes_of_all()])
    assert peak.values > sum(as_shape(shape).height for shape in shapes_of_all())
    assert find_peak(network, [as_shape(shape) for shape in shapes_of_all()], training=True).values > peak.values


def alone(op: verbs.Op, shape: Sides = IMAGE) -> Network:
    node = Node(None, "image", (), shape[-1])
    made = Node(op, "odd", (node,), shape[-1])
    return Network("alone", (node,), (made,), (RecordedStage("", "", "", [RecordedBlock(node, [made], made)]),))


REFUSED: list[verbs.Op] = [
    verbs.Opaque(lambda name: keras.layers.Identity(name=name), IMAGE),
    function(lambda x: keras.ops.arctan(x)),
    verbs.Resize(3, 3, plain=False),
    verbs.Activation("sparsemax"),
]


@pytest.mark.parametrize("op", REFUSED)
def test_what_cannot_be_written_is_refused_by_name(op: verbs.Op) -> None:
    with pytest.raises(ExportError, match=r"Received: .*'odd'"):
        onnx_model(alone(op), {}, [(None, *IMAGE)], {})
    with pytest.raises(ExportError, match=r"Received: .*'odd'"):
        tensorflow_function(alone(op), {}, [(None, *IMAGE)]).get_concrete_function()


def test_an_interpolation_by_a_matrix_asks_for_a_size() -> None:
    with pytest.raises(ExportError, match=r"layer 'odd' interpolates 'bicubic'.*Received"):
        onnx_model(alone(verbs.UpSample(2, 2, "bicubic")), {}, [(None, None, None, 4)], {})


def test_scores_refuse_what_only_keras_knows() -> None:
    with pytest.raises(BuildError, match=r"only Keras knows.*Received: layer 'odd'"):
        alone(REFUSED[0]).run(Computation(whole()[1]), Flow(keras.ops.zeros((1, *IMAGE))))
