"""Grad-CAM: where a network looks (Selvaraju et al. 2017, arXiv:1610.02391, section 3) on every backend of Keras.

The network is cut at its last feature map. The first part is only evaluated; the gradient goes through the second part,
which is small: pooling and the classifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_effnet.errors import BuildError, DataError
from keras_effnet.gradient import value_and_gradient
from keras_effnet.reading.graph import Graph, Tensor, call_layer, read_graph, unfolded
from keras_effnet.reading.model_form import End, alone, names_of_tensors, structured, with_outputs
from keras_effnet.tensor_names import check_arrays, quoted

if TYPE_CHECKING:
    from keras_effnet.tensor_names import Arrays

IMAGES_AT_ONCE = 8  # only a few images are explained; EfficientNet-B7 takes much memory for each at 600 px


def grad_cam(
    model: keras.Model,
    images: Arrays,
    classes: np.ndarray,
    *,
    output: str | int | None = None,
    image: str | int | None = None,
) -> np.ndarray:
    """Maps of the parts of each image that speak for a class.

    Args:
        model: a functional or Sequential model from images to one score for each class, with a feature map in between.
        images: float array of shape `(n, height, width, channels)`, as the model takes it; for several inputs a list of
            arrays in their order, or a dict by their names.
        classes: int array of shape `(n,)`: the class in question for each image.
        output: name or number of the output whose scores are asked about; None for the only one. Default: None.
        image: name or number of the input that the maps are of; None for the only image. They are those of the last
            feature map that was made of it, alone or together with other images, and that all its ways to the scores
            pass; what else the scores depend on stays as it is. Default: None.

    Returns:
        float32 array of shape `(n, rows, columns)`, of the feature map's size. Each map is scaled so that its largest
        value is 1; it is 0 all over where nothing speaks for the class.

    Raises:
        BuildError: the model has no feature map, several images or outputs of which none was chosen, an output that is
            no score for each class, or is neither functional nor Sequential.
        InheritanceError: models inside the model cannot be unfolded.
        DataError: there is not one array for each input, or not one class for each image, or the model lacks a class.

    Example:
        >>> from keras_effnet import build_model
        >>> model = build_model("mobilenet_v1", classes=3, input_shape=(64, 64, 3))
        >>> grad_cam(model, np.ones((1, 64, 64, 3), "float32"), np.array([2])).shape
        (1, 2, 2)
    """
    features, head = split_at_last_map(model, output, image)
    count = _count(head)
    given = check_arrays(DataError, "images", images, names_of_tensors(model, "input"))
    number = len(given[0])
    if np.shape(classes) != (number,) or not number or not 0 <= np.min(classes) <= np.max(classes) < count:
        raise DataError(
            f"there must be an image at least, and for each its class, in 0..{count - 1}.",
            received=f"{number} images, classes={classes!r:.200}",
        )
    silent: Any = 0  # Keras annotates its default, "auto"
    read = structured(given, features, "input")
    maps = np.asarray(features.predict(read, batch_size=IMAGES_AT_ONCE, verbose=silent), np.float32)
    place = _chosen(model, "input", image)
    others = [keras.ops.convert_to_tensor(each) for at, each in enumerate(given) if at != place]
    chosen = keras.utils.to_categorical(classes, count)

    # The images do not know of each other, so that the gradient of the sum holds that of each.
    def total(seen: Any) -> Any:
        scores: Any = head(alone([seen, *others]), training=False)
        return keras.ops.sum(scores * keras.ops.convert_to_tensor(chosen, dtype=scores.dtype))

    _, slopes = value_and_gradient(total, maps)
    # Equations 1 and 2: a channel's weight is its mean gradient; of the weighted sum what is positive counts.
    weights = slopes.mean(axis=(1, 2), keepdims=True)
    found = np.maximum((weights * maps).sum(axis=-1), 0)
    largest = found.max(axis=(1, 2), keepdims=True)
    return found / np.where(largest > 0, largest, 1)


def split_at_last_map(
    model: keras.Model, output: str | int | None = None, image: str | int | None = None
) -> tuple[keras.Model, keras.Model]:
    """A model in two, cut at its last feature map; the second part gives scores before any softmax.

    Args:
        model: functional or Sequential.
        output: as in `grad_cam`. Default: None.
        image: as in `grad_cam`. Default: None.

    Returns:
        `(features, head)`; the head of a model of several inputs reads the map, then all inputs but that image. They
        share the model's weights, but for a copy of those of a layer that ends in a softmax, and of all if there are
        models inside the model.

    Raises:
        BuildError: the model is neither functional nor Sequential, has several images or outputs of which none was
            chosen, or no layer with a feature map of more than one pixel that all ways from the image pass.
    """
    made: list[Any] = []
    if getattr(model, "outputs", None):
        place, answer = _chosen(model, "input", image), _chosen(model, "output", output)
        model = with_outputs(model, model.outputs[answer]) if len(model.outputs) > 1 else model
        model = unfolded(model, lambda layer: isinstance(layer, keras.Model))
        graph = read_graph(model)
        others = [tensor for at, tensor in enumerate(graph.inputs) if at != place]
        keys = _made_of(graph, graph.inputs[place])
        made = [graph.tensors[key] for key in keys]
        for key, tensor in zip(reversed(keys), reversed(made), strict=True):
            head = _head(graph, [key, *others]) if _is_map(tensor) else None
            if head is not None:
                return with_outputs(model, tensor), head
    raise BuildError(
        "a model must be functional and have a feature map of more than one pixel, for what a class depends on to have "
        "a place.",
        received=f"{model.name!r} with outputs of shapes {[getattr(each, 'shape', None) for each in made[-3:]]}",
    )


def _chosen(model: keras.Model, end: End, asked: str | int | None) -> int:
    """The number of the image, or of the output, that was asked for; of the only one if none was."""
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


def _made_of(graph: Graph, start: Tensor) -> list[Tensor]:
    """What is made of a tensor, alone or together with others, in order."""
    known, made = {start}, []
    for name, number in graph.order:
        call = graph.layers[name].calls[number]
        if known.intersection(call.tensors):
            known.update(call.made)
            made += call.made
    return made


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
    inputs = [keras.Input(graph.shapes[tensor][1:], dtype=_tensor(graph, tensor).dtype) for tensor in cut]
    values: dict[Tensor, Any] = dict(zip(cut, inputs, strict=True))
    for name, call in calls:
        made = keras.tree.flatten(call_layer(graph.layers[name].operation, call, values))
        values.update({key: each for key, each in zip(call.made, made, strict=True) if key not in values})
    scores = values[end] if linear is None else _without_activation(linear, values[end])
    return keras.Model(alone(inputs), scores)


def _tensor(graph: Graph, key: Tensor) -> Any:
    """Keras' own tensor."""
    return graph.tensors[key] if key in graph.tensors else graph.layers[key[0]].operation.output


def _count(head: keras.Model) -> int:
    """The number of classes that a head gives scores for."""
    shape = tuple(head.outputs[0].shape)
    if len(shape) != 2:
        raise BuildError(
            "an output must be a score for each class, of shape (images, classes), for a class to have a map: a model "
            "that returns maps shows by itself where it sees what.",
            received=f"an output of shape {shape}",
        )
    return int(shape[1] or 0)


def _is_map(output: Any) -> bool:
    shape = getattr(output, "shape", ())
    return len(shape) == 4 and shape[1] != 1 and shape[2] != 1


def _scores(graph: Graph) -> tuple[Tensor, Any]:
    """Where the scores of the classes before their activation are (the paper's y^c), and a dense layer behind it."""
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
