"""Blocks, each written once in the vocabulary of `keras_effnet.ops`."""

from keras_effnet.blocks.base import Block, Placement
from keras_effnet.blocks.basic import BasicBlock
from keras_effnet.blocks.bottleneck import Bottleneck
from keras_effnet.blocks.branched import MobileOneBlock, RepVGGBlock
from keras_effnet.blocks.convnext_block import ConvNeXtBlock, PatchStem
from keras_effnet.blocks.ends import (
    Classifier,
    ConvBlock,
    ConvClassifier,
    DenseClassifier,
    HiddenConvClassifier,
    NormClassifier,
)
from keras_effnet.blocks.ghost import GhostBottleneck
from keras_effnet.blocks.mbconv import FusedMBConv, MBConv
from keras_effnet.blocks.mobile import DepthwiseSeparable, InvertedResidual
from keras_effnet.blocks.mobile_v3 import InvertedResidualV3
from keras_effnet.blocks.preact import DenselyConnected, NormActivation, PreactBottleneck
from keras_effnet.blocks.stem import DeepStem, ResNetStem
from keras_effnet.blocks.universal import UniversalInvertedBottleneck

__all__ = [
    "BasicBlock",
    "Block",
    "Bottleneck",
    "Classifier",
    "ConvBlock",
    "ConvClassifier",
    "ConvNeXtBlock",
    "DeepStem",
    "DenseClassifier",
    "DenselyConnected",
    "DepthwiseSeparable",
    "FusedMBConv",
    "GhostBottleneck",
    "HiddenConvClassifier",
    "InvertedResidual",
    "InvertedResidualV3",
    "MBConv",
    "MobileOneBlock",
    "NormActivation",
    "NormClassifier",
    "PatchStem",
    "Placement",
    "PreactBottleneck",
    "RepVGGBlock",
    "ResNetStem",
    "UniversalInvertedBottleneck",
]
