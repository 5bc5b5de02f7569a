"""The way through a network: the one function that every reader of a whole spec goes through."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any, Literal, get_args

from keras_effnet.blocks.base import Placement
from keras_effnet.checks import check_choice, check_int
from keras_effnet.errors import BuildError
from keras_effnet.ops import Ops, T
from keras_effnet.spec import BackboneSpec, StageSpec

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
    """Reads preprocessing, stem, stages, head and top of `spec` with `ops`, starting from the image `x`.

    Args:
        spec: the network.
        ops: the reader.
        x: the image, as `ops` sees it.
        include_top: whether the classifier follows the features.
        pooling: without top, pools the features over the image.
        classes: of the classifier, at least 1.
        classifier_activation: on the class scores; None gives logits.

    Returns:
        Class scores, features or pooled features, as `ops` sees them.

    Raises:
        BuildError: an unknown pooling, or `classes` below 1.
    """
    check_choice(BuildError, "pooling", pooling, (None, *get_args(Pooling)))
    check_int(BuildError, "classes", classes, 1)
    x = _preprocess(spec, ops, x)
    for stage, place in spec.placements():
        x = _read_stage(stage, place, ops, x)
    if include_top:
        return spec.classifier.apply(ops, x, classes, classifier_activation)
    if pooling:
        x = ops.global_pool(x, kind=pooling, name=f"{pooling}_pool")
    return spec.classifier.finish(ops, x)


def _read_stage(stage: StageSpec, place: Callable[[int], Placement], ops: Ops[T], x: T) -> T:
    def block(index: int, y: T) -> T:
        return stage.block.apply(ops, y, place(index))

    # The first block changes the width; it strides too, or in networks that stride late, the last one does.
    repeated = range(1, stage.depth - stage.block.strides_last)
    return ops.stage(x, block, depth=stage.depth, repeated=repeated, operator=stage.block.describe())


def _preprocess(spec: BackboneSpec, ops: Ops[T], x: T) -> T:
    pixels = spec.preprocessing
    if pixels.rescales:
        x = ops.rescale(x, pixels.scale, pixels.offset, name="rescaling")
    if pixels.standardize:
        x = ops.standardize(x, name="normalization")
    if pixels.mean is not None and pixels.variance is not None:
        channels = ops.channels(x)
        fits = channels == len(pixels.mean)
        # Images of other channels than the statistics: each gets their mean.
        mean = pixels.mean if fits else (fmean(pixels.mean),) * channels
        variance = pixels.variance if fits else (fmean(pixels.variance),) * channels
        x = ops.standardize(x, mean=mean, variance=variance, name="normalization")
    return x
