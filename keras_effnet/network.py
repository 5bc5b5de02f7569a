"""The way through a network: the one function that every reader of a whole spec goes through."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

from keras_effnet.checks import check_choice, check_int
from keras_effnet.errors import BuildError
from keras_effnet.ops import Ops, T
from keras_effnet.spec import BackboneSpec

Pooling = Literal["avg", "max"]


def read_network(
    spec: BackboneSpec,
    ops: Ops[T],
    x: T,
    *,
    include_top: bool = True,
    pooling: Pooling | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
) -> T:
    """Reads preprocessing, stem, stages, head and top of `spec` with `ops`, starting from the picture `x`.

    Args:
        spec: the network.
        ops: the reader.
        x: the picture, as `ops` sees it.
        include_top: whether the classifier follows the features.
        pooling: without top, pools the features over the picture.
        classes: of the classifier, at least 1.
        classifier_activation: on the class scores; None gives logits.

    Returns:
        Class scores, features or pooled features, as `ops` sees them.

    Raises:
        BuildError: an unknown pooling, or `classes` below 1.
    """
    check_choice(BuildError, "pooling", pooling, (None, *get_args(Pooling)))
    check_int(BuildError, "classes", classes, 1)
    if spec.preprocessing.rescales:
        x = ops.rescale(x, spec.preprocessing.scale, spec.preprocessing.offset, name="rescaling")
    if spec.preprocessing.standardize:
        x = ops.standardize(x, name="normalization")
    for stage, places in spec.placements():
        blocks = (partial(stage.block.apply, ops, at=at) for at in places)
        x = ops.stage(x, blocks, depth=stage.depth, operator=stage.block.describe())
    if include_top:
        return spec.classifier.apply(ops, x, classes, classifier_activation)
    return ops.global_pool(x, kind=pooling, name=f"{pooling}_pool") if pooling else x
