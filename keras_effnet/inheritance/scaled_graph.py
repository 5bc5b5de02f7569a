"""Any Keras model at another size, with what it has learned: its own layers, made anew with other numbers in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_effnet.builder.build_arguments import check_memory
from keras_effnet.builder.initialization import deep_recursion, paused_garbage_collection
from keras_effnet.checks import check_bool
from keras_effnet.counting import Shape
from keras_effnet.errors import BuildError, InheritanceError
from keras_effnet.inheritance.arrays import Shares
from keras_effnet.inheritance.compare import largest_difference, with_weights
from keras_effnet.inheritance.inheritance_plan import InheritanceOptions, InheritancePlan
from keras_effnet.inheritance.inheritance_report import describe
from keras_effnet.inheritance.maps import Select
from keras_effnet.network import Node
from keras_effnet.ops import Conv, Dense, Flatten, GroupNorm, Opaque, Resize, TransposedConv, Unflatten, first_call
from keras_effnet.reading.graph import call_layer, copy_layer, finalize
from keras_effnet.reading.model_form import structured
from keras_effnet.reading.opaque_layer import shape_of
from keras_effnet.reading.read_model import ReadModel, Source, image_shapes, read_layers
from keras_effnet.scaling import Coefficients, Rounding, ScalingRule
from keras_effnet.scaling.scale_network import scale_network
from keras_effnet.scaling.scaled_network import ScaledBlock, ScaledNetwork
from keras_effnet.trace import trace_record
from keras_effnet.weights.tensors import arrays_of

_OPTIONS = ("exact", "select", "shares", "noise", "seed", "name", "memory_limit", "return_report")


def scale_graph(
    model: keras.Model,
    phi: float | str | None = None,
    *,
    rule: ScalingRule | str | None = None,
    coefficients: Coefficients | None = None,
    rounding: Rounding | None = None,
    **options: Any,
) -> Any:
    """Scales any Keras model by what its graph says alone, with what it has learned.

    The new model is made of the old one's own layers, with other numbers of channels in their options; layers that
    are repeated get copies with a number behind their names. `scale_network` says what is scaled in each stage. A model
    that takes images of any size keeps doing so: its width and depth are scaled, and a report compares both models on
    images of 256 cells a side.

    Args:
        model: a functional or Sequential model, of any origin.
        phi: as in `scale_spec`.
        rule: as in `scale_spec`.
        coefficients: as in `scale_spec`.
        rounding: as in `scale_spec`.
        **options: `exact`, `select`, `shares`, `noise`, `seed`, `name`, `memory_limit` and `return_report`, as in
            `grow_model`.

    Returns:
        The new model, uncompiled; with `return_report=True` a pair of it and the report.

    Raises:
        BuildError: an option that only models with a spec know.
        InheritanceError, ModelTooLargeError, ScalingError, SpecError: as `scale_network` and `inherit_scaled`.

    Example:
        >>> vgg = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> larger, report = scale_graph(vgg, coefficients=Coefficients(depth=1.5), return_report=True)
        >>> report.exact, [sum("conv" in layer.name for layer in model.layers) for model in (vgg, larger)]
        (True, [13, 21])
    """
    unknown = {name: value for name, value in options.items() if name not in _OPTIONS and value is not None}
    if unknown:
        raise BuildError(
            "a model without a spec is scaled from its graph, where it has its own images and outputs: leave "
            f"{', '.join(sorted(map(repr, unknown)))} out.",
            received=f"{', '.join(f'{key}={value!r}' for key, value in unknown.items())} for {model.name!r}",
        )
    read = read_layers(model)
    scaling: dict[str, Any] = {"rule": rule, "coefficients": coefficients, "rounding": rounding}
    scaled = scale_network(read.network, phi, **scaling, images=image_shapes(read))
    return inherit_scaled(read, scaled, **{name: options[name] for name in _OPTIONS if name in options})


def inherit_scaled(
    read: ReadModel,
    scaled: ScaledNetwork,
    *,
    exact: bool = True,
    select: Select = "magnitude",
    shares: Shares = "uneven",
    noise: float = 0.0,
    seed: int = 0,
    name: str | None = None,
    memory_limit: float | None = None,
    return_report: bool = False,
) -> Any:
    """Builds a scaled network with what a model has learned.

    Args:
        read: the model.
        scaled: its network, scaled.
        exact: as in `grow_model`.
        select: as in `grow_model`.
        shares: as in `grow_model`.
        noise: as in `grow_model`.
        seed: as in `grow_model`.
        name: name of the new model; the old one's by default.
        memory_limit: number of bytes that the weights may take, as in `build_model`.
        return_report: whether to return the report as well.

    Returns:
        As `scale_graph`.

    Raises:
        InheritanceError: something that grows would not compute the same: names the stages and the reasons; a layer
            cannot be made anew; or an option is outside its range.
        ModelTooLargeError: the weights would not fit in memory; nothing was allocated.
    """
    options = InheritanceOptions(select, shares, noise, seed)
    exact = check_bool(InheritanceError, "exact", exact)
    check_memory(read.graph.model.name, scaled.network, scaled.cost, memory_limit)
    plan = InheritancePlan(trace_record(scaled.base), trace_record(scaled.network), _reader(read.weights), options)
    made = _build(read, scaled, tuple(after for _, after in scaled.images), name)
    with paused_garbage_collection():
        for node, arrays in plan.run(_reader(made.weights)):
            for variable, array in zip(made.weights[node], arrays, strict=True):
                variable.assign(np.reshape(array, variable.shape))
    for layer in made.model.layers:
        finalize(layer)
    losses = [difference for difference in plan.pairing.differences if difference.grows]
    if exact and losses:
        reasons = "; ".join(line.strip() for line in describe(losses))
        raise InheritanceError(
            f"{made.model.name!r} would not compute what {read.graph.model.name!r} does: {reasons}. Choose other "
            "coefficients, or take it as it is with exact=False and train on.",
            received="exact=True",
        )
    if not return_report:
        return made.model
    return made.model, plan.report(None if plan.pairing.differences else _measured(read, scaled, made, name))


@dataclass
class _Made:
    """A model that was built.

    Args:
        model: the model.
        weights: the weights of each node of the scaled network, as Keras variables, by its name.
    """

    model: Any = None
    weights: dict[str, tuple[Any, ...]] = field(default_factory=dict)


def _build(
    read: ReadModel, scaled: ScaledNetwork, images: tuple[Shape, ...], name: str | None, *, resize: bool = True
) -> _Made:
    """Builds the scaled network for images of some sizes; `resize`: whether layers that resize have scaled sizes."""
    graph, made = read.graph, _Made()
    values: dict[Node, Any] = {}
    inputs = []
    for key, node, tensor, image in zip(graph.inputs, scaled.network.inputs, graph.model.inputs, images, strict=True):
        shape = _like(tuple(tensor.shape), image)
        inputs.append(keras.Input(shape[1:], dtype=tensor.dtype, name=key[0]))
        values[node] = inputs[-1]
    builder = _Builder(read, values, made.weights, resize)
    with paused_garbage_collection(), deep_recursion():
        for block in scaled.blocks:
            builder.build(block)
        outputs = [values[node] for node in scaled.network.outputs]
        ends = structured(inputs, graph.model, "input"), structured(outputs, graph.model)
        made.model = keras.Model(*ends, name=name or graph.model.name)
    return made


def _like(shape: tuple[int | None, ...], image: Shape) -> tuple[int | None, ...]:
    """The shape of a scaled input: sides that are unknown stay unknown."""
    found = shape_of(image, shape)
    return tuple(None if old is None else new for old, new in zip(shape, found, strict=True))


class _Builder:
    """Calls copies of a model's layers, block by block.

    Args:
        read: the model.
        values: the new tensor of each node of the scaled network; those that are made are added.
        weights: the weights of each node of the scaled network by its name; those that are made are added.
        resize: whether layers that resize images have scaled sizes.
    """

    def __init__(
        self, read: ReadModel, values: dict[Node, Any], weights: dict[str, tuple[Any, ...]], resize: bool
    ) -> None:
        self.read = read
        self.resize = resize
        self.values = values
        self.weights = weights
        self.copies: dict[str, Any] = {}
        self._calls: dict[tuple[str, int], list[Node]] = {}
        for node, source in read.sources.items():
            self._calls.setdefault((source.layer, source.call), []).append(node)

    def build(self, block: ScaledBlock) -> None:
        """Calls the layers of one block."""
        calls = dict.fromkeys((self.read.sources[n].layer, self.read.sources[n].call) for n in block.origin.nodes)
        for name, number in calls:
            nodes = self._calls[name, number]
            self._call(block, name, number, nodes)

    def _call(self, block: ScaledBlock, name: str, number: int, nodes: list[Node]) -> None:
        graph = self.read.graph
        layer, call = graph.layers[name], graph.layers[name].calls[number]
        # The suffix of a copy stands behind the name of every node.
        first = block.twins[nodes[0]].name
        free = name + first[len(nodes[0].name) :]
        copied = free not in self.copies
        if copied:
            options = {}
            for node in nodes:
                if self.resize or not isinstance(node.op, Resize):
                    options |= _options(block.twins[node], node, layer.operation)
            self.copies[free] = copy_layer(layer, graph, free, options)
        copy = self.copies[free]
        given = {key: self.values[block.twins[self.read.nodes[key]]] for key in call.tensors}
        try:
            tensors = keras.tree.flatten(call_layer(copy, call, given))
        except (ValueError, TypeError) as error:
            raise InheritanceError(
                f"layer {name!r} does not take what stands before it at another size: {error} Keep it out of what is "
                "scaled.",
                received=f"{graph.model.name!r} with {name!r}, a {layer.kind}",
            ) from error
        for key, tensor in zip(call.made, tensors, strict=True):
            self.values[block.twins[self.read.nodes[key]]] = tensor
        if copied:
            for node in nodes:
                source = self.read.sources[node]
                self.weights[block.twins[node].name] = _same_places(layer.operation, source, copy)


def _same_places(layer: Any, source: Source, copy: Any) -> tuple[Any, ...]:
    """The weights of a copy that stand where the node's weights stand in the layer."""
    places = {id(variable): place for place, variable in enumerate(getattr(layer, "weights", ()))}
    return tuple(copy.weights[places[id(variable)]] for variable in source.weights)


def _options(new: Node, old: Node, layer: Any) -> dict[str, Any]:
    """The options of a layer that hold its numbers of channels, or its size."""
    op, before = first_call(new.op), first_call(old.op)
    config: dict[str, Any] = {}
    match op:
        case Conv() | TransposedConv() if isinstance(before, type(op)) and op.width != before.width:
            config["filters"] = op.width
        case Dense() if isinstance(before, Dense) and op.width != before.width:
            config["units"] = op.width
        case GroupNorm(instance=True):
            config["groups"] = -1
        case Resize():
            config |= {"height": op.height, "width": op.width}
        case Flatten() | Unflatten() if isinstance(layer, keras.layers.Reshape):
            ones = (
                (new.channels, 1, 1) if keras.config.image_data_format() == "channels_first" else (1, 1, new.channels)
            )
            config["target_shape"] = ones if isinstance(op, Unflatten) else (new.channels,)
        case Opaque():
            return config
    if isinstance(layer, keras.layers.EinsumDense):
        shape = layer.get_config()["output_shape"]
        config["output_shape"] = tuple(new.channels if side == old.channels else side for side in shape)
    if "projection_dim" in getattr(layer, "__dict__", {}):  # LayerScale of keras.applications
        config["projection_dim"] = new.channels
    return config


def _reader(weights: Mapping[str, tuple[Any, ...]]) -> Any:
    def read(name: str) -> list[np.ndarray]:
        return arrays_of(weights[name])

    return read


def _measured(read: ReadModel, scaled: ScaledNetwork, made: _Made, name: str | None) -> float:
    """By how much both models differ on random images of the old one's size."""
    old, new = tuple(before for before, _ in scaled.images), made.model
    if any(before != after for before, after in scaled.images):
        new = with_weights(_build(read, scaled, old, name, resize=False).model, new)
    shapes = [
        shape_of(image, tuple(tensor.shape))[1:] for image, tensor in zip(old, read.graph.model.inputs, strict=True)
    ]
    return largest_difference(read.graph.model, new, shapes)
