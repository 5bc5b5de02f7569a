"""The spec that a built model carries, so that it can be scaled years later.

A layer of class `GaussianNoise` with a deviation of 0 stands behind the input. It does nothing, and at that deviation
Keras reads its `seed` nowhere: that field holds a text, JSON of this form:

    {"keras_effnet": 1, "backbone": {...}, "include_top": true, "pooling": null, "classes": 2}

with `"features": ["P3", "P4"]` where it returns levels and `"output_stride": 16` where strides became 1; and, once
`name_classes` has said them, `"class_names": ["cat", "dog"]`, with `"task"` and `"thresholds"` where they are
not a classifier's; once `note_images` has, what is unusual in how its images were read: `"resize": "pad"` and
`"bits": 12`. `backbone` is what a spec file holds (docs/spec_files.md). A stock layer's config goes through `.keras`,
`.h5`, JSON and `clone_model` as it is, and needs nothing of this package to load.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import keras

from keras_effnet.checks import check_bool, check_choice, check_int, check_number, store_plain
from keras_effnet.dilation import OUTPUT_STRIDES
from keras_effnet.errors import BuildError, SpecError
from keras_effnet.json_text import parse_json
from keras_effnet.levels import check_levels
from keras_effnet.network import Pooling
from keras_effnet.printable import is_text
from keras_effnet.resolution import Resize
from keras_effnet.serialization import SCHEMA
from keras_effnet.spec import BackboneSpec
from keras_effnet.vision_tasks import TASKS, VisionTask

EMBEDDED_LAYER = "backbone_spec"
_VERSION = 1
_LEVELS = ("features", "output_stride")  # noted where there are any
# What may be noted once a model is built, and what holds where nothing is.
_USUAL = {"class_names": None, "task": "classification", "thresholds": None, "resize": "stretch", "bits": None}


@dataclass(frozen=True)
class EmbeddedSpec:
    """What a model was built from.

    Args:
        spec: the backbone.
        include_top: whether the classifier follows the features.
        pooling: how features are pooled without the top: "avg", "max" or None for not at all.
        classes: number of classes of the classifier, at least 1.
        class_names: one name per class, label or number, in the order of the outputs; None if they are unknown.
        task: what the outputs are: "classification", "multilabel" or "regression".
        thresholds: probability from which an image has each label, each from 0 to 1; None for 0.5, and for other tasks
            than "multilabel".
        resize: how images of other proportions were brought to its size.
        bits: number of bits that images of 16 bits used, from 8 to 16; None if there were none, or if it is unknown.
        features: names of the levels that the model returns; None if it has one output, at its end.
        output_stride: pixels from one cell of the coarsest map to the next: 8, 16 or 32; None for the spec's strides.

    Raises:
        BuildError: a value is outside its range.
    """

    spec: BackboneSpec
    include_top: bool = True
    pooling: Pooling | None = None
    classes: int = 1000
    class_names: tuple[str, ...] | None = None
    task: VisionTask = "classification"
    thresholds: tuple[float, ...] | None = None
    resize: Resize = "stretch"
    bits: int | None = None
    features: tuple[str, ...] | None = None
    output_stride: int | None = None

    def __post_init__(self) -> None:
        store_plain(self)
        check_choice(BuildError, "task", self.task, TASKS)
        check_bool(BuildError, "include_top", self.include_top)
        check_choice(BuildError, "pooling", self.pooling, (None, *get_args(Pooling)))
        check_int(BuildError, "classes", self.classes, 1)
        check_choice(BuildError, "resize", self.resize, get_args(Resize))
        check_choice(BuildError, "output_stride", self.output_stride, (None, *OUTPUT_STRIDES))
        if self.features is not None:
            object.__setattr__(self, "features", check_levels(self.features))
        if self.bits is not None:
            check_int(BuildError, "bits", self.bits, 8, 16)
        names = self.class_names
        texts = all(isinstance(name, str) and is_text(name) for name in names or ())
        if names is not None and (len(names) != self.classes or not texts):
            raise BuildError(
                f"`class_names` must be {self.classes} texts, one for each class.", received=f"{names!r:.200}"
            )
        found = self.thresholds
        if found is not None and (self.task != "multilabel" or len(found) != self.classes):
            raise BuildError(
                f"`thresholds` must be {self.classes} numbers, one for each label of a multilabel model.",
                received=f"{found!r:.200} for the task {self.task!r}",
            )
        for value in found or ():
            check_number(BuildError, "thresholds", value, 0, 1)

    @property
    def ending(self) -> dict[str, Any]:
        """Which of the networks of its spec it is, as arguments of `record_network` and `build_model`."""
        return {
            "include_top": self.include_top,
            "pooling": self.pooling,
            "classes": self.classes,
            "features": self.features,
            "output_stride": self.output_stride,
        }

    def of_classes(self, kept: Sequence[int]) -> EmbeddedSpec:
        """What a model says that has only some of the classes.

        Args:
            kept: numbers of the classes, in their new order; negative ones are new classes, without a name.
        """
        if min(kept) < 0:
            return replace(self, classes=len(kept), class_names=None, thresholds=None)
        names = None if self.class_names is None else tuple(self.class_names[number] for number in kept)
        thresholds = None if self.thresholds is None else tuple(self.thresholds[number] for number in kept)
        return replace(self, classes=len(kept), class_names=names, thresholds=thresholds)


def embed_spec(x: Any, embedded: EmbeddedSpec, name: str = EMBEDDED_LAYER) -> Any:
    """Puts the layer that carries the spec, of that name, behind `x`, unless a block of it is not registered."""
    try:
        spec = embedded.spec.to_json()
    except SpecError:
        return x
    content = {
        "keras_effnet": _VERSION,
        "backbone": parse_json(spec)["backbone"],
        **{name: value for name, value in embedded.ending.items() if name not in _LEVELS or value is not None},
    }
    text: Any = _as_text({**content, **_notes(embedded)})
    return keras.layers.GaussianNoise(0.0, seed=text, name=name)(x)


def read_embedded_spec(model: keras.Model) -> EmbeddedSpec:
    """What `model` was built from.

    Args:
        model: model built by this package, or loaded from a file of such a model. It may stand inside another model.

    Returns:
        What it was built from.

    Raises:
        BuildError: the model carries no spec, several, or one that cannot be read.

    Example:
        >>> from keras_effnet import build_model
        >>> read_embedded_spec(build_model("mobilenet_v1", classes=10)).classes
        10
    """
    text = _carrier(model).seed
    try:
        content = parse_json(text)
        check_choice(BuildError, "keras_effnet", content["keras_effnet"], (_VERSION,))
        spec = BackboneSpec.from_json(json.dumps({"schema": SCHEMA, "backbone": content["backbone"]}))
        lists = {name: tuple(content[name]) for name in ("class_names", "thresholds", "features") if content.get(name)}
        others = {name: content[name] for name in ("task", "resize", "bits", "output_stride") if name in content}
        return EmbeddedSpec(spec, content["include_top"], content["pooling"], content["classes"], **lists, **others)
    except (KeyError, TypeError, ValueError) as error:
        raise BuildError(
            f"the spec that {model.name!r} carries cannot be read: {error}. Pass the spec that it was built from as "
            "`base`.",
            received=f"{text!r:.200}",
        ) from error


def counted_arguments(model: keras.Model, embedded: EmbeddedSpec | None = None) -> dict[str, Any]:
    """The arguments with which `estimate_cost` counts a model: its spec, at the size of its images.

    Args:
        model: model that is just the network of a spec.
        embedded: what it was built from; None for what it carries.

    Returns:
        Values by the names of the arguments.

    Raises:
        BuildError: as `read_embedded_spec`.

    Example:
        >>> from keras_effnet import build_model
        >>> found = counted_arguments(build_model("mobilenet_v1", classes=10, input_shape=(96, 96, 1)))
        >>> found["resolution"], found["channels"], found["classes"]
        ((96, 96), 1, 10)
    """
    embedded = read_embedded_spec(model) if embedded is None else embedded
    first = keras.config.image_data_format() == "channels_first"
    *sides, channels = (*model.input_shape[2:], model.input_shape[1]) if first else model.input_shape[1:]
    return {
        "spec": embedded.spec,
        "resolution": tuple(side or embedded.spec.resolution for side in sides),
        "channels": channels,
        **embedded.ending,
    }


def name_classes(
    model: keras.Model,
    class_names: Sequence[str],
    task: VisionTask = "classification",
    thresholds: Sequence[float] | None = None,
) -> None:
    """Writes into the model what its outputs mean, so that whoever loads it can say what it sees.

    Args:
        model: model that carries its spec.
        class_names: one name per class, label or number, in the order of the outputs.
        task: what the outputs are: "classification", "multilabel" or "regression". Default: "classification".
        thresholds: probability from which an image has each label, from 0 to 1, of a multilabel model; None for 0.5.

    Raises:
        BuildError: the model carries no spec, or the number of names is not the number of classes.

    Example:
        >>> from keras_effnet import build_model
        >>> model = build_model("mobilenet_v1", classes=2)
        >>> name_classes(model, ["cat", "dog"])
        >>> read_embedded_spec(model).class_names
        ('cat', 'dog')
    """
    found = None if thresholds is None else tuple(map(float, thresholds))
    _note(model, class_names=tuple(class_names), task=task, thresholds=found)


def note_like(model: keras.Model, embedded: EmbeddedSpec) -> None:
    """Writes into a model what the outputs of another one mean and how its images were read, where that is known.

    Args:
        model: model that carries its spec, with as many outputs.
        embedded: what the other one carries.
    """
    if embedded.class_names is None:  # outputs without names are not said to be anything
        embedded = replace(embedded, task="classification", thresholds=None)
    told = {name: getattr(embedded, name) for name in _notes(embedded)}
    if told:
        _note(model, **told)


def note_images(model: keras.Model, *, resize: Resize = "stretch", bits: int | None = None) -> None:
    """Writes into the model how its images were read, so that whoever uses it reads them in the same way.

    Args:
        model: model that carries its spec.
        resize: how images of other proportions are brought to its size, as in `Batches`. Default: "stretch".
        bits: number of bits that images of 16 bits use; None if there are none, or if it is unknown. Default: None.

    Raises:
        BuildError: the model carries no spec, or a value is outside its range.

    Example:
        >>> from keras_effnet import build_model
        >>> model = build_model("mobilenet_v1", classes=2)
        >>> note_images(model, resize="pad")
        >>> read_embedded_spec(model).resize
        'pad'
    """
    _note(model, resize=resize, bits=bits)


def _note(model: keras.Model, **changes: Any) -> None:
    """Writes new values of what is noted into a model; raises BuildError if they are out of range."""
    told = replace(read_embedded_spec(model), **changes)
    layer = _carrier(model)
    others = {name: value for name, value in parse_json(layer.seed).items() if name not in _USUAL}
    layer.seed = _as_text({**others, **_notes(told)})


def _notes(embedded: EmbeddedSpec) -> dict[str, Any]:
    """What is noted of a model's outputs and images: only what is known, and not as usual."""
    found = {name: getattr(embedded, name) for name in _USUAL}
    return {name: value for name, value in found.items() if value != _USUAL[name]}


def _carrier(model: keras.Model) -> Any:
    found = _carriers(model)
    if len(found) != 1:
        raise BuildError(
            "the model must know its spec: one built here carries it if all its blocks are registered. Pass the "
            "spec that it was built from as `base`.",
            received=f"{model.name!r}, which carries {len(found)} specs",
        )
    return found[0]


def carries_spec(model: keras.Model) -> bool:
    """Whether a model, or a model inside it, carries a spec."""
    return bool(_carriers(model))


def _carriers(model: keras.Model) -> list[Any]:
    """The layers that carry a spec, those of nested models included."""
    found: list[Any] = []
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.Model):
            found += _carriers(layer)
        elif isinstance(layer, keras.layers.GaussianNoise) and is_carrier(type(layer).__name__, layer.seed):
            found.append(layer)
    return found


def _as_text(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))


def is_carrier(kind: str, seed: object) -> bool:
    """Whether a layer of this class and with this seed carries a spec."""
    return kind == "GaussianNoise" and isinstance(seed, str) and seed.startswith('{"keras_effnet":')
