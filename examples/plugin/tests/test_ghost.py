"""What a plugin's own tests look like: the conformance kit, and one number from somebody else."""

from __future__ import annotations

import pytest
from keras_effnet_ghost import GHOST_WIDTH, GhostBottleneck, ghostnet_spec

from keras_effnet import estimate_cost
from keras_effnet.registry import backbones, blocks, rules
from keras_effnet.testing import check_backbone, check_block, check_rule


@pytest.mark.parametrize("block", [GhostBottleneck(), GhostBottleneck(kernel=5, expand=2.5, se_ratio=0.25)], ids=repr)
def test_the_block_keeps_the_laws(block: GhostBottleneck) -> None:
    check_block(block)


def test_the_backbone_keeps_the_laws() -> None:
    check_backbone(ghostnet_spec)


def test_the_rule_keeps_the_laws() -> None:
    check_rule(GHOST_WIDTH)


def test_the_backbone_costs_what_others_count() -> None:
    # huggingface/pytorch-image-models 1.0.31, ghostnet_100 at 224 px: parameters, multiply-adds of its convolutions.
    cost = estimate_cost(ghostnet_spec)
    assert (cost.trainable_params, cost.macs) == (5_182_508, 141_150_512)


def test_the_names_are_found() -> None:
    assert backbones.get("ghostnet") is ghostnet_spec
    assert blocks.get("ghost") is GhostBottleneck
    assert rules.get("ghost_width") is GHOST_WIDTH
