"""Names for objects: what the command line, files and plugins say instead of importing.

Python users pass objects and need no registry. A registry knows *where* an object is ("module:attribute"), and imports
it only when it is asked for, so that listing the names costs nothing.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from keras_effnet.errors import RegistryError

if TYPE_CHECKING:
    from keras_effnet.blocks.base import Block
    from keras_effnet.scaling.rules import ScalingRule
    from keras_effnet.spec import BackboneSpec

T = TypeVar("T")


class Registry(Generic[T]):
    """Names for objects of one kind.

    Args:
        kind: what is registered, for messages: "backbone".
        places: "module:attribute" for each name.

    Example:
        >>> "efficientnet_b0" in backbones.names()
        True
    """

    def __init__(self, kind: str, places: dict[str, str]) -> None:
        self.kind = kind
        self._places: dict[str, str | T] = dict(places)

    def names(self) -> tuple[str, ...]:
        """All names, sorted; imports nothing."""
        return tuple(sorted(self._places))

    def register(self, name: str, value: T | str) -> None:
        """Gives `value`, an object or its "module:attribute", a name.

        Raises:
            RegistryError: the name is taken.
        """
        if name in self._places:
            raise RegistryError(f"the {self.kind} name is taken; choose another. Received: {name!r}")
        self._places[name] = value

    def get(self, name: str) -> T:
        """The object of that name.

        Raises:
            RegistryError: there is none, or it cannot be imported.
        """
        if name not in self._places:
            near = get_close_matches(name, self._places, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(self.names())}."
            raise RegistryError(f"no {self.kind} has this name; {hint} Received: {name!r}")
        place = self._places[name]
        if isinstance(place, str):
            module, _, attribute = place.partition(":")
            try:
                place = self._places[name] = cast(T, getattr(import_module(module), attribute))
            except (ImportError, AttributeError) as error:
                raise RegistryError(
                    f"the {self.kind} {name!r} cannot be imported: {error}. Received: {place!r}"
                ) from error
        return place


_BACKBONES = "keras_effnet.backbones"

backbones: Registry[BackboneSpec] = Registry(
    "backbone",
    {
        **{
            f"efficientnet_{size}": f"{_BACKBONES}.efficientnet:efficientnet_{size}_spec"
            for size in ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "l2")
        },
        **{f"resnet{depth}": f"{_BACKBONES}.resnet:resnet{depth}_spec" for depth in (50, 101, 152)},
        "mobilenet_v1": f"{_BACKBONES}.mobilenet:mobilenet_v1_spec",
        "mobilenet_v2": f"{_BACKBONES}.mobilenet_v2:mobilenet_v2_spec",
    },
)

rules: Registry[ScalingRule] = Registry(
    "scaling rule",
    {"compound": "keras_effnet.scaling.rules:COMPOUND", "tabulated": "keras_effnet.scaling.rules:TABULATED"},
)

blocks: Registry[type[Block]] = Registry(
    "block",
    {
        "bottleneck": "keras_effnet.blocks:Bottleneck",
        "conv": "keras_effnet.blocks:ConvBlock",
        "depthwise_separable": "keras_effnet.blocks:DepthwiseSeparable",
        "fused_mbconv": "keras_effnet.blocks:FusedMBConv",
        "inverted_residual": "keras_effnet.blocks:InvertedResidual",
        "mbconv": "keras_effnet.blocks:MBConv",
        "resnet_stem": "keras_effnet.blocks:ResNetStem",
    },
)


def resolve_backbone(spec: Any) -> BackboneSpec:
    """A spec as it is; a name as the spec registered under it.

    Raises:
        RegistryError: an unknown name, or neither a spec nor a name.
    """
    from keras_effnet.spec import BackboneSpec

    if isinstance(spec, BackboneSpec):
        return spec
    if isinstance(spec, str):
        return backbones.get(spec)
    raise RegistryError(f"a backbone is a BackboneSpec or the name of one. Received: {spec!r}")
