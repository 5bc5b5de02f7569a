"""What the builders named like those of keras.applications share. Nothing here imports keras before it is called."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from keras_effnet.spec import BackboneSpec

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

Builder = TypeVar("Builder", bound=Callable[..., Any])


class Application(Protocol):
    """The signature that builders share with their namesakes in keras.applications."""

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


def application(spec: BackboneSpec, name: str) -> Application:
    """Makes the builder of `spec` that takes the arguments of `keras.applications.<name>`.

    The arguments, the layer names, the parameter totals and the outputs are those of the namesake; `input_shape` may
    have any number of channels, also with top. See `keras_effnet.build_model` for each argument and each error.

    Args:
        spec: what to build.
        name: of the builder; in lower case, of the models it makes.

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
        from keras_effnet.builder.model import build_model

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

    return documented(build, name, spec.resolution)


# What is said of an argument, wherever a builder has it.
_ARGUMENTS = {
    "include_top": "whether the classifier follows the features.",
    "weights": 'None (random), "imagenet" (Keras\' own file), or the path of a weight file.',
    "input_tensor": "a Keras tensor to build upon.",
    "input_shape": "of one image, such as (224, 224, 3) or (None, None, 1).",
    "pooling": 'without top: None, "avg" or "max".',
    "classes": "of the classifier; 1000 with ImageNet weights and top.",
    "classifier_activation": "on the class scores; None gives logits.",
    "name": "of the model.",
}
_RAISES = {
    "BuildError": "an argument that no model can be built from.",
    "WeightsError": "weights that are missing, broken or of another architecture.",
}


def documented(build: Builder, name: str, resolution: int, about: str = "", /, **texts: str) -> Builder:
    """Gives a builder its name, and a docstring with a line for each argument and error.

    Args:
        build: the builder; its signature tells the arguments and their order.
        name: of its namesake in keras.applications.
        resolution: of an image by default, in pixels.
        about: what else there is to say, after the first line.
        **texts: what to say of arguments and errors that not all builders have, or that mean more here.

    Returns:
        The builder.
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
    build.__doc__ = "\n\n".join(parts) + "\n"
    return build


def mobile_resolution(
    input_shape: Any, input_tensor: Any, weights: Any, published: Collection[int], default: int = 224
) -> int:
    """The resolution whose ImageNet weights suit the input: its own where there are any, else the default.

    Keras' rule for MobileNet and MobileNetV2, which have a weight file for each of several resolutions.

    Args:
        input_shape: of one image, or None.
        input_tensor: a Keras tensor, or None; counts where there is no shape.
        weights: as the builder was given them: with "imagenet" an input that no weights were made for is logged.
        published: resolutions with weights, in pixels.
        default: the resolution otherwise.
    """
    import keras

    if input_shape is None and input_tensor is not None:
        input_shape = tuple(input_tensor.shape)[1:]
    if input_shape is None or len(input_shape) != 3:
        return default
    first = keras.config.image_data_format() == "channels_first"
    height, width = input_shape[1:] if first else input_shape[:2]
    if height == width and height in published:
        return height
    if weights == "imagenet":
        logger.warning(
            "no ImageNet weights were made for images of %s x %s: those for %d are used", height, width, default
        )
    return default


def tf_pixels(x: Any, data_format: str | None = None) -> Any:
    """Keras' "tf" mode: pixels 0 to 255 to -1 to 1."""
    return preprocess_pixels(x, "tf", data_format)


def caffe_pixels(x: Any, data_format: str | None = None) -> Any:
    """Keras' "caffe" mode: pixels 0 to 255, RGB, to BGR without ImageNet's channel means."""
    return preprocess_pixels(x, "caffe", data_format)


def torch_pixels(x: Any, data_format: str | None = None) -> Any:
    """Keras' "torch" mode: pixels 0 to 255 to 0 to 1, without ImageNet's channel means, in its standard deviations."""
    return preprocess_pixels(x, "torch", data_format)


def preprocess_pixels(x: Any, mode: str, data_format: str | None = None) -> Any:
    """Keras' preprocessing of pixels 0 to 255 in one of its modes; "none" returns them as they are."""
    if mode == "none":
        return x
    import keras

    return keras.applications.imagenet_utils.preprocess_input(x, data_format=data_format, mode=mode)


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """The `top` most likely ImageNet classes of each prediction, by Keras' own class index (fetched once).

    Args:
        preds: scores of shape (batch, 1000).
        top: how many, at least 1.

    Returns:
        For each image, (WordNet id, class name, score) from the most likely down.

    Raises:
        ValueError: `preds` has another shape.
    """
    import keras

    return keras.applications.imagenet_utils.decode_predictions(preds, top=top)
