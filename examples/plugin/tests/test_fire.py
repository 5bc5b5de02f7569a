"""What a plugin's own tests look like: the conformance kit, and one number from somebody else."""

from __future__ import annotations

import pytest
from keras_effnet_fire import FIRE_WIDTH, Fire, squeezenet_spec

from keras_effnet import estimate_cost
from keras_effnet.registry import backbones, blocks, rules
from keras_effnet.testing import check_backbone, check_block, check_rule


@pytest.mark.parametrize("block", [Fire(), Fire(kernel=5, squeeze=0.5)], ids=repr)
def test_the_block_keeps_the_laws(block: Fire) -> None:
    check_block(block)


def test_the_backbone_keeps_the_laws() -> None:
    check_backbone(squeezenet_spec)


def test_the_rule_keeps_the_laws() -> None:
    check_rule(FIRE_WIDTH)


def test_the_backbone_costs_what_others_count() -> None:
    # pytorch/vision, torchvision/models/squeezenet.py, SqueezeNet1_1_Weights: `num_params`.
    assert estimate_cost(squeezenet_spec).trainable_params == 1_235_496


def test_the_names_are_found() -> None:
    assert backbones.get("squeezenet") is squeezenet_spec
    assert blocks.get("fire") is Fire
    assert rules.get("fire_width") is FIRE_WIDTH
