"""NumPy's numbers and arrays, wherever Python's may stand: what is stored is Python's, what is computed the same."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import numpy as np
import pytest
from support import tiny_spec

import keras_effnet
from keras_effnet import (
    BackboneSpec,
    Coefficients,
    Preprocessing,
    Rounding,
    StageSpec,
    build_model,
    estimate_cost,
    explain,
    fit_to_budget,
    grow_model,
    load_data,
    scale_model,
    scale_spec,
)
from keras_effnet.blocks import Block, ConvBlock, MBConv, NormActivation
from keras_effnet.checks import plain
from keras_effnet.data.augment import augmentation_for
from keras_effnet.errors import KerasEffnetError, ScalingError, SpecError
from keras_effnet.scaling import Compound, Tabulated, TinyNet, limit_stride

# Fields without a default, or whose default says little.
SAMPLES: dict[str, dict[str, Any]] = {
    "Preprocessing": {"mean": (0.5, 1.5), "variance": (1.0, 2.0)},
    "Coefficients": {"dropout": 0.25, "stages": ((1.5, 1.0), (2, 1.25))},
    "Rounding": {"min_width": 16},
    "Reward": {"target": 4e8, "over": -1.0},
    "StageSpec": {"block": MBConv(), "width": 16},
    "BackboneSpec": {
        "name": "sample",
        "stem": StageSpec(ConvBlock(), 8, stride=2),
        "stages": (StageSpec(MBConv(), 8, stride=2),),
        "resolution": 64,
    },
}


def numpys(value: Any) -> Any:
    """The same value in NumPy's types; sequences of numbers as arrays, or else as lists."""
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int64(value)
    if isinstance(value, float):
        return np.float64(value)
    if isinstance(value, tuple) and value and not hasattr(value, "_fields"):
        numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)
        return np.array(value) if numbers and len({*map(type, value)}) == 1 else [numpys(item) for item in value]
    if isinstance(value, dict):
        return {key: numpys(item) for key, item in value.items()}
    return value


def assert_plain(value: Any, where: str) -> None:
    assert not type(value).__module__.startswith("numpy"), f"{where} holds {value!r}"
    assert type(value) is not list, where
    if isinstance(value, tuple):
        for item in value:
            assert_plain(item, where)
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            assert_plain(getattr(value, field.name), f"{where}.{field.name}")


def checked_dataclasses() -> list[type]:
    """Every dataclass of the package that checks its fields: those are what users make."""
    found = {}
    for module in walk_packages(keras_effnet.__path__, "keras_effnet."):
        if module.name.endswith("__main__"):
            continue
        for kind in vars(import_module(module.name)).values():
            is_ours = isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.name
            if is_ours and "__post_init__" in vars(kind) and not inspect.isabstract(kind):
                found[kind.__qualname__] = kind
    return [found[name] for name in sorted(found)]


def test_every_checked_dataclass_takes_numpys_numbers_and_stores_pythons() -> None:
    tried = []
    for kind in checked_dataclasses():
        samples = SAMPLES.get(kind.__name__, {})
        try:
            expected = kind(**samples)
        except TypeError:  # it needs more than numbers: data, functions, networks
            continue
        given = {field.name: getattr(expected, field.name) for field in fields(kind) if field.init}
        made = kind(**{name: numpys(value) for name, value in given.items()})
        if issubclass(kind, Block):
            made = StageSpec(made, 8).block  # a stage makes its block plain, so that blocks need not
        assert made == expected, kind
        assert hash(made) == hash(expected) if kind.__hash__ is not None else True
        assert_plain(made, kind.__name__)
        tried.append(kind.__name__)
    known = {"BackboneSpec", "Bottleneck", "Coefficients", "Compound", "MBConv", "Preprocessing", "Recipe", "Reward"}
    assert known <= set(tried)
    assert len(tried) > 30


SPEC = tiny_spec(MBConv())
I64, F64 = np.int64, np.float64
# Calls in NumPy's numbers, beside the same in Python's.
CALLS: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
    (lambda: scale_spec("efficientnet_b0", I64(1)), lambda: scale_spec("efficientnet_b0", 1)),
    (lambda: scale_spec("efficientnet_b0", np.float32(1)), lambda: scale_spec("efficientnet_b0", 1)),
    (lambda: scale_spec("efficientnet_b0", np.array(1.5)), lambda: scale_spec("efficientnet_b0", 1.5)),
    (lambda: scale_spec("resnet50", I64(-2), rule=lambda phi: Coefficients(width=2**phi)), lambda: scale_spec(
        "resnet50", coefficients=Coefficients(width=0.25))),
    (lambda: scale_spec("resnet50", I64(4), rule="tabulated"), lambda: scale_spec("resnet50", 4, rule="tabulated")),
    (lambda: Compound()(I64(2)), lambda: Compound()(2)),
    (lambda: TinyNet()(np.float32(-1.5)), lambda: TinyNet()(-1.5)),
    (lambda: Tabulated()(np.uint8(3)), lambda: Tabulated()(3)),
    (lambda: limit_stride("resnet50", I64(8)), lambda: limit_stride("resnet50", 8)),
    (lambda: estimate_cost(SPEC, resolution=np.array([40, 48]), channels=np.uint8(1), classes=np.int8(100)),
     lambda: estimate_cost(SPEC, resolution=(40, 48), channels=1, classes=100)),
    (lambda: estimate_cost(SPEC, resolution=[40, 48]), lambda: estimate_cost(SPEC, resolution=(40, 48))),
    (lambda: estimate_cost(SPEC, resolution=np.int16(2000)), lambda: estimate_cost(SPEC, resolution=2000)),
    (lambda: explain("resnet50", I64(2), classes=I64(10)).to_dict(),
     lambda: explain("resnet50", 2, classes=10).to_dict()),
    (lambda: fit_to_budget("resnet50", macs=np.float32(2e9), resolution=I64(160), classes=I64(10)),
     lambda: fit_to_budget("resnet50", macs=float(np.float32(2e9)), resolution=160, classes=10)),
    (lambda: augmentation_for(I64(2)), lambda: augmentation_for(2)),
    (lambda: StageSpec(MBConv(kernel=np.uint8(5), skip=np.bool_(False)), I64(8)),
     lambda: StageSpec(MBConv(kernel=5, skip=False), 8)),
    (lambda: ConvBlock(names=["a", "b", "c"]), lambda: ConvBlock(names=("a", "b", "c"))),
    (lambda: NormActivation(names=["a", "b"]), lambda: NormActivation(names=("a", "b"))),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_a_call_in_numpys_numbers_is_the_same_in_pythons(number: int) -> None:
    given, expected = (call() for call in CALLS[number])
    assert given == expected
    assert_plain(given, "result")
    if isinstance(given, dict):
        assert json.dumps(given) == json.dumps(expected)
    if isinstance(given, BackboneSpec):
        assert given.to_json() == expected.to_json()


def test_what_is_no_number_in_python_is_none_in_numpy() -> None:
    for phi in (np.bool_(True), np.float32("nan"), np.array([1.0]), np.array("1")):
        with pytest.raises(ScalingError, match="`phi`"):
            scale_spec("resnet50", phi)  # type: ignore[arg-type]
    for width in (np.float64(8), np.bool_(True), np.int64(0), np.array([8])):
        with pytest.raises(SpecError, match="`width`"):
            StageSpec(MBConv(), width)  # type: ignore[arg-type]


def test_models_are_built_and_grown_with_numpys_numbers() -> None:
    model = build_model(SPEC, input_shape=np.array([32, 32, 3]), classes=I64(3))  # type: ignore[arg-type]
    assert model.output_shape == (None, 3)
    kept = grow_model(model, scale_spec(SPEC, 0), classes=np.array([0, 2]))  # type: ignore[arg-type]
    assert kept.output_shape == (None, 2)
    expected = grow_model(model, scale_spec(SPEC, 0), classes=(0, 2))
    for ours, theirs in zip(kept.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert grow_model(model, SPEC, classes=I64(3)).output_shape == (None, 3)
    scaled = scale_model(SPEC, np.float32(0.5), input_shape=[32, 32, 3], classes=I64(2), memory_limit=F64(1e9))
    assert scaled.output_shape == (None, 2)
    with pytest.raises(KerasEffnetError, match="numbers in `classes`"):
        grow_model(model, SPEC, classes=np.array([0, 3]))  # type: ignore[arg-type]


def test_data_is_split_by_numpys_numbers() -> None:
    splits = load_data("digits", validation=np.float32(0.25), seed=I64(3), labels_per_class=np.uint8(5))
    expected = load_data("digits", validation=0.25, seed=3, labels_per_class=5)
    assert len(splits.train) == len(expected.train)
    np.testing.assert_array_equal(splits.train.labels, expected.train.labels)


def test_plain_leaves_what_is_plain_alone() -> None:
    whole = ((1, 2.5), "a", None, {"b": True}, Rounding(), Preprocessing)
    assert plain(whole) is whole
