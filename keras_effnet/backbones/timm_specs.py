"""The architectures of timm (huggingface/pytorch-image-models, version 1.0) that our blocks build, as specs.

A timm network differs from our network of that name in details that no weight file holds: padding, the epsilon of its
normalisation, which convolution strides. So it has a spec of its own, which gives timm's outputs with timm's weights.
Sources: timm/models/efficientnet.py, mobilenetv3.py, ghostnet.py, byobnet.py, resnet.py, regnet.py and convnext.py.

| | padding | epsilon | source |
|---|---|---|---|
| `tf_*` | TensorFlow's, "same" | 1e-3 | timm/models/_efficientnet_builder.py, `BN_EPS_TF_DEFAULT` |
| all others | equal on every side, "symmetric" | 1e-5 | timm/layers/padding.py; torch.nn.BatchNorm2d |

The caller normalises pixels, as in timm: `preprocessing.mode` is "torch" for ImageNet's means and deviations, and "tf"
for 0.5 and 0.5, whichever the name's default tag in timm expects. Other tags of a name may expect the other one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cache, partial
from typing import Any, get_args

from keras_effnet.backbones.convnext_specs import Size as ConvNeXtSize
from keras_effnet.backbones.convnext_specs import convnext_with
from keras_effnet.backbones.mobilenet_v2_specs import mobilenet_v2_with
from keras_effnet.backbones.mobilenet_v3_specs import Size, mobilenet_v3_with
from keras_effnet.blocks import Bottleneck, InvertedResidual, MBConv, ResNetStem
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.errors import RegistryError
from keras_effnet.registry import resolve_backbone
from keras_effnet.scaling import Coefficients, scale_spec
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec

# PyTorch's momentum with TensorFlow's epsilon.
_TENSORFLOW_NORM = replace(PYTORCH_NORM, epsilon=1e-3)

# Names whose default tag has means and deviations of 0.5: the default_cfgs of timm/models.
_HALVED = r"tf_efficientnet_(lite\d|e[sml]|b8)|tf_efficientnetv2_([smlx]+|b3)|efficientnet_b1|tf_mobilenetv3_\w+"

Made = Callable[[], BackboneSpec]


def timm_spec(name: str) -> BackboneSpec:
    """The spec of a timm architecture, with which timm's weights give timm's logits.

    Args:
        name: name of the architecture in timm, without the tag of its training: "resnet50", not "resnet50.a1_in1k".

    Returns:
        The spec, at the resolution of our network of that name, 224 px if we have none.

    Raises:
        RegistryError: timm has no such architecture, or our blocks cannot build it; the message lists those they can.

    Example:
        >>> timm_spec("efficientnet_b0").stem.block.padding, timm_spec("tf_efficientnet_b0").stem.block.padding
        ('symmetric', 'same')
    """
    made = _makers().get(name) if isinstance(name, str) else None
    if made is None:
        raise RegistryError(
            f"no spec is known for this timm architecture. Known: {', '.join(timm_names())}. Leave out the tag, which "
            "follows a '.' in names of weights.",
            received=f"name={name!r}",
        )
    mode = "tf" if re.fullmatch(_HALVED, name) else "torch"
    return replace(made(), name=name, preprocessing=Preprocessing(mode=mode))


def timm_names() -> list[str]:
    """The names that `timm_spec` takes, sorted.

    Example:
        >>> "regnety_040" in timm_names()
        True
    """
    return sorted(_makers())


@cache
def _makers() -> dict[str, Made]:
    return dict((*_efficientnets(), *_mobilenets(), *_resnets(), *_regnets(), *_branched(), *_convnexts()))


def _efficientnets() -> Iterator[tuple[str, Made]]:
    ours = {
        **{f"efficientnet_{size}": f"efficientnet_{size}" for size in (*(f"b{n}" for n in range(9)), "l2")},
        **{f"efficientnet_lite{size}": f"efficientnet_lite{size}" for size in range(5)},
        **{f"efficientnet_e{size}": f"efficientnet_edgetpu_{size}" for size in ("s", "m", "l")},
        **{f"efficientnetv2_{size}": f"efficientnet_v2_{size}" for size in ("s", "m", "l", "xl")},
    }
    for name, base in ours.items():
        yield name, partial(_as_pytorch, base)
        yield f"tf_{name}", partial(_as_tensorflow, base)
    for size in range(4):
        yield f"tf_efficientnetv2_b{size}", partial(_as_tensorflow, f"efficientnet_v2_b{size}")
    for size in "abcde":
        yield f"tinynet_{size}", partial(_as_pytorch, f"tinynet_{size}")


def _mobilenets() -> Iterator[tuple[str, Made]]:
    # Digits are the width multiplier in hundredths. "d" is deepened as well; its stem and head keep their widths.
    for size in (35, 50, 75, 100, 140):
        yield f"mobilenetv2_{size:03}", partial(_mobilenet_v2, size / 100)
    yield "mobilenetv2_110d", partial(_mobilenet_v2, 1.1, depth=1.2)
    yield "mobilenetv2_120d", partial(_mobilenet_v2, 1.2, depth=1.4)
    alphas: tuple[tuple[Size, int], ...] = (("large", 75), ("large", 100), ("small", 50), ("small", 75), ("small", 100))
    for size, alpha in alphas:
        yield f"mobilenetv3_{size}_{alpha:03}", partial(_mobilenet_v3, size, alpha / 100)
        if alpha > 50:
            yield f"tf_mobilenetv3_{size}_{alpha:03}", partial(_mobilenet_v3, size, alpha / 100, tensorflow=True)
    for size in get_args(Size):
        made = partial(_mobilenet_v3, size, minimalistic=True, tensorflow=True)
        yield f"tf_mobilenetv3_{size}_minimal_100", made
    for name, base in (("mnasnet", "mnasnet_b1"), ("semnasnet", "mnasnet_a1")):
        for size in (50, 75, 100, 140):
            yield f"{name}_{size:03}", partial(_widened, base, size / 100)
    yield "mnasnet_small", _mnasnet_small
    for size in ("small", "medium", "large"):
        yield f"mobilenetv4_conv_{size}", partial(_as_pytorch, f"mobilenet_v4_conv_{size}")
    yield "ghostnet_100", partial(_as_pytorch, "ghostnet")


def _resnets() -> Iterator[tuple[str, Made]]:
    depths = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
    for layers, depth in depths.items():
        yield f"resnet{layers}", partial(_resnet, depth)
        if layers in (50, 101, 152):
            yield f"seresnet{layers}", partial(_resnet, depth, se_ratio=1 / 16)
    # Blocks that are 2, 4 or 8 times as wide inside, in groups or not, and emit as many channels as ResNet's.
    for layers in (50, 101):
        yield f"wide_resnet{layers}_2", partial(_resnet, depths[layers], inside=2)
    for layers, groups, width in ((50, 32, 4), (101, 32, 4), (101, 32, 8), (101, 64, 4)):
        inside = groups * width // 64
        yield f"resnext{layers}_{groups}x{width}d", partial(_resnet, depths[layers], inside=inside, groups=groups)
    for layers in (18, 34):
        yield f"resnet{layers}", partial(_as_pytorch, f"resnet{layers}")
    for layers in (50, 101, 152, 200, 270, 350, 420):
        yield f"resnetrs{layers}", partial(_as_pytorch, f"resnet_rs{layers}")


def _regnets() -> Iterator[tuple[str, Made]]:
    for kind in "xy":
        for number, size in (("004", "400mf"), ("008", "800mf"), ("016", "1_6gf"), ("040", "4_0gf")):
            yield f"regnet{kind}_{number}", partial(_as_pytorch, f"regnet_{kind}_{size}")


def _branched() -> Iterator[tuple[str, Made]]:
    for size in ("a0", "a1", "a2", "b0", "b1", "b2", "b3"):
        yield f"repvgg_{size}", partial(_as_pytorch, f"repvgg_{size}")
    for size in range(5):
        yield f"mobileone_s{size}", partial(_as_pytorch, f"mobileone_s{size}")


def _convnexts() -> Iterator[tuple[str, Made]]:
    for size in ("tiny", "small", "base", "large", "xlarge"):
        yield f"convnext_{size}", partial(_convnext, size)
    # Sizes below the paper's, which timm designed.
    for size, width, depth in (("atto", 40, 6), ("femto", 48, 6), ("pico", 64, 6), ("nano", 80, 8)):
        yield f"convnext_{size}", partial(_convnext, "tiny", width, (2, 2, depth, 2))


def _as_pytorch(spec: BackboneSpec | str) -> BackboneSpec:
    return _converted(spec, padding="symmetric", norm=PYTORCH_NORM)


def _as_tensorflow(spec: BackboneSpec | str) -> BackboneSpec:
    return _converted(spec, padding="same", norm=_TENSORFLOW_NORM)


def _converted(spec: BackboneSpec | str, **options: Any) -> BackboneSpec:
    """The spec with these options in every block that has them."""

    def converted(stage: StageSpec) -> StageSpec:
        known = {field.name for field in fields(stage.block)}
        return replace(stage, block=replace(stage.block, **{key: options[key] for key in options if key in known}))

    spec = resolve_backbone(spec)
    return replace(
        spec,
        stem=converted(spec.stem),
        stages=tuple(map(converted, spec.stages)),
        head=None if spec.head is None else converted(spec.head),
    )


def _mobilenet_v2(alpha: float, depth: float | None = None) -> BackboneSpec:
    """MobileNetV2 with a width multiplier; with `depth`, deepened and widened between a stem and a head left as is."""
    spec = mobilenet_v2_with(alpha if depth is None else 1.0)
    if depth is not None:
        first, *middle, last = spec.stages
        spec = replace(
            spec,
            stem=replace(spec.stem, fixed="both"),
            stages=(replace(first, fixed="depth"), *middle, replace(last, fixed="depth")),
            head=None if spec.head is None else replace(spec.head, fixed="both"),
        )
        spec = scale_spec(spec, coefficients=Coefficients(depth, alpha))
    return _as_pytorch(replace(spec, stages=tuple(map(_with_mbconv, spec.stages))))


def _with_mbconv(stage: StageSpec) -> StageSpec:
    """The same block as an MBConv, whose padding is an option."""
    block = stage.block
    if isinstance(block, InvertedResidual):
        block = MBConv(block.kernel, block.expand, se_ratio=0, activation=block.activation)
    return replace(stage, block=block)


def _mobilenet_v3(
    size: Size, alpha: float = 1.0, *, minimalistic: bool = False, tensorflow: bool = False
) -> BackboneSpec:
    spec = mobilenet_v3_with(size, alpha, minimalistic)
    return _as_tensorflow(spec) if tensorflow else _as_pytorch(spec)


def _mnasnet_small() -> BackboneSpec:
    # timm's first block has a skip connection; the authors' code has none (backbones/mnasnet_specs.py).
    spec = _as_pytorch("mnasnet_small")
    first, *others = spec.stages
    if isinstance(first.block, MBConv):
        first = replace(first, block=replace(first.block, skip=True))
    return replace(spec, stages=(first, *others))


def _widened(base: str, width: float) -> BackboneSpec:
    return _as_pytorch(scale_spec(base, coefficients=Coefficients(width=width)))


def _resnet(depths: tuple[int, ...], *, inside: int = 1, groups: int = 1, se_ratio: float = 0.0) -> BackboneSpec:
    """ResNet "v1.5" without biases; `inside` multiplies the channels in the middle of a block, not those it emits."""
    block = Bottleneck(
        expand=4 / inside,
        groups=groups,
        se_ratio=se_ratio,
        se_at="end",
        stride_at="kernel",
        bias=False,
        padding="symmetric",
        norm=PYTORCH_NORM,
    )
    return BackboneSpec(
        name="resnet",
        stem=StageSpec(ResNetStem(bias=False, norm=PYTORCH_NORM), width=64, stride=4),
        stages=tuple(
            StageSpec(block, 64 * inside * 2**number, depth, stride=min(number + 1, 2))
            for number, depth in enumerate(depths)
        ),
        initializer="fan_out",
    )


def _convnext(size: ConvNeXtSize, width: int | None = None, depths: tuple[int, ...] | None = None) -> BackboneSpec:
    spec = convnext_with(size)
    if width is None or depths is None:
        return spec
    stages = tuple(
        replace(stage, width=width * 2**number, depth=depth)
        for number, (stage, depth) in enumerate(zip(spec.stages, depths, strict=True))
    )
    return replace(spec, stem=replace(spec.stem, width=width), stages=stages)
