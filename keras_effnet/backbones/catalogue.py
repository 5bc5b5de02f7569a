"""The catalogue: every backbone of this package, gathered from the modules that hold the families.

Each of these modules lists its own rows as `VARIANTS`. Registry, applications, ImageNet weights, golden values and the
tables of the documentation (`scripts/catalogue.py`) read them here; a name stands nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from keras_effnet.backbones import (
    convnext_specs,
    densenet_specs,
    efficientnet_edgetpu_specs,
    efficientnet_lite_specs,
    efficientnet_specs,
    efficientnet_v2_specs,
    ghostnet_specs,
    mnasnet_specs,
    mobilenet_specs,
    mobilenet_v2_specs,
    mobilenet_v3_specs,
    mobilenet_v4_specs,
    mobileone_specs,
    regnet_specs,
    repvgg_specs,
    resnet_basic_specs,
    resnet_rs_specs,
    resnet_specs,
    resnet_v2_specs,
    resnext_specs,
    tinynet_specs,
)
from keras_effnet.backbones.published import Variant
from keras_effnet.spec import BackboneSpec

# In the order of the documentation's table.
MODULES: tuple[ModuleType, ...] = (
    efficientnet_specs,
    efficientnet_v2_specs,
    efficientnet_lite_specs,
    efficientnet_edgetpu_specs,
    mnasnet_specs,
    tinynet_specs,
    resnet_basic_specs,
    resnet_specs,
    resnet_v2_specs,
    resnet_rs_specs,
    resnext_specs,
    regnet_specs,
    mobilenet_specs,
    mobilenet_v2_specs,
    mobilenet_v3_specs,
    mobilenet_v4_specs,
    mobileone_specs,
    repvgg_specs,
    ghostnet_specs,
    convnext_specs,
    densenet_specs,
)

VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {variant.name: variant for module in MODULES for variant in module.VARIANTS}
)
"""The row of every registered name."""

SPECS: Mapping[str, BackboneSpec] = MappingProxyType({name: variant.spec for name, variant in VARIANTS.items()})
"""The spec of every registered name: what `keras_effnet.registry.backbones` holds."""

FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        base: tuple(name for name, variant in VARIANTS.items() if variant.base == base)
        for base in dict.fromkeys(variant.base for variant in VARIANTS.values())
        if base is not None
    }
)
"""The other published sizes of each network that has some, by the name of the base."""


def family_of(name: str) -> str | None:
    """The base of the family that a backbone belongs to.

    Args:
        name: a registered name, or any other text.

    Returns:
        The name of the base, which may be `name` itself; None for a network of one size and for an unknown name.

    Example:
        >>> family_of("efficientnet_b3"), family_of("mobilenet_v1")
        ('efficientnet_b0', None)
    """
    if name in FAMILIES:
        return name
    return VARIANTS[name].base if name in VARIANTS else None
