"""Laws that hold for every spec there can be, and errors of ours for every one there cannot."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FIXED, FRESH, HEADS, STEMS, any_block, growing_rules, roundings, specs

from keras_effnet import BackboneSpec, Preprocessing, Rounding, StageSpec, estimate_cost, scale_spec
from keras_effnet.blocks import Block, MBConv
from keras_effnet.errors import KerasEffnetError, SpecError
from keras_effnet.registry import blocks, classifiers
from keras_effnet.scaling import Compound
from keras_effnet.serialization import spec_schema

slow = pytest.mark.slow

is_valid_file = jsonschema.Draft202012Validator(spec_schema()).is_valid


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("bottleneck", "deep_stem", "norm_activation") else pytest.param(name, marks=slow)
        for name in blocks.names()
    ],
)
def test_every_registered_block_is_drawn_with_every_field(name: str) -> None:
    kind, drawn = blocks.get(name), set()

    @settings(max_examples=100, **FIXED)
    @given(block=any_block(name))
    def draw(block: Block) -> None:
        assert type(block) is kind
        drawn.update(field.name for field in fields(kind) if getattr(block, field.name) != getattr(kind(), field.name))

    draw()
    assert drawn == {field.name for field in fields(kind)} - {"names"}


@slow
def test_stems_heads_classifiers_and_preprocessings_are_drawn_all() -> None:
    assert {*STEMS, *HEADS} <= set(blocks.names())
    drawn = set()

    @settings(max_examples=200, **FIXED)
    @given(spec=specs())
    def draw(spec: BackboneSpec) -> None:
        drawn.update(map(type, (spec.stem.block, spec.head and spec.head.block, spec.classifier)))
        drawn.update(map(type, (stage.block for stage in spec.stages)))
        pixels = spec.preprocessing
        drawn.update(name for name, value in vars(pixels).items() if value != getattr(Preprocessing(), name))

    draw()
    assert drawn >= {registry.get(name) for registry in (blocks, classifiers) for name in registry.names()}
    assert drawn >= {field.name for field in fields(Preprocessing)}


def check_round_trip(spec: BackboneSpec) -> None:
    text = spec.to_json()
    found = BackboneSpec.from_json(text)
    assert found == spec
    # Equal specs are equal networks; names of layers, which some blocks do not compare, are kept too.
    assert asdict(found) == asdict(spec)
    assert found.to_json() == text
    assert is_valid_file(json.loads(text))


@settings(max_examples=60, **FIXED)
@given(spec=specs())
def test_a_spec_comes_back_from_its_file(spec: BackboneSpec) -> None:
    check_round_trip(spec)


@slow
@settings(max_examples=150, **FRESH)
@given(spec=specs(max_width=10**38))  # whole groups of channels may be a little wider
def test_a_spec_of_any_width_comes_back_from_its_file(spec: BackboneSpec) -> None:
    check_round_trip(spec)


@settings(max_examples=60, **FIXED)
@given(spec=specs(), rule=growing_rules(), rounding=roundings())
def test_phi_0_is_the_identity(spec: BackboneSpec, rule: Compound, rounding: Rounding) -> None:
    assert scale_spec(spec, 0, rule=rule, rounding=rounding) == spec


def check_monotone(spec: BackboneSpec, rule: Compound, rounding: Rounding, phis: list[float]) -> None:
    # Where rounding makes two neighbouring widths equal, a shortcut needs no convolution any more: a wider network can
    # cost less. A block that does not pad makes the image smaller, so that one block more can save more behind it
    # than it costs. So only networks are compared whose stages change their widths at the same places, and which have
    # as many blocks that do not pad.
    seen: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for phi in sorted(phis):
        try:
            scaled = scale_spec(spec, phi, rule=rule, rounding=rounding)
            cost = estimate_cost(scaled)
        except SpecError:
            continue  # too small for its strides, or for its blocks
        found = (cost.params, cost.macs, cost.activations)
        changes = tuple(stage.input.channels != stage.output.channels for stage in cost.stages)
        unpadded = tuple(stage.depth for stage in scaled.stages if getattr(stage.block, "padding", "") == "valid")
        before = seen.get((changes, unpadded), (0, 0, 0))
        assert all(now >= then for now, then in zip(found, before, strict=True)), f"phi={phi}: {before} to {found}"
        seen[changes, unpadded] = found


# Never 0, the identity, where even those widths stay that rounding would move; nor so near that a power of it is 1.
PHIS = st.lists(st.floats(0.01, 3) | st.floats(-3, -0.01), min_size=2, max_size=6)


@settings(max_examples=100, **FIXED)
@given(spec=specs(), rule=growing_rules(), rounding=roundings(), phis=PHIS)
def test_no_cost_falls_as_phi_grows(spec: BackboneSpec, rule: Compound, rounding: Rounding, phis: list[float]) -> None:
    check_monotone(spec, rule, rounding, phis)


JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 10**41, -(10**400), 0.0, 0.5, 1.5, -1.0, 1e-300, 1e300),
    *(float("nan"), float("inf"), 1j, "", "junk", "a/b", "\n", "\ud800", b"x", (), (1,), ("a", "b", "c"), [], {}),
    *(object(), int, abs, set(), (None,) * 3, Ellipsis),
)


def changed(draw: st.DrawFn, value: Any) -> Any:
    """`value` with something else in one place of it."""
    if draw(st.integers(0, 4)):
        if is_dataclass(value) and not isinstance(value, type) and fields(value):
            name = draw(st.sampled_from([field.name for field in fields(value)]))
            return replace(value, **{name: changed(draw, getattr(value, name))})
        if isinstance(value, tuple) and value:
            place = draw(st.integers(0, len(value) - 1))
            return (*value[:place], changed(draw, value[place]), *value[place + 1 :])
    return draw(st.sampled_from(JUNK))


def assert_ours(error: KerasEffnetError) -> None:
    assert str(error).count("Received: ") == 1
    assert len(str(error)) < 10_000


def check_use(spec: Any) -> None:
    """All that is done with a spec before Keras comes in: it works, or it is an error of ours."""
    for use in (estimate_cost, lambda spec: scale_spec(spec, 1.5), lambda spec: BackboneSpec.to_json(spec)):
        try:
            use(spec)
        except KerasEffnetError as error:
            assert_ours(error)


def check_changed(data: st.DataObject, spec: BackboneSpec) -> None:
    try:
        other = changed(data.draw, spec)  # pyright: ignore[reportArgumentType]
    except KerasEffnetError as error:
        assert_ours(error)
        return
    check_use(other)


@pytest.mark.parametrize("number", [10**400, -(10**5000), 10**5000], ids=["no float", "no text, below 0", "no text"])
def test_an_integer_that_nothing_holds_is_our_error(number: int) -> None:
    # math.isfinite raises OverflowError on the first, repr ValueError on the others.
    for make in (
        lambda: StageSpec(MBConv(), number),
        lambda: MBConv(expand=number),
        lambda: Preprocessing(scale=number),
        lambda: Rounding(limit=number),
    ):
        with pytest.raises(KerasEffnetError, match="Received: "):
            make()


@settings(max_examples=100, **FIXED)
@given(data=st.data(), spec=specs())
def test_a_spec_with_junk_in_it_is_our_error(data: st.DataObject, spec: BackboneSpec) -> None:
    check_changed(data, spec)


JSON_JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 33, 10**39, -(10**40), 0.0, 0.5, 1.0, 1.5, 1e-300, 1e300, "", "junk", "a/b"),
    *("mbconv", "conv", "batch", "layer", "dense", "same", "none", [], [1], [None, {}], {}, {"block": "mbconv"}),
    *({"norm": "layer"}, {"classifier": "conv"}, {"block": "fused_mbconv", "expand": 0.001}, {"a": {"b": [1]}}),
)


def changed_json(draw: st.DrawFn, value: Any) -> Any:
    """JSON with one place changed, gone, doubled or added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 6)):
        key = draw(st.sampled_from(sorted(value)))
        how = draw(st.sampled_from(["go", "go", "go", "drop", "add"]))
        if how == "drop":
            return {name: item for name, item in value.items() if name != key}
        if how == "add":
            return {**value, draw(st.sampled_from(["width", "junk", "block"])): draw(st.sampled_from(JSON_JUNK))}
        return {**value, key: changed_json(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 6)):
        place = draw(st.integers(0, len(value) - 1))
        if draw(st.integers(0, 3)) == 0:
            return value * 2
        return [*value[:place], changed_json(draw, value[place]), *value[place + 1 :]]
    return draw(st.sampled_from(JSON_JUNK))


def check_changed_json(data: st.DataObject, spec: BackboneSpec) -> None:
    document = changed_json(data.draw, json.loads(spec.to_json()))  # pyright: ignore[reportArgumentType]
    try:
        found = BackboneSpec.from_json(json.dumps(document))
    except SpecError as error:
        assert_ours(error)
        return
    # What is read is what the schema lets through.
    assert is_valid_file(document)
    assert BackboneSpec.from_json(found.to_json()) == found
    check_use(found)


@settings(max_examples=120, **FIXED)
@given(data=st.data(), spec=specs())
def test_a_changed_file_is_read_or_refused(data: st.DataObject, spec: BackboneSpec) -> None:
    check_changed_json(data, spec)


@pytest.mark.slow
@settings(max_examples=60, **FIXED)
@given(data=st.data(), spec=specs())
def test_a_text_with_other_characters_is_read_or_refused(data: st.DataObject, spec: BackboneSpec) -> None:
    text = spec.to_json()
    place = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 9))
    text = (
        text[:place]
        + data.draw(st.text(max_size=4) | st.text('{}[]":,0123456789.eE-tfn', max_size=6))
        + text[place + length :]
    )
    try:
        check_use(BackboneSpec.from_json(text))
    except SpecError as error:
        assert_ours(error)


@slow
@settings(max_examples=500, **FRESH)
@given(data=st.data(), spec=specs(), rule=growing_rules(), rounding=roundings(), phis=PHIS)
def test_any_spec_keeps_every_law(
    data: st.DataObject, spec: BackboneSpec, rule: Compound, rounding: Rounding, phis: list[float]
) -> None:
    """Drawing a spec takes as long as most of the laws, so that each one drawn serves them all."""
    check_round_trip(spec)
    check_monotone(spec, rule, rounding, phis)
    for _ in range(3):
        check_changed(data, spec)
    for _ in range(2):
        check_changed_json(data, spec)
