"""ConvNeXt Tiny to XLarge (Liu et al. 2022, arXiv:2201.03545, section 3).

Drop-path is off, as in keras.applications. On ImageNet-1K the paper trains Tiny with a rate of 0.1, Small with 0.4,
Base and Large with 0.5 (Table 5): `dataclasses.replace(spec, drop_path=0.1)`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from keras_effnet.backbones.published import KERAS_STORAGE, ImageNetWeights, Variant, WeightFile
from keras_effnet.blocks import ConvNeXtBlock, NormClassifier, PatchStem
from keras_effnet.checks import check_bool, check_choice
from keras_effnet.errors import SpecError
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec

Size = Literal["tiny", "small", "base", "large", "xlarge"]

# (width of the first stage, depth of the third): arXiv:2201.03545, section 3. Widths double from stage to stage; the
# other depths are 3.
_SIZES: dict[Size, tuple[int, int]] = {
    "tiny": (96, 9),
    "small": (96, 27),
    "base": (128, 27),
    "large": (192, 27),
    "xlarge": (256, 27),
}
# Statistics of ImageNet's channels, for pixels from 0 to 255: keras-team/keras, applications/convnext.py, PreStem.
_IMAGENET = Preprocessing(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    variance=((0.229 * 255) ** 2, (0.224 * 255) ** 2, (0.225 * 255) ** 2),
)


def convnext_with(size: Size, include_preprocessing: bool = True, prefix: str | None = None) -> BackboneSpec:
    """ConvNeXt in one of its sizes.

    Args:
        size: "tiny", "small", "base", "large" or "xlarge".
        include_preprocessing: whether the model takes pixels from 0 to 255; else as Keras' "torch" mode leaves them.
        prefix: start of all layer names; None for "convnext_tiny" and so on.

    Returns:
        The spec, at 224 px.

    Raises:
        SpecError: the size is unknown, or the prefix cannot stand in a layer's name.

    Example:
        >>> spec = convnext_with("tiny")
        >>> [stage.width for stage in spec.stages], [stage.depth for stage in spec.stages]
        ([96, 192, 384, 768], [3, 3, 9, 3])
    """
    check_choice(SpecError, "size", size, tuple(_SIZES))
    include_preprocessing = check_bool(SpecError, "include_preprocessing", include_preprocessing)
    name = f"convnext_{size}"
    prefix = name if prefix is None else prefix
    width, depth = _SIZES[size]
    return BackboneSpec(
        name=name,
        stem=StageSpec(PatchStem(prefix=prefix), width, stride=4),
        stages=tuple(
            StageSpec(ConvNeXtBlock(prefix=prefix), width * 2**number, depths, stride=min(number + 1, 2))
            for number, depths in enumerate((3, 3, depth, 3))
        ),
        classifier=NormClassifier(prefix=prefix),
        resolution=224,
        preprocessing=_IMAGENET if include_preprocessing else Preprocessing(mode="torch"),
    )


convnext_tiny_spec = convnext_with("tiny")
convnext_small_spec = convnext_with("small")
convnext_base_spec = convnext_with("base")
convnext_large_spec = convnext_with("large")
convnext_xlarge_spec = convnext_with("xlarge")


def _variant(spec: BackboneSpec, keras: str, top: str, notop: str) -> Variant:
    """A row, with the SHA-256 of the weight files: keras-team/keras, applications/convnext.py, WEIGHTS_HASHES."""
    files = _file(f"{spec.name}.h5", top), _file(f"{spec.name}_notop.h5", notop)
    # One file serves with preprocessing inside and outside the model.
    outside = replace(spec, preprocessing=Preprocessing(mode="torch"))
    weights = tuple(ImageNetWeights(one, *files) for one in (spec, outside))
    base = None if spec is convnext_tiny_spec else "convnext_tiny"
    return Variant(spec, base, keras, weights=weights)


def _file(name: str, sha256: str) -> WeightFile:
    return WeightFile(name, f"{KERAS_STORAGE}/convnext/{name}", sha256)


VARIANTS = (
    _variant(
        convnext_tiny_spec,
        "ConvNeXtTiny",
        "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    _variant(
        convnext_small_spec,
        "ConvNeXtSmall",
        "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    ),
    _variant(
        convnext_base_spec,
        "ConvNeXtBase",
        "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    ),
    _variant(
        convnext_large_spec,
        "ConvNeXtLarge",
        "070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    ),
    _variant(
        convnext_xlarge_spec,
        "ConvNeXtXLarge",
        "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
)
