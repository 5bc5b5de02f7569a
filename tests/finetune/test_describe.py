"""What a run says of itself, against Keras' own layers and a plain count."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import keras
import pytest
from support import tiny_spec

from keras_effnet.blocks import MBConv
from keras_effnet.data.augment import Augmentation
from keras_effnet.data.sets import load_data
from keras_effnet.finetune.describe import base_of, describe_data, describe_network, describe_recipe
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.finetune.transfer_model import make_network
from keras_effnet.scaling import scale_spec

SPEC = tiny_spec(MBConv(), MBConv(expand=2), depth=2)


def network(options: FinetuneOptions) -> keras.Model:
    sizes: dict[str, Any] = {"phi": options.phi, "resolution": options.resolution, "channels": options.channels}
    return make_network(options.backbone, "random", class_names=("cat", "dog"), recipe=options.recipe, **sizes)


def described(options: FinetuneOptions) -> tuple[keras.Model, dict[str, Any]]:
    model = network(options)
    return model, describe_network(model, base_of(options.backbone), options, Path("out") / "model.keras")


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(dropout=0.4, drop_path=0.3)], ids=["open", "asked for"])
@pytest.mark.parametrize("phi", [0.0, 3.5])
def test_realised_rates_are_those_of_the_layers(recipe: Recipe, phi: float) -> None:
    options = FinetuneOptions(backbone=SPEC, weights="random", phi=phi, resolution=32, recipe=recipe)
    model = network(options)
    found = describe_recipe(model, options, steps_per_epoch=7)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    [dropout] = [layer.rate for layer in layers if layer.noise_shape is None]
    assert found["dropout"] == dropout
    # Block i of n has drop_path * i / n (Keras' EfficientNet): the largest is that of the last one.
    blocks = scale_spec(SPEC, phi).depth
    assert max(layer.rate for layer in layers if layer.noise_shape) == pytest.approx(
        found["drop_path"] * (blocks - 1) / blocks
    )
    assert found["steps_per_epoch"] == 7
    assert "batchnorm_momentum" not in found


def test_what_else_follows_from_a_recipe() -> None:
    augmentation = Augmentation(operations=1, magnitude=3)
    options = FinetuneOptions(backbone=SPEC, weights="random", teacher="big.keras", recipe=Recipe(batchnorm="trained"))
    found = describe_recipe(network(options), options, steps_per_epoch=20)
    assert (found["teacher"], found["augmentation.engine"], found["batchnorm_momentum"]) == ("big.keras", None, 0.9)
    options = FinetuneOptions(backbone=SPEC, weights="random", recipe=Recipe(augmentation=augmentation))
    assert describe_recipe(network(options), options, steps_per_epoch=20)["augmentation.engine"] == "keras"


def test_sizes_are_those_of_the_model() -> None:
    model, found = described(FinetuneOptions(backbone=SPEC, weights="random", channels=1))
    assert (found["params"], found["phi"], found["scaling"]) == (model.count_params(), 0.0, None)
    assert model.input_shape[1:] == (found["resolution"], found["resolution"], found["channels"])
    assert (found["backbone"], found["path"]) == ("tiny", str(Path("out") / "model.keras"))
    assert sum(stage["params"] for stage in found["stages"]) == found["params"]
    assert sum(stage["macs"] for stage in found["stages"]) == found["macs"]


def test_scaling_is_told_as_asked_for_and_as_realised() -> None:
    base, _ = described(FinetuneOptions(backbone=SPEC, weights="random"))
    model, found = described(FinetuneOptions(backbone=SPEC, weights="random", phi=2))
    # Compound's own: alpha 1.2, beta 1.1, gamma 1.15 (arXiv:1905.11946, section 3.3).
    for name, factor in (("depth", 1.2), ("width", 1.1), ("resolution", 1.15)):
        assert found["scaling"][name][0] == pytest.approx(factor**2)
    assert found["scaling"]["resolution"][1] == model.input_shape[1] / base.input_shape[1]
    adds = [len([layer for layer in each.layers if isinstance(layer, keras.layers.DepthwiseConv2D)])
            for each in (base, model)]  # fmt: skip
    assert found["scaling"]["depth"][1] == adds[1] / adds[0]
    _, smaller = described(FinetuneOptions(backbone=SPEC, weights="random", resolution=16))
    assert smaller["scaling"]["resolution"] == [1.0, 0.5]
    assert smaller["scaling"]["MACs"][1] < 0.5


def test_a_saved_model_is_the_base_of_its_scaling(tmp_path: Path) -> None:
    path = tmp_path / "trained.keras"
    network(FinetuneOptions(backbone=SPEC, weights="random")).save(path)
    assert base_of(path).stages == base_of(SPEC).stages


def test_classes_are_counted_in_each_split() -> None:
    data = load_data("digits", labels_per_class=6)
    found = describe_data(data)
    for name, source in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        assert source is not None
        counted = Counter(source.labels.tolist())
        assert found["counts"][name] == [counted[label] for label in range(10)]
        assert sum(found["counts"][name]) == found[name]
