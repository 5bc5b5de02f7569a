"""Reads and writes the block strings of the released EfficientNets: `r2_k5_s22_e6_i24_o40_se0.25`.

| token | meaning | source |
|---|---|---|
| `r2` | depth: number of blocks | tensorflow/tpu, models/official/efficientnet/efficientnet_builder.py, BlockDecoder |
| `k5` | kernel | |
| `s22`, `s2` | stride, once per axis or (version 2) once | google/automl, efficientnetv2/effnetv2_configs.py |
| `e6` | expand | |
| `i24`, `o40` | width of the input and of the output | |
| `se0.25` | se_ratio; 0 if missing | |
| `c1` | a fused block; `c0` or no token: an MBConv | efficientnet_edgetpu_builder.py, automl |
| `noskip` | skip=False | |

Activations, norms, paddings and layer names are not part of a string; they come from the blocks passed along with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from keras_effnet.blocks.mbconv import FusedMBConv, MBConv
from keras_effnet.checks import MAX_SIZE, MAX_STAGES, check_bool, check_int
from keras_effnet.codecs import located, shown
from keras_effnet.errors import SpecError
from keras_effnet.spec import StageSpec

_TOKEN = re.compile(r"(se|[rksieoc])([0-9]{1,40}(?:\.[0-9]{1,40})?|\.[0-9]{1,40})|(noskip)")
_FRACTIONS = ("e", "se")
_REQUIRED = ("r", "k", "s", "e", "i", "o")
# The released strings have at most 40 characters; here each number may have 80.
_MAX_CHARACTERS = 1_000

_MBCONV, _FUSED = MBConv(), FusedMBConv()


def read_block_strings(
    strings: Sequence[str],
    *,
    stem_width: int | None = None,
    mbconv: MBConv = _MBCONV,
    fused: FusedMBConv = _FUSED,
) -> tuple[StageSpec, ...]:
    """Decodes block strings into stages.

    Args:
        strings: one string per stage; `i` of each must equal `o` of the one before.
        stem_width: number of channels that the first stage actually reads, at least 1; None if that is its `i`. In
            EfficientNet-EdgeTPU it is 32 while `i` is 24: TensorFlow's code expands and squeezes from `i`, and the
            `expand` and `se_ratio` returned give the same widths. Default: None.
        mbconv: template for MBConv blocks: its activation, norm, padding and layer names. Default: `MBConv()`.
        fused: template for FusedMBConv blocks. Default: `FusedMBConv()`.

    Returns:
        One stage per string.

    Raises:
        SpecError: a malformed string, widths that do not agree, or a value outside its range. The message names the
            string.

    Example:
        >>> stages = read_block_strings(["r1_k3_s11_e1_i32_o16_se0.25", "r2_k3_s22_e6_i16_o24_se0.25"])
        >>> stages[1]
        StageSpec(block=MBConv(kernel=3, expand=6, ...), width=24, depth=2, stride=2, fixed='nothing')
    """
    if isinstance(strings, str) or not isinstance(strings, Sequence) or not 0 < len(strings) <= MAX_STAGES:
        raise SpecError(f"`strings` must be a list of 1 to {MAX_STAGES:,} block strings.", received=shown(strings))
    if stem_width is not None:
        stem_width = check_int(SpecError, "stem_width", stem_width, 1, MAX_SIZE)
    stages: list[StageSpec] = []
    for number, text in enumerate(strings):
        values = _read_tokens(text)
        before = stages[-1].width if stages else stem_width
        if stages and values["i"] != before:
            raise SpecError(
                f"`i` must be the width of the previous stage, {before}.", received=f"string {number}, {text!r}"
            )
        stages.append(_make_stage(values, fused if values.get("c") else mbconv, before, text))
    return tuple(stages)


def _read_tokens(text: object) -> dict[str, float]:
    if not isinstance(text, str) or len(text) > _MAX_CHARACTERS:
        raise SpecError("a block string looks like 'r1_k3_s11_e1_i32_o16_se0.25'.", received=shown(text))
    values: dict[str, float] = {}
    for token in text.split("_"):
        found = _TOKEN.fullmatch(token)
        key, digits = (found[1] or found[3], found[2] or "1") if found else (None, "")
        if key is None or (key not in _FRACTIONS and "." in digits):
            raise SpecError(
                "unknown token; the tokens of a block string are r, k, s, e, i, o, se and c with a number, and noskip.",
                received=f"{token!r} in {shown(text)}",
            )
        if key in values:
            raise SpecError("a token appears twice.", received=f"{token!r} in {shown(text)}")
        if key == "s" and len(digits) == 2 and digits[0] == digits[1]:
            digits = digits[0]
        values[key] = float(digits) if "." in digits else int(digits)
    missing = [key for key in _REQUIRED if key not in values]
    if missing:
        raise SpecError(f"the block string lacks {', '.join(missing)}.", received=repr(text))
    if values["i"] < 1 or values["s"] > 9 or values.get("c", 0) > 1:
        raise SpecError(
            "`i` must be at least 1, `s` one digit or the same digit twice, and `c` 0 (MBConv) or 1 (fused).",
            received=repr(text),
        )
    return values


def _make_stage(values: dict[str, float], like: MBConv | FusedMBConv, before: float | None, text: str) -> StageSpec:
    declared = values["i"]
    actual = declared if before is None else before
    try:
        block = replace(
            like,
            kernel=values["k"],
            expand=_factor(values["e"], declared, actual),
            se_ratio=_factor(values.get("se", 0), declared, actual),
            skip="noskip" not in values,
        )
        return StageSpec(block, width=int(values["o"]), depth=int(values["r"]), stride=int(values["s"]))
    except SpecError as error:
        raise located(error, shown(text)) from error


def _factor(value: float, declared: float, actual: float) -> float:
    """The factor that makes as many channels from `actual` as `value` makes from `declared`."""
    if declared == actual:
        return value
    factor = value * declared / actual
    if int(actual * factor) < int(declared * value):
        factor = math.nextafter(factor, math.inf)  # the quotient was rounded down to just below a whole number
    return int(factor) if factor == int(factor) else factor


def _unfactor(factor: float, declared: float, actual: float) -> float:
    """The inverse of `_factor`."""
    if declared == actual:
        return factor
    exact = factor * actual / declared
    for value in (round(exact), round(exact, 6), exact):
        if _factor(value, declared, actual) == factor:
            return value
    raise SpecError(
        f"no value for {declared} channels equals this factor for {actual} channels; omit `first_width`.",
        received=str(factor),
    )


def write_block_strings(
    stages: Iterable[StageSpec],
    *,
    stem_width: int,
    first_width: int | None = None,
    twice: bool = True,
    mbconv: MBConv = _MBCONV,
    fused: FusedMBConv = _FUSED,
) -> list[str]:
    """Encodes stages of MBConv and FusedMBConv as block strings; `read_block_strings` decodes them.

    Args:
        stages: the stages of one network, in order.
        stem_width: number of channels that the first stage reads, at least 1.
        first_width: `i` of the first string, at least 1; None uses `stem_width`. In EfficientNet-EdgeTPU it is 24 while
            the stem's width is 32. Default: None.
        twice: True writes strides as version 1 does, `s22`; False as version 2 does, `s2`. Default: True.
        mbconv: the template that `read_block_strings` will get for MBConv. Default: `MBConv()`.
        fused: the template that `read_block_strings` will get for FusedMBConv. Default: `FusedMBConv()`.

    Returns:
        One string per stage.

    Raises:
        SpecError: a stage that strings cannot express: another block; an activation, norm, padding or layer name that
            differs from the templates; `fixed`; or a stride of 10 or more.

    Example:
        >>> write_block_strings([StageSpec(MBConv(kernel=5), width=24, depth=2, stride=2)], stem_width=16)
        ['r2_k5_s22_e6_i16_o24_se0.25']
    """
    stem_width = check_int(SpecError, "stem_width", stem_width, 1, MAX_SIZE)
    twice = check_bool(SpecError, "twice", twice)
    width = stem_width if first_width is None else first_width
    check_int(SpecError, "first_width", width, 1, MAX_SIZE)
    read, strings = stem_width, []
    for stage in stages:
        block = _plain_block(stage, mbconv, fused)
        tokens = [
            f"r{stage.depth}",
            f"k{block.kernel}",
            "s" + str(stage.stride) * (2 if twice else 1),
            f"e{_digits(_unfactor(block.expand, width, read))}",
            f"i{width}",
            f"o{stage.width}",
            *([f"se{_digits(_unfactor(block.se_ratio, width, read))}"] if block.se_ratio else []),
            *(["c1"] if isinstance(block, FusedMBConv) else []),
            *([] if block.skip else ["noskip"]),
        ]
        strings.append("_".join(tokens))
        width = read = stage.width
    return strings


def _plain_block(stage: StageSpec, mbconv: MBConv, fused: FusedMBConv) -> MBConv | FusedMBConv:
    """The block of a stage; raises SpecError unless a string can express the whole stage."""
    block = stage.block if isinstance(stage, StageSpec) else None
    if not isinstance(block, MBConv | FusedMBConv):
        raise SpecError("only stages of MBConv and FusedMBConv have block strings.", received=shown(stage))
    like = mbconv if isinstance(block, MBConv) else fused
    plain = replace(like, kernel=block.kernel, expand=block.expand, se_ratio=block.se_ratio, skip=block.skip)
    if plain != block:
        raise SpecError(
            f"a block string cannot express how this block differs from {like}; pass a template like it as `mbconv` "
            "or `fused`.",
            received=str(block),
        )
    if stage.fixed != "nothing" or stage.stride > 9:
        raise SpecError("a block string cannot express `fixed`, or a stride of 10 or more.", received=str(stage))
    return block


def _digits(value: float) -> str:
    """The shortest decimal that reads back as the same number, without an exponent."""
    return format(Decimal(repr(value)), "f")
