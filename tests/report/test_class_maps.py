"""Class activation maps against differences, against what they must be in closed form, and on known evidence."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from support import BASES, flat_layers, outputs, random_images, randomize, tiny_spec, without_weights

from keras_effnet import build_model, scale_spec
from keras_effnet.blocks import ConvClassifier, DenseClassifier, HiddenConvClassifier, MBConv
from keras_effnet.blocks.ends import Classifier
from keras_effnet.errors import BuildError, DataError
from keras_effnet.report.class_maps import class_maps, values_and_slopes
from keras_effnet.report.split_model import CELLS, LEAST_SIDE, split_at_map
from keras_effnet.scaling import Coefficients


@cache
def small_model() -> keras.Model:
    """A model that no test changes."""
    keras.utils.set_random_seed(0)
    model = build_model(tiny_spec(MBConv(), depth=1), classes=3)
    randomize(model, seed=1)
    return model


def by_differences(model: keras.Model, image: np.ndarray, chosen: int) -> np.ndarray:
    """What each cell contributes, from the scores when all channels of that cell become a little more and less.

    To make a cell (1 + e) times as large changes the score by e times the sum of value times gradient over its
    channels, which is HiResCAM.
    """
    split, step = split_at_map(model), 0.01
    found = outputs(split.features, image[None])
    rows, columns = split.cells
    shifts = step * found * np.eye(rows * columns, dtype="float32").reshape(-1, rows, columns, 1)  # a copy for each
    higher, lower = outputs(split.head, found + shifts), outputs(split.head, found - shifts)
    cells = (higher[:, chosen] - lower[:, chosen]).reshape(rows, columns) / (2 * step)
    return scaled(np.maximum(cells, 0))


def scaled(maps: np.ndarray) -> np.ndarray:
    """Maps whose largest value is 1, but for those of nothing."""
    return maps / np.maximum(maps.max(axis=(-2, -1), keepdims=True), 1e-12)


def test_it_is_what_differences_say_behind_a_hidden_layer() -> None:
    spec = tiny_spec(MBConv(), depth=1, classifier=HiddenConvClassifier(width=16))
    keras.utils.set_random_seed(0)
    model = build_model(spec, classes=3)
    randomize(model, seed=1)
    images, classes = random_images(6, 32, 32, 3), np.array([0, 1, 2, 0, 1, 2])
    found = class_maps(model, images, classes).maps
    expected = np.stack([by_differences(model, *pair) for pair in zip(images, classes, strict=True)])
    assert (expected.max(axis=(1, 2)) == 1).sum() >= 2, "maps of nothing prove nothing"
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_under_mean_pooling_and_one_layer_it_is_the_class_activation_map() -> None:
    """There the gradient is the classifier's own kernel (Selvaraju et al. 2017, section 3.1)."""
    model = small_model()
    images = random_images(8, 32, 32, 3)
    maps = outputs(keras.Model(model.input, model.get_layer("avg_pool").input), images)
    found = class_maps(model, np.tile(images, (3, 1, 1, 1)), np.repeat(np.arange(3), 8)).maps
    for chosen, each in enumerate(found.reshape(3, *maps.shape[:3])):
        kernel = np.asarray(model.get_layer("predictions").get_weights()[0])[:, chosen]
        np.testing.assert_allclose(each, scaled(np.maximum(maps @ kernel, 0)), atol=1e-4)


def test_before_one_layer_the_cells_add_up_to_the_score() -> None:
    """Draelos and Carin 2020 (arXiv:2011.08891): each cell holds what it adds to the score, wherever it is."""
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(5, 3, activation="relu", padding="same")(x)
    model = keras.Model(x, keras.layers.Dense(2, use_bias=False)(keras.layers.Flatten()(y)))
    images = random_images(3, 8, 8, 3)
    values, slopes = values_and_slopes(split_at_map(model), images, np.ones(3, int))
    cells = (values * slopes).sum(axis=-1)
    np.testing.assert_allclose(cells.sum(axis=(1, 2)), outputs(model, images)[:, 1], rtol=1e-4)
    assert (cells < 0).any()
    np.testing.assert_allclose(class_maps(model, images, np.ones(3, int)).maps, scaled(np.maximum(cells, 0)), atol=1e-4)


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
    np.testing.assert_array_equal(class_maps(model, image, np.array([1])).maps[0], expected)
    assert not class_maps(model, image, np.array([0])).maps.any(), "nothing speaks for the other class"


def pair_model() -> keras.Model:
    """Its class 1 is a red cell with a blue one below it on the right, each of 4 x 4 pixels; its last map is 2 x 2."""
    x = keras.Input((32, 32, 3))
    y = keras.layers.AveragePooling2D(4)(x)
    y = keras.layers.Conv2D(2, 1, activation="relu", name="colours")(y)
    y = keras.layers.Conv2D(1, 2, strides=2, activation="relu", name="pairs")(y)
    y = keras.layers.MaxPooling2D(2, name="coarse")(y)
    model = keras.Model(x, keras.layers.Dense(2, name="top")(keras.layers.Flatten()(y)))
    model.get_layer("colours").set_weights([np.array([[[[1, 0], [0, 0], [0, 1]]]], "float32"), np.zeros(2, "float32")])
    pairs = np.zeros((2, 2, 2, 1), "float32")
    pairs[0, 0, 0] = pairs[1, 1, 1] = 1
    model.get_layer("pairs").set_weights([pairs, np.array([-300], "float32")])
    # Where a pair is counts too: on the left for one class, on the right for the other.
    model.get_layer("top").set_weights([np.array([[0, 1], [1, 0]] * 2, "float32"), np.zeros(2, "float32")])
    return model


def test_of_small_images_a_finer_map_shows_what_was_used_and_nothing_else() -> None:
    """The evidence is known: two cells of an image that has more of the same colours, and a pair of the other class."""
    model, image = pair_model(), np.zeros((1, 32, 32, 3), "float32")

    def paint(row: int, column: int, channel: int) -> None:
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4, channel] = 255

    for row, column in ((2, 0), (0, 6)):  # a pair on each side
        paint(row, column, 0)
        paint(row + 1, column + 1, 2)
    paint(6, 2, 0)  # red alone
    paint(5, 7, 2)  # blue alone
    expected = np.zeros((8, 8), "float32")
    expected[2, 0] = expected[3, 1] = 1
    maps, layer = class_maps(model, image, np.array([1]))
    assert layer == "colours"
    np.testing.assert_array_equal(maps[0], expected)
    values, slopes = values_and_slopes(split_at_map(model), image, np.array([1]))
    grad_cam = (values * slopes.mean(axis=(1, 2), keepdims=True)).sum(axis=-1)[0]
    assert (grad_cam > 0).sum() == 6, "Grad-CAM shows all that is red or blue"


def test_what_lies_in_a_cell_that_is_skipped_is_shown_there() -> None:
    """As in ResNet, the next layer reads each second cell alone, and windows of 3 x 3 in front have seen the others."""
    x = keras.Input((12, 12, 1))
    # Of 16 channels: with fewer, the gradient of a strided 1 x 1 convolution writes beyond its memory in TensorFlow
    # (2.21, oneDNN, on processors with AVX-512).
    y = keras.layers.Conv2D(16, 3, padding="same", kernel_initializer="ones", name="windows")(x)
    y = keras.layers.Conv2D(16, 1, strides=2, kernel_initializer="ones")(y)
    model = keras.Model(x, keras.layers.Dense(2, kernel_initializer="ones")(keras.layers.GlobalAveragePooling2D()(y)))
    image = np.zeros((1, 12, 12, 1), "float32")
    image[0, 5, 9] = 1
    split = split_at_map(model)
    assert (split.layer, split.steps) == ("windows", (2, 2))
    expected = np.zeros((12, 12), "float32")
    expected[4:7, 8:11] = 1
    np.testing.assert_array_equal(class_maps(model, image, np.array([1])).maps[0], expected)
    values, slopes = values_and_slopes(split, image, np.array([1]))
    assert (values * slopes > 0).any(axis=-1).sum() == 4, "by itself each second cell alone has a gradient"


@pytest.mark.parametrize("activation", ["softmax", None])
@pytest.mark.parametrize("classifier", [DenseClassifier(), ConvClassifier()], ids=["dense", "convolution"])
def test_the_parts_are_the_model_before_its_softmax(classifier: Classifier, activation: str | None) -> None:
    keras.utils.set_random_seed(0)
    spec = tiny_spec(MBConv(), depth=1, classifier=classifier)
    model = build_model(spec, classes=3, classifier_activation=activation)
    randomize(model, seed=1)
    before = [weight.copy() for weight in model.get_weights()]
    images = random_images(2, 32, 32, 3)
    split = split_at_map(model)
    scores = outputs(split.head, outputs(split.features, images))
    if activation:
        assert np.abs(scores.sum(axis=1) - 1).max() > 0.01, "probabilities are no scores"
        scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, outputs(model, images), atol=1e-5)
    class_maps(model, images, np.array([0, 1]))
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
    maps, layer = class_maps(model, random_images(1, 4, 4, 3), np.array([0]))
    assert layer == "start"
    assert maps.shape == (1, 4, 4)


def test_models_inside_models_show_the_same() -> None:
    model = small_model()
    images, classes = random_images(2, *model.input_shape[1:]), np.array([0, 2])
    expected = class_maps(model, images, classes).maps
    pixels: Any = keras.Input(model.input_shape[1:])
    for wrapped in (keras.Model(pixels, model(pixels)), keras.Sequential([keras.Input(pixels.shape[1:]), model])):
        np.testing.assert_allclose(class_maps(wrapped, images, classes).maps, expected, atol=1e-5)


def test_a_sequential_model_in_bfloat16_is_looked_at() -> None:
    keras.utils.set_random_seed(0)
    parts: list[Any] = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.GlobalAveragePooling2D()]
    exact = keras.Sequential([keras.Input((8, 8, 3)), *parts, keras.layers.Dense(3, activation="softmax")])
    copies = [type(layer).from_config({**layer.get_config(), "dtype": "bfloat16"}) for layer in exact.layers]
    coarse = keras.Sequential([keras.Input((8, 8, 3)), *copies])
    coarse.set_weights(exact.get_weights())
    images, classes = np.random.default_rng(0).random((2, 8, 8, 3), np.float32), np.array([0, 2])
    found, expected = (class_maps(model, images, classes).maps for model in (coarse, exact))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.05)


SKIPPING = {"resnet50"}  # its stages begin with convolutions of 1 x 1 and stride 2, on both ways


@pytest.mark.parametrize("name", BASES)
def test_every_family_has_a_fine_map_of_small_images(name: str) -> None:
    """Of 64 x 64 pixels the last map of most is 2 x 2."""
    spec = scale_spec(name, coefficients=Coefficients(depth=0.1, width=0.1))
    with without_weights():
        model = build_model(spec, classes=3, input_shape=(64, 64, 3))
    split = split_at_map(model)
    rows, columns = split.cells
    assert rows * columns >= CELLS
    assert split.features.output_shape[1:3] == (rows, columns)
    assert split.steps == ((2, 2) if name in SKIPPING else (1, 1))
    assert 64 % rows == 0, "a map with zeros around it lies elsewhere"
    # The parts are the model: no weight is lost, and none is there twice.
    names = [{layer.name for layer in part.layers if layer.weights} for part in (split.features, split.head)]
    renamed = {"scores"} & names[1] and {model.layers[-1].name}
    assert not names[0] & names[1]
    assert names[0] | names[1] - {"scores"} | renamed == {layer.name for layer in model.layers if layer.weights}


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet50", "mobilenet_v3_small", "convnext_tiny"])
def test_at_their_own_size_it_is_the_last_map_of_7_x_7(name: str) -> None:
    spec = scale_spec(name, coefficients=Coefficients(depth=0.1, width=0.1))
    with without_weights():
        model = build_model(spec, classes=3, input_shape=(224, 224, 3))
    split = split_at_map(model)
    assert split.cells == (7, 7)
    assert not [layer for layer in split.head.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]


def open_model() -> keras.Model:
    """A network for images of any size, whose maps have a quarter and a sixteenth of their sides."""
    x = keras.Input((None, None, 3))
    y = keras.layers.Conv2D(4, 3, strides=4, padding="same", activation="relu", name="fine")(x)
    y = keras.layers.Conv2D(4, 3, strides=4, padding="same", activation="relu", name="coarse")(y)
    return keras.Model(x, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(y)))


@pytest.mark.parametrize(
    ("sides", "layer", "cells"),
    [
        ((32, 32), "fine", (8, 8)),
        ((96, 160), "coarse", (6, 10)),  # 60 cells, though but 6 rows
        ((48, 320), "fine", (12, 80)),  # 3 x 20 cells are no map
        ((24, 24), "fine", (6, 6)),  # the finest there is
        ((112, 112), "coarse", (7, 7)),
    ],
)
def test_the_map_follows_from_the_size_of_the_images(sides: Any, layer: str, cells: Any) -> None:
    keras.utils.set_random_seed(0)
    model = open_model()
    found = class_maps(model, random_images(1, *sides, 3), np.array([0]))
    assert (found.layer, found.maps.shape[1:]) == (layer, cells)


def test_maps_that_are_too_coarse_are_left_out() -> None:
    assert LEAST_SIDE == 4
    with pytest.raises(BuildError, match=r"4 x 4 cells.*larger images.*Received: .* maps of 3 x 3, 1 x 1"):
        class_maps(open_model(), random_images(1, 12, 12, 3), np.array([0]))


def test_channels_that_come_first_are_refused() -> None:
    model = small_model()
    keras.config.set_image_data_format("channels_first")  # conftest.py sets it back
    with pytest.raises(BuildError, match=r"channels come last.*Received: .*channels_first"):
        split_at_map(model)


def test_a_model_without_any_map_is_refused() -> None:
    x = keras.Input((8,))
    with pytest.raises(BuildError, match=r"4 x 4 cells.*Received: .*no size"):
        class_maps(keras.Model(x, keras.layers.Dense(2)(x)), np.zeros((1, 8)), np.array([0]))


@pytest.mark.parametrize("classes", [[0], [0, 3], [-1, 0]])
def test_classes_that_do_not_fit_are_refused(classes: list[int]) -> None:
    with pytest.raises(DataError, match=r"in 0\.\.2.*Received: "):
        class_maps(small_model(), random_images(2, 32, 32, 3), np.array(classes))


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
    found = class_maps(model, given, np.ones(4, int), output=output, image=image).maps
    np.testing.assert_allclose(found, scaled(expected), atol=1e-4)


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
        class_maps(two_images(), {**given, "facts": np.zeros((1, 5), "float32")}, np.array([0]), **options)


def test_an_array_for_each_input_is_asked_for() -> None:
    with pytest.raises(DataError, match=r"one array for each input, 'facts', 'left', 'right'.*Received: one"):
        class_maps(two_images(), random_images(1, 8, 8, 3), np.array([0]), output="kind", image="left")
    given = {"left": random_images(2, 8, 8, 3), "right": random_images(1, 8, 8, 3), "facts": np.zeros((2, 5))}
    with pytest.raises(DataError, match=r"for each its class.*Received: 2, 2, 1 images"):
        class_maps(two_images(), given, np.array([0, 1]), output="kind", image="left")


def called_again(sides: tuple[int | None, ...] = (16, 16)) -> keras.Model:
    """Two images through one tower whose first layer is called twice on its way, compared before they are pooled."""
    left, right = keras.Input((*sides, 3), name="left"), keras.Input((*sides, 3), name="right")
    again = keras.layers.Conv2D(3, 3, padding="same", activation="tanh", name="again")
    coarse = keras.layers.Conv2D(4, 3, strides=4, padding="same", activation="relu", name="coarse")
    parts = [coarse(again(again(each))) for each in (left, right)]
    x = keras.layers.Flatten()(keras.layers.GlobalMaxPooling2D()(keras.layers.Subtract()(parts)))
    return keras.Model([left, right], keras.layers.Dense(2, name="scores")(x))


@pytest.mark.parametrize("image", [0, 1])
def test_behind_a_map_of_a_layer_that_is_called_again_the_head_is_the_rest_of_the_model(image: int) -> None:
    """The second call of the tower's first layer makes its finest map; the first one is skipped over."""
    keras.utils.set_random_seed(0)
    model = called_again()
    given = [random_images(3, 16, 16, 3, seed=seed) / 255 for seed in range(2)]
    split, expected = split_at_map(model, image=image), outputs(model, given)
    assert (split.layer, split.cells, split.image) == ("again", (16, 16), image)
    found, other = outputs(split.features, given), given[1 - image]
    np.testing.assert_allclose(outputs(split.head, [found, other]), expected, atol=1e-5)
    step = 0.01 * random_images(*found.shape) / 255
    assert np.abs(outputs(split.head, [found + step, other]) - expected).max() > 1e-4, "it is read"


def test_images_of_open_sizes_may_differ() -> None:
    """The layer follows from the size of the image asked for."""
    keras.utils.set_random_seed(0)
    tower = open_model()
    left, right = keras.Input((None, None, 3), name="left"), keras.Input((None, None, 3), name="right")
    scores = keras.layers.Dense(2)(keras.layers.Concatenate()([tower(left), tower(right)]))
    model = keras.Model({"left": left, "right": right}, scores)
    given = {"right": random_images(2, 96, 160, 3), "left": random_images(2, 32, 32, 3)}
    for name, layer, cells in (("left", "fine", (8, 8)), ("right", "coarse", (6, 10))):
        found = class_maps(model, given, np.array([0, 1]), image=name)
        assert (found.layer, found.maps.shape) == (layer, (2, *cells))


def test_an_image_that_passes_every_map_by_has_none() -> None:
    x = keras.Input((16, 16, 3))
    y = keras.layers.Conv2D(3, 3, padding="same")(x)
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([x, y]))))
    assert split_at_map(model).layer == model.layers[2].name
    y = keras.layers.Concatenate()([keras.layers.Flatten()(y), keras.layers.Flatten()(x)])
    with pytest.raises(BuildError, match=r"all ways from the image pass.*Received: .* maps of 16 x 16"):
        split_at_map(keras.Model(x, keras.layers.Dense(2)(y)))
