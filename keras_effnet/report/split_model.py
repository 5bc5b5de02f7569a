"""A model in two parts, cut at a feature map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from keras_effnet.errors import BuildError
from keras_effnet.reading.graph import Graph, Tensor, call_layer, has_graph, read_graph, unfolded
from keras_effnet.reading.model_form import End, alone, names_of_tensors, structured, with_outputs
from keras_effnet.tensor_names import quoted

CELLS = 7 * 7  # of the last map of nearly all networks at 224 px, which is what maps of classes were shown on
LEAST_SIDE = 4  # cells: of fewer, each one covers more than a quarter of a side, and a map says nothing of a place
# Layers, and functions of the same name, whose cells lie elsewhere than those of what they read.
_MOVING = ("ZeroPadding2D", "Cropping2D", "Pad", "Slice", "GetItem")


class SplitModel(NamedTuple):
    """A model in two parts, cut at a feature map.

    Args:
        features: from all that the model reads to the map.
        head: from the map, and then all that the model reads but the image, to a score for each class.
        layer: name of the layer that makes the map.
        cells: rows and columns of the map.
        image: number of the input that the map is made of.
        steps: rows and columns from one cell that the second part reads to the next: 2 where it begins with
            convolutions of 1 x 1 and stride 2, as the stages of ResNet do; else 1.
    """

    features: keras.Model
    head: keras.Model
    layer: str
    cells: tuple[int, int]
    image: int
    steps: tuple[int, int]


def split_at_map(
    model: keras.Model,
    shapes: Sequence[tuple[int, ...]] | None = None,
    *,
    output: str | int | None = None,
    image: str | int | None = None,
    least_cells: int = CELLS,
    least_side: int = LEAST_SIDE,
) -> SplitModel:
    """A model in two, cut at its last feature map that is fine enough; the second part gives scores before any softmax.

    Args:
        model: functional or Sequential.
        shapes: for a model that leaves the size of its images open, the shape of each input without the batch; None
            otherwise.
        output: name or number of the output whose scores are asked about; None for the only one. Default: None.
        image: name or number of the input that the map is made of, alone or together with others; None for the only
            image. Default: None.
        least_cells: number of cells that are fine enough, at least 1. If no map has so many, the finest is taken, and
            of several the last. Default: 49.
        least_side: number of rows, and of columns, that a map has at least. Default: 4.

    Returns:
        Both parts, which share the model's weights, but for a copy of those of a layer that ends in a softmax, and of
        all if there are models inside the model.

    Raises:
        BuildError: the model is neither functional nor Sequential, has several images or outputs of which none was
            chosen, an output that is no score for each class, or no layer behind the image's first convolution with
            such a map that all ways from the image to the scores pass.
        InheritanceError: models inside the model cannot be unfolded.
    """
    check_graph(model)
    place, answer = chosen_end(model, "input", image), chosen_end(model, "output", output)
    way = f"from {names_of_tensors(model, 'input')[place]!r} to {names_of_tensors(model, 'output')[answer]!r}"
    if len(model.outputs[answer].shape) != 2:
        raise BuildError(
            "an output must be a score for each class, of shape (images, classes), for a class to have a map: a model "
            "that returns maps shows by itself where it sees what.",
            received=f"an output of shape {tuple(model.outputs[answer].shape)}",
        )
    model = with_outputs(model, model.outputs[answer]) if len(model.outputs) > 1 else model
    graph = read_graph(unfolded(model, lambda layer: isinstance(layer, keras.Model)))
    maps = _maps(graph, graph.inputs[place], shapes)
    fine = [tensor for tensor in reversed(maps) if min(maps[tensor]) >= least_side]
    others = [tensor for number, tensor in enumerate(graph.inputs) if number != place]
    # Behind the first that is fine enough, and of two that are equally coarse, comes the one further in front.
    for tensor in sorted(fine, key=lambda tensor: -min(maps[tensor][0] * maps[tensor][1], least_cells)):
        head = _head(graph, [tensor, *others])
        if head is not None:
            features = with_outputs(graph.model, graph.tensors[tensor])
            return SplitModel(features, head, tensor[0], maps[tensor], place, _steps(graph, tensor))
    seen = dict.fromkeys(" x ".join(map(str, cells)) for cells in maps.values())
    raise BuildError(
        f"a model must have a feature map of {least_side} x {least_side} cells at least, which all ways from the image "
        "pass, for what a class depends on to have a place; larger images have larger maps.",
        received=f"{model.name!r} with maps of {', '.join(seen) or 'no size at all'} {way}",
    )


def check_graph(model: keras.Model) -> None:
    """Checks that a model has a graph that can be cut.

    Raises:
        BuildError: it is neither functional nor Sequential and built, or channels come first.
    """
    if not has_graph(model):
        raise BuildError(
            "a model must be functional, or Sequential and built, to be cut at a feature map.",
            received=f"{getattr(model, 'name', model)!r}, a {type(model).__name__}",
        )
    if keras.config.image_data_format() != "channels_last":
        raise BuildError(
            'maps are made of models whose channels come last: `keras.config.set_image_data_format("channels_last")`.',
            received=f"image_data_format={keras.config.image_data_format()!r}",
        )


def chosen_end(model: keras.Model, end: End, asked: str | int | None) -> int:
    """The number of the image, or of the output, that was asked for; of the only one if none was.

    Args:
        model: functional or Sequential.
        end: "input" for an image, "output" for an output.
        asked: its name or number; None for the only one.

    Raises:
        BuildError: there is no such image or output, or there are several.
    """
    names = names_of_tensors(model, end)
    tensors = model.inputs if end == "input" else model.outputs
    places = [place for place, tensor in enumerate(tensors) if end == "output" or len(tensor.shape) == 4]
    places = places or [0]  # without an image there is no map either, which is said later
    if asked is None and len(places) == 1:
        return places[0]
    found = next((place for place in places if asked == names[place] or asked == place), None)
    if found is None:
        argument = "image" if end == "input" else "output"
        raise BuildError(
            f"a map is of one image and of one output's scores: name the {argument} by `{argument}=`, one of "
            f"{quoted([names[place] for place in places])}.",
            received=f"{argument}={asked!r} for {model.name!r} with {len(tensors)} {end}s",
        )
    return found


def _maps(graph: Graph, start: Tensor, shapes: Sequence[tuple[int, ...]] | None) -> dict[Tensor, tuple[int, int]]:
    """Rows and columns of the feature maps made of an image, in order, from its first convolution on.

    What is before the first convolution is the image itself.
    """
    known, found, behind = {start}, [], False
    for name, number in graph.order:
        layer = graph.layers[name]
        call = layer.calls[number]
        if known.intersection(call.tensors):
            known.update(call.made)
            behind = behind or _is_convolution(layer.operation)
            if behind and layer.kind not in _MOVING and len(call.made) == 1:
                found += [tensor for tensor in call.made if len(graph.shapes[tensor]) == 4]
    sizes = [graph.shapes[tensor] for tensor in found]
    if shapes is not None and any(None in size[1:] for size in sizes):
        whole = with_outputs(graph.model, [graph.tensors[tensor] for tensor in found])
        sizes = whole.compute_output_shape(structured([(1, *shape) for shape in shapes], whole, "input"))
    return {tensor: (size[1] or 1, size[2] or 1) for tensor, size in zip(found, sizes, strict=True)}


def _is_convolution(operation: Any) -> bool:
    return any(len(weight.shape) == 4 for weight in getattr(operation, "weights", ()))


def _steps(graph: Graph, tensor: Tensor) -> tuple[int, int]:
    """Rows and columns from one cell that any layer reads to the next; those with windows read all."""
    calls = [(graph.layers[name].operation, graph.layers[name].calls[number]) for name, number in graph.order]
    steps = [_strides(operation) for operation, call in calls if tensor in call.tensors]
    return min(step[0] for step in steps), min(step[1] for step in steps)


def _strides(operation: Any) -> tuple[int, int]:
    """The strides of a convolution or a pooling of 1 x 1; 1 of everything else."""
    window = getattr(operation, "kernel_size", getattr(operation, "pool_size", None))
    return tuple(operation.strides) if window == (1, 1) else (1, 1)


def _head(graph: Graph, cut: list[Tensor]) -> keras.Model | None:
    """The layers from some tensors to the scores, as a model; None where a shortcut passes these tensors by.

    Keras' own way to cut, a model of intermediate tensors, forgets the other calls of a layer that made one of them.
    """
    end, linear = _scores(graph)
    known, calls = set(cut), []
    for name, number in graph.order:
        call = graph.layers[name].calls[number]
        if known.issuperset(call.tensors) and not known.issuperset(call.made):
            known.update(call.made)
            calls.append((name, call))
    if end not in known:
        return None
    inputs = [keras.Input(graph.shapes[tensor][1:], dtype=graph.tensors[tensor].dtype) for tensor in cut]
    values: dict[Tensor, Any] = dict(zip(cut, inputs, strict=True))
    for name, call in calls:
        made = keras.tree.flatten(call_layer(graph.layers[name].operation, call, values))
        values.update({tensor: each for tensor, each in zip(call.made, made, strict=True) if tensor not in values})
    scores = values[end] if linear is None else _without_activation(linear, values[end])
    return keras.Model(alone(inputs), scores)


def _scores(graph: Graph) -> tuple[Tensor, Any]:
    """Where the scores of the classes before their activation are (the papers' y^c), and a dense layer behind it."""
    end = graph.outputs[0]
    layer = graph.layers[end[0]]
    last = layer.operation
    if isinstance(last, keras.layers.Activation) or type(last).__name__ == "Softmax":  # a layer or a function
        return layer.calls[end[1]].tensors[0], None
    if isinstance(last, keras.layers.Dense):
        return layer.calls[end[1]].tensors[0], last
    return end, None


def _without_activation(last: keras.layers.Dense, x: Any) -> Any:
    """What a dense layer gives before its activation, by a layer of its own, so that the model stays as it is."""
    linear = keras.layers.Dense.from_config({**last.get_config(), "activation": "linear", "name": "scores"})
    scores = linear(x)
    linear.set_weights(last.get_weights())
    return scores
