"""Specs: immutable data, placements, and the drop-path ramp."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import product
from string import ascii_lowercase
from typing import Any

import pytest
from support import every_block_spec, tiny_spec

from keras_effnet import BackboneSpec, Preprocessing, scale_spec
from keras_effnet.blocks import MBConv, Placement
from keras_effnet.registry import backbones


def places(spec: BackboneSpec) -> list[list[Placement]]:
    return [[place(block) for block in range(stage.depth)] for stage, place in spec.placements()]


def block_places(spec: BackboneSpec) -> list[Placement]:
    end = -1 if spec.head is not None else None
    return [place for row in places(spec)[1:end] for place in row]


@pytest.mark.parametrize("phi", [-2, 0, 1.5, 7])
@pytest.mark.parametrize("name", backbones.names())
def test_the_drop_path_ramp_runs_over_the_blocks_that_there_are(name: str, phi: float) -> None:
    # Elsewhere the ramp divided by the unscaled depth, and rates of L2 exceeded 1 (keras-hub, qubvel/efficientnet#111).
    spec = scale_spec(name, phi)
    rates = [place.drop_path for place in block_places(spec)]
    assert len(rates) == spec.depth == sum(stage.depth for stage in spec.stages)
    assert rates == pytest.approx([spec.drop_path * index / len(rates) for index in range(len(rates))])
    assert max(rates) < 1


def test_the_last_rates_of_the_released_networks() -> None:
    for name, blocks in (("efficientnet_b1", 23), ("efficientnet_b7", 55), ("efficientnet_l2", 88)):
        spec = backbones.get(name)
        assert spec.depth == blocks
        assert block_places(spec)[-1].drop_path == pytest.approx(0.2 * (blocks - 1) / blocks)


def test_only_the_first_block_of_a_stage_strides() -> None:
    for stage, row in zip(every_block_spec().stages, places(every_block_spec())[1:-1], strict=True):
        assert [place.stride for place in row] == [stage.stride] + [1] * (stage.depth - 1)


def test_blocks_are_numbered_in_their_stage_and_in_the_network() -> None:
    spec = backbones.get("efficientnet_b0")
    found = block_places(spec)
    assert [place.index for place in found] == list(range(16))
    assert [place.block for place in found][:5] == [0, 0, 1, 0, 1]
    assert [place.stage for place in found][:5] == [1, 2, 2, 3, 3]


def test_letters_go_on_after_z_and_never_repeat() -> None:
    # keras.applications ends in "{" and worse after 26 blocks.
    words = ["".join(word) for length in (1, 2) for word in product(ascii_lowercase, repeat=length)]
    assert [Placement(8, block=number).letter for number in range(len(words))] == words
    assert Placement(8, block=len(words)).letter == "aaa"


@pytest.mark.parametrize("name", backbones.names())
def test_the_total_stride_is_the_product_of_all_strides(name: str) -> None:
    assert backbones.get(name).total_stride == 32


def test_a_spec_is_frozen_hashable_and_equal_to_its_twin() -> None:
    assert every_block_spec() == every_block_spec()
    assert len({every_block_spec(), every_block_spec(), tiny_spec(MBConv())}) == 2
    spec: Any = tiny_spec(MBConv())
    for part, field in ((spec, "name"), (spec.stem, "width"), (spec.stages[0].block, "kernel")):
        with pytest.raises(FrozenInstanceError):
            setattr(part, field, 1)


def test_who_preprocesses_is_said_once() -> None:
    assert not Preprocessing().in_model
    assert not Preprocessing(mode="caffe").in_model
    assert Preprocessing(offset=-1).in_model
    assert Preprocessing(standardize=True).in_model


@pytest.mark.parametrize("name", backbones.names())
def test_a_spec_can_be_copied_by_its_own_repr(name: str) -> None:
    import keras_effnet
    from keras_effnet import blocks, ops

    names = {**vars(blocks), "BatchNorm": ops.BatchNorm, "LayerNorm": ops.LayerNorm}
    names |= {key: getattr(keras_effnet, key) for key in ("BackboneSpec", "StageSpec", "Preprocessing")}
    spec = backbones.get(name)
    assert eval(repr(spec), names) == spec  # noqa: S307 - our own text
