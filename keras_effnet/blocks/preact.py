"""Blocks that normalise and activate their input first, and the end of networks that are made of them.

| block | source |
|---|---|
| `PreactBottleneck` | ResNet v2, He et al. 2016, arXiv:1603.05027, Figure 4(e); as in keras.applications.resnet_v2 |
| `DenselyConnected` | DenseNet-BC, Huang et al. 2017, arXiv:1608.06993, section 3; as in keras.applications.densenet |
| `NormActivation` | the last normalisation and ReLU of both |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from keras_effnet.blocks.base import Block, Placement, check_expand, check_kernel, hidden_width
from keras_effnet.blocks.bottleneck import RESNET_NORM, check_residual_padding
from keras_effnet.checks import check_name, check_number, store_plain
from keras_effnet.errors import SpecError
from keras_effnet.ops import Norm, Ops, T, check_norm
from keras_effnet.windows import check_activation_name


@dataclass(frozen=True)
class PreactBottleneck(Block):
    """Normalise and activate; narrow (1x1), filter (kernel x kernel), widen (1x1); add the untouched input.

    A stage's `width` is the narrow width; the block emits `expand * width` channels. A stage strides in its last block,
    as in Keras (in the paper, in its first). Shortcuts stride by taking every other cell; the shortcut of a stage's
    first block is a 1x1 convolution.

    Args:
        kernel: size of the middle convolution, odd, 1 to 31.
        expand: number of emitted channels per narrow channel, above 0, at most 1e6.
        activation: name of an activation in `keras.activations`.
        norm: normalisation before each convolution.

    Raises:
        SpecError: a value outside its range.

    Example:
        >>> PreactBottleneck().describe()
        'PreactBottleneck4, k3x3'
    """

    strides_last: ClassVar[bool] = True

    kernel: int = 3
    expand: float = 4
    activation: str = "relu"
    norm: Norm = RESNET_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_residual_padding("symmetric", self.kernel)
        check_expand(self.expand)
        check_norm(self.norm)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        prefix = f"conv{at.stage + 1}_block{at.block + 1}"
        width_out = hidden_width(at.width, self.expand)
        y = _norm_activation(ops, x, self, f"{prefix}_preact")
        shortcut = x
        if at.block == 0 or ops.channels(x) != width_out:
            shortcut = ops.conv(y, width_out, 1, at.stride, bias=True, name=f"{prefix}_0_conv")
        elif at.stride > 1:
            shortcut = ops.pool(x, 1, at.stride, name=f"{prefix}_0_pool")
        y = ops.conv(y, at.width, name=f"{prefix}_1_conv")
        y = _norm_activation(ops, y, self, f"{prefix}_1")
        y = ops.conv(y, at.width, self.kernel, at.stride, padding="symmetric", name=f"{prefix}_2_conv")
        y = _norm_activation(ops, y, self, f"{prefix}_2")
        y = ops.conv(y, width_out, bias=True, name=f"{prefix}_3_conv")
        y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
        return ops.add(shortcut, y, name=f"{prefix}_out")

    def describe(self) -> str:
        return f"PreactBottleneck{self.expand:g}, k{self.kernel}x{self.kernel}"


@dataclass(frozen=True)
class DenselyConnected(Block):
    """Narrow (1x1) and filter (kernel x kernel) all channels so far, and join the new ones to them.

    A stage's `width` is the growth rate: the number of channels that each block adds. Before its first block a stage
    compresses its input (1x1) and strides by average pooling: the paper's transition. Drop-path has no effect: there is
    no residual branch to drop.

    Args:
        kernel: size of the second convolution, 1 to 31.
        expand: number of narrow channels per new channel, above 0, at most 1e6.
        compression: share of the channels that the transition keeps, above 0, at most 1; at 1, a stage without stride
            has no transition.
        activation: name of an activation in `keras.activations`.
        norm: normalisation before each convolution.

    Raises:
        SpecError: a value outside its range.

    Example:
        >>> DenselyConnected().describe()
        'DenselyConnected4, k3x3'
    """

    kernel: int = 3
    expand: float = 4
    compression: float = 0.5
    activation: str = "relu"
    norm: Norm = RESNET_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.expand)
        check_number(SpecError, "compression", self.compression, 0, 1, open_low=True)
        check_norm(self.norm)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        if at.block == 0 and (self.compression < 1 or at.stride > 1):
            x = self._transition(ops, x, at)
        prefix = f"conv{at.stage + 1}_block{at.block + 1}"
        y = _norm_activation(ops, x, self, f"{prefix}_0")
        y = ops.conv(y, hidden_width(at.width, self.expand), name=f"{prefix}_1_conv")
        y = _norm_activation(ops, y, self, f"{prefix}_1")
        y = ops.conv(y, at.width, self.kernel, name=f"{prefix}_2_conv")
        return ops.concat(x, y, name=f"{prefix}_concat")

    def _transition(self, ops: Ops[T], x: T, at: Placement) -> T:
        # Keras numbers transitions by the stage before, counted from the stem; pool1 is the stem's own pooling.
        prefix = "stem_pool" if at.stage == 0 else f"pool{at.stage}" if at.stage > 1 else "pool0"
        x = _norm_activation(ops, x, self, prefix)
        x = ops.conv(x, hidden_width(ops.channels(x), self.compression), name=f"{prefix}_conv")
        return ops.pool(x, at.stride, at.stride, kind="avg", name=f"{prefix}_pool") if at.stride > 1 else x

    def describe(self) -> str:
        return f"DenselyConnected{self.expand:g}, k{self.kernel}x{self.kernel}"


@dataclass(frozen=True)
class NormActivation(Block):
    """Normalise and activate: the head of a network whose blocks begin with both.

    It emits as many channels as it reads; the width of its stage has no effect.

    Args:
        activation: name of an activation in `keras.activations`.
        norm: normalisation of the features.
        names: names of the two layers, unique in a network.

    Raises:
        SpecError: a value outside its range, or (when applied) a stride above 1.

    Example:
        >>> NormActivation(names=("bn", "relu")).describe()
        'Norm & Activation'
    """

    activation: str = "relu"
    norm: Norm = RESNET_NORM
    names: tuple[str, str] = ("post_bn", "post_relu")

    def __post_init__(self) -> None:
        store_plain(self)
        check_norm(self.norm)
        if not isinstance(self.names, tuple) or len(self.names) != 2:
            raise SpecError("`names` must be two layer names.", received=f"names={self.names!r}")
        for name in self.names:
            check_name(SpecError, "names", name, layer=True)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        if at.stride != 1:
            raise SpecError(
                "NormActivation cannot stride: its stage's stride must be 1.", received=f"stride={at.stride}"
            )
        norm, act = self.names
        return ops.act(ops.norm(x, self.norm, name=norm), self.activation, name=act)

    def describe(self) -> str:
        return "Norm & Activation"


def _norm_activation(ops: Ops[T], x: T, block: PreactBottleneck | DenselyConnected, prefix: str) -> T:
    return ops.act(ops.norm(x, block.norm, name=f"{prefix}_bn"), block.activation, name=f"{prefix}_relu")
