"""Which registered backbones are sizes of one network: the base, and what was published as its scaled variants."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # TinyNets are EfficientNet-B0 made smaller (arXiv:2010.14819).
        "efficientnet_b0": (
            *(f"tinynet_{size}" for size in "edcba"),
            *(f"efficientnet_b{number}" for number in range(1, 9)),
            "efficientnet_l2",
        ),
        "efficientnet_edgetpu_s": ("efficientnet_edgetpu_m", "efficientnet_edgetpu_l"),
        "efficientnet_lite0": tuple(f"efficientnet_lite{number}" for number in range(1, 5)),
        "efficientnet_v2_b0": tuple(f"efficientnet_v2_{size}" for size in ("b1", "b2", "b3", "s", "m", "l", "xl")),
        "convnext_tiny": tuple(f"convnext_{size}" for size in ("small", "base", "large", "xlarge")),
        "densenet121": ("densenet169", "densenet201"),
        "resnet50": ("resnet101", "resnet152"),
        "resnet50_v2": ("resnet101_v2", "resnet152_v2"),
        "resnet_rs50": tuple(f"resnet_rs{layers}" for layers in (101, 152, 200, 270, 350, 420)),
        "regnet_x_400mf": ("regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_4_0gf"),
        "regnet_y_400mf": ("regnet_y_800mf", "regnet_y_1_6gf", "regnet_y_4_0gf"),
    }
)


def family_of(name: str) -> str | None:
    """The base of the family that a backbone of this name belongs to; None where it belongs to none.

    Example:
        >>> family_of("efficientnet_b3"), family_of("mobilenet_v1")
        ('efficientnet_b0', None)
    """
    if name in FAMILIES:
        return name
    return next((base for base, members in FAMILIES.items() if name in members), None)
