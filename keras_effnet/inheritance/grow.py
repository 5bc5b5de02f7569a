"""Grows, shrinks and adapts Keras models: what they have learned goes into another spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypedDict, Unpack, get_args, overload

import keras
import numpy as np

from keras_effnet.builder.build_arguments import image_shape
from keras_effnet.builder.embedded_spec import EmbeddedSpec, carries_spec, note_like
from keras_effnet.builder.initialization import paused_garbage_collection
from keras_effnet.builder.model import build_model
from keras_effnet.checks import check_bool, check_choice, check_int, plain
from keras_effnet.errors import InheritanceError
from keras_effnet.inheritance.adapt import AdaptedStem, Stem, per_image_channel
from keras_effnet.inheritance.arrays import Shares
from keras_effnet.inheritance.compare import measured_difference, stage_differences, with_weights
from keras_effnet.inheritance.embedded_network import EmbeddedNetwork, find_network
from keras_effnet.inheritance.inheritance_plan import InheritanceOptions, InheritancePlan
from keras_effnet.inheritance.inheritance_report import InheritanceReport, Kind, describe
from keras_effnet.inheritance.maps import FRESH, Select
from keras_effnet.inheritance.pairing import Pairing
from keras_effnet.reading.graph import finalize
from keras_effnet.registry import resolve_backbone
from keras_effnet.scaling import scale_spec
from keras_effnet.spec import BackboneSpec
from keras_effnet.trace import trace_network
from keras_effnet.weights.tensors import arrays_of, layer_weights

KEEP: Any = "keep"
"""The classifier's activation stays what it is in the old model."""


class GrowOptions(TypedDict, total=False):
    """The options of `grow_model`, for editors and type checkers; each is described there."""

    phi: float | None
    base: BackboneSpec | None
    exact: bool
    select: Select
    shares: Shares
    noise: float
    seed: int
    channels: int | None
    stem: Stem
    classes: int | Sequence[int] | None
    classifier_activation: str | Callable[..., Any] | None
    input_shape: tuple[int | None, ...] | None
    name: str | None
    memory_limit: float | None


@overload
def grow_model(
    model: keras.Model | EmbeddedNetwork,
    spec: BackboneSpec | str | None = None,
    *,
    return_report: Literal[False] = False,
    **options: Unpack[GrowOptions],
) -> keras.Model: ...


@overload
def grow_model(
    model: keras.Model | EmbeddedNetwork,
    spec: BackboneSpec | str | None = None,
    *,
    return_report: Literal[True],
    **options: Unpack[GrowOptions],
) -> tuple[keras.Model, InheritanceReport]: ...


def grow_model(
    model: keras.Model | EmbeddedNetwork,
    spec: BackboneSpec | str | None = None,
    *,
    phi: float | None = None,
    base: BackboneSpec | None = None,
    exact: bool = True,
    select: Select = "magnitude",
    shares: Shares = "uneven",
    noise: float = 0.0,
    seed: int = 0,
    channels: int | None = None,
    stem: Stem = "sum",
    classes: int | Sequence[int] | None = None,
    classifier_activation: str | Callable[..., Any] | None = KEEP,
    input_shape: tuple[int | None, ...] | None = None,
    name: str | None = None,
    memory_limit: float | None = None,
    return_report: bool = False,
) -> Any:
    """Builds `spec` with what `model` has learned: larger, smaller, or for other images and classes.

    Where the new network is larger it computes the same function. Wider: channels are copied, by one map for all that
    are tied to each other, and what reads the copies shares between them (Net2Net, arXiv:1511.05641). Deeper: new
    blocks start as the identity. Where it is smaller, channels and blocks are selected. Take BatchNorm statistics
    anew then (`keras_effnet.inheritance.recalibrate`), and train on.

    Layer normalisation (ConvNeXt) widens exactly by whole multiples only; grouped convolutions where a new group holds
    whole old ones. `exact` decides what happens elsewhere.

    Args:
        model: model built by this package, loaded from a file of such a model, or any other whose network is a
            registered backbone, such as `keras.applications.ResNet50()`; its network may stand between layers of your
            own, which go along. It stays as it is, and nothing is taken from its optimizer. Or the network that
            `find_network` found in such a model.
        spec: network of the same blocks at other widths and depths, or the name of one; None for the model's own.
        phi: in place of `spec`: how the model's own is scaled by the compound rule; any finite number, above 0 larger.
            `scale_model` takes other rules.
        base: spec of `model`; needed if the model carries none and is no registered backbone.
        exact: whether to refuse if something that grows would not compute the same. What shrinks never does. Both
            networks are asked, not the outputs of the models: those are compared for `return_report=True`.
        select: which channels and blocks a smaller network keeps: "magnitude" (of the kernels), "prefix" or "uniform".
        shares: rule for what each copy of a channel gives to its readers: "uneven" lets training tell them apart; with
            "even" shares and no noise they would stay equal for ever.
        noise: standard deviation of noise on widened kernels, as a share of each kernel's own, at least 0; above 0
            nothing is exact.
        seed: seed of uneven shares and noise, 0 to 4294967295.
        channels: number of channels of the images; None for the model's, or those of `input_shape`.
        stem: rule for a stem that takes images of other channels: "sum" (exact for gray images whose channels were
            equal), "mean", "repeat" or "fresh".
        classes: number of classes of the new classifier (a fresh one, unless there are as many as before), or the
            numbers of the old classes that it keeps; None keeps all.
        classifier_activation: activation of the class scores; "keep" takes the old one.
        input_shape: shape of one image. By default the new spec's resolution if the model has its own spec's, else the
            model's own sides.
        name: name of the new model; the spec's by default.
        memory_limit: number of bytes that the new model may take, as in `build_model`.
        return_report: whether to return the report as well.

    Returns:
        The new model, uncompiled; with `return_report` a pair of it and an `InheritanceReport`, which says `exact` only
        after both models were compared on random images.

    Raises:
        BuildError: the model carries no spec and is no registered backbone, or no model can be built from an argument.
        InheritanceError: the specs have other blocks; the model is not what its spec says, or has a layer that cannot
            be carried along (both are named); or something that grows would not compute the same: names the stages,
            and by how much they differ.
        ModelTooLargeError: as `build_model`.
        RegistryError: an unknown name.
        ScalingError: phi is out of range.

    Example:
        >>> from keras_effnet import build_model, grow_model, scale_spec
        >>> small = scale_spec("mobilenet_v1", phi=-3)
        >>> model, report = grow_model(build_model(small, classes=3), scale_spec(small, phi=1), return_report=True)
        >>> report.exact
        True
    """
    options = InheritanceOptions(select, shares, noise, seed)
    exact = check_bool(InheritanceError, "exact", exact)
    check_choice(InheritanceError, "stem", stem, get_args(Stem))
    found = model if isinstance(model, EmbeddedNetwork) else find_network(model, base)
    old, embedded = found.model, found.embedded
    target = _target(embedded.spec, spec, phi)
    kept = _kept_classes(embedded, classes)
    shape = _shape(found, target, channels, input_shape)
    plan = _plan(found, target, _image_channels(found, shape), options, stem, kept)
    activation = found.activation if classifier_activation == KEEP else classifier_activation

    def build(shape: tuple[int | None, ...]) -> keras.Model:
        core = partial(
            build_model,
            target,
            classifier_activation=activation,
            name=name,
            memory_limit=memory_limit,
            **{**embedded.ending, "classes": embedded.classes if kept is None else len(kept)},
        )
        return found.rebuild(core, shape, old.name if name is None else name)

    new = build(shape)
    # Where nothing stands in front, all layers have the names of their spec.
    layers = find_network(new).layers if found.front else {layer.name: layer for layer in new.layers}
    with paused_garbage_collection():
        for layer, arrays in plan.run(_reader(layers)):
            _assign(layers[layer], arrays)
    if embedded.features is not None:
        plan.pairing.note_levels(embedded.features)
    note_like(new, embedded if kept is None else embedded.of_classes(kept.tolist()))
    if exact and any(difference.grows for difference in plan.pairing.differences):
        raise _not_exact(found, new, build, plan)
    if not return_report:
        return new
    return new, plan.report(None if plan.pairing.differences else _measured(found, new, build, plan.pairing))


def _target(own: BackboneSpec, spec: BackboneSpec | str | None, phi: float | None) -> BackboneSpec:
    if phi is None:
        return own if spec is None else resolve_backbone(spec)
    if spec is not None:
        raise InheritanceError("give the new spec, or phi, not both.", received=f"{phi=} and a spec")
    return scale_spec(own, phi)


def _measured(found: EmbeddedNetwork, new: keras.Model, build: Callable[[Any], keras.Model], pairing: Pairing) -> float:
    """By how much two models differ; features of more channels are compared with those that they are copies of."""
    features = not found.embedded.include_top and not found.behind
    channels = pairing.rows_of_outputs() if features else None
    raw = pairing.preprocesses or bool(found.front)
    return measured_difference(found.model, new, build, raw=raw, channels=channels)


def _plan(
    found: EmbeddedNetwork,
    target: BackboneSpec,
    channels: int,
    options: InheritanceOptions,
    stem: Stem,
    kept: np.ndarray | None,
) -> InheritancePlan:
    """What the new model inherits, with the old one seen as if it took the new one's images."""
    tag, old_channels = found.embedded, found.graph.shapes[found.image][1:][_channel_axis()] or 0
    theirs = trace_network(tag.spec, channels=old_channels, **tag.ending)
    read, border = found.read, ""
    new_classes = tag.classes if kept is None else len(kept)
    ours = trace_network(target, channels=channels, **{**tag.ending, "classes": new_classes})
    kinds: dict[str, Kind] = {}
    if channels != old_channels and stem == "fresh":
        pixels = [node for node in theirs.blocks[0].nodes if node.has_weights]
        kinds = dict.fromkeys((node.name for node in (*pixels, *per_image_channel(theirs))), "fresh")
    elif channels != old_channels:
        read = AdaptedStem(theirs, read, channels, stem)
        kinds = dict.fromkeys(read.names, "adapted")
        border = "" if read.keeps_border else ", not exact where windows reach over the border"
    if channels != old_channels:
        theirs = trace_network(tag.spec, channels=channels, **tag.ending)
    plan = InheritancePlan(theirs, ours, read, options, classes=kept, kinds=kinds)
    if channels != old_channels:
        reason = f"images of {channels} channels in place of {old_channels}: {stem}{border}"
        plan.pairing.differ(0, reason, grows=False)
    if kept is not None:
        plan.pairing.differ(len(target.parts), f"{len(kept)} classes in place of {tag.classes}", grows=False)
    return plan


def _reader(layers: Mapping[str, Any]) -> Callable[[str], list[np.ndarray]]:
    def read(name: str) -> list[np.ndarray]:
        return arrays_of(layer_weights(layers[name]))

    return read


def _assign(layer: Any, arrays: list[np.ndarray]) -> None:
    for variable, array in zip(layer_weights(layer), arrays, strict=True):
        variable.assign(array)
    finalize(layer)


def _channel_axis() -> int:
    """Of the shape of one image."""
    return 0 if keras.config.image_data_format() == "channels_first" else -1


def _shape(
    found: EmbeddedNetwork, target: BackboneSpec, channels: int | None, input_shape: tuple[int | None, ...] | None
) -> tuple[int | None, ...]:
    """The shape of one input of the new model."""
    old = tuple(found.model.input_shape[1:])
    if found.front:
        # What the user's own layers make of an input is theirs to say.
        if channels is not None:
            raise InheritanceError(
                "`channels` are those of the images that the network reads, which layers in front of it make: cut "
                f"{', '.join(map(repr, found.front))} off.",
                received=f"channels={channels!r}",
            )
        return old if input_shape is None else tuple(input_shape)
    if input_shape is None:
        input_shape = _default_shape(old, found.embedded.spec, target, channels)
    shape = image_shape(target, found.embedded.include_top, None, input_shape)
    if channels not in (None, shape[_channel_axis()]):
        raise InheritanceError("`channels` must be those of `input_shape`.", received=f"{channels=}, {input_shape=}")
    return shape


def _image_channels(found: EmbeddedNetwork, shape: tuple[int | None, ...]) -> int:
    """Number of channels of the image that the new network reads."""
    if found.front:
        shape = found.graph.shapes[found.image][1:]
    return shape[_channel_axis()] or 0


def _default_shape(
    old: tuple[int | None, ...], base: BackboneSpec, target: BackboneSpec, channels: int | None
) -> tuple[int | None, ...]:
    """The new spec's resolution where the model has its own spec's; else the model's own sides."""
    shape: list[int | None] = list(old)
    found = shape.pop(_channel_axis())
    if shape == [base.resolution] * 2:
        shape = [target.resolution, target.resolution]
    shape.insert(0 if _channel_axis() == 0 else 2, found if channels is None else channels)
    return tuple(shape)


def _kept_classes(tag: EmbeddedSpec, classes: int | Sequence[int] | None) -> np.ndarray | None:
    """The old class of each new one; None where they stay as they are."""
    classes = plain(list(classes) if isinstance(classes, Sequence) else classes)
    if classes is None or classes == tag.classes:
        return None
    if not tag.include_top:
        raise InheritanceError(
            "a model without a classifier has no classes: leave `classes` out.", received=f"classes={classes!r}"
        )
    if not isinstance(classes, tuple):
        return np.full(check_int(InheritanceError, "classes", classes, 1), FRESH)
    if not classes:
        raise InheritanceError("`classes` must keep one class or more.", received=f"classes={classes!r}")
    return np.array(
        [check_int(InheritanceError, "numbers in `classes`", number, 0, tag.classes - 1) for number in classes]
    )


def _not_exact(
    found: EmbeddedNetwork, new: keras.Model, build: Callable[[Any], keras.Model], plan: InheritancePlan
) -> InheritanceError:
    """The error for a network that grows and does not compute the same."""
    measured, old = "", found.model
    named = carries_spec(old)  # else its layers may have any names
    if found.alone and named and new.input_shape[1:][_channel_axis()] == old.input_shape[1:][_channel_axis()]:
        if new.input_shape != old.input_shape:
            new = with_weights(build(old.input_shape[1:]), new)
        side = 2 * found.embedded.spec.total_stride
        shares = stage_differences(old, new, plan.pairing, side)
        listed = ", ".join(f"{stage} {share:.2g}" for stage, share in shares.items())
        measured = f" Largest differences on random images, in shares of the largest output: {listed}."
    reasons = "; ".join(line.strip() for line in describe([d for d in plan.pairing.differences if d.grows]))
    return InheritanceError(
        f"{plan.pairing.new.name!r} would not compute what {old.name!r} does: {reasons}.{measured} Choose other "
        "widths and depths, or take it as it is with exact=False and train on.",
        received="exact=True",
    )
