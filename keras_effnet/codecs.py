"""How the values of a spec are written in JSON, derived from the types of its dataclass fields.

A *codec* reads, writes and describes (as JSON Schema) all values of one type. Blocks, norms and classifiers are written
under their registered names; a file can name nothing else, so it never decides what is imported.

| type | codec | in JSON |
|---|---|---|
| `bool`, `int`, `float`, `str` | `ScalarCodec` | the same; an integer is also a float, a bool is not an integer |
| `Literal["a", "b"]` | `ChoiceCodec` | one of them |
| `tuple[X, ...]`, `tuple[X, Y]` | `TupleCodec` | a list |
| `X` or `None` | `OptionalCodec` | X or null |
| a dataclass | `RecordCodec` | an object with its fields; fields at their defaults are omitted |
| a block, a norm, a classifier | `NamedCodec` | the same with its registered name: `{"block": "mbconv", "kernel": 5}` |
"""

from __future__ import annotations

import math
import reprlib
from abc import ABC, abstractmethod
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from keras_effnet.blocks.base import Block
from keras_effnet.blocks.ends import Classifier
from keras_effnet.checks import MAX_SIZE, MAX_STAGES
from keras_effnet.errors import KerasEffnetError, RegistryError, SpecError
from keras_effnet.ops import Norm
from keras_effnet.registry import Registry, blocks, classifiers, norms

# Characters of a value that a message shows at most, so that it stays readable whatever the file holds.
MAX_SHOWN = 200

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = MAX_SHOWN


def shown(value: object) -> str:
    """A short text for a value that may be huge, nested or both."""
    if isinstance(value, int) and abs(value) > MAX_SIZE:
        return f"an integer of {value.bit_length()} bits"  # Python refuses to print more than 4,300 digits
    try:
        return shortened(_REPR.repr(value))
    except ValueError:  # it contains such an integer
        return f"a {type(value).__name__}"


def shortened(text: str) -> str:
    """The text, or its beginning and end if it is long."""
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]} ... {text[-MAX_SHOWN // 4 :]}"


def located(error: KerasEffnetError, path: str) -> SpecError:
    """The same error, prefixed with its place in the file."""
    return SpecError(f"{path}: {shortened(error.rule)}", received=shortened(error.received))


class Codec(ABC):
    """Reads and writes the values of one type."""

    @abstractmethod
    def read(self, data: Any, path: str) -> Any:
        """Decodes JSON `data`; raises SpecError, which names `path`, if it is not a value of this type."""

    @abstractmethod
    def write(self, value: Any, path: str) -> Any:
        """Encodes `value` as JSON data: strings, numbers, bools, None, and lists and dicts of them."""

    @abstractmethod
    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        """The JSON Schema of what `read` accepts; schemas of dataclasses are added to `named`."""


_WORDS = {bool: ("true or false", "boolean"), int: ("an integer", "integer"), float: ("a number", "number")}


@dataclass(frozen=True)
class ScalarCodec(Codec):
    """A bool, an integer, a float or a string."""

    kind: type

    def read(self, data: Any, path: str) -> Any:
        kinds = (int, float) if self.kind is float else self.kind
        if not isinstance(data, kinds) or (isinstance(data, bool) and self.kind is not bool):
            word = _WORDS.get(self.kind, ("a text",))[0]
            raise SpecError(f"{path} must be {word}.", received=shown(data))
        if isinstance(data, int) and abs(data) > MAX_SIZE:
            raise SpecError(f"{path} must be within 1e40 of 0.", received=shown(data))
        if isinstance(data, float) and not math.isfinite(data):
            raise SpecError(f"{path} must be finite.", received=str(data))
        if isinstance(data, str) and not data.isprintable():
            # Names appear on screens, in layers and in weight files: no line breaks, escape sequences or surrogates.
            raise SpecError(f"{path} must be printable text.", received=shown(data))
        return data

    def write(self, value: Any, path: str) -> Any:
        return self.read(value, path)

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        return {"type": _WORDS.get(self.kind, ("", "string"))[1]}


@dataclass(frozen=True)
class ChoiceCodec(Codec):
    """One of a fixed set of values, such as `Literal["same", "valid"]`."""

    choices: tuple[Any, ...]

    def read(self, data: Any, path: str) -> Any:
        if not any(type(data) is type(choice) and data == choice for choice in self.choices):
            raise SpecError(f"{path} must be one of {', '.join(map(repr, self.choices))}.", received=shown(data))
        return data

    def write(self, value: Any, path: str) -> Any:
        return self.read(value, path)

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        return {"enum": list(self.choices)}


@dataclass(frozen=True)
class TupleCodec(Codec):
    """A tuple: any number of items of one type, or a fixed number of items with a type each."""

    codecs: tuple[Codec, ...]
    any_length: bool

    def _codecs(self, count: int, path: str) -> tuple[Codec, ...]:
        if not self.any_length and count != len(self.codecs):
            raise SpecError(f"{path} must have {len(self.codecs)} items.", received=f"{count} items")
        if count > MAX_STAGES:
            raise SpecError(f"{path} must have at most {MAX_STAGES:,} items.", received=f"{count:,} items")
        return self.codecs * count if self.any_length else self.codecs

    def read(self, data: Any, path: str) -> Any:
        if not isinstance(data, list):
            raise SpecError(f"{path} must be a list.", received=shown(data))
        pairs = zip(self._codecs(len(data), path), data, strict=True)
        return tuple(codec.read(item, f"{path}[{number}]") for number, (codec, item) in enumerate(pairs))

    def write(self, value: Any, path: str) -> Any:
        if not isinstance(value, tuple):
            raise SpecError(f"{path} must be a tuple.", received=shown(value))
        pairs = zip(self._codecs(len(value), path), value, strict=True)
        return [codec.write(item, f"{path}[{number}]") for number, (codec, item) in enumerate(pairs)]

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        items = [codec.schema(named) for codec in self.codecs]
        if self.any_length:
            return {"type": "array", "items": items[0], "maxItems": MAX_STAGES}
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


@dataclass(frozen=True)
class OptionalCodec(Codec):
    """A value of another codec, or null."""

    codec: Codec

    def read(self, data: Any, path: str) -> Any:
        return None if data is None else self.codec.read(data, path)

    def write(self, value: Any, path: str) -> Any:
        return None if value is None else self.codec.write(value, path)

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        return {"anyOf": [self.codec.schema(named), {"type": "null"}]}


@dataclass(frozen=True)
class RecordCodec(Codec):
    """An object with the fields of a dataclass."""

    kind: type

    def read(self, data: Any, path: str) -> Any:
        if not isinstance(data, dict):
            raise SpecError(f"{path} must be an object.", received=shown(data))
        known = _fields(self.kind)
        for key in data:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(known) or 'none'}."
                raise SpecError(f"{path} has no such key; {hint}", received=shown(key))
        for key, (field, _) in known.items():
            if key not in data and _default(field) is MISSING:
                raise SpecError(f"{path} lacks the key {key!r}.", received=f"keys {shown(list(data))}")
        return self._make({key: known[key][1].read(item, f"{path}.{key}") for key, item in data.items()}, path)

    def _make(self, values: dict[str, Any], path: str) -> Any:
        try:
            return self.kind(**values)
        except KerasEffnetError as error:
            raise located(error, path) from error
        except Exception as error:  # a plugin's checks may raise anything
            raise SpecError(f"{path} cannot be built: {error!r}.", received=shown(values)) from error

    def write(self, value: Any, path: str) -> dict[str, Any]:
        if type(value) is not self.kind:
            raise SpecError(f"{path} must be a {self.kind.__name__}.", received=shown(value))
        written = {}
        for key, (field, codec) in _fields(self.kind).items():
            data, default = codec.write(getattr(value, key), f"{path}.{key}"), _default(field)
            # Compare what is written, not the values: equality of blocks may ignore some fields, such as layer names.
            if default is MISSING or data != codec.write(default, key):
                written[key] = data
        return written

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        name = self.kind.__name__
        if name not in named:
            named[name] = {}  # a placeholder, for a dataclass that contains its own type
            named[name].update(self.object_schema(named))
        return {"$ref": f"#/$defs/{name}"}

    def object_schema(self, named: dict[str, Any]) -> dict[str, Any]:
        """The schema that `schema` refers to."""
        properties, required = {}, []
        for key, (field, codec) in _fields(self.kind).items():
            properties[key] = codec.schema(named)
            default = _default(field)
            if default is MISSING:
                required.append(key)
            else:
                properties[key]["default"] = codec.write(default, key)
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


class RegisteredClasses(NamedTuple):
    """Classes that are written under their registered names.

    Attributes:
        tag: the key of the name in JSON: "block", "classifier" or "norm".
        bases: the classes of which every registered class is a subclass.
        registry: the names.
    """

    tag: str
    bases: tuple[type, ...]
    registry: Registry[Any]

    def name_of(self, kind: type, path: str) -> str:
        """The registered name of a class; raises SpecError, which names `path`, if it has none."""
        for name in self.registry.names():
            try:
                if self.registry.get(name) is kind:
                    return name
            except RegistryError:
                continue  # a plugin that cannot be imported
        raise SpecError(
            f"{path}: the class of this {self.tag} is not registered, so it has no name to write; register it: "
            f"`keras_effnet.registry.{self.tag}s.register('my_{self.tag}', {kind.__name__})`.",
            received=f"{kind.__module__}.{kind.__qualname__}",
        )


REGISTERED = (
    RegisteredClasses("block", (Block,), blocks),
    RegisteredClasses("classifier", (Classifier,), classifiers),
    RegisteredClasses("norm", get_args(Norm), norms),
)


@dataclass(frozen=True)
class NamedCodec(Codec):
    """An object of one of several classes, identified by its registered name."""

    classes: RegisteredClasses
    kinds: tuple[type, ...]

    def read(self, data: Any, path: str) -> Any:
        tag = self.classes.tag
        name = data.get(tag) if isinstance(data, dict) else None
        if not isinstance(name, str):
            raise SpecError(f"{path} must be an object with the key {tag!r}: its name.", received=shown(data))
        try:
            kind = self.classes.registry.get(name)
        except RegistryError as error:
            raise located(error, f"{path}.{tag}") from error
        if not (isinstance(kind, type) and issubclass(kind, self.kinds)):
            words = " or ".join(kind.__name__ for kind in self.kinds)
            raise SpecError(f"{path} must be a {words}.", received=shown(name))
        return self._record(kind, path).read({key: item for key, item in data.items() if key != tag}, path)

    def write(self, value: Any, path: str) -> dict[str, Any]:
        name = self.classes.name_of(type(value), path)
        return {self.classes.tag: name, **self._record(type(value), path).write(value, path)}

    def _record(self, kind: type, path: str) -> RecordCodec:
        if self.classes.tag in _fields(kind):
            raise SpecError(
                f"{path}: no field of a {self.classes.tag} may be called {self.classes.tag!r}, the key of its "
                "registered name.",
                received=kind.__name__,
            )
        return RecordCodec(kind)

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        tag, branches = self.classes.tag, []
        for name in self.classes.registry.names():
            kind = self.classes.registry.get(name)
            if not issubclass(kind, self.kinds):
                continue
            key = f"{tag}_{name}"
            if key not in named:
                named[key] = {}
                found = RecordCodec(kind).object_schema(named)
                found["properties"] = {tag: {"const": name}, **found["properties"]}
                named[key].update(found)
            chosen = {"properties": {tag: {"const": name}}}
            branches.append({"if": chosen, "then": {"$ref": f"#/$defs/{key}"}})
        open_name = {"type": "object", "properties": {tag: {"type": "string"}}, "required": [tag]}
        return {**open_name, "allOf": branches}


@cache
def _fields(kind: type) -> dict[str, tuple[Field[Any], Codec]]:
    """The constructor's fields of a dataclass, each with its codec."""
    try:
        hints = get_type_hints(kind)
        return {field.name: (field, codec_of(hints[field.name])) for field in fields(kind) if field.init}
    except (NameError, TypeError, AttributeError) as error:
        raise SpecError(f"the types of a class's fields cannot be resolved: {error}.", received=repr(kind)) from error


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def codec_of(hint: Any) -> Codec:
    """The codec for a type annotation.

    Raises:
        SpecError: values of this type cannot be written.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        kinds = tuple(kind for kind in arguments if kind is not NoneType)
        codec = codec_of(kinds[0]) if len(kinds) == 1 else _named_codec(kinds)
        return OptionalCodec(codec) if NoneType in arguments else codec
    if origin is Literal:
        return ChoiceCodec(arguments)
    if origin is tuple:
        any_length = len(arguments) == 2 and arguments[1] is Ellipsis
        return TupleCodec(tuple(codec_of(kind) for kind in arguments if kind is not Ellipsis), any_length)
    if hint in (bool, int, float, str):
        return ScalarCodec(hint)
    if isinstance(hint, type) and any(issubclass(hint, classes.bases) for classes in REGISTERED):
        return _named_codec((hint,))
    if isinstance(hint, type) and is_dataclass(hint):
        return RecordCodec(hint)
    raise _unwritable(hint)


def _named_codec(kinds: tuple[Any, ...]) -> NamedCodec:
    for classes in REGISTERED:
        if all(isinstance(kind, type) and issubclass(kind, classes.bases) for kind in kinds):
            return NamedCodec(classes, kinds)
    raise _unwritable(kinds)


def _unwritable(hint: Any) -> SpecError:
    return SpecError(
        "a field of this type cannot be written: use bool, int, float, str, Literal, tuples, None, dataclasses, "
        "or blocks, norms and classifiers.",
        received=shown(hint),
    )
