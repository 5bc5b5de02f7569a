"""The conformance kit: everything registered passes it, and what breaks a law does not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import keras
import pytest
from support import BASES

from keras_effnet import Coefficients
from keras_effnet.blocks import Block, ConvBlock, MBConv, Placement
from keras_effnet.errors import ConformanceError
from keras_effnet.ops import KERAS_NORM, Ops
from keras_effnet.registry import backbones, blocks, rules
from keras_effnet.scaling import Compound
from keras_effnet.testing import Place, check_backbone, check_block, check_rule

slow = pytest.mark.slow

# Blocks that stand at one of the two ends of a network.
PLACES: dict[str, Place] = {
    "conv": "stem",
    "deep_stem": "stem",
    "norm_activation": "head",
    "patch_stem": "stem",
    "resnet_stem": "stem",
}
# Rules that do not take every phi.
PHIS = {"tabulated": (0, 1, 2, 3, 4, 5, 6, 7, 8), "tinynet": (-6, -4, -3, -2, -1, -0.1, 0)}


# Those of the default run.
SOME_BLOCKS = ("depthwise_separable", "resnet_stem")
SOME_BACKBONES = ("mobilenet_v1",)


@pytest.mark.parametrize("name", SOME_BLOCKS)
def test_registered_blocks_keep_the_laws(name: str) -> None:
    check_block(blocks.get(name)(), PLACES.get(name, "stage"))


@slow
@pytest.mark.parametrize("name", [name for name in blocks.names() if name not in SOME_BLOCKS])
def test_all_other_registered_blocks_keep_the_laws(name: str) -> None:
    check_block(blocks.get(name)(), PLACES.get(name, "stage"))


@pytest.mark.parametrize("name", rules.names())
def test_registered_rules_keep_the_laws(name: str) -> None:
    rule = rules.get(name)
    if name in PHIS:
        check_rule(rule, PHIS[name])
    else:
        check_rule(rule)


@pytest.mark.parametrize("name", SOME_BACKBONES)
def test_registered_backbones_keep_the_laws(name: str) -> None:
    check_backbone(backbones.get(name))


@slow
@pytest.mark.parametrize("name", [name for name in BASES if name not in SOME_BACKBONES])
def test_a_backbone_of_each_other_family_keeps_the_laws(name: str) -> None:
    check_backbone(backbones.get(name))


@dataclass(frozen=True)
class Good(Block):
    """A block that keeps all laws; each of those below breaks one."""

    def apply(self, ops: Ops, x: Any, at: Placement) -> Any:
        x = ops.conv(x, at.width, 3, at.stride, name=f"good{at.index}_conv")
        return ops.norm(x, KERAS_NORM, name=f"good{at.index}_bn")

    def describe(self) -> str:
        return "Good"


@dataclass(frozen=True)
class UnequalBlocks(Good):
    def apply(self, ops: Ops, x: Any, at: Placement) -> Any:
        kernel = 1 + at.block  # the cost depends on the number of the block
        return ops.conv(x, at.width, kernel, at.stride, name=f"bad{at.index}_conv")


@dataclass(frozen=True)
class WrongDeclaration(Good):
    def apply(self, ops: Ops, x: Any, at: Placement) -> Any:
        x = super().apply(ops, x, at)
        height, width = ops.size(x)
        shape = (height or 0, width or 0, ops.channels(x))
        # PReLU has a weight for each number of the image.
        return ops.layer(x, lambda name: keras.layers.PReLU(name=name), shape=shape, name=f"bad{at.index}")


class Foreign(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return x


@dataclass(frozen=True)
class ForeignLayer(Good):
    def apply(self, ops: Ops, x: Any, at: Placement) -> Any:
        x = super().apply(ops, x, at)
        height, width = ops.size(x)
        shape = (height or 0, width or 0, ops.channels(x))
        return ops.layer(x, lambda name: Foreign(name=name), shape=shape, name=f"foreign{at.index}")


@dataclass(frozen=True)
class Silent(Good):
    def describe(self) -> str:
        return ""


@dataclass(frozen=True)
class Unhashable(Good):
    sizes: Any = (1, 2)


@dataclass(frozen=True)
class Residual(Good):
    """Adds its input; the rate of its drop-path, if it has any, is `rate` times the right one."""

    rate: float = 1.0
    per_sample: bool = True

    def apply(self, ops: Ops, x: Any, at: Placement) -> Any:
        y = super().apply(ops, x, at)
        y = ops.dropout(y, self.rate * at.drop_path, per_sample=self.per_sample, name=f"good{at.index}_drop")
        return y if at.stride > 1 or ops.channels(x) != at.width else ops.add(x, y, name=f"good{at.index}_add")


@dataclass(frozen=True)
class TwoBranches(Good):
    """Adds two branches, neither of which is computed from the other: there is nothing to drop."""

    def apply(self, ops: Ops, x: Any, at: Placement) -> Any:
        y = ops.conv(x, at.width, 1, at.stride, name=f"good{at.index}_other")
        return ops.add(super().apply(ops, x, at), y, name=f"good{at.index}_add")


BAD_BLOCKS: list[tuple[Any, str]] = [
    (UnequalBlocks(), "count must equal the build"),
    (WrongDeclaration(), "count must equal the build.*`params`"),
    (ForeignLayer(), "Keras' own layers"),
    (Silent(), "`describe` must return a text"),
    (Unhashable([1, 2]), "hashable"),
    (Residual(rate=0), "drop-path does nothing"),
    (Residual(rate=0.5), "drop-path does nothing"),
    (Residual(per_sample=False), "drop-path does nothing"),
    (MBConv, "an object of a subclass of Block"),
]


@pytest.mark.parametrize(
    "block", [Residual(), *(pytest.param(block, marks=slow) for block in (Good(), TwoBranches()))], ids=repr
)
def test_a_good_block_of_ones_own_passes(block: Block) -> None:
    check_block(block)


@pytest.mark.parametrize(("block", "words"), BAD_BLOCKS, ids=lambda value: str(value)[:20])
def test_a_block_that_breaks_a_law_is_named(block: Any, words: str) -> None:
    with pytest.raises(ConformanceError, match=f"(?s){words}.*Received"):
        check_block(block)


def test_blocks_that_name_their_layers_alike_do_not_build() -> None:
    with pytest.raises(Exception, match="unique"):
        check_block(ConvBlock())


BAD_RULES: list[tuple[Any, str]] = [
    (lambda phi: 2.0, "return Coefficients"),
    (lambda phi: Coefficients(depth=2.0**phi, width=1.1), "phi = 0 must scale nothing"),
    (lambda phi: Coefficients(depth=0.5**phi), "grow with phi"),
    (lambda phi: Coefficients(), "grow with phi"),
    (lambda phi: Compound()(0 if math.isnan(phi) else phi), "phi = nan must raise ScalingError"),
]


@pytest.mark.parametrize(("rule", "words"), BAD_RULES)
def test_a_rule_that_breaks_a_law_is_named(rule: Any, words: str) -> None:
    with pytest.raises(ConformanceError, match=f"{words}.*Received"):
        check_rule(rule)


def test_a_rule_that_throws_dice_is_named() -> None:
    state = iter(range(100))
    with pytest.raises(ConformanceError, match=r"the same coefficients at the same phi.*Received"):
        check_rule(lambda phi: Coefficients(depth=1 + next(state)))


def test_a_backbone_that_breaks_a_law_is_named() -> None:
    spec = backbones.get("mobilenet_v1")
    unequal = replace(spec.stages[1], block=UnequalBlocks(), depth=12)
    with pytest.raises(ConformanceError, match=r"(?s)count must equal the build.*Received"):
        check_backbone(replace(spec, stages=(spec.stages[0], unequal)))
    with pytest.raises(ConformanceError, match=r"a backbone is a BackboneSpec.*Received"):
        check_backbone("mobilenet_v1")  # type: ignore
