"""What a run says of its data, its network and its recipe, as metrics.json holds it."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Any, cast

import keras

from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.cost import estimate_cost
from keras_effnet.data.augment import engine_of
from keras_effnet.data.sets import DataSplits
from keras_effnet.explanation import explain
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.finetune.transfer_model import is_saved_model
from keras_effnet.inheritance.embedded_network import known_spec
from keras_effnet.inheritance.scaled_model import load_model
from keras_effnet.registry import resolve_backbone
from keras_effnet.scaling import Coefficients
from keras_effnet.spec import BackboneSpec
from keras_effnet.training.schedules import batchnorm_momentum
from keras_effnet.variants import realised_coefficients


def describe_data(data: DataSplits) -> dict[str, Any]:
    """The data set, its sizes, also of each class, and what was skipped, JSON-able."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    classes = data.train.class_names
    return {
        "name": data.name,
        "classes": list(classes),
        **{name: 0 if source is None else len(source) for name, source in splits.items()},
        # Numbers make no classes.
        "counts": {
            name: [] if source.task == "regression" else source.images_per_class.tolist()
            for name, source in splits.items()
            if source is not None
        },
        "skipped": [each._asdict() for each in data.skipped],
    }


def describe_network(model: keras.Model, base: BackboneSpec, options: FinetuneOptions, path: Path) -> dict[str, Any]:
    """The network, its sizes, and what scaling made of its backbone, JSON-able.

    Args:
        model: the trained model.
        base: the backbone before it was scaled, as `base_of` gives it.
        options: options of the run.
        path: path of the model's file.

    Returns:
        "scaling" holds the factor asked for and the realised one by name, or None if the sizes are the backbone's own.
    """
    embedded = read_embedded_spec(model)
    shape: dict[str, Any] = {"channels": options.channels, "classes": embedded.classes}
    height, width = model.input_shape[1:3]
    made = explain(embedded.spec, resolution=(height, width), **shape)
    realised, scaling = realised_coefficients(base, embedded.spec), None
    if realised != Coefficients():
        asked = explain(base, options.phi, **shape)
        names = ("depth", "width", "resolution")
        scaling = {name: [getattr(asked.nominal, name), getattr(realised, name)] for name in names}
        scaling["MACs"] = [asked.nominal_macs, made.cost.macs / estimate_cost(base, **shape).macs]
    return {
        "name": model.name,
        "path": str(path),
        "backbone": options.backbone if isinstance(options.backbone, str) else base.name,
        "weights": options.weights,
        "phi": options.phi,
        "resolution": height if height == width else [height, width],
        "channels": options.channels,
        "params": made.cost.params,
        "macs": made.cost.macs,
        "stages": [
            {
                "operator": row.operator,
                "resolution": list(row.resolution),
                "width": row.channels,
                "depth": row.layers,
                "params": row.params,
                "macs": row.macs,
            }
            for row in made.rows
        ],
        "scaling": scaling,
    }


def describe_recipe(model: keras.Model, options: FinetuneOptions, steps_per_epoch: int) -> dict[str, Any]:
    """What came of the values that a recipe leaves open, by their names in it, and what else follows, JSON-able.

    Args:
        model: the trained model.
        options: options of the run.
        steps_per_epoch: number of batches in an epoch of the whole network.
    """
    spec, recipe = read_embedded_spec(model).spec, options.recipe
    realised: dict[str, Any] = {
        "dropout": spec.classifier.dropout,
        "drop_path": spec.drop_path,
        "augmentation.engine": engine_of(recipe.augmentation),
        "steps_per_epoch": steps_per_epoch,
        "teacher": options.teacher,
    }
    if recipe.batchnorm == "trained":
        realised["batchnorm_momentum"] = batchnorm_momentum(steps_per_epoch)
    return realised


def base_of(backbone: BackboneSpec | str | PathLike[str]) -> BackboneSpec:
    """The spec of a backbone as `make_network` takes it, before it is scaled.

    Args:
        backbone: a spec, the name of a registered one, or the path of a saved model (`.keras`).

    Raises:
        BuildError, RegistryError, WeightsError: as `make_network`.

    Example:
        >>> base_of("mobilenet_v2").name
        'mobilenet_v2'
    """
    if is_saved_model(backbone):
        return known_spec(load_model(fspath(cast("str", backbone)))).spec
    return resolve_backbone(cast("BackboneSpec | str", backbone))
