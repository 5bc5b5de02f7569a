"""How the values of a spec stand in JSON, told by the types of its dataclasses.

A *form* belongs to a type and reads, writes and describes (as JSON Schema) all values of it. Blocks, norms and
classifiers stand under the names that they are registered by; what is read can name nothing else, so that a file never
decides what is imported.

| type | form | in JSON |
|---|---|---|
| `bool`, `int`, `float`, `str` | `Scalar` | the same; an integer is also a float, a bool is no integer |
| `Literal["a", "b"]` | `Choice` | one of them |
| `tuple[X, ...]`, `tuple[X, Y]` | `Row` | a list |
| `X` or `None` | `Maybe` | X or null |
| a dataclass | `Record` | an object of its fields; those at their defaults are left out |
| a block, a norm, a classifier | `Named` | the same, with its registered name: `{"block": "mbconv", "kernel": 5}` |
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
from keras_effnet.errors import KerasEffnetError, RegistryError, SpecError
from keras_effnet.ops import Norm
from keras_effnet.registry import Registry, blocks, classifiers, norms
from keras_effnet.spec import MAX_SIZE, MAX_STAGES

# So that a message stays readable whatever the file held.
MAX_SHOWN = 200

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = MAX_SHOWN


def shown(value: object) -> str:
    """What to print of a value that may be huge, nested or both."""
    if isinstance(value, int) and abs(value) > MAX_SIZE:
        return f"an integer of {value.bit_length()} bits"  # Python refuses to print one of more than 4,300 digits
    try:
        return shortened(_REPR.repr(value))
    except ValueError:  # such an integer inside
        return f"a {type(value).__name__}"


def shortened(text: str) -> str:
    """The text, or its two ends where it is long."""
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]} ... {text[-MAX_SHOWN // 4 :]}"


def located(error: KerasEffnetError, path: str) -> SpecError:
    """The same error with the place in the file that it comes from."""
    return SpecError(f"{path}: {shortened(error.rule)}", received=shortened(error.received))


class Form(ABC):
    """How the values of one type stand in JSON."""

    @abstractmethod
    def read(self, data: Any, path: str) -> Any:
        """The value that `data` stands for; raises SpecError with `path` where it stands for none."""

    @abstractmethod
    def write(self, value: Any, path: str) -> Any:
        """What stands for `value`: strings, numbers, bools, None, and lists and dicts of them."""

    @abstractmethod
    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        """JSON Schema of what `read` takes; schemas of dataclasses go to `named`."""


_WORDS = {bool: ("true or false", "boolean"), int: ("an integer", "integer"), float: ("a number", "number")}


@dataclass(frozen=True)
class Scalar(Form):
    """A bool, an integer, a float or a text."""

    kind: type

    def read(self, data: Any, path: str) -> Any:
        kinds = (int, float) if self.kind is float else self.kind
        if not isinstance(data, kinds) or (isinstance(data, bool) and self.kind is not bool):
            word = _WORDS.get(self.kind, ("a text",))[0]
            raise SpecError(f"{path} must be {word}. Received: {shown(data)}")
        if isinstance(data, int) and abs(data) > MAX_SIZE:
            raise SpecError(f"{path} must be within 1e40 of 0. Received: {shown(data)}")
        if isinstance(data, float) and not math.isfinite(data):
            raise SpecError(f"{path} must be finite. Received: {data}")
        if isinstance(data, str) and not data.isprintable():
            # Names go to screens, to layers and to weight files: no line breaks, no escape sequences, no half letters.
            raise SpecError(f"{path} must be printable text. Received: {shown(data)}")
        return data

    def write(self, value: Any, path: str) -> Any:
        return self.read(value, path)

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        return {"type": _WORDS.get(self.kind, ("", "string"))[1]}


@dataclass(frozen=True)
class Choice(Form):
    """One of some words."""

    choices: tuple[Any, ...]

    def read(self, data: Any, path: str) -> Any:
        if not any(type(data) is type(choice) and data == choice for choice in self.choices):
            raise SpecError(f"{path} must be one of {', '.join(map(repr, self.choices))}. Received: {shown(data)}")
        return data

    def write(self, value: Any, path: str) -> Any:
        return self.read(value, path)

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        return {"enum": list(self.choices)}


@dataclass(frozen=True)
class Row(Form):
    """A tuple: of one form and any length, or of a form for each place."""

    forms: tuple[Form, ...]
    any_length: bool

    def _forms(self, count: int, path: str) -> tuple[Form, ...]:
        if not self.any_length and count != len(self.forms):
            raise SpecError(f"{path} must have {len(self.forms)} items. Received: {count} items")
        if count > MAX_STAGES:
            raise SpecError(f"{path} must have at most {MAX_STAGES:,} items. Received: {count:,} items")
        return self.forms * count if self.any_length else self.forms

    def read(self, data: Any, path: str) -> Any:
        if not isinstance(data, list):
            raise SpecError(f"{path} must be a list. Received: {shown(data)}")
        pairs = zip(self._forms(len(data), path), data, strict=True)
        return tuple(form.read(item, f"{path}[{number}]") for number, (form, item) in enumerate(pairs))

    def write(self, value: Any, path: str) -> Any:
        if not isinstance(value, tuple):
            raise SpecError(f"{path} must be a tuple. Received: {shown(value)}")
        pairs = zip(self._forms(len(value), path), value, strict=True)
        return [form.write(item, f"{path}[{number}]") for number, (form, item) in enumerate(pairs)]

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        items = [form.schema(named) for form in self.forms]
        if self.any_length:
            return {"type": "array", "items": items[0], "maxItems": MAX_STAGES}
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


@dataclass(frozen=True)
class Maybe(Form):
    """A form, or null."""

    form: Form

    def read(self, data: Any, path: str) -> Any:
        return None if data is None else self.form.read(data, path)

    def write(self, value: Any, path: str) -> Any:
        return None if value is None else self.form.write(value, path)

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        return {"anyOf": [self.form.schema(named), {"type": "null"}]}


@dataclass(frozen=True)
class Record(Form):
    """An object of the fields of a dataclass."""

    kind: type

    def read(self, data: Any, path: str) -> Any:
        if not isinstance(data, dict):
            raise SpecError(f"{path} must be an object. Received: {shown(data)}")
        known = _fields(self.kind)
        for key in data:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}."
                raise SpecError(f"{path} has no such key; {hint} Received: {shown(key)}")
        for key, (field, _) in known.items():
            if key not in data and _default(field) is MISSING:
                raise SpecError(f"{path} lacks the key {key!r}. Received: keys {shown(list(data))}")
        return self._make({key: known[key][1].read(item, f"{path}.{key}") for key, item in data.items()}, path)

    def _make(self, values: dict[str, Any], path: str) -> Any:
        try:
            return self.kind(**values)
        except KerasEffnetError as error:
            raise located(error, path) from error
        except Exception as error:  # a plugin's own checks may raise anything
            raise SpecError(f"{path} cannot be made: {error!r}. Received: {shown(values)}") from error

    def write(self, value: Any, path: str) -> dict[str, Any]:
        if type(value) is not self.kind:
            raise SpecError(f"{path} must be a {self.kind.__name__}. Received: {shown(value)}")
        written = {}
        for key, (field, form) in _fields(self.kind).items():
            data, default = form.write(getattr(value, key), f"{path}.{key}"), _default(field)
            # What is written is compared, not the values: names of layers may be no part of what makes blocks equal.
            if default is MISSING or data != form.write(default, key):
                written[key] = data
        return written

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        name = self.kind.__name__
        if name not in named:
            named[name] = {}  # stands there first, for a dataclass that holds its own kind
            named[name].update(self.object_schema(named))
        return {"$ref": f"#/$defs/{name}"}

    def object_schema(self, named: dict[str, Any]) -> dict[str, Any]:
        """The schema itself, where `schema` refers to it."""
        properties, required = {}, []
        for key, (field, form) in _fields(self.kind).items():
            properties[key] = form.schema(named)
            default = _default(field)
            if default is MISSING:
                required.append(key)
            else:
                properties[key]["default"] = form.write(default, key)
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


class Family(NamedTuple):
    """Classes that stand in files under registered names."""

    tag: str
    bases: tuple[type, ...]
    registry: Registry[Any]

    def name_of(self, kind: type, path: str) -> str:
        """The name that a class is registered by; raises SpecError with `path` where it has none."""
        for name in self.registry.names():
            try:
                if self.registry.get(name) is kind:
                    return name
            except RegistryError:
                continue  # the name of a plugin that is not installed
        raise SpecError(
            f"{path}: the class of this {self.tag} has no name to write; give it one: "
            f"`keras_effnet.registry.{self.tag}s.register('my_{self.tag}', {kind.__name__})`. "
            f"Received: {kind.__module__}.{kind.__qualname__}"
        )


FAMILIES = (
    Family("block", (Block,), blocks),
    Family("classifier", (Classifier,), classifiers),
    Family("norm", get_args(Norm), norms),
)


@dataclass(frozen=True)
class Named(Form):
    """A record of one of several classes, told by its registered name."""

    family: Family
    kinds: tuple[type, ...]

    def read(self, data: Any, path: str) -> Any:
        tag = self.family.tag
        name = data.get(tag) if isinstance(data, dict) else None
        if not isinstance(name, str):
            raise SpecError(f"{path} must be an object with the key {tag!r}: its name. Received: {shown(data)}")
        try:
            kind = self.family.registry.get(name)
        except RegistryError as error:
            raise located(error, f"{path}.{tag}") from error
        if not (isinstance(kind, type) and issubclass(kind, self.kinds)):
            words = " or ".join(kind.__name__ for kind in self.kinds)
            raise SpecError(f"{path} must be a {words}. Received: {shown(name)}")
        return self._record(kind, path).read({key: item for key, item in data.items() if key != tag}, path)

    def write(self, value: Any, path: str) -> dict[str, Any]:
        name = self.family.name_of(type(value), path)
        return {self.family.tag: name, **self._record(type(value), path).write(value, path)}

    def _record(self, kind: type, path: str) -> Record:
        if self.family.tag in _fields(kind):
            raise SpecError(
                f"{path}: no field of a {self.family.tag} may be called {self.family.tag!r}: its name stands there. "
                f"Received: {kind.__name__}"
            )
        return Record(kind)

    def schema(self, named: dict[str, Any]) -> dict[str, Any]:
        tag, branches = self.family.tag, []
        for name in self.family.registry.names():
            kind = self.family.registry.get(name)
            if not issubclass(kind, self.kinds):
                continue
            key = f"{tag}_{name}"
            if key not in named:
                named[key] = {}
                found = Record(kind).object_schema(named)
                found["properties"] = {tag: {"const": name}, **found["properties"]}
                named[key].update(found)
            chosen = {"properties": {tag: {"const": name}}}
            branches.append({"if": chosen, "then": {"$ref": f"#/$defs/{key}"}})
        open_name = {"type": "object", "properties": {tag: {"type": "string"}}, "required": [tag]}
        return {**open_name, "allOf": branches}


@cache
def _fields(kind: type) -> dict[str, tuple[Field[Any], Form]]:
    """The fields that make a dataclass, each with its form."""
    try:
        hints = get_type_hints(kind)
        return {field.name: (field, form_of(hints[field.name])) for field in fields(kind) if field.init}
    except (NameError, TypeError, AttributeError) as error:
        raise SpecError(f"the types of a class cannot be told: {error}. Received: {kind!r}") from error


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def form_of(hint: Any) -> Form:
    """The form of a type.

    Raises:
        SpecError: no value of this type can stand in a file.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        kinds = tuple(kind for kind in arguments if kind is not NoneType)
        form = form_of(kinds[0]) if len(kinds) == 1 else _named(kinds)
        return Maybe(form) if NoneType in arguments else form
    if origin is Literal:
        return Choice(arguments)
    if origin is tuple:
        any_length = len(arguments) == 2 and arguments[1] is Ellipsis
        return Row(tuple(form_of(kind) for kind in arguments if kind is not Ellipsis), any_length)
    if hint in (bool, int, float, str):
        return Scalar(hint)
    if isinstance(hint, type) and any(issubclass(hint, family.bases) for family in FAMILIES):
        return _named((hint,))
    if isinstance(hint, type) and is_dataclass(hint):
        return Record(hint)
    raise _unwritable(hint)


def _named(kinds: tuple[Any, ...]) -> Named:
    for family in FAMILIES:
        if all(isinstance(kind, type) and issubclass(kind, family.bases) for kind in kinds):
            return Named(family, kinds)
    raise _unwritable(kinds)


def _unwritable(hint: Any) -> SpecError:
    return SpecError(
        "a field of this type cannot stand in a file: use bool, int, float, str, Literal, tuples, None, dataclasses, "
        f"or blocks, norms and classifiers. Received: {shown(hint)}"
    )
