"""Makes builders that take the arguments of their namesakes in keras.applications. Imports keras only when called."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from keras_effnet.spec import BackboneSpec

if TYPE_CHECKING:
    import keras

Builder = TypeVar("Builder", bound=Callable[..., Any])


class Application(Protocol):
    """The signature that most builders of keras.applications have."""

    def __call__(
        self,
        include_top: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        name: str | None = None,
    ) -> keras.Model: ...


def application(spec: BackboneSpec, name: str, module: str) -> Application:
    """Makes the builder of a network with the arguments of `keras.applications.<name>`.

    Arguments, layer names, parameter totals and outputs are those of the namesake; `input_shape` may have any number of
    channels, also with top. See `keras_effnet.build_model` for each argument and each error.

    Args:
        spec: the network to build.
        name: name of the builder, and in lower case of the models that it makes.
        module: name of the module in which the builder is defined.

    Returns:
        The builder.
    """
    model_name = name.lower()

    def build(
        include_top: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        name: str | None = model_name,
    ) -> keras.Model:
        from keras_effnet import build_model  # and not from its module: names the extra if there is no backend

        return build_model(
            spec,
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
        )

    return documented(build, name, module, spec.resolution)


# What is said of an argument and of an error, wherever a builder has them.
_ARGUMENTS = {
    "include_top": "whether the classifier follows the features.",
    "weights": 'None (random), "imagenet" (Keras\' own file), or the path of a weight file.',
    "input_tensor": "Keras tensor to build upon; None makes a new input.",
    "input_shape": "shape of one image, such as (224, 224, 3) or (None, None, 1); None for the default resolution.",
    "pooling": 'pooling of the features without top: None, "avg" or "max".',
    "classes": "number of classes, at least 1; 1000 with ImageNet weights and top.",
    "classifier_activation": "activation of the class scores; None gives logits.",
    "name": "name of the model.",
}
_RAISES = {
    "BuildError": "no model can be built from these arguments.",
    "WeightsError": "the weights are missing, broken, or of another architecture.",
}


def documented(build: Builder, name: str, module: str, resolution: int, about: str = "", /, **texts: str) -> Builder:
    """Gives a builder its name, its module, and a docstring with a line for each argument and error.

    Args:
        build: the builder; its signature tells the arguments and their order.
        name: name of the builder and of its namesake in keras.applications.
        module: name of the module in which the builder is defined, so that pickle and inspect find it.
        resolution: height and width of an image by default, in pixels.
        about: what else there is to say, after the first line.
        **texts: descriptions of arguments and errors that other builders lack, or that mean more here.

    Returns:
        The same builder.
    """
    arguments = signature(build).parameters
    raises = {**_RAISES, **{key: text for key, text in texts.items() if key not in arguments}}
    parts = [
        f"Builds {name} as `keras.applications.{name}` does, at {resolution} px by default.",
        *([about] if about else []),
        "\n".join(["Args:", *(f"    {key}: {texts.get(key) or _ARGUMENTS[key]}" for key in arguments)]),
        "Returns:\n    A keras.Model.",
        "\n".join(["Raises:", *(f"    {error}: {raises[error]}" for error in sorted(raises))]),
        f"Example:\n    >>> from keras_effnet.applications import {name}\n"
        f"    >>> model = {name}(weights=None, classes=10)",
    ]
    build.__name__ = build.__qualname__ = name
    build.__module__ = module
    build.__doc__ = "\n\n".join(parts) + "\n"
    return build
