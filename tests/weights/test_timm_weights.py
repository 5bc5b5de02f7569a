"""timm's architectures: every one we know has timm's tensors, and with them timm's logits.

The golden values are those of `scripts/golden_timm_weights.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lean_keras import lean_layers
from random_tensors import CLASSES, digest, random_images
from support import GOLDEN, outputs
from timm_files import torch_shapes, written

from keras_effnet import BackboneSpec, StageSpec, build_model, timm_spec
from keras_effnet.backbones.timm_specs import timm_names
from keras_effnet.blocks import InvertedResidualV3
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.errors import RegistryError, SpecError

ROWS: dict[str, dict[str, Any]] = json.loads((GOLDEN / "timm_weights.json").read_text(encoding="utf-8"))["networks"]
QUICK = ("mobilenetv3_small_100", "resnet26", "convnext_atto")
# Larger networks of every family.
DIRECT = (
    *("efficientnet_b4", "tf_efficientnet_b7", "tf_efficientnet_lite4", "tf_efficientnetv2_b3", "tf_efficientnetv2_m"),
    *("tf_efficientnet_el", "tinynet_a", "mnasnet_140", "mobilenetv2_140", "mobilenetv3_large_075"),
    *("resnet152", "resnext101_64x4d", "wide_resnet50_2", "resnetrs200", "regnetx_040", "regnety_040", "convnext_base"),
)
# (mean, std) of pixels from 0 to 1 that Keras' preprocess_input gives in each mode.
PIXELS = {"torch": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), "tf": ([0.5] * 3, [0.5] * 3)}


def test_every_known_name_has_a_row() -> None:
    assert sorted(ROWS) == timm_names()


@pytest.mark.parametrize("name", sorted(ROWS))
def test_names_shapes_and_pixels_are_timms(name: str) -> None:
    spec = timm_spec(name)
    assert spec.name == name
    assert digest(torch_shapes(spec)) == ROWS[name]["tensors"]
    assert PIXELS[spec.preprocessing.mode] == (ROWS[name]["mean"], ROWS[name]["std"])
    assert not spec.preprocessing.in_model


@pytest.fixture(scope="module")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes the weight file of an architecture with golden logits, once."""
    folder = tmp_path_factory.mktemp("timm")
    return cache(lambda name: written(timm_spec(name), ROWS[name]["gain"], folder / f"{name}.safetensors"))


def logits(spec: BackboneSpec, path: Path, side: int) -> np.ndarray:
    shape = (side, side + 32, 3)
    with lean_layers():
        model = build_model(spec, weights=str(path), classes=CLASSES, classifier_activation=None, input_shape=shape)
    return outputs(model, random_images(side))


def difference(found: np.ndarray, expected: Any) -> float:
    """The largest difference as a share of the largest logit."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(expected[0] - expected[1]).max() > 0.1 * np.abs(expected).max(), "equal logits prove nothing"
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(ROWS)
        if "logits" in ROWS[name]
    ],
)
def test_logits_are_timms(name: str, file_of: Callable[[str], Path]) -> None:
    row = ROWS[name]
    assert difference(logits(timm_spec(name), file_of(name), row["side"]), row["logits"]) < 1e-4


def changed(spec: BackboneSpec, **options: Any) -> BackboneSpec:
    """`spec` with `options` in every block that has such."""

    def stage(old: StageSpec) -> StageSpec:
        known = {field.name for field in fields(old.block)}
        return replace(old, block=replace(old.block, **{key: options[key] for key in options if key in known}))

    head = None if spec.head is None else stage(spec.head)
    return replace(spec, stem=stage(spec.stem), stages=tuple(map(stage, spec.stages)), head=head)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mobilenetv3_small_100", {"padding": "correct"}),
        ("convnext_atto", {"activation": "relu"}),
        *(
            pytest.param(name, options, marks=pytest.mark.slow)
            for name, options in (
                ("efficientnet_b0", {"padding": "same"}),
                ("efficientnet_b0", {"norm": replace(PYTORCH_NORM, epsilon=1e-3)}),
                ("tf_efficientnetv2_b0", {"padding": "symmetric"}),
                ("resnet26", {"stride_at": "first"}),
            )
        ),
    ],
)
def test_what_no_file_holds_is_part_of_the_spec(
    name: str, options: dict[str, Any], file_of: Callable[[str], Path]
) -> None:
    # The check of logits would notice each of these.
    row, spec = ROWS[name], changed(timm_spec(name), **options)
    assert difference(logits(spec, file_of(name), row["side"]), row["logits"]) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", DIRECT)
def test_logits_are_those_of_timm_itself(name: str, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from timm_reference import random_logits

    gain, expected = random_logits(name, side=64)
    spec = timm_spec(name)
    found = logits(spec, written(spec, gain, tmp_path / "weights.safetensors"), side=64)
    assert difference(found, expected) < 1e-4


def test_an_unknown_name_lists_those_that_are_known() -> None:
    for name in ("vit_base_patch16_224", "resnet50.a1_in1k", None):
        with pytest.raises(RegistryError, match=r"Known: convnext_atto, .*wide_resnet50_2.*Received: name="):
            timm_spec(name)


@pytest.mark.parametrize(("padding", "kernel"), [("valid", 3), ("symmetric", 4), ("full", 3)])
def test_mobilenet_v3s_padding_keeps_the_size_of_what_is_added(padding: Any, kernel: int) -> None:
    with pytest.raises(SpecError, match=r"`padding` must .*Received: padding="):
        InvertedResidualV3(kernel=kernel, padding=padding)
