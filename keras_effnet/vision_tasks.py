"""What a network says of an image. Loads neither keras nor numpy.

| task | outputs | last activation | loss |
|---|---|---|---|
| "classification" | one class of several | softmax | cross-entropy |
| "multilabel" | any number of labels, each for itself | sigmoid | mean of the labels' binary cross-entropies |
| "regression" | numbers | none | squared error, in standard deviations of the training images' numbers |
"""

from __future__ import annotations

from typing import Literal, get_args

VisionTask = Literal["classification", "multilabel", "regression"]
TASKS: tuple[VisionTask, ...] = get_args(VisionTask)
ACTIVATIONS: dict[VisionTask, str | None] = {"classification": "softmax", "multilabel": "sigmoid", "regression": None}
THRESHOLD = 0.5  # probability from which an image has a label, where nothing better is known
