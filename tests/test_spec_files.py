"""Specs as files: round trips, the published JSON Schema, and every file that must be refused."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from support import run_python, tiny_spec

import keras_effnet
from keras_effnet import BackboneSpec, Preprocessing, StageSpec, estimate_cost, registry, scale_spec
from keras_effnet.blocks import Block, Bottleneck, ConvBlock, DenseClassifier, MBConv, Placement
from keras_effnet.checks import MAX_SIZE, MAX_STAGES
from keras_effnet.errors import KerasEffnetError, SpecError
from keras_effnet.ops import KERAS_NORM, BatchNorm, LayerNorm, Ops, T
from keras_effnet.registry import backbones, blocks, classifiers, norms
from keras_effnet.serialization import MAX_BYTES, read_spec, spec_schema, write_spec

SCHEMA = Path(keras_effnet.__file__).with_name("spec.schema.json")


def document(spec: BackboneSpec | None = None) -> Any:
    return json.loads((tiny_spec(MBConv(), MBConv(kernel=5)) if spec is None else spec).to_json())


def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("name", backbones.names())
def test_every_registered_spec_comes_back(name: str, tmp_path: Path) -> None:
    spec = backbones.get(name)
    text = spec.to_json()
    found = BackboneSpec.from_json(text)
    assert found == spec
    assert found.to_json() == text
    assert estimate_cost(found) == estimate_cost(spec)
    write_spec(spec, tmp_path / "spec.json")
    assert read_spec(tmp_path / "spec.json") == spec
    validator().validate(json.loads(text))


def test_a_file_written_by_hand_is_the_spec_that_it_says() -> None:
    # Written out, so that a changed format or default is seen: files of users do not change with us.
    text = """{
        "schema": 1,
        "backbone": {
            "name": "by_hand",
            "stem": {"block": {"block": "conv", "padding": "correct"}, "width": 16, "stride": 2, "fixed": "width"},
            "stages": [
                {"block": {"block": "mbconv", "kernel": 5, "norm": {"norm": "layer"}}, "width": 24, "depth": 2},
                {"block": {"block": "bottleneck", "norm": {"norm": "batch", "momentum": 0.9}}, "width": 8, "stride": 2}
            ],
            "classifier": {"classifier": "dense", "dropout": 0.2},
            "preprocessing": {"mean": [0.5, 1, 2], "variance": [1, 1, 0.25]},
            "resolution": 64
        }
    }"""
    assert BackboneSpec.from_json(text) == BackboneSpec(
        name="by_hand",
        stem=StageSpec(ConvBlock(padding="correct"), width=16, stride=2, fixed="width"),
        stages=(
            StageSpec(MBConv(kernel=5, norm=LayerNorm()), width=24, depth=2),
            StageSpec(Bottleneck(norm=BatchNorm(momentum=0.9)), width=8, stride=2),
        ),
        classifier=DenseClassifier(dropout=0.2),
        preprocessing=Preprocessing(mean=(0.5, 1, 2), variance=(1, 1, 0.25)),
        resolution=64,
    )
    validator().validate(json.loads(text))


def test_the_published_schema_is_the_generated_one() -> None:
    # In an interpreter of its own: other tests may have registered blocks.
    generated = run_python(
        "import json; from keras_effnet import serialization as s; print(json.dumps(s.spec_schema()))"
    )
    assert json.loads(SCHEMA.read_text()) == json.loads(generated), "run `python scripts/schema.py`"


def test_the_schema_is_a_schema_and_knows_every_name() -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for tag, known in (("block", blocks), ("classifier", classifiers), ("norm", norms)):
        assert {f"{tag}_{name}" for name in known.names()} <= set(schema["$defs"])


def test_the_example_of_the_documentation_is_a_spec() -> None:
    page = Path(__file__).parents[1] / "docs" / "spec_files.md"
    text = page.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0]
    assert BackboneSpec.from_json(text).name == "mine"
    validator().validate(json.loads(text))


def put(*path: str | int, value: Any) -> Callable[[Any], None]:
    """A change of a document: another value at a path."""

    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


def drop(*path: str | int) -> Callable[[Any], None]:
    """A change of a document: a key less."""

    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]

    return change


FIRST = ("backbone", "stages", 0)

# A change that makes a file wrong, and the words that name the place and the rule.
WRONG: list[tuple[Callable[[Any], None], str]] = [
    (put("schema", value=2), r"schema must be 1.*Received: 2"),
    (put("schema", value="1"), r"schema must be 1"),
    (put("schema", value=True), r"schema must be 1"),
    (drop("schema"), r"schema must be 1.*Received: None"),
    (drop("backbone"), r"the keys 'schema' and 'backbone'"),
    (put("author", value="me"), r"only the keys.*'author'"),
    (put("backbone", value=[]), r"backbone must be an object"),
    (put("backbone", "widths", value=1), r"backbone has no such key"),
    (put(*FIRST, "widht", value=1), r"backbone\.stages\[0\] has no such key; did you mean 'width'\?.*'widht'"),
    (put(*FIRST, "width", value="32"), r"backbone\.stages\[0\]\.width must be an integer\. Received: '32'"),
    (put(*FIRST, "width", value=True), r"width must be an integer\. Received: True"),
    (put(*FIRST, "width", value=32.5), r"width must be an integer\. Received: 32\.5"),
    (put(*FIRST, "width", value=None), r"width must be an integer\. Received: None"),
    (put(*FIRST, "depth", value=[1]), r"depth must be an integer"),
    (put(*FIRST, "fixed", value="all"), r"fixed must be one of 'nothing'"),
    (put(*FIRST, "fixed", value=["width"]), r"fixed must be one of"),
    (drop(*FIRST, "width"), r"backbone\.stages\[0\] lacks the key 'width'"),
    (drop(*FIRST, "block"), r"stages\[0\] lacks the key 'block'"),
    (drop("backbone", "stem"), r"backbone lacks the key 'stem'"),
    (put(*FIRST, "block", value="mbconv"), r"stages\[0\]\.block must be an object with the key 'block'"),
    (drop(*FIRST, "block", "block"), r"must be an object with the key 'block'"),
    (put(*FIRST, "block", "block", value=7), r"must be an object with the key 'block'"),
    (put(*FIRST, "block", "norms", value=7), r"stages\[0\]\.block has no such key; did you mean 'norm'"),
    (put(*FIRST, "block", "skip", value=1), r"block\.skip must be true or false"),
    (put(*FIRST, "block", "expand", value="6"), r"block\.expand must be a number"),
    (put(*FIRST, "block", "expand", value=False), r"block\.expand must be a number"),
    (put(*FIRST, "block", "activation", value=None), r"block\.activation must be a text"),
    (put(*FIRST, "block", "norm", value=None), r"block\.norm must be an object with the key 'norm'"),
    (put(*FIRST, "block", "norm", value={"norm": "layer", "momentum": 0.9}), r"block\.norm has no such key"),
    (put("backbone", "stem", "block", "names", value=["a", "b"]), r"stem\.block\.names must have 3 items"),
    (put("backbone", "stem", "block", "names", value=["a", "b", 3]), r"names\[2\] must be a text"),
    (put("backbone", "stages", value={}), r"stages must be a list"),
    (put("backbone", "stages", value=[None] * (MAX_STAGES + 1)), r"stages must have at most 1,000 items"),
    (put("backbone", "classifier", value={"dropout": 0.5}), r"the key 'classifier'"),
    (put("backbone", "preprocessing", value=None), r"preprocessing must be an object"),
    (put("backbone", "preprocessing", "mean", value="0.5"), r"preprocessing\.mean must be a list"),
]

# Wrong in ways that types do not tell: the schema lets them through.
WRONG_FOR_US: list[tuple[Callable[[Any], None], str]] = [
    (put(*FIRST, "width", value=32.0), r"width must be an integer\. Received: 32\.0"),
    (put(*FIRST, "width", value=0), r"backbone\.stages\[0\]: `width` must be an integer from 1.*Received: width=0"),
    (put(*FIRST, "stride", value=33), r"stages\[0\]: `stride`"),
    (put(*FIRST, "block", "kernel", value=32), r"backbone\.stages\[0\]\.block: `kernel`.*Received: kernel=32"),
    (put(*FIRST, "block", "block", value="mbcomv"), r"did you mean 'mbconv'.*Received: 'mbcomv'"),
    (put(*FIRST, "block", "block", value="x" * 9999), r"no block has this name.{1,500}$"),
    (put(*FIRST, "block", value={"block": "my_plugin", "size": 3}), r"stages\[0\]\.block\.block: no block has this"),
    (put("backbone", "name", value=""), r"backbone: `name`"),
    (put("backbone", "name", value="two\nlines"), r"name must be printable text"),
    (put("backbone", "name", value="\x1b[2J"), r"name must be printable text"),
    (put("backbone", "name", value="\ud800"), r"name must be printable text"),
    (put("backbone", "stages", value=[]), r"backbone: `stages` must be a tuple of at least one"),
    (put("backbone", "resolution", value=1), r"total stride"),
    (put("backbone", "drop_path", value=1), r"`drop_path`"),
    (put("backbone", "preprocessing", "mode", value="tf"), r"preprocessed twice"),
    (put("backbone", "preprocessing", "scale", value=MAX_SIZE + 1), r"within 1e40"),
]


@pytest.mark.parametrize(("change", "words"), WRONG + WRONG_FOR_US)
def test_a_wrong_file_is_refused_by_the_place_that_is_wrong(change: Callable[[Any], None], words: str) -> None:
    data = document()
    assert BackboneSpec.from_json(json.dumps(data)) == tiny_spec(MBConv(), MBConv(kernel=5))
    change(data)
    with pytest.raises(SpecError, match=words) as caught:
        BackboneSpec.from_json(json.dumps(data))
    assert_readable(caught.value)


@pytest.mark.parametrize("change", [change for change, _ in WRONG])
def test_a_file_of_wrong_types_is_refused_by_the_schema_too(change: Callable[[Any], None]) -> None:
    data = document()
    validator().validate(data)
    change(data)
    assert not validator().is_valid(data)


def assert_readable(error: KerasEffnetError) -> None:
    message = str(error)
    assert message.count("Received: ") == 1
    assert len(message) < 1_000
    assert message.isprintable()


HOSTILE = {
    "nothing": "",
    "a word": "spec",
    "half a file": '{"schema": 1, "backbone": {"name": "a',
    "binary": "\x00\x01\xff\x7fELF",
    "python": "__import__('os').system('true')",
    "a list": "[1, 2]",
    "null": "null",
    "NaN": '{"schema": 1, "backbone": {"resolution": NaN}}',
    "infinity": '{"schema": 1, "backbone": {"resolution": -Infinity}}',
    "a float beyond all": '{"schema": 1, "backbone": {"resolution": 1e999}}',
    "a long float": '{"schema": 1, "backbone": {"resolution": ' + "9" * 100_000 + ".5}}",
    "a long integer": '{"schema": 1, "backbone": {"resolution": ' + "9" * 5_000 + "}}",
    "the longest integer": '{"schema": 1, "backbone": {"resolution": -' + "9" * 900_000 + "}}",
    "a schema of a long integer": '{"schema": ' + "1" * 41 + "}",
    "a key twice": '{"schema": 1, "schema": 1, "backbone": {}}',
    "a key twice, deep": '{"schema": 1, "backbone": {"stem": {"width": 1, "width": 1}}}',
    "deep lists": "[" * 500_000,
    "deep objects": '{"a":' * 150_000,
    "deep and closed": "[" * 100_000 + "]" * 100_000,
    "deep, just parsed": '{"schema": 1, "backbone": ' + "[" * 900 + "]" * 900 + "}",
    "many keys": '{"schema": 1, "backbone": {' + ",".join(f'"{number}":0' for number in range(80_000)) + "}}",
    "a long key": '{"schema": 1, "backbone": {"' + "k" * 900_000 + '": 1}}',
    "many stages": '{"schema": 1, "backbone": {"name": "a", "stem": 1, "stages": [' + "0," * 400_000 + "0]}}",
    "too long": " " * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_refused_at_once(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(SpecError) as caught:
        BackboneSpec.from_json(text)
    assert time.perf_counter() - started < 5, "a bound on work, not on speed"
    assert_readable(caught.value)


def test_a_key_twice_is_refused_even_with_the_same_value() -> None:
    text = tiny_spec(MBConv()).to_json()
    twice = text.replace('"width": 16', '"width": 16, "width": 16')
    assert json.loads(twice) == json.loads(text)
    with pytest.raises(SpecError, match=r"a key appears twice.*Received: 'width'"):
        BackboneSpec.from_json(twice)


@pytest.mark.parametrize("text", [None, 7, b"{}", ["{}"]], ids=str)
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(SpecError, match=r"read from a string.*Received: "):
        BackboneSpec.from_json(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00{", "UTF-8"),
        (b"\x80\x04\x95pickle", "UTF-8"),
        (b"{" + b" " * MAX_BYTES, "1,000,000 bytes"),
        (b"", "not valid JSON"),
        (b'{"schema": 3}', r"schema must be 1.*Received: 3"),
    ],
)
def test_a_broken_file_is_refused_by_its_name(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=words) as caught:
        read_spec(path)
    assert str(path) in str(caught.value)
    assert_readable(caught.value)


@pytest.mark.parametrize("path", ["no/such.json", ".", "/dev/zero", "a\0b", "x" * 5_000])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(SpecError, match="Received: "):
        read_spec(path)


def test_a_file_may_begin_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(tiny_spec(MBConv()).to_json(), encoding="utf-8-sig")
    assert read_spec(tmp_path / "mine.json") == tiny_spec(MBConv())


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "spec.json", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(SpecError, match=r"cannot be written.*Received: "):
            write_spec(tiny_spec(MBConv()), path)


@dataclass(frozen=True)
class Window:
    """A dataclass inside a plugin's block."""

    size: int = 2
    kind: Literal["avg", "max"] = "max"


@dataclass(frozen=True)
class Pooled(Block):
    """A plugin's block: with fields of every form, and a block inside."""

    inner: Block
    window: Window = field(default_factory=Window)
    shares: tuple[tuple[float, bool], ...] = ()
    note: str | None = None

    def __post_init__(self) -> None:
        if self.note == "crash":
            raise KeyError(self.note)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        return self.inner.apply(ops, x, at)

    def describe(self) -> str:
        return f"Pooled {self.inner.describe()}"


@dataclass(frozen=True)
class Bare(Block):
    """A plugin's block that does nothing."""

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        return x

    def describe(self) -> str:
        return "Bare"


@dataclass(frozen=True)
class Callback(Bare):
    """A block that no file can hold."""

    call: Callable[[int], int] = abs


@dataclass(frozen=True)
class Misnamed(Bare):
    """A block with a field where its name would stand."""

    block: int = 0


@dataclass(frozen=True)
class Normed(Bare):
    """A block that takes one norm only."""

    norm: BatchNorm = KERAS_NORM


PLUGIN = Pooled(MBConv(kernel=5), Window(3), ((1, True), (0.5, False)), "two")


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    own: Any = registry.blocks
    places = {**own._places, "pooled": Pooled, "normed": Normed, "missing": "no_such_package:Block"}
    places |= {"callback": Callback, "misnamed": Misnamed}
    monkeypatch.setattr(registry.blocks, "_places", places)


@pytest.mark.usefixtures("plugins")
def test_blocks_of_a_plugin_are_written_by_their_registered_name() -> None:
    spec = tiny_spec(PLUGIN, Pooled(Pooled(MBConv())))
    found = document(spec)["backbone"]["stages"][0]["block"]
    inner = {"block": "mbconv", "kernel": 5}
    shares = [[1, True], [0.5, False]]
    assert found == {"block": "pooled", "inner": inner, "window": {"size": 3}, "shares": shares, "note": "two"}
    assert BackboneSpec.from_json(spec.to_json()) == spec
    validator().validate(document(spec))


@pytest.mark.usefixtures("plugins")
def test_a_plugin_that_is_not_installed_is_named() -> None:
    data = document()
    put(*FIRST, "block", value={"block": "missing"})(data)
    validator().validate(data)
    with pytest.raises(SpecError, match=r"stages\[0\]\.block\.block: .*cannot be imported.*Received"):
        BackboneSpec.from_json(json.dumps(data))


@pytest.mark.usefixtures("plugins")
def test_what_a_plugin_raises_becomes_our_error() -> None:
    data = document(tiny_spec(PLUGIN))
    put(*FIRST, "block", "note", value="crash")(data)
    with pytest.raises(SpecError, match=r"stages\[0\]\.block cannot be built: KeyError.*Received"):
        BackboneSpec.from_json(json.dumps(data))


@pytest.mark.usefixtures("plugins")
def test_blocks_nested_without_end_are_refused() -> None:
    data = document(tiny_spec(PLUGIN))
    text = json.dumps(data).replace(
        '{"block": "mbconv", "kernel": 5}', '{"block":"pooled","inner":' * 900 + "1" + "}" * 900
    )
    with pytest.raises(SpecError, match=r"nested more than 64 levels.*Received"):
        BackboneSpec.from_json(text)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            PLUGIN,
            r"stages\[0\]\.block: the class of this block is not registered.*blocks\.register\('my_block', Pooled\)",
        ),
        (MBConv(activation=abs), r"stages\[0\]\.block\.activation must be a text"),
    ],
)
def test_what_no_file_can_hold_is_not_written(block: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words + ".*Received: "):
        tiny_spec(block).to_json()


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("block", "words"),
    [(Callback(), "a field of this type cannot be written"), (Misnamed(), "no field of a block may be called")],
)
def test_a_plugin_that_no_file_can_hold_is_not_written(block: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words + ".*Received: "):
        tiny_spec(block).to_json()


@pytest.mark.usefixtures("plugins")
def test_another_norm_than_a_block_takes_is_refused() -> None:
    data = document(tiny_spec(Normed()))
    put(*FIRST, "block", "norm", value={"norm": "layer"})(data)
    with pytest.raises(SpecError, match=r"block\.norm must be a BatchNorm\. Received: 'layer'"):
        BackboneSpec.from_json(json.dumps(data))


def test_a_spec_has_at_most_a_thousand_stages() -> None:
    spec = tiny_spec(MBConv())
    most = replace(spec, stages=spec.stages * MAX_STAGES)
    assert BackboneSpec.from_json(most.to_json()) == most
    with pytest.raises(SpecError, match=r"at most 1,000\. Received: 1,001 stages"):
        replace(spec, stages=spec.stages * (MAX_STAGES + 1))


def test_the_largest_spec_fits_into_a_file() -> None:
    # Every field of every stage away from its default, indented.
    block = MBConv(
        7, 5.123456789012345, 0.123456789012345, "hard_sigmoid", LayerNorm(1e-5), "symmetric", False, "dwconv2"
    )
    stage = StageSpec(block, width=123456, depth=1234, stride=1, fixed="width")
    spec = replace(tiny_spec(MBConv()), stages=(stage,) * MAX_STAGES)
    assert BackboneSpec.from_json(spec.to_json()) == spec


def test_reading_and_describing_import_nothing_heavy() -> None:
    code = (
        "import sys; from keras_effnet import serialization, block_strings, applications as a;"
        "type(a.resnet50_spec).from_json(a.resnet50_spec.to_json()); serialization.spec_schema();"
        "print(sorted({'keras', 'tensorflow', 'numpy', 'jsonschema'} & set(sys.modules)))"
    )
    assert run_python(code) == "[]"


def test_the_generated_schema_takes_up_plugins(plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("callback", "misnamed", "missing"):
        own: Any = registry.blocks
        monkeypatch.delitem(own._places, name)
    schema = jsonschema.Draft202012Validator(spec_schema())
    data = document(tiny_spec(PLUGIN))
    schema.validate(data)
    put(*FIRST, "block", "window", "size", value="3")(data)
    assert not schema.is_valid(data)


NUMBERS = [b"1e308", b"-1", b"0", b"1e-300", b"9" * 39, b"1000000", b"0.5", b"1", b"2", b"5", b"64", b"1000"]
PIECES = [
    *(
        b"true",
        b"null",
        b'""',
        b'"a b"',
        b'"\\u0000"',
        b"[[]]",
        b'{"block":"mbconv"}',
        b"\x00",
        b"\xff",
        b"\xf0\x9f\x98\x80",
    ),
    *(b"", b"[", b"]", b"{", b"}", b'"', b"\\", b","),
]


def damaged(content: bytes, generator: random.Random) -> bytes:
    """A file with other numbers, or in which some places are cut, doubled, or hold something else."""
    for _ in range(generator.choice([1, 1, 1, 3])):
        if generator.random() < 0.6:
            places = [found.span() for found in re.finditer(rb"(?<=: )[\d.]+", content)]
            (place, end), piece = generator.choice(places or [(0, 1)]), generator.choice(NUMBERS)
        else:
            place = generator.randrange(len(content) + 1)
            end = place + generator.choice([0, 1, 1, 4, 40])
            piece = generator.choice([*PIECES, content[place:end] * 2])
        content = content[:place] + piece + content[end:]
    return content


def test_a_damaged_file_is_read_or_refused_at_once(tmp_path: Path) -> None:
    generator, path, read = random.Random(0), tmp_path / "spec.json", 0
    contents = [backbones.get(name).to_json().encode() for name in ("efficientnet_b0", "densenet121", "convnext_tiny")]
    for _ in range(200):
        path.write_bytes(damaged(generator.choice(contents), generator))
        started = time.perf_counter()
        try:
            found = read_spec(path)
            read += 1
            estimate_cost(found)
            estimate_cost(scale_spec(found, 1))
        except KerasEffnetError as error:
            assert_readable(error)
        assert time.perf_counter() - started < 5, "a bound on work, not on speed"
    assert 10 < read < 190
