"""The network that is fine-tuned: a backbone of any size, its weights, and a classifier for the new classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import keras
import numpy as np

from keras_effnet.builder.embedded_spec import name_classes, read_embedded_spec
from keras_effnet.builder.model import build_model
from keras_effnet.data.sets import DataSplits
from keras_effnet.data.source import Source
from keras_effnet.data.targets import relabelled
from keras_effnet.errors import BuildError, TrainingError
from keras_effnet.finetune.recipe import RANDOM, Recipe, dropout_for
from keras_effnet.inheritance.grow import grow_model
from keras_effnet.inheritance.raw_pixels import raw_spec, take_raw_pixels
from keras_effnet.inheritance.scaled_model import load_backbone, scale_model
from keras_effnet.reading.model_form import with_outputs
from keras_effnet.registry import resolve_backbone
from keras_effnet.resolution import Resolution, sides_of
from keras_effnet.scaling import scale_spec
from keras_effnet.spec import BackboneSpec
from keras_effnet.training.seeding import seed_weights
from keras_effnet.vision_tasks import ACTIVATIONS, VisionTask


def make_network(
    backbone: BackboneSpec | str | os.PathLike[str],
    weights: str | os.PathLike[str],
    *,
    class_names: Sequence[str],
    phi: float = 0.0,
    resolution: Resolution | None = None,
    channels: int = 3,
    recipe: Recipe,
    task: VisionTask = "classification",
    unit: Unit | None = None,
) -> keras.Model:
    """Builds a network for new classes, with trained weights and a fresh classifier.

    Args:
        backbone: a spec, the name of a registered one, or the path of a saved model (`.keras`) that
            was built here, or is a registered backbone.
        weights: weights to start from: "imagenet", the path of a weight file (as `build_model` takes it), "saved"
            (those in the `.keras` file that is the backbone), or "random".
        class_names: names of the new classes, labels or numbers; they are stored in the model.
        phi: how the backbone is scaled; the weights follow at any phi.
        resolution: side of the images in pixels, or (height, width); by default the scaled backbone's own; the
            sides of a saved model that is not scaled, or takes no squares. Height and width change no spec, only the
            model's input.
        channels: number of channels of the images. For more than 3, the kernels of the colours are repeated in turn.
        recipe: recipe with the dropout, the drop-path and the seed.
        task: what the outputs are: "classification", "multilabel" or "regression".
        unit: unit in which a regression learns each number; None for other tasks.

    Returns:
        A model that takes pixels from 0 to 255, whatever preprocessing its backbone leaves to the caller. A classifier
        ends in a softmax, one of several labels in a sigmoid, and one of numbers in a Rescaling to their unit.

    Raises:
        TrainingError: the weights do not go with the backbone.
        BuildError, InheritanceError, RegistryError, ScalingError, SpecError, WeightsError: as `scale_model`.

    Example:
        >>> recipe = Recipe(dropout=0.3)
        >>> names = {"class_names": ("cat", "dog")}
        >>> model = make_network("mobilenet_v2", "random", phi=-4, resolution=64, recipe=recipe, **names)
        >>> read_embedded_spec(model).class_names, read_embedded_spec(model).spec.classifier.dropout
        (('cat', 'dog'), 0.3)
    """
    seed_weights(recipe.seed)
    saved = is_saved_model(backbone)
    if (weights == "saved") != saved:
        raise TrainingError(
            "a model from a file is fine-tuned with the weights in it: name the file as the backbone and give weights "
            "'saved'; for any other backbone 'imagenet', 'random' or a weight file.",
            received=f"{backbone=}, {weights=}",
        )
    trained = load_backbone(cast("str", backbone)) if saved else None
    base = (
        resolve_backbone(cast("BackboneSpec | str", backbone)) if trained is None else read_embedded_spec(trained).spec
    )
    scaled = scale_spec(base, phi)
    if resolution is None:
        resolution = _own_size(trained, phi) or scaled.resolution
    if isinstance(resolution, int):
        scaled = replace(scaled, resolution=resolution)
    spec = raw_spec(regularized(scaled, phi, recipe))
    shape = (*sides_of(resolution), channels)
    activation = ACTIVATIONS[task]
    if weights == RANDOM:
        model = build_model(spec, classes=len(class_names), input_shape=shape, classifier_activation=activation)
    else:
        if weights == "imagenet":
            trained = scale_model(base, phi, weights="imagenet", input_shape=(*shape[:2], 3))
        elif trained is None:
            trained = build_model(base, weights=weights, input_shape=(*shape[:2], 3))
        model = _with_classifier(without_unit(take_raw_pixels(trained)), spec, shape, class_names, recipe, activation)
    if unit is not None:
        model = unit.behind(model)
    name_classes(model, class_names, task)
    return model


@dataclass(frozen=True, eq=False)
class Unit:
    """The unit in which numbers are learned: their deviations from a mean, so that all of them are about as large.

    Args:
        mean: mean of each number over the training images.
        deviation: standard deviation of each number, above 0.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, source: Source) -> Unit | None:
        """The unit of a source's numbers; None if it has none.

        A number that is the same in all images gets a deviation of 1.
        """
        if source.task != "regression":
            return None
        deviation = source.labels.std(axis=0, dtype=np.float64)
        return cls(source.labels.mean(axis=0, dtype=np.float64), np.where(deviation > 0, deviation, 1.0))

    def learned(self, data: DataSplits) -> DataSplits:
        """The same images to learn from and to validate on, with their numbers in this unit."""
        train, validation = (
            relabelled(source, ((source.labels - self.mean) / self.deviation).astype(np.float32))
            for source in (data.train, data.validation)
        )
        return replace(data, train=train, validation=validation)

    def behind(self, model: keras.Model) -> keras.Model:
        """The model followed by a layer that gives the numbers as they are."""
        options: dict[str, Any] = {
            "scale": self.deviation.tolist(),
            "offset": self.mean.tolist(),
            "dtype": "float32",
            "name": "unit",
        }
        return with_outputs(model, keras.layers.Rescaling(**options)(model.output))


def without_unit(model: keras.Model) -> keras.Model:
    """A model of numbers without the layer that `Unit.behind` added; any other model as it is."""
    last = model.layers[-1]
    if read_embedded_spec(model).task != "regression" or not isinstance(last, keras.layers.Rescaling):
        return model
    return with_outputs(model, last.input)


def _own_size(model: keras.Model | None, phi: float) -> Resolution | None:
    """The size of the images of a saved model, if it is known and stays: of squares scaling makes others."""
    height, width = (None, None) if model is None else model.input_shape[1:3]
    if height is None or width is None:
        return None
    if height != width:
        return height, width
    return None if phi else height


def is_saved_model(backbone: object) -> bool:
    """Whether a backbone is the path of a saved model."""
    return isinstance(backbone, str | os.PathLike) and os.fspath(backbone).endswith(".keras")


def regularized(spec: BackboneSpec, phi: float, recipe: Recipe) -> BackboneSpec:
    """The spec with the recipe's dropout and drop-path; by default dropout grows with phi, as in the paper."""
    dropout = dropout_for(phi) if recipe.dropout is None else recipe.dropout
    spec = replace(spec, classifier=replace(spec.classifier, dropout=dropout))
    return spec if recipe.drop_path is None else replace(spec, drop_path=recipe.drop_path)


def _with_classifier(
    trained: keras.Model,
    spec: BackboneSpec,
    shape: tuple[int, int, int],
    class_names: Sequence[str],
    recipe: Recipe,
    activation: str | None,
) -> keras.Model:
    embedded = read_embedded_spec(trained)
    if not embedded.include_top:
        raise BuildError(
            "a model must have a classifier to be given another one; save it with include_top=True.",
            received=repr(trained.name),
        )
    model = grow_model(
        trained,
        spec,
        classes=len(class_names),
        classifier_activation=activation,
        input_shape=shape,
        # As timm does (its `adapt_input_conv`): the first bands keep the kernels of red, green and blue.
        stem="repeat" if shape[2] > 3 else "sum",
        seed=recipe.seed,
    )
    if embedded.classes == len(class_names) and embedded.class_names != tuple(class_names):
        # The same number of classes, but others: their classifier must not be kept.
        last = [layer for layer in model.layers if layer.weights][-1]
        last.kernel.assign(last.kernel_initializer(last.kernel.shape))
        last.bias.assign(last.bias_initializer(last.bias.shape))
    return model
