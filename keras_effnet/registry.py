"""Names for objects: what the command line, files and plugins say instead of importing.

Python users pass objects and need no registry. A registry knows *where* an object is ("module:attribute") and imports
it when somebody asks for it. This module imports no other module of the package but `errors`: places are text, so
anything may use a registry. Types stand in `registry.pyi`.

Installed packages add to three registries by entry points (CONTRIBUTING.md, "How to write a plugin"):

| registry | entry-point group | an entry is |
|---|---|---|
| `backbones` | `keras_effnet.backbones` | a `BackboneSpec` |
| `rules` | `keras_effnet.scaling` | a callable from phi to `Coefficients` |
| `blocks` | `keras_effnet.blocks` | a subclass of `Block`, which spec files and block names then mean |
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from keras_effnet.errors import RegistryError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
logger = logging.getLogger(__name__)

# A module may raise anything while it is imported, and one that was written as a program exits. Ctrl-C passes.
_IMPORT_FAILURES = (Exception, SystemExit)


class Registry(Generic[T]):
    """Names for objects of one kind: this package's own, those of plugins, and those that a program registers.

    A plugin is an installed package with entry points in `group`. It adds names and cannot take one of this package's.
    A broken plugin is an error when one of its own names is asked for, and nowhere else.

    Args:
        kind: what is registered, as messages call it: "backbone".
        places: the place of each object, "module:attribute", by name; or the place of such a mapping from names to
            objects, which is imported on first use.
        accepts: whether an object is of this kind; called for every object before it is handed out.
        group: entry-point group in which plugins declare names; None if plugins cannot add any.

    Example:
        >>> "efficientnet_b0" in backbones.names()
        True
    """

    def __init__(
        self,
        kind: str,
        places: Mapping[str, str] | str,
        accepts: Callable[[Any], bool],
        group: str | None = None,
    ) -> None:
        self.kind = kind
        self.group = group
        self.accepts = accepts
        self._table = places if isinstance(places, str) else None
        self._places: dict[str, T | str] = {} if isinstance(places, str) else dict(places)
        self._own = frozenset(self._places)

    def names(self) -> tuple[str, ...]:
        """All names, sorted. Imports no plugin."""
        self._read_table()
        return tuple(sorted({*self._places, *self._plugins()}))

    def spelled(self, name: str) -> str:
        """The registered name that differs from `name` in capitals, hyphens and underscores alone.

        Args:
            name: a name, such as "EfficientNetB0".

        Returns:
            That name, "efficientnet_b0"; `name` itself if it is registered, or if no other one or several are alike.

        Example:
            >>> backbones.spelled("EfficientNetB0"), backbones.spelled("ResNet-50")
            ('efficientnet_b0', 'resnet50')
        """
        self._read_table()
        if name in self._places:  # found without a look at what is installed, as in `get`
            return name
        names = self.names()
        if name in names:
            return name
        alike = [each for each in names if _squeezed(each) == _squeezed(name)]
        return alike[0] if len(alike) == 1 else name

    def register(self, name: str, value: T | str) -> None:
        """Registers an object under a name, for the time that this process runs.

        Args:
            name: the new name, a text of at least one character.
            value: the object, or its place, "module:attribute", which is imported when the name is asked for.

        Raises:
            RegistryError: the name is no text or is taken, or the object is of another kind.
        """
        if not isinstance(name, str) or not name:
            raise RegistryError(f"the name of a {self.kind} must be a text.", received=f"name={name!r}")
        if name in self.names():
            raise RegistryError(f"the {self.kind} name is taken; choose another.", received=repr(name))
        if not isinstance(value, str):
            self._check(value, f"to be registered as {name!r}", value)
        self._places[name] = value

    def get(self, name: str) -> T:
        """Returns the object registered under a name, importing it if need be.

        Args:
            name: one of `names()`.

        Raises:
            RegistryError: nothing has this name, two plugins declare it, importing the object raises anything, or the
                object is of another kind.
        """
        self._read_table()
        # Names that this process knows first: they are found without a look at what is installed.
        if name not in self._places:
            self._places[name] = self._from_plugin(name)
        place = self._places[name]
        if isinstance(place, str):
            place = self._places[name] = self._from_place(name, place)
        return place

    def _read_table(self) -> None:
        """Imports the mapping of this package's own objects, once."""
        if self._table is None:
            return
        try:
            own = _imported(self._table)
        except _IMPORT_FAILURES as error:
            raise RegistryError(
                f"the {self.kind}s of this package cannot be imported: {error!r}.", received=repr(self._table)
            ) from error
        self._table, self._own = None, frozenset(own)
        self._places = {**self._places, **own}

    def _from_place(self, name: str, place: str) -> T:
        try:
            value = _imported(place)
        except _IMPORT_FAILURES as error:
            raise RegistryError(
                f"the {self.kind} {name!r} cannot be imported: {error!r}.", received=repr(place)
            ) from error
        return self._check(value, repr(name), place)

    def _from_plugin(self, name: str) -> T:
        entries = self._plugins().get(name)
        if not entries:
            names = self.names()
            near = get_close_matches(name, names, n=3, cutoff=0.4) if isinstance(name, str) else []
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(names)}."
            raise RegistryError(f"no {self.kind} has this name; {hint}", received=repr(name))
        if len(entries) > 1:
            origins = " and ".join(map(_origin, entries))
            raise RegistryError(
                f"{origins} declare the same {self.kind}; uninstall one of them, or pass the object itself.",
                received=repr(name),
            )
        [entry] = entries
        try:
            value = entry.load()
        except _IMPORT_FAILURES as error:
            raise RegistryError(
                f"the {self.kind} {name!r} of {_origin(entry)} cannot be imported: {error!r}.",
                received=repr(entry.value),
            ) from error
        return self._check(value, f"{name!r} of {_origin(entry)}", entry.value)

    def _check(self, value: Any, which: str, place: Any) -> T:
        if not self.accepts(value):
            what = f"{place!r}" if place is value else f"{place!r}, which is {value!r}"
            raise RegistryError(f"the {self.kind} {which} is an object of another kind.", received=str(what))
        return value

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


def _squeezed(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())


@cache
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    """What installed packages declare; read once, and only when a name is not this package's own."""
    from importlib.metadata import entry_points

    return tuple(entry_points(group=group))


def _origin(entry: EntryPoint) -> str:
    """The package that declares an entry point, for messages."""
    return f"the package {entry.dist.name!r}" if entry.dist is not None else f"the module {entry.value!r}"


@cache
def _imported(place: str) -> Any:
    """The object at "module:attribute"."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def _instance_of(place: str) -> Callable[[Any], bool]:
    """A check for instances of the class at a place."""
    return lambda value: isinstance(value, _imported(place))


def _subclass_of(place: str) -> Callable[[Any], bool]:
    """A check for subclasses of the class, or the union of classes, at a place."""
    return lambda value: isinstance(value, type) and issubclass(value, _imported(place))


backbones = Registry(
    "backbone",
    "keras_effnet.backbones.catalogue:SPECS",
    _instance_of("keras_effnet.spec:BackboneSpec"),
    group="keras_effnet.backbones",
)

rules = Registry(
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
    callable,
    group="keras_effnet.scaling",
)

blocks = Registry(
    "block",
    {
        "basic": "keras_effnet.blocks:BasicBlock",
        "bottleneck": "keras_effnet.blocks:Bottleneck",
        "conv": "keras_effnet.blocks:ConvBlock",
        "convnext": "keras_effnet.blocks:ConvNeXtBlock",
        "deep_stem": "keras_effnet.blocks:DeepStem",
        "densely_connected": "keras_effnet.blocks:DenselyConnected",
        "depthwise_separable": "keras_effnet.blocks:DepthwiseSeparable",
        "fused_mbconv": "keras_effnet.blocks:FusedMBConv",
        "ghost": "keras_effnet.blocks:GhostBottleneck",
        "inverted_residual": "keras_effnet.blocks:InvertedResidual",
        "inverted_residual_v3": "keras_effnet.blocks:InvertedResidualV3",
        "mbconv": "keras_effnet.blocks:MBConv",
        "mobileone": "keras_effnet.blocks:MobileOneBlock",
        "patch_stem": "keras_effnet.blocks:PatchStem",
        "norm_activation": "keras_effnet.blocks:NormActivation",
        "preact_bottleneck": "keras_effnet.blocks:PreactBottleneck",
        "repvgg": "keras_effnet.blocks:RepVGGBlock",
        "resnet_stem": "keras_effnet.blocks:ResNetStem",
        "universal_inverted_bottleneck": "keras_effnet.blocks:UniversalInvertedBottleneck",
    },
    _subclass_of("keras_effnet.blocks.base:Block"),
    group="keras_effnet.blocks",
)

classifiers = Registry(
    "classifier",
    {
        "conv": "keras_effnet.blocks:ConvClassifier",
        "dense": "keras_effnet.blocks:DenseClassifier",
        "hidden_conv": "keras_effnet.blocks:HiddenConvClassifier",
        "norm": "keras_effnet.blocks:NormClassifier",
    },
    _subclass_of("keras_effnet.blocks.ends:Classifier"),
)

norms = Registry(
    "norm",
    {"batch": "keras_effnet.ops:BatchNorm", "layer": "keras_effnet.ops:LayerNorm"},
    _subclass_of("keras_effnet.ops:Norm"),
)


def resolve_backbone(spec: Any) -> Any:
    """Returns a spec as it is, and for a name the spec registered under it.

    Args:
        spec: a `BackboneSpec`, or one of `backbones.names()`; "EfficientNetB0" is "efficientnet_b0".

    Raises:
        RegistryError: `spec` is an unknown name, or neither a spec nor a name.

    Example:
        >>> resolve_backbone("resnet50").resolution
        224
    """
    if isinstance(spec, str):
        return backbones.get(backbones.spelled(spec))
    if backbones.accepts(spec):
        return spec
    raise RegistryError("a backbone is a BackboneSpec or the name of one.", received=repr(spec))
