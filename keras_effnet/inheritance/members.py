"""Which published network a scaled one can take its ImageNet weights from. Needs no Keras."""

from __future__ import annotations

from typing import Literal

from keras_effnet.cost import estimate_cost
from keras_effnet.errors import WeightsError
from keras_effnet.spec import BackboneSpec
from keras_effnet.weights.imagenet import all_published

Member = Literal["below", "above"]


def nearest_member(spec: BackboneSpec, member: Member = "below") -> BackboneSpec:
    """The published network of the same blocks that is nearest to `spec`.

    Args:
        spec: the network that shall inherit.
        member: "below": the largest that is nowhere wider or deeper than `spec`, so that it only has to grow; where
            there is none, the nearest above. "above": the smallest that is nowhere narrower or shallower; where there
            is none, the nearest below.

    Returns:
        Its spec; `spec` itself where weights are published for it.

    Raises:
        WeightsError: nothing is published for these blocks, or only networks wider in one place and narrower in
            another.

    Example:
        >>> from keras_effnet import scale_spec
        >>> nearest_member(scale_spec("efficientnet_b0", phi=0.5)).name
        'efficientnet_b1'
        >>> nearest_member(scale_spec("efficientnet_b0", phi=-1)).name
        'efficientnet_b0'
    """
    alike = [entry.spec for entry in all_published() if _blocks(entry.spec) == _blocks(spec)]
    if not alike:
        names = dict.fromkeys(entry.spec.name for entry in all_published())
        raise WeightsError(
            f"no ImageNet weights are published for networks of these blocks: there are some for {', '.join(names)} "
            "and what is scaled from them. Build with weights=None or with a file of your own.",
            received=repr(spec.name),
        )

    def apart(found: BackboneSpec) -> int:
        return abs(found.resolution - spec.resolution)

    below = [found for found in alike if _fits(found, spec)]
    above = [found for found in alike if _fits(spec, found)]
    # Of weights that were trained at several resolutions, those at the nearest.
    smaller = max(below, key=lambda found: (_params(found), -apart(found)), default=None)
    larger = min(above, key=lambda found: (_params(found), apart(found)), default=None)
    found = (smaller or larger) if member == "below" else (larger or smaller)
    if found is None:
        raise WeightsError(
            "every published network of these blocks is larger than this one in one place and smaller in another: "
            "scale the base by one phi.",
            received=f"{spec.name!r}, published: {', '.join(one.name for one in alike)}",
        )
    return found


def _blocks(spec: BackboneSpec) -> tuple[object, ...]:
    """What stays when a network is scaled: its blocks, and what it does to pixels."""
    blocks = tuple((stage.block, stage.stride) for stage in spec.parts)
    return (*blocks, type(spec.classifier), spec.preprocessing)


def _fits(inner: BackboneSpec, outer: BackboneSpec) -> bool:
    """Whether `inner` is nowhere wider or deeper than `outer`."""
    hidden = [getattr(spec.classifier, "width", 0) for spec in (inner, outer)]
    pairs = zip(inner.parts, outer.parts, strict=True)
    return hidden[0] <= hidden[1] and all(
        small.width <= large.width and small.depth <= large.depth for small, large in pairs
    )


def _params(spec: BackboneSpec) -> int:
    return estimate_cost(spec).params
