"""The spec that a model carries: it goes wherever the model goes, and changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import (
    BASES,
    as_if_trained,
    assert_same_outputs,
    every_block_spec,
    outputs,
    random_images,
    tiny_spec,
    without_weights,
    write_legacy_h5,
)

from keras_effnet import (
    BackboneSpec,
    Coefficients,
    StageSpec,
    applications,
    build_model,
    grow_model,
    scale_model,
    scale_spec,
)
from keras_effnet.blocks import Block, MBConv, Placement
from keras_effnet.builder.embedded_spec import EMBEDDED_LAYER, EmbeddedSpec, name_classes, read_embedded_spec
from keras_effnet.errors import BuildError
from keras_effnet.ops import Ops, T
from keras_effnet.registry import backbones

SPEC = tiny_spec(MBConv(expand=2), depth=1)

slow = pytest.mark.slow


def small(name: str) -> BackboneSpec:
    return scale_spec(backbones.get(name), coefficients=Coefficients(depth=0.1, width=0.2, resolution=1))


def built(spec: BackboneSpec = SPEC, **arguments: Any) -> keras.Model:
    model = build_model(spec, **{"classes": 5, "classifier_activation": None, **arguments})
    as_if_trained(model)
    return model


@pytest.mark.parametrize(
    "name",
    [name if name == "mobilenet_v2" else pytest.param(name, marks=slow) for name in (*BASES, "every block")],
)
def test_a_tag_says_what_was_built(name: str) -> None:
    spec = every_block_spec() if name == "every block" else small(name)
    side = {"input_shape": (spec.total_stride * 2, spec.total_stride * 2, 2)}
    with without_weights():
        whole = build_model(spec, classes=7, **side)
        model = build_model(spec, include_top=False, pooling="max", name="mine", **side)
    assert read_embedded_spec(whole) == EmbeddedSpec(spec, True, None, 7)
    assert read_embedded_spec(model) == EmbeddedSpec(spec, False, "max", 1000)


def test_what_builders_make_is_tagged_too() -> None:
    model = applications.MobileNet(weights=None, alpha=0.25, input_shape=(64, 64, 3), classes=3, dropout=0.2)
    tag = read_embedded_spec(model)
    assert (tag.classes, tag.include_top, tag.spec.stem.width, tag.spec.classifier.dropout) == (3, True, 8, 0.2)
    assert read_embedded_spec(scale_model("mobilenet_v2", -4, classes=2)).spec == scale_spec("mobilenet_v2", -4)


def test_names_of_classes_go_where_the_model_goes(tmp_path: Path) -> None:
    model, names = built(classes=3), ("cat", "d\u00f6g", "")
    assert read_embedded_spec(model).class_names is None
    name_classes(model, names)
    assert read_embedded_spec(model) == EmbeddedSpec(SPEC, True, None, 3, names)
    model.save(tmp_path / "model.keras")
    saved: Any = keras.models.load_model(tmp_path / "model.keras")
    assert read_embedded_spec(saved).class_names == names
    assert read_embedded_spec(grow_model(model, scale_spec(SPEC, 0.5))).class_names == names
    assert read_embedded_spec(grow_model(model, classes=[2, 0])).class_names == ("", "cat")
    assert read_embedded_spec(grow_model(model, classes=4)).class_names is None
    with pytest.raises(BuildError, match=r"3 texts, one for each class. Received: \('a', 'b'\)"):
        name_classes(model, ["a", "b"])
    assert read_embedded_spec(model).class_names == names


def test_the_tag_does_nothing() -> None:
    model = built()
    tag = model.get_layer(EMBEDDED_LAYER)
    twin = keras.Model(tag.output, model.output)
    x = random_images(2, 32, 32, 3)
    for training in (False, True):
        same = keras.ops.convert_to_numpy(tag(x, training=training))
        np.testing.assert_array_equal(np.asarray(same), x)
    np.testing.assert_array_equal(outputs(model, x), outputs(twin, x))
    assert tag.weights == []
    assert model.layers[1] is tag
    assert sum(isinstance(layer, keras.layers.GaussianNoise) for layer in model.layers) == 1


# Ways of a model.


def through_keras(model: keras.Model, folder: Path) -> keras.Model:
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras", safe_mode=True)  # pyright: ignore[reportReturnType]


def through_h5(model: keras.Model, folder: Path) -> keras.Model:
    model.save(folder / "model.h5")
    return keras.models.load_model(folder / "model.h5", safe_mode=True)  # pyright: ignore[reportReturnType]


def with_weights(model: keras.Model, copy: Any) -> keras.Model:
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return copy


WAYS = {
    "keras": through_keras,
    "h5": through_h5,
    "json": lambda model, _: with_weights(model, keras.models.model_from_json(model.to_json())),
    "config": lambda model, _: with_weights(model, keras.Model.from_config(model.get_config())),
    "clone": lambda model, _: with_weights(model, keras.models.clone_model(model)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", [way if way in ("keras", "clone") else pytest.param(way, marks=slow) for way in WAYS])
def test_a_tag_goes_with_the_model(way: str, tmp_path: Path) -> None:
    model = built()
    copy = WAYS[way](model, tmp_path)
    again = WAYS[way](copy, tmp_path)
    for one in (copy, again):
        assert read_embedded_spec(one) == read_embedded_spec(model) == EmbeddedSpec(SPEC, True, None, 5)
    x = random_images(2, 32, 32, 3)
    assert_same_outputs(outputs(again, x), outputs(model, x), 1e-6)


@pytest.mark.parametrize("layout", ["theirs.weights.h5", pytest.param("legacy.h5", marks=slow)])
def test_files_of_keras_networks_load_as_before(layout: str, tmp_path: Path) -> None:
    arguments = {"weights": None, "alpha": 0.25, "input_shape": (32, 32, 3), "classes": 5}
    theirs = keras.applications.MobileNet(**arguments)
    as_if_trained(theirs)
    if layout == "theirs.weights.h5":
        theirs.save_weights(tmp_path / layout)
    else:
        write_legacy_h5(theirs, tmp_path / layout)
    ours = applications.MobileNet(**arguments)
    ours.load_weights(tmp_path / layout)
    x = random_images(2, 32, 32, 3) / 127.5 - 1
    assert_same_outputs(outputs(ours, x), outputs(theirs, x))


# Models without one tag.


class Unregistered(Block):
    """A block that no file can name."""

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        return ops.conv(x, at.width, stride=at.stride, name=f"mine{at.stage}{at.letter}")

    def describe(self) -> str:
        return "Mine"


def test_a_spec_that_no_file_can_hold_is_built_without_a_tag() -> None:
    spec = replace(SPEC, stages=(StageSpec(Unregistered(), 8),))
    model = built(spec)
    assert EMBEDDED_LAYER not in [layer.name for layer in model.layers]
    assert outputs(model, random_images(1, 32, 32, 3)).shape == (1, 5)
    with pytest.raises(BuildError, match=r"`base`.*Received: 'tiny', which carries 0 specs"):
        read_embedded_spec(model)


def noisy(seed: Any) -> keras.Model:
    """A model of somebody else's with a layer of the tag's class."""
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(2)(keras.layers.GaussianNoise(0.0, seed=seed)(x)), name="theirs")


@pytest.mark.parametrize("seed", [None, 5, "a text", "{}", '{"mine": 1}'])
def test_noise_of_others_is_no_tag(seed: Any) -> None:
    with pytest.raises(BuildError, match=r"must know its spec.*Received: 'theirs', which carries 0 specs"):
        read_embedded_spec(noisy(seed))


def tag_text(**changes: Any) -> str:
    """The text of a good tag with changes; None leaves a field out."""
    content = json.loads(built().get_layer(EMBEDDED_LAYER).seed)  # pyright: ignore[reportArgumentType]
    content |= changes
    return json.dumps({key: value for key, value in content.items() if value is not ...}, separators=(",", ":"))


def test_a_tag_is_the_text_that_its_documentation_shows() -> None:
    content = json.loads(tag_text())
    assert content["keras_effnet"] == 1
    assert content["backbone"] == json.loads(SPEC.to_json())["backbone"]
    assert {key: content[key] for key in ("include_top", "pooling", "classes")} == {
        "include_top": True,
        "pooling": None,
        "classes": 5,
    }
    assert read_embedded_spec(noisy(tag_text())) == EmbeddedSpec(SPEC, True, None, 5)


BROKEN = {
    "no JSON": '{"keras_effnet":1,',
    "nothing else": '{"keras_effnet":1}',
    "too deep": '{"keras_effnet":' + "[" * 100_000,
    "no backbone": {"backbone": ...},
    "an empty backbone": {"backbone": {}},
    "an unknown block": {"backbone": {"name": "x", "stem": {"block": {"type": "unheard_of"}}}},
    "no classes": {"classes": ...},
    "too few classes": {"classes": 0},
    "classes in words": {"classes": "ten"},
    "an unknown pooling": {"pooling": "first"},
    "a top that is no truth value": {"include_top": 1},
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_tag_is_our_error(case: str) -> None:
    broken = BROKEN[case]
    text = broken if isinstance(broken, str) else tag_text(**broken)
    with pytest.raises(
        BuildError, match=r"the spec that 'theirs' carries cannot be read: (.|\n)*`base`(.|\n)*Received: "
    ) as info:
        read_embedded_spec(noisy(text))
    assert len(str(info.value)) < 1500


def test_a_tag_of_a_later_version_is_our_error() -> None:
    with pytest.raises(BuildError, match="Received: "):
        read_embedded_spec(noisy(tag_text(keras_effnet=2)))


def test_two_tags_are_an_error() -> None:
    first = built()
    second = build_model(
        replace(SPEC, name="second", stem=replace(SPEC.stem, block=replace(SPEC.stem.block, names=("a", "b", "c")))),
        classes=2,
    )
    x = keras.Input((32, 32, 3))
    tags = [layer for model in (first, second) for layer in model.layers if layer.name == EMBEDDED_LAYER]
    assert len(tags) == 2
    clones = [type(tag).from_config({**tag.get_config(), "name": f"tag{i}"}) for i, tag in enumerate(tags)]
    model = keras.Model(x, clones[1](clones[0](x)), name="both")
    with pytest.raises(BuildError, match=r"Received: 'both', which carries 2 specs"):
        read_embedded_spec(model)


@pytest.mark.parametrize("values", [{"include_top": 1}, {"pooling": "first"}, {"classes": 0}, {"classes": 1.5}])
def test_a_tag_checks_its_values(values: dict[str, Any]) -> None:
    with pytest.raises(BuildError, match="Received: "):
        EmbeddedSpec(SPEC, **values)
