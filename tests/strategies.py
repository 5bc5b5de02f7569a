"""Random specs, valid ones, for Hypothesis: any registered block, any classifier, norm, padding, rounding and rule.

What a block may hold is derived from its fields: their types where the type says enough, else their names.

Every strategy is made once (`cache`): Hypothesis looks each new one through before it draws from it, which takes ten
times as long as drawing.
"""

from __future__ import annotations

import os
from dataclasses import MISSING, fields
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import HealthCheck
from hypothesis import strategies as st

from keras_effnet import BackboneSpec, Preprocessing, Rounding, StageSpec
from keras_effnet.blocks import Block, Classifier
from keras_effnet.errors import SpecError
from keras_effnet.ops import BatchNorm, LayerNorm, Norm
from keras_effnet.registry import blocks, classifiers
from keras_effnet.scaling import Compound

Strategy = st.SearchStrategy

# Every run the same cases: a test that fails now and then teaches to look away. With FRESH=1 in the environment the
# slow tests, which try the most, draw new ones.
FIXED: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}
FRESH: dict[str, Any] = {**FIXED, "derandomize": not os.environ.get("FRESH")}

# Blocks that name their layers without asking where they stand: once in a network, at its start (with the strides that
# they can have there) or at its end. All others stand in stages.
STEMS: dict[str, tuple[int, ...]] = {
    "conv": (1, 2, 3),
    "deep_stem": (1, 2, 4),
    "patch_stem": (1, 2, 4),
    "resnet_stem": (1, 2, 4),
}
HEADS: dict[str, tuple[str, ...]] = {
    "conv": ("top_conv", "top_bn", "top_activation"),
    "norm_activation": ("post_bn", "post_relu"),
}

# Values of fields whose type says too little. A new field of a block comes here, unless its type tells all.
FIELDS: dict[str, Strategy[Any]] = {
    "activation": st.sampled_from(["relu", "relu6", "swish", "gelu", "hard_swish"]),
    "branches": st.integers(1, 3),
    "compression": st.sampled_from([0.3, 0.5, 1]),
    "depthwise_name": st.sampled_from(["dwconv", "dwconv2"]),
    "dropout": st.sampled_from([0, 0.1, 0.5]),
    "expand": st.sampled_from([0.5, 1, 1.5, 2, 6]),
    "group_width": st.sampled_from([1, 2, 4, 8]),
    "groups": st.sampled_from([1, 2, 3]),
    "kernel": st.sampled_from([1, 2, 3, 4, 5, 7]),
    "layer_scale": st.sampled_from([1e-6, 0.5]),
    "multiplier": st.integers(1, 3),
    "pool_name": st.sampled_from(["pool1_pool", "pool1"]),
    "prefix": st.sampled_from(["convnext", "convnext_mine"]),
    "se_ratio": st.sampled_from([0, 0.1, 0.25, 1]),
    "start_kernel": st.sampled_from([0, 1, 3, 5]),
    "width": st.integers(1, 32),
}


@cache
def norms(kind: Any = Norm) -> Strategy[Any]:
    """Normalisations of a type."""
    epsilon = st.sampled_from([0, 1e-6, 1e-3, 1.001e-5])
    known: dict[Any, Strategy[Any]] = {
        BatchNorm: st.builds(BatchNorm, epsilon, momentum=st.sampled_from([0.0, 0.9, 0.99])),
        LayerNorm: st.builds(LayerNorm, epsilon),
    }
    return st.one_of(*(known[one] for one in get_args(kind) or (kind,)))


def field_values(name: str, hint: Any) -> Strategy[Any]:
    """Values of a field, by its name or else by its type."""
    if NoneType in get_args(hint):
        return st.none() | field_values(name, get_args(hint)[0])
    if name in FIELDS:
        return FIELDS[name]
    if hint is bool:
        return st.booleans()
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if hint in (Norm, BatchNorm, LayerNorm):
        return norms(hint)
    raise LookupError(f"strategies.FIELDS needs values of {name!r}")


@cache
def of_fields(kind: type[Any], **given: Any) -> Strategy[Any]:
    """Objects of a dataclass with the given values, and random ones in any of its other fields."""
    hints = get_type_hints(kind)
    drawn = [field for field in fields(kind) if field.name != "names" and field.name not in given]
    values = {field.name: field_values(field.name, hints[field.name]) for field in drawn}
    free = {field.name for field in drawn if field.default is not MISSING or field.default_factory is not MISSING}
    required = {name: values[name] for name in values if name not in free}
    optional = {name: values[name] for name in values if name in free}

    def make(chosen: dict[str, Any]) -> Any:
        try:
            return kind(**chosen, **given)
        except SpecError:
            return None  # fields that exclude each other

    return st.fixed_dictionaries(required, optional=optional).map(make).filter(lambda made: made is not None)


@cache
def any_block(name: str) -> Strategy[Block]:
    """The registered block of that name, with any options but its layers' names."""
    return of_fields(blocks.get(name))


@cache
def stage_blocks() -> Strategy[Block]:
    return st.one_of(*(any_block(name) for name in blocks.names() if name not in {**STEMS, **HEADS}))


@cache
def any_classifier() -> Strategy[Classifier]:
    return st.one_of(*(of_fields(classifiers.get(name)) for name in classifiers.names()))


@cache
def stages(max_width: int = 20) -> Strategy[StageSpec]:
    """Stages of any block; where channels stand in groups, of whole groups."""

    def make(block: Block, least_width: int, depth: int, stride: int, fixed: Any) -> StageSpec:
        block, width = block.widened(least_width, 1)
        return StageSpec(block, width, depth, stride, fixed)

    fixed = st.sampled_from(["nothing", "nothing", "width", "depth", "both"])
    numbers = (st.integers(2, max_width), st.integers(1, 4), st.sampled_from([1, 2, 3]))
    return st.builds(make, stage_blocks(), *numbers, fixed)


@cache
def stems() -> Strategy[StageSpec]:
    """Every block of `STEMS`."""
    return st.sampled_from(sorted(STEMS)).flatmap(
        lambda name: st.builds(StageSpec, any_block(name), st.integers(2, 12), stride=st.sampled_from(STEMS[name]))
    )


@cache
def heads() -> Strategy[StageSpec | None]:
    """None, or a block of `HEADS`."""
    fixed = st.sampled_from(["nothing", "width"])
    found = [
        st.builds(StageSpec, of_fields(blocks.get(name), names=names), st.integers(1, 32), fixed=fixed)
        for name, names in HEADS.items()
    ]
    return st.one_of(st.none(), *found)


@cache
def preprocessings() -> Strategy[Preprocessing]:
    """All ways to treat pixels: by the model in its three steps, by the caller, by nobody."""
    return st.one_of(
        st.builds(Preprocessing, mode=st.sampled_from(["none", "tf", "caffe", "torch"])),
        st.builds(
            Preprocessing,
            scale=st.sampled_from([1.0, 1 / 255, 2]),
            offset=st.sampled_from([0, -1.0]),
            standardize=st.booleans(),
        ),
        st.just(Preprocessing(mean=(0.485, 0.456, 0.406), variance=(0.052, 0.05, 0.051))),
    )


@cache
def specs(max_width: int = 20) -> Strategy[BackboneSpec]:
    """Any valid network of small stages; the blocks of a network are mixed as users may mix them."""

    def make(parts: dict[str, Any], spare: int) -> BackboneSpec:
        least = BackboneSpec(name="random", resolution=1 << 20, **parts).total_stride
        return BackboneSpec(name="random", resolution=least + spare, **parts)

    parts = {
        "stem": stems(),
        "stages": st.lists(stages(max_width), min_size=1, max_size=4).map(tuple),
        "head": heads(),
        "classifier": any_classifier(),
        "preprocessing": preprocessings(),
        "drop_path": st.sampled_from([0.0, 0.5]),
        "initializer": st.sampled_from(["glorot_uniform", "fan_out"]),
    }
    return st.builds(make, st.fixed_dictionaries(parts), st.integers(0, 40))


@cache
def roundings() -> Strategy[Rounding]:
    """Any rounding; a least width is a multiple of the divisor, as in all published networks."""

    @cache
    def of(divisor: int) -> Strategy[Rounding]:
        return st.builds(
            Rounding,
            divisor=st.just(divisor),
            min_width=st.none() | st.sampled_from([divisor, 2 * divisor]),
            limit=st.sampled_from([0, 0.5, 0.9, 1]),
            depth=st.sampled_from(["ceil", "round"]),
            resolution_multiple=st.sampled_from([1, 2, 4, 8, 32]),
        )

    return st.sampled_from([1, 2, 3, 4, 8, 16]).flatmap(of)


@cache
def growing_rules() -> Strategy[Compound]:
    """Compound rules whose three coefficients never fall as phi grows: each is 1 for every phi, or for none but 0."""
    constant = st.just(1) | st.floats(1.02, 1.5)
    return st.builds(Compound, constant, constant, constant)
