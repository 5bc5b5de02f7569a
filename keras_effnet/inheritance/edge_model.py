"""A trained model in its Lite form, with all weights that still have a place there."""

from __future__ import annotations

from pathlib import Path

import keras

from keras_effnet.builder.embedded_spec import note_like
from keras_effnet.builder.model import build_model
from keras_effnet.errors import InheritanceError
from keras_effnet.inheritance.embedded_network import find_network
from keras_effnet.lite import lite_form
from keras_effnet.weights.assign import compare_tensors
from keras_effnet.weights.load_report import LoadReport
from keras_effnet.weights.load_target import LoadTarget
from keras_effnet.weights.tensors import Tensor, layer_weights


def edge_model(model: keras.Model) -> tuple[keras.Model, LoadReport]:
    """Builds the Lite form of a trained model, and gives it the weights of the layers that both have.

    Args:
        model: a model that carries its spec or is a registered backbone, with nothing around its network.

    Returns:
        The model, and a report on every weight: those of squeeze-and-excitation are left over.

    Raises:
        BuildError: the model carries no spec, and is no registered backbone.
        InheritanceError: the model is not what its spec says, or has layers around its network.
        SpecError: the network has no Lite form.

    Example:
        >>> from keras_effnet import build_model, scale_spec
        >>> made, report = edge_model(build_model(scale_spec("efficientnet_b0", phi=-5), classes=2))
        >>> report.counts["loaded"] > 100, report.counts["missing"]
        (True, 0)
    """
    found = find_network(model)
    if not found.alone:
        raise InheritanceError(
            "only a network that nothing surrounds has a Lite form: cut the layers around it off, and add them again.",
            received=f"{', '.join(map(repr, found.front + found.behind))} around the network",
        )
    embedded = found.embedded
    made = build_model(
        lite_form(embedded.spec),
        input_shape=found.model.input_shape[1:],
        classifier_activation=found.activation,
        **embedded.ending,
    )
    note_like(made, embedded)
    there = {layer.name for layer in made.layers}
    tensors = [
        Tensor(f"{mine}/{index}", name if name in there else None, index, array)
        for name, mine in found.names.items()
        if layer_weights(found.layers[name])
        for index, array in enumerate(found.read(name))
    ]
    return made, compare_tensors(LoadTarget.whole(made), tensors, Path(model.name), "keras").assign()
