"""Grad-CAM against gradients taken by differences, against what it must be in closed form, and on a known place."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from support import flat_layers, outputs, random_images, randomize, tiny_spec

from keras_effnet import build_model
from keras_effnet.blocks import ConvClassifier, DenseClassifier, HiddenConvClassifier, MBConv
from keras_effnet.blocks.ends import Classifier
from keras_effnet.errors import BuildError, DataError
from keras_effnet.report.gradcam import grad_cam, split_at_last_map


@cache
def small_model() -> keras.Model:
    """A model that no test changes."""
    keras.utils.set_random_seed(0)
    model = build_model(tiny_spec(MBConv(), depth=1), classes=3)
    randomize(model, seed=1)
    return model


def by_differences(model: keras.Model, image: np.ndarray, chosen: int) -> np.ndarray:
    """Grad-CAM with each channel's weight from a small step of all of its pixels at once.

    Raising a whole channel by e changes the score by e times the sum of the gradient over its pixels.
    """
    features, head = split_at_last_map(model)
    found = outputs(features, image[None])
    rows, columns, channels = found.shape[1:]
    step = 0.01 * float(np.abs(found).max())
    shifts = step * np.eye(channels, dtype="float32")[:, None, None]  # one copy of the map for each channel
    higher, lower = outputs(head, found + shifts), outputs(head, found - shifts)
    weights = (higher[:, chosen] - lower[:, chosen]) / (2 * step) / (rows * columns)
    cam = np.maximum((found[0] * weights).sum(axis=-1), 0)
    return cam / cam.max() if cam.max() > 0 else cam


def test_it_is_what_differences_say_behind_a_hidden_layer() -> None:
    spec = tiny_spec(MBConv(), depth=1, classifier=HiddenConvClassifier(width=16))
    keras.utils.set_random_seed(0)
    model = build_model(spec, classes=3)
    randomize(model, seed=1)
    images, classes = random_images(6, 32, 32, 3), np.array([0, 1, 2, 0, 1, 2])
    found = grad_cam(model, images, classes)
    expected = np.stack([by_differences(model, *pair) for pair in zip(images, classes, strict=True)])
    assert (expected.max(axis=(1, 2)) == 1).sum() >= 2, "maps of nothing prove nothing"
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_under_mean_pooling_and_one_layer_it_is_the_class_activation_map() -> None:
    """There the gradient is the classifier's own kernel (Selvaraju et al. 2017, section 3.1)."""
    model = small_model()
    images = random_images(8, 32, 32, 3)
    maps = outputs(keras.Model(model.input, model.get_layer("avg_pool").input), images)
    found = grad_cam(model, np.tile(images, (3, 1, 1, 1)), np.repeat(np.arange(3), 8)).reshape(3, *maps.shape[:3])
    for chosen in range(3):
        kernel = np.asarray(model.get_layer("predictions").get_weights()[0])[:, chosen]
        expected = np.maximum(maps @ kernel, 0)
        expected = expected / np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-12)
        np.testing.assert_allclose(found[chosen], expected, atol=1e-4)


def test_behind_a_flattening_layer_a_channel_weighs_what_its_places_do_on_average() -> None:
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(5, 3, activation="relu", padding="same")(x)
    model = keras.Model(x, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(y)))
    images = random_images(3, 8, 8, 3)
    maps = outputs(keras.Model(x, y), images)
    weights = np.random.default_rng(0).uniform(-0.5, 1, (8 * 8 * 5, 2)).astype("float32")
    model.layers[-1].set_weights([weights, np.zeros(2, "float32")])
    kernel = weights.reshape(8, 8, 5, 2)[..., 1]
    expected = np.maximum(maps @ kernel.mean(axis=(0, 1)), 0)
    assert expected.any()
    expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-12)
    np.testing.assert_allclose(grad_cam(model, images, np.ones(3, int)), expected, atol=1e-4)


def bright_spot_model() -> keras.Model:
    """Its class 1 is a bright red spot anywhere, its class 0 a dark image; it sums 4 x 4 pixels to one."""
    x = keras.Input((32, 32, 3))
    y = keras.layers.AveragePooling2D(4)(x)
    y = keras.layers.Conv2D(2, 1, activation="relu", name="colours")(y)
    y = keras.layers.GlobalAveragePooling2D()(y)
    model = keras.Model(x, keras.layers.Dense(2, activation="softmax", name="top")(y))
    model.get_layer("colours").set_weights([np.array([[[[1, 0], [0, 1], [0, 1]]]], "float32"), np.zeros(2, "float32")])
    model.get_layer("top").set_weights([np.array([[-1, 1], [0, 0]], "float32"), np.zeros(2, "float32")])
    return model


@pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 2), (7, 7)])
def test_the_map_peaks_where_the_class_is(row: int, column: int) -> None:
    image = np.zeros((1, 32, 32, 3), "float32")
    image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4, 0] = 255
    image[0, :16, :, 1] = 100  # green says nothing about the classes
    expected = np.zeros((8, 8), "float32")
    expected[row, column] = 1
    model = bright_spot_model()
    np.testing.assert_array_equal(grad_cam(model, image, np.array([1]))[0], expected)
    assert not grad_cam(model, image, np.array([0])).any(), "nothing speaks for the other class"


@pytest.mark.parametrize("activation", ["softmax", None])
@pytest.mark.parametrize("classifier", [DenseClassifier(), ConvClassifier()], ids=["dense", "convolution"])
def test_the_parts_are_the_model_before_its_softmax(classifier: Classifier, activation: str | None) -> None:
    keras.utils.set_random_seed(0)
    spec = tiny_spec(MBConv(), depth=1, classifier=classifier)
    model = build_model(spec, classes=3, classifier_activation=activation)
    randomize(model, seed=1)
    before = [weight.copy() for weight in model.get_weights()]
    images = random_images(2, 32, 32, 3)
    features, head = split_at_last_map(model)
    scores = outputs(head, outputs(features, images))
    if activation:
        assert np.abs(scores.sum(axis=1) - 1).max() > 0.01, "probabilities are no scores"
        scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, outputs(model, images), atol=1e-5)
    grad_cam(model, images, np.array([0, 1]))
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(np.sum(outputs(model, images), axis=1).round(5) == 1, activation == "softmax")


def test_a_shortcut_around_the_last_map_moves_the_cut_before_it() -> None:
    """On small images a block may end in one pixel; its two paths start at the map that matters."""
    x = keras.Input((4, 4, 3))
    start = keras.layers.Conv2D(3, 3, padding="same", name="start")(x)
    long = keras.layers.Conv2D(3, 4)(keras.layers.Conv2D(3, 3, padding="same")(start))
    y = keras.layers.Flatten()(keras.layers.Add()([long, keras.layers.Conv2D(3, 4)(start)]))
    model = keras.Model(x, keras.layers.Dense(2, activation="softmax")(y))
    features, _ = split_at_last_map(model)
    assert features.layers[-1].name == "start"
    assert grad_cam(model, random_images(1, 4, 4, 3), np.array([0])).shape == (1, 4, 4)


def test_models_inside_models_show_the_same() -> None:
    model = small_model()
    images, classes = random_images(2, *model.input_shape[1:]), np.array([0, 2])
    expected = grad_cam(model, images, classes)
    pixels: Any = keras.Input(model.input_shape[1:])
    for wrapped in (keras.Model(pixels, model(pixels)), keras.Sequential([keras.Input(pixels.shape[1:]), model])):
        np.testing.assert_allclose(grad_cam(wrapped, images, classes), expected, atol=1e-5)


def test_a_sequential_model_in_bfloat16_is_looked_at() -> None:
    keras.utils.set_random_seed(0)
    parts: list[Any] = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.GlobalAveragePooling2D()]
    exact = keras.Sequential([keras.Input((8, 8, 3)), *parts, keras.layers.Dense(3, activation="softmax")])
    copies = [type(layer).from_config({**layer.get_config(), "dtype": "bfloat16"}) for layer in exact.layers]
    coarse = keras.Sequential([keras.Input((8, 8, 3)), *copies])
    coarse.set_weights(exact.get_weights())
    images, classes = np.random.default_rng(0).random((2, 8, 8, 3), np.float32), np.array([0, 2])
    found, expected = grad_cam(coarse, images, classes), grad_cam(exact, images, classes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_model_without_any_map_is_refused() -> None:
    x = keras.Input((8,))
    with pytest.raises(BuildError, match=r"more than one pixel.*Received: "):
        grad_cam(keras.Model(x, keras.layers.Dense(2)(x)), np.zeros((1, 8)), np.array([0]))


@pytest.mark.parametrize("classes", [[0], [0, 3], [-1, 0]])
def test_classes_that_do_not_fit_are_refused(classes: list[int]) -> None:
    with pytest.raises(DataError, match=r"in 0\.\.2.*Received: "):
        grad_cam(small_model(), random_images(2, 32, 32, 3), np.array(classes))


def two_images(early: bool = False) -> keras.Model:
    """Two images, each by itself or both at once through one convolution, and facts; two answers of one layer each."""
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    facts = keras.Input((5,), name="facts")
    conv, pool = keras.layers.Conv2D(4, 3, activation="relu", padding="same"), keras.layers.GlobalAveragePooling2D()
    if early:
        parts = [pool(conv(keras.layers.Concatenate()([left, right])))]
    else:
        image = keras.Input((8, 8, 3))
        tower = keras.Model(image, pool(conv(image)), name="tower")
        parts = [tower(left), tower(right)]
    x = keras.layers.Concatenate()([*parts, facts])
    outputs = {
        "kind": keras.layers.Dense(3, activation="softmax", name="kind")(x),
        "sure": keras.layers.Dense(2, name="sure")(x),
        "map": conv.output if early else keras.layers.Conv2D(1, 3)(left),
    }
    return keras.Model({"left": left, "right": right, "facts": facts}, outputs, name="two_images")


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("image", "place"), [("left", 0), (2, 1)])
@pytest.mark.parametrize("output", ["kind", "sure"])
def test_of_several_images_and_outputs_it_is_the_class_activation_map_of_those_asked_for(
    early: bool, image: str | int, place: int, output: str
) -> None:
    """Under mean pooling the gradient is the kernel's own rows; those of a shared tower's second image stand later."""
    model: Any = two_images(early)
    generator = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(generator.uniform(-0.5, 1, weight.shape))
    images = {name: random_images(4, 8, 8, 3, seed=number) for number, name in enumerate(("left", "right"))}
    given = {**images, "facts": np.random.default_rng(2).normal(size=(4, 5)).astype("float32")}
    seen = [np.concatenate(list(images.values()), -1)] * 2 if early else list(images.values())
    conv = next(layer for layer in flat_layers(model) if isinstance(layer, keras.layers.Conv2D) and layer.filters == 4)
    maps = np.maximum(np.asarray(keras.ops.convert_to_numpy(conv(seen[place]))), 0)
    first = 0 if early else 4 * place
    kernel = np.asarray(model.get_layer(output).get_weights()[0])[first : first + 4, 1]
    expected = np.maximum(maps @ kernel, 0)
    assert expected.any(), "maps of nothing prove nothing"
    expected = expected / np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-12)
    found = grad_cam(model, given, np.ones(4, int), output=output, image=image)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"image": "left"}, BuildError, r"`output=`, one of 'kind', 'map', 'sure'.*Received: output=None"),
        ({"image": "left", "output": "what"}, BuildError, r"'kind', 'map', 'sure'.*Received: output='what'"),
        ({"output": "kind"}, BuildError, r"`image=`, one of 'left', 'right'.*Received: image=None"),
        ({"output": "kind", "image": "facts"}, BuildError, r"'left', 'right'.*Received: image='facts'"),
        ({"output": "map", "image": "left"}, BuildError, r"a score for each class.*Received: an output of shape"),
    ],
)
def test_images_and_outputs_are_named_when_none_is_chosen(options: Any, error: Any, said: str) -> None:
    given = {name: random_images(1, 8, 8, 3) for name in ("left", "right")}
    with pytest.raises(error, match=rf"(?s){said}"):
        grad_cam(two_images(), {**given, "facts": np.zeros((1, 5), "float32")}, np.array([0]), **options)


def test_an_array_for_each_input_is_asked_for() -> None:
    with pytest.raises(DataError, match=r"one array for each input, 'facts', 'left', 'right'.*Received: one"):
        grad_cam(two_images(), random_images(1, 8, 8, 3), np.array([0]), output="kind", image="left")
