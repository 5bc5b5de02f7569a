"""timm's names for the modules of a network, family by family.

Source: huggingface/pytorch-image-models 1.0, timm/models: the attributes of the classes named below. Each class here
lists the modules with weights in the order in which our blocks create their layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container
from itertools import accumulate
from typing import Any

from keras_effnet.blocks import (
    BasicBlock,
    Block,
    Bottleneck,
    ConvBlock,
    ConvNeXtBlock,
    DeepStem,
    FusedMBConv,
    GhostBottleneck,
    InvertedResidual,
    InvertedResidualV3,
    MBConv,
    MobileOneBlock,
    PatchStem,
    RepVGGBlock,
    ResNetStem,
    UniversalInvertedBottleneck,
)
from keras_effnet.ops import Conv, Depthwise
from keras_effnet.spec import BackboneSpec
from keras_effnet.trace import TracedBlock

Names = list[str]

# timm's stage of each of our stages, by the number of our stages: timm merges rows of arXiv:1905.02244, Tables 1 and 2
# (mobilenetv3.py, `_gen_mobilenet_v3`). Large has nine rows, small seven.
_V3_STAGES = {9: (0, 1, 1, 2, 3, 3, 3, 4, 5), 7: (0, 1, 1, 2, 2, 3, 4)}
# The same of GhostNet's sixteen rows: ghostnet.py, `_create_ghostnet`.
_GHOST_STAGES = {16: (0, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 7, 8, 8, 8, 8)}
_GHOST_PARTS = ("primary_conv", "cheap_operation")


class TimmFamily(ABC):
    """The module names of one family of networks.

    Args:
        spec: a network of the family.
    """

    def __init__(self, spec: BackboneSpec) -> None:
        self.spec = spec

    def modules(self, section: TracedBlock) -> Names:
        """The module names of a section, one per layer with weights."""
        stages = self.spec.stages
        if section.stage == 0:
            return self.stem(self.spec.stem.block)
        if section.stage <= len(stages):
            place = self.place(section.stage, section.block)
            return [f"{place}.{name}" for name in self.block(stages[section.stage - 1].block, section)]
        return self.head() if section.stage < len(self.spec.parts) else self.classifier(section)

    @abstractmethod
    def stem(self, block: Any) -> Names: ...

    @abstractmethod
    def place(self, part: int, block: int) -> str:
        """The module that contains a block, given the number of its stage (from 1) and its number there (from 0)."""

    @abstractmethod
    def block(self, block: Any, section: TracedBlock) -> Names: ...

    def head(self) -> Names:
        return []

    @abstractmethod
    def classifier(self, section: TracedBlock) -> Names: ...

    def numbers(self) -> tuple[int, ...]:
        """The number of timm's stage of each of ours: timm may count several of ours as one."""
        return tuple(range(len(self.spec.stages)))

    def position(self, part: int, block: int) -> tuple[int, int]:
        """timm's stage of a block, and the block's number there, both from 0."""
        numbers = self.numbers()
        before = sum(self.spec.stages[other].depth for other in range(part - 1) if numbers[other] == numbers[part - 1])
        return numbers[part - 1], before + block

    def numbers_by_stride(self) -> tuple[int, ...]:
        """Where each stride begins another of timm's stages."""
        return tuple(accumulate((stage.stride > 1 for stage in self.spec.stages[1:]), initial=0))


class TimmEfficientNet(TimmFamily):
    """efficientnet.py; DepthwiseSeparableConv, InvertedResidual, ConvBnAct and EdgeResidual."""

    def stem(self, block: Any) -> Names:
        return ["conv_stem", "bn1"]

    def place(self, part: int, block: int) -> str:
        number, inside = self.position(part, block)
        return f"blocks.{number}.{inside}"

    def block(self, block: Any, section: TracedBlock) -> Names:
        squeeze = ["se.conv_reduce", "se.conv_expand"] if getattr(block, "se_ratio", 0) else []
        if isinstance(block, FusedMBConv):
            return ["conv", "bn1"] if block.expand == 1 else ["conv_exp", "bn1", *squeeze, "conv_pwl", "bn2"]
        if block.expand == 1:
            return ["conv_dw", "bn1", *squeeze, "conv_pw", "bn2"]
        return ["conv_pw", "bn1", "conv_dw", "bn2", *squeeze, "conv_pwl", "bn3"]

    def head(self) -> Names:
        return ["conv_head", "bn2"]

    def classifier(self, section: TracedBlock) -> Names:
        return ["classifier"]


class TimmMobile(TimmEfficientNet):
    """timm's head is a further stage, and "conv_head" is the hidden layer of its classifier."""

    def head(self) -> Names:
        place = f"blocks.{self.numbers()[-1] + 1}.0"
        return [f"{place}.conv", f"{place}.bn1"]

    def classifier(self, section: TracedBlock) -> Names:
        return ["conv_head", "classifier"]


class TimmMobileNetV3(TimmMobile):
    """mobilenetv3.py; InvertedResidual."""

    def numbers(self) -> tuple[int, ...]:
        return _V3_STAGES[len(self.spec.stages)]


class TimmMobileNetV4(TimmMobile):
    """mobilenetv3.py, which holds MobileNetV4 as well; UniversalInvertedResidual, ConvBnAct and EdgeResidual."""

    def numbers(self) -> tuple[int, ...]:
        return self.numbers_by_stride()

    def block(self, block: Any, section: TracedBlock) -> Names:
        if not isinstance(block, UniversalInvertedBottleneck):
            return super().block(block, section)
        has = {"dw_start": block.start_kernel, "pw_exp": 1, "dw_mid": block.kernel, "pw_proj": 1}
        return [f"{name}.{part}" for name, kernel in has.items() if kernel for part in ("conv", "bn")]

    def classifier(self, section: TracedBlock) -> Names:
        return ["conv_head", "norm_head", "classifier"]


class TimmGhostNet(TimmMobile):
    """ghostnet.py; GhostBottleneck."""

    def numbers(self) -> tuple[int, ...]:
        return _GHOST_STAGES[len(self.spec.stages)]

    def block(self, block: GhostBottleneck, section: TracedBlock) -> Names:
        one, two = ([f"ghost{n}.{part}.{k}" for part in _GHOST_PARTS for k in range(2)] for n in (1, 2))
        strides = any(isinstance(node.op, Depthwise) and node.op.stride != 1 for node in section.nodes)
        squeeze = ["se.conv_reduce", "se.conv_expand"] if block.se_ratio else []
        shortcut = strides or section.input.channels != section.output.channels
        return [
            *one,
            *(["conv_dw", "bn_dw"] if strides else []),
            *squeeze,
            *two,
            *([f"shortcut.{k}" for k in range(4)] if shortcut else []),
        ]


class TimmByob(TimmFamily):
    """byobnet.py; RepVggBlock and MobileOneBlock."""

    def stem(self, block: Any) -> Names:
        # The same block by two names: of MobileOne's lists of branches, the stem's has one.
        mobileone = isinstance(self.spec.stages[0].block, MobileOneBlock)
        names = ("conv_kxk.0", "conv_scale") if mobileone else ("conv_kxk", "conv_1x1")
        return [f"stem.{name}.{part}" for name in names for part in ("conv", "bn")]

    def numbers(self) -> tuple[int, ...]:
        return self.numbers_by_stride()

    def place(self, part: int, block: int) -> str:
        number, inside = self.position(part, block)
        if isinstance(self.spec.stages[part - 1].block, MobileOneBlock):
            return f"stages.{number}"  # two of timm's blocks are one of ours
        return f"stages.{number}.{inside}"

    def block(self, block: Any, section: TracedBlock) -> Names:
        strides = any(isinstance(node.op, Conv | Depthwise) and node.op.stride != 1 for node in section.nodes)
        same = section.input.channels == section.output.channels
        if isinstance(block, RepVGGBlock):
            names = [f"{name}.{part}" for name in ("conv_kxk", "conv_1x1") for part in ("conv", "bn")]
            return [*names, *(["identity"] if same and not strides else [])]
        first = 2 * self.position(section.stage, section.block)[1]
        squeeze = ["attn.fc1", "attn.fc2"] if block.se_ratio else []
        copies = [f"conv_kxk.{number}.{part}" for number in range(block.branches) for part in ("conv", "bn")]
        depthwise = ["conv_scale.conv", "conv_scale.bn", *copies, *([] if strides else ["identity"]), *squeeze]
        pointwise = [*copies, *(["identity"] if same else []), *squeeze]
        return [*(f"{first}.{name}" for name in depthwise), *(f"{first + 1}.{name}" for name in pointwise)]

    def classifier(self, section: TracedBlock) -> Names:
        return ["head.fc"]


class TimmResNet(TimmFamily):
    """resnet.py; BasicBlock, and Bottleneck with or without pooling before the convolution of the shortcut."""

    def stem(self, block: Any) -> Names:
        if isinstance(block, DeepStem):
            # Activations, which are numbered too, come in between; the last convolution replaces the pooling.
            return ["conv1.0", "conv1.1", "conv1.3", "conv1.4", "conv1.6", "bn1", "maxpool.0", "maxpool.1"]
        return ["conv1", "bn1"]

    def place(self, part: int, block: int) -> str:
        return f"layer{part}.{block}"

    def block(self, block: BasicBlock | Bottleneck, section: TracedBlock) -> Names:
        if isinstance(block, BasicBlock):
            shortcut = ["downsample.0", "downsample.1"] if _convolutions(section) > 2 else []
            return [*shortcut, "conv1", "bn1", "conv2", "bn2"]
        first = 1 if block.shortcut == "pool" else 0
        shortcut = [f"downsample.{first}", f"downsample.{first + 1}"]
        return _bottleneck(block, section, shortcut, ["conv{}", "bn{}"])

    def classifier(self, section: TracedBlock) -> Names:
        return ["fc"]


class TimmRegNet(TimmFamily):
    """regnet.py; Bottleneck of ConvNormAct."""

    def stem(self, block: Any) -> Names:
        return ["stem.conv", "stem.bn"]

    def place(self, part: int, block: int) -> str:
        return f"s{part}.b{block + 1}"

    def block(self, block: Bottleneck, section: TracedBlock) -> Names:
        return _bottleneck(block, section, ["downsample.conv", "downsample.bn"], ["conv{}.conv", "conv{}.bn"])

    def classifier(self, section: TracedBlock) -> Names:
        return ["head.fc"]


def _convolutions(section: TracedBlock) -> int:
    return sum(isinstance(node.op, Conv) for node in section.nodes)


def _bottleneck(block: Bottleneck, section: TracedBlock, shortcut: Names, numbered: Names) -> Names:
    """The module names of a bottleneck in our order: the shortcut first."""
    one, two, three = ([name.format(number) for name in numbered] for number in (1, 2, 3))
    squeeze = ["se.fc1", "se.fc2"] if block.se_ratio else []
    middle, end = (squeeze, []) if block.se_at == "middle" else ([], squeeze)
    return [*(shortcut if section.block == 0 else []), *one, *two, *middle, *three, *end]


class TimmConvNeXt(TimmFamily):
    """convnext.py; ConvNeXtStage and ConvNeXtBlock."""

    def stem(self, block: Any) -> Names:
        return ["stem.0", "stem.1"]

    def place(self, part: int, block: int) -> str:
        return f"stages.{part - 1}"

    def block(self, block: ConvNeXtBlock, section: TracedBlock) -> Names:
        # The only regular convolution in a block is the one that downsamples.
        downsamples = any(isinstance(node.op, Conv) for node in section.nodes)
        names = ["conv_dw", "norm", "mlp.fc1", "mlp.fc2", *(["gamma"] if block.layer_scale is not None else [])]
        return [
            *(["downsample.0", "downsample.1"] if downsamples else []),
            *(f"blocks.{section.block}.{name}" for name in names),
        ]

    def classifier(self, section: TracedBlock) -> Names:
        # A network without its top still has the normalisation.
        return ["head.norm", "head.fc"][: sum(node.has_weights for node in section.nodes)]


# Each family with the blocks of its stages and the blocks of its stem.
_FAMILIES: tuple[tuple[type[TimmFamily], tuple[type[Block], ...], tuple[type[Block], ...]], ...] = (
    (TimmEfficientNet, (MBConv, FusedMBConv, InvertedResidual), (ConvBlock,)),
    (TimmMobileNetV3, (InvertedResidualV3,), (ConvBlock,)),
    (TimmMobileNetV4, (FusedMBConv, UniversalInvertedBottleneck), (ConvBlock,)),
    (TimmGhostNet, (GhostBottleneck,), (ConvBlock,)),
    (TimmByob, (RepVGGBlock,), (RepVGGBlock,)),
    (TimmByob, (MobileOneBlock,), (RepVGGBlock,)),
    (TimmResNet, (BasicBlock,), (ResNetStem,)),
    (TimmResNet, (Bottleneck,), (ResNetStem, DeepStem)),
    (TimmRegNet, (Bottleneck,), (ConvBlock,)),
    (TimmConvNeXt, (ConvNeXtBlock,), (PatchStem,)),
)

# The families of which timm's stages stand in a table.
_TABLES: dict[type[TimmFamily], Container[int]] = {TimmMobileNetV3: _V3_STAGES, TimmGhostNet: _GHOST_STAGES}


def timm_family(spec: BackboneSpec) -> TimmFamily | None:
    """The names of a network's modules in timm; None if timm does not have such a network.

    Example:
        >>> from keras_effnet.backbones.timm_specs import timm_spec
        >>> timm_family(timm_spec("regnety_004")).place(part=2, block=0)
        's2.b1'
    """
    for family, blocks, stems in _FAMILIES:
        if isinstance(spec.stem.block, stems) and all(isinstance(stage.block, blocks) for stage in spec.stages):
            known = family not in _TABLES or len(spec.stages) in _TABLES[family]
            return family(spec) if known else None
    return None
