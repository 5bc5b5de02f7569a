"""`explain_int8`: what each layer of a model loses when its output becomes int8."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import keras

from keras_effnet.export.drafting import draft_model
from keras_effnet.export.int8 import Int8Layer, int8_layers
from keras_effnet.tables import aligned

if TYPE_CHECKING:
    from keras_effnet.tensor_names import Arrays


def explain_int8(model: keras.Model | str | os.PathLike[str], calibration: Arrays) -> list[Int8Layer]:
    """Says what each layer of a model loses when its output becomes int8, the worst first.

    Args:
        model: a model, on any backend, or the path of a saved one, as for `export_model`.
        calibration: images as for `export_model`: pixels of shape (images, height, width, channels), or an array for
            each input.

    Returns:
        The layers as they stand in the file: BatchNorm and activations are part of the convolution before them.

    Raises:
        ExportError, InheritanceError: as `export_model`.

    Example:
        >>> import numpy as np
        >>> from keras_effnet import build_model, explain_int8, scale_spec
        >>> model = build_model(scale_spec("mobilenet_v1", phi=-6), classes=3)
        >>> images = np.random.default_rng(0).uniform(0, 255, (4, *model.input_shape[1:]))
        >>> layers = explain_int8(model, images)
        >>> layers[0].noise >= layers[-1].noise
        True
    """
    _, draft = draft_model(model, calibration=calibration, calibrated=True)
    return [layer for layer, _ in int8_layers(draft)]


def int8_table(layers: Sequence[Int8Layer], most: int = 10) -> str:
    """The worst layers as a table.

    Args:
        layers: the layers, from `explain_int8`.
        most: number of layers that are shown, at least 1.
    """
    cells = [("layer", "operator", "lowest", "highest", "noise")]
    for each in layers[:most]:
        cells.append((each.layer, each.operator, f"{each.lowest:.3g}", f"{each.highest:.3g}", f"{each.noise:.1%}"))
    return "\n".join([*aligned(cells, text_column=0), "", f"The worst of {len(layers)} layers."]) + "\n"


def int8_csv(layers: Sequence[Int8Layer]) -> str:
    """All layers as CSV.

    Args:
        layers: the layers, from `explain_int8`.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(Int8Layer)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(each.to_dict() for each in layers)
    return out.getvalue()
