"""By how much a network differs from the one that it inherited from, stage by stage, measured."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_effnet.inheritance.maps import FRESH
from keras_effnet.inheritance.pairing import Pairing
from keras_effnet.ops import Dropout
from keras_effnet.trace import Value

_IMAGES = 4


def stage_differences(
    old: keras.Model, new: keras.Model, pairing: Pairing, side: int, seed: int = 0
) -> dict[str, float]:
    """The largest difference of what each stage emits, on random images, as a share of its largest number.

    Args:
        old: the old model.
        new: the new model, for images of the same shape.
        pairing: the pairing of the two.
        side: side of the images in pixels, where the models take any.
        seed: of the images.

    Returns:
        One number for each stage from stem to top, by name; of channels that come from old ones.
    """
    shape = [side if length is None else length for length in old.input_shape[1:]]
    generator = np.random.default_rng(seed)
    raw = bool(pairing.old.blocks[0].nodes)  # the model preprocesses pixels itself
    images = generator.uniform(0, 255, (_IMAGES, *shape)) if raw else generator.normal(size=(_IMAGES, *shape))
    stages = range(len(pairing.old.stages) - 1 - (not pairing.old.blocks[-1].nodes))
    outputs = []
    for model, trace in ((old, pairing.old), (new, pairing.new)):
        layers = [model.get_layer(_layer_name(trace.blocks_of(stage)[-1].output)).output for stage in stages]
        outputs.append(keras.Model(model.inputs, layers).predict_on_batch(images.astype("float32")))
    found: dict[str, float] = {}
    for stage, before, after in zip(stages, *map(_listed, outputs), strict=True):
        ends = (pairing.new.blocks_of(stage)[-1].output, pairing.old.blocks_of(stage)[-1].output)
        rows = pairing.rows(*ends)
        before, after = _channels_last(before), _channels_last(after)
        known = rows != FRESH
        difference = np.abs(after[..., known] - before[..., rows[known]]).max(initial=0)
        found[pairing.stage_name(stage)] = float(difference / max(np.abs(before).max(), np.finfo(np.float32).tiny))
    return found


def _layer_name(value: Value) -> str:
    """The layer that made a value; a dropout without a rate is none."""
    node = value.maker
    while node is not None and isinstance(node.op, Dropout):
        node = node.inputs[0].maker
    return "" if node is None else node.name


def _listed(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(output) for output in (outputs if isinstance(outputs, list) else [outputs])]


def _channels_last(array: np.ndarray) -> np.ndarray:
    first = keras.config.image_data_format() == "channels_first" and array.ndim == 4
    return np.moveaxis(array, 1, -1) if first else array
