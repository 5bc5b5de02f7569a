"""TensorFlow's converter to LiteRT files, set to a network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_effnet.export.draft import Draft
from keras_effnet.export.tensorflow_graph import tensorflow_function
from keras_effnet.extras import import_extra


def litert_converter(draft: Draft, named: bool = False) -> Any:
    """TensorFlow's converter of a network.

    A file of several inputs or outputs has their names in a signature, which may have another order than the model. One
    whose layers are named has none: the debugger of int8 files knows inputs by their order alone.

    Args:
        draft: the network.
        named: whether operations carry the name of their layer, which makes files larger. Default: False.
    """
    tf = import_extra("tensorflow", "this format")
    shapes, first, signed = draft.shapes, draft.channels_first, _is_signed(draft, named)
    names = draft.metadata.file_names if signed else None
    function = tensorflow_function(draft.network, draft.weights, shapes, draft.batch, first, names, named)
    holder = function
    if signed:
        holder = tf.Module()
        holder.serve = function  # the converter writes a signature for what a module holds
    return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], holder)


def one_by_one(draft: Draft, named: bool = False) -> Iterable[dict[str, np.ndarray] | list[np.ndarray]]:
    """The draft's images, as a network for one image (or for a whole batch) takes them.

    Args:
        draft: the network, with images to calibrate with.
        named: as in `litert_converter`. Default: False.

    Returns:
        For each image an array for each input, by name if the file has a signature.
    """
    names, _ = draft.metadata.file_names
    for images in zip(*(draft.calibration or ()), strict=True):
        batches = [np.repeat(image[None], draft.batch or 1, axis=0) for image in images]
        yield dict(zip(names, batches, strict=True)) if _is_signed(draft, named) else batches


def _is_signed(draft: Draft, named: bool) -> bool:
    return not named and max(len(draft.metadata.inputs), len(draft.metadata.returns)) > 1
