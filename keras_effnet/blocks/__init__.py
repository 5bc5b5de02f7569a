"""Blocks, each written once in the vocabulary of `keras_effnet.ops`."""

from keras_effnet.blocks.base import Block, Placement
from keras_effnet.blocks.bottleneck import Bottleneck, ResNetStem
from keras_effnet.blocks.ends import Classifier, ConvBlock, ConvClassifier, DenseClassifier
from keras_effnet.blocks.mbconv import FusedMBConv, MBConv
from keras_effnet.blocks.mobile import DepthwiseSeparable, InvertedResidual

__all__ = [
    "Block",
    "Bottleneck",
    "Classifier",
    "ConvBlock",
    "ConvClassifier",
    "DenseClassifier",
    "DepthwiseSeparable",
    "FusedMBConv",
    "InvertedResidual",
    "MBConv",
    "Placement",
    "ResNetStem",
]
