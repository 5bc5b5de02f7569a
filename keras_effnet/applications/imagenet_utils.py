"""What goes into and comes out of ImageNet models: `preprocess_input` in Keras' modes, and `decode_predictions`."""

from __future__ import annotations

from typing import Any


def preprocess_none(x: Any, data_format: str | None = None) -> Any:
    """Returns `x` as it is: the model itself preprocesses its pixels, 0 to 255. Here because Keras has it.

    Args:
        x: anything.
        data_format: not used.

    Example:
        >>> preprocess_none([0, 255])
        [0, 255]
    """
    return x


def preprocess_tf(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels from 0 to 255 to -1 to 1: Keras' "tf" mode.

    Args:
        x: numpy array or tensor of one image or a batch; an array of floats may be changed in place.
        data_format: "channels_first" or "channels_last"; None for Keras' own setting.

    Returns:
        The preprocessed pixels, of the same shape.

    Example:
        >>> import numpy as np
        >>> preprocess_tf(np.array([[[0.0, 127.5, 255.0]]])).tolist()
        [[[-1.0, 0.0, 1.0]]]
    """
    return preprocess_pixels(x, "tf", data_format)


def preprocess_caffe(x: Any, data_format: str | None = None) -> Any:
    """Turns RGB pixels, 0 to 255, into BGR and subtracts ImageNet's channel means: Keras' "caffe" mode.

    Args:
        x: numpy array or tensor of one image or a batch; an array of floats may be changed in place.
        data_format: "channels_first" or "channels_last"; None for Keras' own setting.

    Returns:
        The preprocessed pixels, of the same shape.
    """
    return preprocess_pixels(x, "caffe", data_format)


def preprocess_torch(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels to 0 to 1 and normalises them by ImageNet's means and deviations: Keras' "torch" mode.

    Args:
        x: numpy array or tensor of one image or a batch; an array of floats may be changed in place.
        data_format: "channels_first" or "channels_last"; None for Keras' own setting.

    Returns:
        The preprocessed pixels, of the same shape.
    """
    return preprocess_pixels(x, "torch", data_format)


def preprocess_pixels(x: Any, mode: str, data_format: str | None = None) -> Any:
    """Preprocesses pixels, 0 to 255, in one of Keras' modes.

    Args:
        x: numpy array or tensor of one image or a batch; an array of floats may be changed in place.
        mode: "tf", "caffe" or "torch"; "none" returns `x` as it is.
        data_format: "channels_first" or "channels_last"; None for Keras' own setting.

    Returns:
        The preprocessed pixels, of the same shape.
    """
    if mode == "none":
        return x
    import keras

    return keras.applications.imagenet_utils.preprocess_input(x, data_format=data_format, mode=mode)


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Names the most likely ImageNet classes of each prediction, by Keras' class index, which is downloaded once.

    Args:
        preds: scores of shape (batch, 1000).
        top: number of classes to name per image, at least 1.

    Returns:
        For each image a list of (WordNet id, class name, score), most likely first.

    Raises:
        ValueError: `preds` has another shape.
    """
    import keras

    return keras.applications.imagenet_utils.decode_predictions(preds, top=top)
