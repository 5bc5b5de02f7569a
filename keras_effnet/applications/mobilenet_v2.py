"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381, Table 2), and a builder like Keras'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keras_effnet.applications.builders import decode_predictions, mobile_resolution, tf_pixels
from keras_effnet.applications.published import KERAS_STORAGE, Published, WeightFile
from keras_effnet.blocks import ConvBlock, DenseClassifier, InvertedResidual
from keras_effnet.blocks.mobile import MOBILENET_V2_NORM
from keras_effnet.checks import check_number
from keras_effnet.errors import SpecError
from keras_effnet.scaling import Rounding
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec

if TYPE_CHECKING:
    import keras

# (expand, width, depth, stride): arXiv:1801.04381, Table 2.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# Alphas and resolutions with published weights: applications/mobilenet_v2.py of Keras.
_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
_RESOLUTIONS = (96, 128, 160, 192, 224)


def mobilenet_v2_with(alpha: float = 1.0) -> BackboneSpec:
    """MobileNetV2 with the paper's width multiplier: multiples of 8; the head never has fewer than 1280 channels.

    Args:
        alpha: width multiplier, above 0.

    Returns:
        The spec, at 224 px.

    Raises:
        SpecError: alpha is not a number above 0.
    """
    check_number(SpecError, "alpha", alpha, 0, open_low=True)
    widened = Rounding().nearest_width
    return BackboneSpec(
        name="mobilenet_v2",
        stem=_conv(3, ("Conv1", "bn_Conv1", "Conv1_relu"), widened(32 * alpha), stride=2),
        # Keras cuts a stage's width to a whole number before it rounds it to a multiple of 8.
        stages=tuple(
            StageSpec(InvertedResidual(expand=expand), widened(int(width * alpha)), depth, stride)
            for expand, width, depth, stride in _STAGES
        ),
        head=_conv(1, ("Conv_1", "Conv_1_bn", "out_relu"), widened(1280 * max(alpha, 1.0))),
        classifier=DenseClassifier(),
        resolution=224,
        preprocessing=Preprocessing(mode="tf"),
    )


def _conv(kernel: int, names: tuple[str, str, str], width: int, stride: int = 1) -> StageSpec:
    return StageSpec(ConvBlock(kernel, activation="relu6", norm=MOBILENET_V2_NORM, names=names), width, stride=stride)


mobilenet_v2_spec = mobilenet_v2_with()


def MobileNetV2(  # noqa: N802 - named after its namesake in keras.applications
    input_shape: tuple[int | None, ...] | None = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: str | None = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    name: str | None = None,
) -> keras.Model:
    """Builds MobileNetV2 as `keras.applications.MobileNetV2` does.

    Args:
        input_shape: of one picture; (224, 224, 3) by default.
        alpha: width multiplier, above 0; 0.35, 0.5, 0.75, 1, 1.3 or 1.4 with ImageNet weights.
        include_top: whether the classifier follows the features.
        weights: None (random), "imagenet" (Keras' own file), or the path of a weight file.
        input_tensor: a Keras tensor to build upon.
        pooling: without top: None, "avg" or "max".
        classes: of the classifier; 1000 with ImageNet weights and top.
        classifier_activation: on the class scores; None gives logits.
        name: of the model; "mobilenetv2_1.00_224" and so on by default.

    Returns:
        A keras.Model.

    Raises:
        BuildError: an argument that no model can be built from.
        SpecError: an alpha outside its range.
        WeightsError: weights that are missing, broken or of another architecture.

    Example:
        >>> model = MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, weights=None)
        >>> model.name
        'mobilenetv2_0.35_96'
    """
    from keras_effnet.builder.model import build_model

    resolution = mobile_resolution(input_shape, input_tensor, _RESOLUTIONS, default=224)
    return build_model(
        replace(mobilenet_v2_with(alpha), resolution=resolution),
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=f"mobilenetv2_{alpha:0.2f}_{resolution}" if name is None else name,
    )


def published() -> Iterator[Published]:
    """Every architecture of this module that has ImageNet weights."""
    for alpha in _ALPHAS:
        for resolution in _RESOLUTIONS:
            spec = replace(mobilenet_v2_with(alpha), resolution=resolution)
            stem = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{resolution}"
            yield Published(spec, _file(f"{stem}.h5"), _file(f"{stem}_no_top.h5"), any_resolution=False)


def _file(name: str) -> WeightFile:
    return WeightFile(name, f"{KERAS_STORAGE}/mobilenet_v2/{name}")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels 0 to 255 to -1 to 1: Keras' "tf" mode.

    Args:
        x: a numpy array or tensor of one picture or a batch; an array of floats may be changed in place.
        data_format: "channels_first" or "channels_last"; Keras' default.

    Returns:
        The preprocessed pixels.
    """
    return tf_pixels(x, data_format)


__all__ = ["MobileNetV2", "decode_predictions", "mobilenet_v2_spec", "mobilenet_v2_with", "preprocess_input"]
