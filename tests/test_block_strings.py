"""Block strings against the released ones, copied from the sources that the module names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FIXED
from support import tiny_spec

from keras_effnet import StageSpec
from keras_effnet.block_strings import read_block_strings, write_block_strings
from keras_effnet.blocks import Bottleneck, FusedMBConv, MBConv
from keras_effnet.cost import estimate_cost
from keras_effnet.errors import SpecError
from keras_effnet.ops import BatchNorm
from keras_effnet.registry import backbones

# tensorflow/tpu, models/official/efficientnet/efficientnet_builder.py
B0 = [
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
]
# google/automl, efficientnetv2/effnetv2_configs.py, v2_base_block
V2_BASE = [
    "r1_k3_s1_e1_i32_o16_c1",
    "r2_k3_s2_e4_i16_o32_c1",
    "r2_k3_s2_e4_i32_o48_c1",
    "r3_k3_s2_e4_i48_o96_se0.25",
    "r5_k3_s1_e6_i96_o112_se0.25",
    "r8_k3_s2_e6_i112_o192_se0.25",
]
# tensorflow/tpu, models/official/efficientnet/edgetpu/efficientnet_edgetpu_builder.py
EDGETPU = [
    "r1_k3_s11_e4_i24_o24_c1_noskip",
    "r2_k3_s22_e8_i24_o32_c1",
    "r4_k3_s22_e8_i32_o48_c1",
    "r5_k5_s22_e8_i48_o96",
    "r4_k5_s11_e8_i96_o144",
    "r2_k5_s22_e8_i144_o192",
]


def test_the_strings_of_b0_are_its_stages() -> None:
    stages = backbones.get("efficientnet_b0").stages
    assert read_block_strings(B0) == stages
    assert write_block_strings(stages, stem_width=32) == B0


def test_the_strings_of_version_2_come_back() -> None:
    stages = read_block_strings(V2_BASE)
    assert stages[0] == StageSpec(FusedMBConv(expand=1), width=16)
    assert stages[2] == StageSpec(FusedMBConv(expand=4), width=48, depth=2, stride=2)
    assert stages[4] == StageSpec(MBConv(expand=6), width=112, depth=5)
    assert write_block_strings(stages, stem_width=32, twice=False) == V2_BASE


def test_the_strings_of_version_2_are_the_stages_of_its_spec() -> None:
    spec = backbones.get("efficientnet_v2_b0")
    blocks = [stage.block for stage in spec.stages]
    mbconv = next(block for block in blocks if isinstance(block, MBConv))
    fused = next(block for block in blocks if isinstance(block, FusedMBConv))
    assert read_block_strings(V2_BASE, mbconv=mbconv, fused=fused) == spec.stages


def test_the_first_string_of_edgetpu_expands_from_what_it_says() -> None:
    # Its stem emits 32 channels, but TensorFlow's code expands the 24 that the string says: to 96.
    relu = {"mbconv": MBConv(activation="relu"), "fused": FusedMBConv(activation="relu")}
    stages = read_block_strings(EDGETPU, stem_width=32, **relu)
    assert stages[0] == StageSpec(FusedMBConv(expand=3, activation="relu", skip=False), width=24)
    assert stages[3].block == MBConv(kernel=5, expand=8, se_ratio=0, activation="relu")
    spec = replace(tiny_spec(MBConv()), stem=StageSpec(tiny_spec(MBConv()).stem.block, 32), stages=stages[:1])
    spec = replace(spec, drop_path=0.0, head=None)
    found = estimate_cost(spec).stages[1]
    assert found.params == 3 * 3 * 32 * 96 + 4 * 96 + 96 * 24 + 4 * 24
    assert write_block_strings(stages, stem_width=32, first_width=24, **relu) == EDGETPU


def test_what_strings_leave_open_comes_from_the_given_blocks() -> None:
    mbconv = MBConv(activation="relu6", norm=BatchNorm(1e-5), padding="symmetric", depthwise_name="dwconv2")
    stages = read_block_strings(B0[:2], mbconv=mbconv)
    assert stages[0].block == replace(mbconv, expand=1)
    assert write_block_strings(stages, stem_width=32, mbconv=mbconv) == B0[:2]
    with pytest.raises(SpecError, match=r"how this block differs.*Received: MBConv"):
        write_block_strings(stages, stem_width=32)


@settings(max_examples=200, **FIXED)
@given(data=st.data(), twice=st.booleans(), stem=st.integers(1, 200), said=st.none() | st.integers(1, 200))
def test_stages_come_back(data: st.DataObject, twice: bool, stem: int, said: int | None) -> None:
    """Also where the first string says another width: the numbers in it are then those of a string."""
    stage = st.builds(
        StageSpec,
        st.builds(
            data.draw(st.sampled_from([MBConv, FusedMBConv])),
            kernel=st.integers(1, 31),
            expand=st.integers(1, 8) | st.floats(1e-9, 99),
            se_ratio=st.just(0) | st.floats(1e-9, 1),
            skip=st.booleans(),
        ),
        width=st.integers(1, 2000),
        depth=st.integers(1, 99),
        stride=st.integers(1, 9),
    )
    stages = tuple(data.draw(st.lists(stage, min_size=1, max_size=4)))
    strings = write_block_strings(stages, stem_width=stem, twice=twice)
    assert read_block_strings(strings, stem_width=stem) == stages
    if said is not None:
        head, _, tail = f"r1_k3_s11_e{data.draw(st.integers(1, 8))}_i".partition("_")
        first = f"{head}_{tail}{said}_o{stem}_c1"
        found = read_block_strings([first], stem_width=stem)
        assert write_block_strings(found, stem_width=stem, first_width=said) == [first]


@settings(max_examples=200, **FIXED)
@given(expand=st.integers(1, 12), said=st.integers(1, 300), read=st.integers(1, 300))
def test_a_first_string_expands_to_as_many_channels_as_it_says(expand: int, said: int, read: int) -> None:
    (stage,) = read_block_strings([f"r1_k3_s1_e{expand}_i{said}_o8"], stem_width=read)
    assert isinstance(stage.block, MBConv)
    assert int(read * stage.block.expand) == expand * said


WRONG = [
    ([], "list of 1 to 1,000"),
    ("r1_k3_s11_e1_i32_o16", "list of 1 to 1,000"),
    (["r1_k3_s11_e1_i32_o16"] * 1001, "list of 1 to 1,000"),
    (None, "list of 1 to 1,000"),
    ([7], "looks like"),
    (["r1" * 1000], "looks like"),
    ([""], "unknown token"),
    (["r1_k3_s11_e1_i32_o16_p1"], "unknown token.*'p1'"),
    (["r1_k3_s11_e1_i32_o16_se"], "unknown token.*'se'"),
    (["r1_k3_s11_e-1_i32_o16"], "unknown token.*'e-1'"),
    (["r1_k3_s11_e1e3_i32_o16"], "unknown token.*'e1e3'"),
    (["r1.5_k3_s11_e1_i32_o16"], r"unknown token.*'r1\.5'"),
    (["r\u0661_k3_s11_e1_i32_o16"], "unknown token"),
    (["r" + "1" * 41 + "_k3_s11_e1_i32_o16"], "unknown token"),
    (["r1_k3_k5_s11_e1_i32_o16"], "appears twice.*'k5'"),
    (["r1_k3_e1_i32"], "lacks s, o"),
    (["r1_k3_s12_e1_i32_o16"], "same digit twice"),
    (["r1_k3_s11_e1_i0_o16"], "`i` must be at least 1"),
    (["r1_k3_s11_e1_i32_o16_c2"], "`c` 0"),
    (["r1_k32_s11_e1_i32_o16"], "'r1_k32.*: `kernel`.*Received: kernel=32"),
    (["r1_k3_s00_e1_i32_o16"], "`stride`"),
    (["r0_k3_s11_e1_i32_o16"], "`depth`"),
    (["r1_k3_s11_e0_i32_o16"], "`expand`"),
    (["r1_k3_s11_e1_i32_o16_se1.5"], "`se_ratio`"),
    (["r1_k3_s11_e1_i32_o16", "r1_k3_s11_e1_i24_o16"], "the width of the previous stage, 16.*string 1"),
]


@pytest.mark.parametrize(("strings", "words"), WRONG)
def test_a_wrong_string_is_named(strings: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        read_block_strings(strings)
    assert str(caught.value).count("Received: ") == 1
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (StageSpec(Bottleneck(), 8), "only stages of MBConv"),
        (StageSpec(MBConv(activation="relu"), 8), "how this block differs"),
        (StageSpec(MBConv(), 8, fixed="width"), "cannot express `fixed`"),
        (StageSpec(MBConv(), 8, stride=16), "stride of 10 or more"),
        ("r1_k3_s11_e1_i32_o16", "only stages of MBConv"),
    ],
)
def test_what_no_string_can_say_is_refused(stage: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words + ".*Received: "):
        write_block_strings([stage], stem_width=8)


@pytest.mark.parametrize("width", [0, 1.5, True, "32"])
def test_a_wrong_width_of_the_stem_is_refused(width: Any) -> None:
    with pytest.raises(SpecError, match="`stem_width`"):
        read_block_strings(B0, stem_width=width)
    with pytest.raises(SpecError, match="`first_width`"):
        write_block_strings(read_block_strings(B0), stem_width=32, first_width=width)
