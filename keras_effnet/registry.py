"""Names for objects: what the command line, files and plugins say instead of importing.

Python users pass objects and need no registry. A registry knows *where* an object is ("module:attribute"), and imports
it only when it is asked for, so that listing the names costs nothing.

Installed packages add to three registries by entry points (CONTRIBUTING.md, "How to write a plugin"):

| registry | entry-point group | an entry is |
|---|---|---|
| `backbones` | `keras_effnet.backbones` | a `BackboneSpec` |
| `rules` | `keras_effnet.scaling` | a callable from phi to `Coefficients` |
| `blocks` | `keras_effnet.blocks` | a subclass of `Block`: what files and block names mean by it |
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from keras_effnet.errors import RegistryError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from keras_effnet.blocks.base import Block
    from keras_effnet.blocks.ends import Classifier
    from keras_effnet.ops import Norm
    from keras_effnet.scaling.rules import ScalingRule
    from keras_effnet.spec import BackboneSpec

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Registry(Generic[T]):
    """Names for objects of one kind: this package's, those that plugins declare, those that a program registers.

    A plugin is an installed package with entry points in `group`. It adds names; it cannot take one of this package's.
    What is wrong with a plugin shows when one of its own names is asked for, and nowhere else.

    Args:
        kind: what is registered, for messages: "backbone".
        places: "module:attribute" for each name.
        group: of the entry points that plugins declare; None: the names here are all there are.
        accepts: what an object from outside must be: given the object, whether it is one.

    Example:
        >>> "efficientnet_b0" in backbones.names()
        True
    """

    def __init__(
        self,
        kind: str,
        places: dict[str, str],
        group: str | None = None,
        accepts: Callable[[Any], bool] = lambda value: True,
    ) -> None:
        self.kind = kind
        self.group = group
        self.accepts = accepts
        self._own = frozenset(places)
        self._places: dict[str, str | T] = dict(places)

    def names(self) -> tuple[str, ...]:
        """All names, sorted; imports none of the objects."""
        return tuple(sorted({*self._places, *self._plugins()}))

    def register(self, name: str, value: T | str) -> None:
        """Gives `value`, an object or its "module:attribute", a name.

        Args:
            name: what it is to be found by.
            value: the object, or where it is.

        Raises:
            RegistryError: the name is taken.
        """
        if name in self._places or name in self._plugins():
            raise RegistryError(f"the {self.kind} name is taken; choose another. Received: {name!r}")
        self._places[name] = value

    def get(self, name: str) -> T:
        """The object of that name.

        Args:
            name: one of `names()`.

        Returns:
            The object, imported where it was not yet.

        Raises:
            RegistryError: there is none, it cannot be imported, it is something else, or two plugins declare the name.
        """
        # This package's own names first: they are found without a look at what is installed.
        if name not in self._places:
            self._places[name] = self._from_plugin(name)
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

    def _plugins(self) -> dict[str, list[EntryPoint]]:
        """Entry points by name; those that claim a name of this package are left out, and named in the log."""
        if self.group is None:
            return {}
        found: dict[str, list[EntryPoint]] = {}
        for entry in _entry_points(self.group):
            if entry.name in self._own:
                logger.warning(
                    "%s is ignored: the %s name %r is keras-effnet's own", _origin(entry), self.kind, entry.name
                )
            else:
                found.setdefault(entry.name, []).append(entry)
        return found

    def _from_plugin(self, name: str) -> T:
        entries = self._plugins().get(name)
        if not entries:
            names = self.names()
            near = get_close_matches(name, names, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(names)}."
            raise RegistryError(f"no {self.kind} has this name; {hint} Received: {name!r}")
        if len(entries) > 1:
            origins = " and ".join(_origin(entry) for entry in entries)
            raise RegistryError(
                f"{origins} declare the same {self.kind}; uninstall one of them, or pass the object itself. "
                f"Received: {name!r}"
            )
        [entry] = entries
        try:
            value = entry.load()
        except Exception as error:  # a plugin may raise anything while it is imported
            raise RegistryError(
                f"the {self.kind} {name!r} of {_origin(entry)} cannot be loaded: {error!r}. Received: {entry.value!r}"
            ) from error
        if not self.accepts(value):
            raise RegistryError(
                f"the {self.kind} {name!r} of {_origin(entry)} is something else. Received: {entry.value!r}, {value!r}"
            )
        return value


@cache
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    """What installed packages declare; read once, and only where a name is not this package's own."""
    from importlib.metadata import entry_points

    return tuple(entry_points(group=group))


def _origin(entry: EntryPoint) -> str:
    """The package that declares an entry point."""
    return f"the package {entry.dist.name!r}" if entry.dist is not None else f"the module {entry.value!r}"


def _is_backbone(value: Any) -> bool:
    from keras_effnet.spec import BackboneSpec

    return isinstance(value, BackboneSpec)


def _is_block(value: Any) -> bool:
    from keras_effnet.blocks.base import Block

    return isinstance(value, type) and issubclass(value, Block)


_BACKBONES = "keras_effnet.backbones"

backbones: Registry[BackboneSpec] = Registry(
    "backbone",
    {
        **{
            f"efficientnet_{size}": f"{_BACKBONES}.efficientnet:efficientnet_{size}_spec"
            for size in ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "l2")
        },
        **{
            f"efficientnet_lite{size}": f"{_BACKBONES}.efficientnet_lite:efficientnet_lite{size}_spec"
            for size in range(5)
        },
        **{
            f"efficientnet_edgetpu_{size}": f"{_BACKBONES}.efficientnet_edgetpu:efficientnet_edgetpu_{size}_spec"
            for size in ("s", "m", "l")
        },
        **{
            f"efficientnet_v2_{size}": f"{_BACKBONES}.efficientnet_v2:efficientnet_v2_{size}_spec"
            for size in ("b0", "b1", "b2", "b3", "s", "m", "l", "xl")
        },
        **{f"mnasnet_{name}": f"{_BACKBONES}.mnasnet:mnasnet_{name}_spec" for name in ("a1", "b1", "small")},
        **{f"tinynet_{size}": f"{_BACKBONES}.tinynet:tinynet_{size}_spec" for size in ("a", "b", "c", "d", "e")},
        **{f"resnet{depth}": f"{_BACKBONES}.resnet:resnet{depth}_spec" for depth in (50, 101, 152)},
        **{f"resnet{depth}_v2": f"{_BACKBONES}.resnet_v2:resnet{depth}_v2_spec" for depth in (50, 101, 152)},
        **{
            f"resnet_rs{depth}": f"{_BACKBONES}.resnet_rs:resnet_rs{depth}_spec"
            for depth in (50, 101, 152, 200, 270, 350, 420)
        },
        "resnext50": f"{_BACKBONES}.resnext:resnext50_spec",
        **{
            f"regnet_{kind}_{size}": f"{_BACKBONES}.regnet:regnet_{kind}_{size}_spec"
            for kind in ("x", "y")
            for size in ("400mf", "800mf", "1_6gf", "4_0gf")
        },
        **{f"densenet{depth}": f"{_BACKBONES}.densenet:densenet{depth}_spec" for depth in (121, 169, 201)},
        "mobilenet_v1": f"{_BACKBONES}.mobilenet:mobilenet_v1_spec",
        "mobilenet_v2": f"{_BACKBONES}.mobilenet_v2:mobilenet_v2_spec",
        **{
            f"mobilenet_v3_{name}": f"{_BACKBONES}.mobilenet_v3:mobilenet_v3_{name}_spec"
            for name in ("large", "large_minimalistic", "small", "small_minimalistic")
        },
        **{
            f"convnext_{size}": f"{_BACKBONES}.convnext:convnext_{size}_spec"
            for size in ("tiny", "small", "base", "large", "xlarge")
        },
    },
    group="keras_effnet.backbones",
    accepts=_is_backbone,
)

rules: Registry[ScalingRule] = Registry(
    "scaling rule",
    {
        "compound": "keras_effnet.scaling.rules:COMPOUND",
        "depth_only": "keras_effnet.scaling.rules:DEPTH_ONLY",
        "fast": "keras_effnet.scaling.rules:FAST",
        "resnet_rs": "keras_effnet.scaling.rules:RESNET_RS",
        "resolution_only": "keras_effnet.scaling.rules:RESOLUTION_ONLY",
        "tabulated": "keras_effnet.scaling.tabulated:TABULATED",
        "tinynet": "keras_effnet.scaling.tinynet_rule:TINYNET",
        "width_only": "keras_effnet.scaling.rules:WIDTH_ONLY",
    },
    group="keras_effnet.scaling",
    accepts=callable,
)

blocks: Registry[type[Block]] = Registry(
    "block",
    {
        "bottleneck": "keras_effnet.blocks:Bottleneck",
        "conv": "keras_effnet.blocks:ConvBlock",
        "convnext": "keras_effnet.blocks:ConvNeXtBlock",
        "deep_stem": "keras_effnet.blocks:DeepStem",
        "densely_connected": "keras_effnet.blocks:DenselyConnected",
        "depthwise_separable": "keras_effnet.blocks:DepthwiseSeparable",
        "fused_mbconv": "keras_effnet.blocks:FusedMBConv",
        "inverted_residual": "keras_effnet.blocks:InvertedResidual",
        "inverted_residual_v3": "keras_effnet.blocks:InvertedResidualV3",
        "mbconv": "keras_effnet.blocks:MBConv",
        "patch_stem": "keras_effnet.blocks:PatchStem",
        "norm_activation": "keras_effnet.blocks:NormActivation",
        "preact_bottleneck": "keras_effnet.blocks:PreactBottleneck",
        "resnet_stem": "keras_effnet.blocks:ResNetStem",
    },
    group="keras_effnet.blocks",
    accepts=_is_block,
)

classifiers: Registry[type[Classifier]] = Registry(
    "classifier",
    {
        "conv": "keras_effnet.blocks:ConvClassifier",
        "dense": "keras_effnet.blocks:DenseClassifier",
        "hidden_conv": "keras_effnet.blocks:HiddenConvClassifier",
        "norm": "keras_effnet.blocks:NormClassifier",
    },
)

norms: Registry[type[Norm]] = Registry(
    "norm", {"batch": "keras_effnet.ops:BatchNorm", "layer": "keras_effnet.ops:LayerNorm"}
)


def resolve_backbone(spec: Any) -> BackboneSpec:
    """A spec as it is; a name as the spec registered under it.

    Args:
        spec: a spec or a name.

    Returns:
        The spec.

    Raises:
        RegistryError: an unknown name, or neither a spec nor a name.

    Example:
        >>> resolve_backbone("resnet50").resolution
        224
    """
    from keras_effnet.spec import BackboneSpec

    if isinstance(spec, BackboneSpec):
        return spec
    if isinstance(spec, str):
        return backbones.get(spec)
    raise RegistryError(f"a backbone is a BackboneSpec or the name of one. Received: {spec!r}")
