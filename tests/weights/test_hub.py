"""Weights by their address on the Hugging Face Hub, from a cache that the test lays out: nothing is fetched."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from random_tensors import CLASSES
from support import assert_same_outputs, outputs, random_images
from timm_files import written

from keras_effnet import Coefficients, build_model, load_weights, scale_spec, timm_spec
from keras_effnet.errors import MissingExtraError, WeightsError
from keras_effnet.weights.hub import hub_file

pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = scale_spec(timm_spec("mobilenetv3_small_050"), coefficients=Coefficients(depth=0.3, width=0.3, resolution=0.2))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache with one file in it, as its own client lays it out, and no network."""
    folder = tmp_path / "models--timm--small.in1k"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    written(SMALL, 1.0, snapshot / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return snapshot / "model.safetensors"


@pytest.mark.parametrize(
    "address",
    [
        "hf://timm/small.in1k",
        "hf://small.in1k",
        "hf://timm/small.in1k@main",
        f"hf://timm/small.in1k@{COMMIT}/model.safetensors",
    ],
)
def test_a_file_in_the_cache_is_found_without_a_network(address: str, cache: Path) -> None:
    assert hub_file(address) == cache


def test_a_model_is_built_with_it_as_with_the_file_itself(cache: Path) -> None:
    fetched = build_model(SMALL, weights="hf://timm/small.in1k", classes=CLASSES)
    for one, other in zip(
        fetched.get_weights(), build_model(SMALL, weights=cache, classes=CLASSES).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    report = load_weights(fetched, "hf://small.in1k")
    assert report.path == str(cache)


def test_timms_resnet18_is_ours(cache: Path) -> None:
    """Ours takes pixels from 0 to 255, timm's what its caller made of them; a file is the same for both."""
    ours, theirs = (scale_spec(spec, coefficients=Coefficients(1, 0.1)) for spec in ("resnet18", timm_spec("resnet18")))
    folder = cache.parents[3] / "models--timm--resnet18.a1_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    written(theirs, 1.0, folder / "snapshots" / COMMIT / "model.safetensors")
    one, other = (
        build_model(
            spec,
            weights="hf://timm/resnet18.a1_in1k",
            classes=CLASSES,
            classifier_activation=None,
            input_shape=(64, 64, 3),
        )
        for spec in (ours, theirs)
    )
    pixels = random_images(2, 64, 64, 3)
    normalised = keras.applications.imagenet_utils.preprocess_input(pixels.copy(), mode="torch")
    assert_same_outputs(outputs(one, pixels), outputs(other, normalised))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("hf://", "is hf://OWNER/NAME"),
        ("hf://timm/../x", "is hf://OWNER/NAME"),
        ("hf://a/b c", "is hf://OWNER/NAME"),
        ("hf://timm/missing.in1k", "model.safetensors of timm/missing.in1k could .*copy .*models--timm--missing"),
        ("hf://timm/small.in1k/other.safetensors", "other.safetensors of timm/small.in1k could not be fetched"),
        ("hf://timm/small.in1k@v2", "could not be fetched"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named_with_its_place(address: str, words: str, cache: Path) -> None:
    with pytest.raises(WeightsError, match=rf"(?s){words}.*Received: weights='{address}'"):
        hub_file(address)


def test_without_the_client_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"the extra \[hf\].*pip install huggingface-hub"):
        build_model(SMALL, weights="hf://timm/small.in1k")
