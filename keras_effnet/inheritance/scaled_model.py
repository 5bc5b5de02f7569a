"""`scale_model`: the product in one call."""

from __future__ import annotations

import zipfile
from os import PathLike, fspath
from typing import Any, Literal, cast, get_args, overload

import keras

from keras_effnet.builder.embedded_spec import carries_spec
from keras_effnet.builder.model import build_model
from keras_effnet.checks import check_choice
from keras_effnet.errors import BuildError, WeightsError
from keras_effnet.inheritance.embedded_network import known_network
from keras_effnet.inheritance.grow import grow_model
from keras_effnet.inheritance.inheritance_report import InheritanceReport
from keras_effnet.inheritance.members import Member, nearest_member
from keras_effnet.inheritance.scaled_graph import scale_graph
from keras_effnet.scaling import Coefficients, Rounding, ScalingRule, scale_spec
from keras_effnet.spec import BackboneSpec
from keras_effnet.weights.imagenet import all_published

_SAVED = (".keras", ".h5")
# What Keras was seen to raise on files that are missing, broken or hold something else.
_BROKEN = (OSError, ValueError, TypeError, LookupError, AttributeError, zipfile.BadZipFile)


Scalable = BackboneSpec | str | PathLike[str] | keras.Model


@overload
def scale_model(
    spec: Scalable,
    phi: float | None = None,
    *,
    rule: ScalingRule | str | None = None,
    coefficients: Coefficients | None = None,
    rounding: Rounding | None = None,
    weights: str | PathLike[str] | None = None,
    member: Member = "below",
    return_report: Literal[False] = False,
    **arguments: Any,
) -> keras.Model: ...


@overload
def scale_model(
    spec: Scalable,
    phi: float | None = None,
    *,
    rule: ScalingRule | str | None = None,
    coefficients: Coefficients | None = None,
    rounding: Rounding | None = None,
    weights: str | PathLike[str] | None = None,
    member: Member = "below",
    return_report: Literal[True],
    **arguments: Any,
) -> tuple[keras.Model, InheritanceReport]: ...


# The rows of a `Tabulated` rule have names; without such a rule a text is no phi.
@overload
def scale_model(spec: Scalable, phi: str, *, rule: ScalingRule | str, **arguments: Any) -> keras.Model: ...


def scale_model(
    spec: Scalable,
    phi: float | str | None = None,
    *,
    rule: ScalingRule | str | None = None,
    coefficients: Coefficients | None = None,
    rounding: Rounding | None = None,
    weights: str | PathLike[str] | None = None,
    member: Member = "below",
    **arguments: Any,
) -> Any:
    """Scales a backbone and builds it, or scales a trained model with all that it has learned.

    | given | does |
    |---|---|
    | a spec or a registered name | `build_model(scale_spec(spec, phi, ...), ...)` |
    | the same and `weights="imagenet"` | takes the nearest published network and lets it grow (or shrink) |
    | a model built here, or the path of one (`.keras`, `.h5`) | `grow_model(model, scale_spec(its spec, phi), ...)` |
    | a registered backbone, whoever built it | the same |
    | any other Keras model | scales it from its graph alone (`scale_network` says how), with its weights |

    Args:
        spec: a backbone, the name of a registered one, a trained model, or the path of a saved one. A model built here
            carries its spec; a registered backbone is recognised by what its layers compute, whoever built it.
        phi: as in `scale_spec`: any real number; 0 is the base.
        rule: as in `scale_spec`.
        coefficients: as in `scale_spec`.
        rounding: as in `scale_spec`.
        weights: weights for a spec, as in `build_model`; "imagenet" serves every size of a published network, any
            number of classes and images of any channels.
        member: nearest published network to take ImageNet weights from: "below", which then grows, or "above", which
            then shrinks. If there is none on that side, the other is taken.
        **arguments: arguments of `build_model` (`classes`, `include_top`, `input_shape`, ...); for what inherits, of
            `grow_model` (`exact`, `stem`, `select`, `return_report`, ...); for a model without a spec, those of
            `grow_model` that say how weights follow (`exact`, `select`, `shares`, `noise`, `seed`), `name`,
            `memory_limit` and `return_report`.

    Returns:
        A flat keras.Model; with `return_report=True` a pair of it and the report.

    Raises:
        BuildError, InheritanceError, ModelTooLargeError, RegistryError, ScalingError, SpecError, WeightsError: as
            `scale_spec`, `build_model` and `grow_model`.

    Example:
        >>> from keras_effnet import scale_model
        >>> from keras_effnet.applications import mobilenet_v1_spec
        >>> model = scale_model(mobilenet_v1_spec, phi=-2, classes=10)
        >>> model.count_params()
        2043786
        >>> scale_model(model, phi=0.5).count_params()
        3336562
    """
    check_choice(WeightsError, "member", member, get_args(Member))
    scaling: dict[str, Any] = {"rule": rule, "coefficients": coefficients, "rounding": rounding}
    if isinstance(spec, keras.Model) or _is_saved(spec):
        model = spec if isinstance(spec, keras.Model) else load_model(cast("str", spec))
        if weights is not None:
            raise BuildError("a trained model has its weights: leave `weights` out.", received=f"weights={weights!r}")
        base = arguments.get("base")
        if base is not None:
            return grow_model(model, scale_spec(base, phi, **scaling), **arguments)
        found = known_network(model)
        if found is None:
            return scale_graph(model, phi, **scaling, **arguments)
        return grow_model(found, scale_spec(found.embedded.spec, phi, **scaling), **arguments)
    scaled = scale_spec(cast("BackboneSpec | str", spec), phi, **scaling)
    if weights == "imagenet":
        return _from_imagenet(scaled, member, **arguments)
    return build_model(scaled, weights=weights, **arguments)


def _is_saved(path: object) -> bool:
    return isinstance(path, str | PathLike) and fspath(path).endswith(_SAVED)


def load_model(path: str | PathLike[str]) -> keras.Model:
    """The model in a file. Nothing in the file is executed.

    Args:
        path: path of a `.keras` or `.h5` file that `model.save` wrote.

    Raises:
        WeightsError: the file is missing, broken, or holds no model.
    """
    try:
        return cast(keras.Model, keras.models.load_model(path, compile=False, safe_mode=True))
    except _BROKEN as error:
        raise WeightsError(
            f"the model cannot be loaded: {error}. It must be a file that model.save() wrote.", received=repr(str(path))
        ) from error


def load_backbone(path: str | PathLike[str]) -> keras.Model:
    """The model in a file, with the spec of its network: a registered backbone without one is built again with it.

    Args:
        path: path of a `.keras` or `.h5` file that `model.save` wrote.

    Raises:
        WeightsError: as `load_model`.
        BuildError, InheritanceError: as `grow_model`.
    """
    model = load_model(path)
    return model if carries_spec(model) else grow_model(model, name=model.name)


def _from_imagenet(
    spec: BackboneSpec,
    member: Member,
    *,
    include_top: bool = True,
    pooling: str | None = None,
    classes: Any = None,
    classifier_activation: Any = "softmax",
    features: Any = None,
    output_stride: Any = None,
    **arguments: Any,
) -> Any:
    """A network of any size with what the nearest published one has learned."""
    published = nearest_member(spec, member)
    options: dict[str, Any] = {"pooling": pooling, "classifier_activation": classifier_activation}
    options |= {"features": features, "output_stride": output_stride}
    if classes is None and not arguments and any(entry.matches(spec) for entry in all_published()):
        return build_model(spec, include_top, "imagenet", **options)
    trained = build_model(published, include_top, "imagenet", **options)
    return grow_model(trained, spec, classes=classes if include_top and features is None else None, **arguments)
