"""Models of other people at another size: what was counted is built, it learns, it loads elsewhere, weights follow."""

from __future__ import annotations

import json
import math
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from lean_keras import lean_layers
from other_models import MODELS, NOT_DEEPER, SMALL
from support import as_if_trained, flat_layers, load_alone, outputs, random_images, randomize, run_python

from keras_effnet import estimate_cost, feature_extractor, feature_levels, fit_to_budget, scale_model
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.errors import BudgetError, BuildError, InheritanceError, ModelTooLargeError
from keras_effnet.inheritance.compare import largest_difference
from keras_effnet.reading.graph import read_graph
from keras_effnet.scaling import Coefficients, Rounding, WidthOnly
from keras_effnet.scaling.scale_network import scale_network

PHIS = (-2, -1, 0.5, 1, 2)
LARGE = tuple(name for name in MODELS if name not in SMALL)
CASES = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in MODELS]


@cache
def trained(name: str) -> keras.Model:
    model = MODELS[name]()
    as_if_trained(model)
    return model


def given(model: Any, images: int = 2) -> Any:
    """Random inputs of a model."""
    found = [
        np.random.default_rng(number).normal(size=(images, *tensor.shape[1:])).astype("float32")
        for number, tensor in enumerate(model.inputs)
    ]
    return found if len(found) > 1 else found[0]


@pytest.mark.parametrize("name", CASES)
def test_every_size_is_built_as_counted_grows_exactly_learns_and_loads_without_this_package(
    name: str, tmp_path: Path
) -> None:
    model = trained(name)
    for phi in PHIS:
        scaled = scale_network(model, phi)
        with lean_layers():
            made, report = scale_model(model, phi, exact=name not in NOT_DEEPER, return_report=True)
        assert made.count_params() == scaled.cost.params, phi
        assert [tuple(tensor.shape[1:]) for tensor in made.inputs] == [
            image[2:] if image[:2] == (1, 1) else tuple(image) for _, image in scaled.images
        ]
        assert [tensor.shape[-1] for tensor in made.outputs] == [tensor.shape[-1] for tensor in model.outputs]
        if phi > 0 and name not in NOT_DEEPER:
            assert report.exact, (phi, report.differences)
            shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
            if [tuple(tensor.shape) for tensor in made.inputs] == [tuple(tensor.shape) for tensor in model.inputs]:
                assert largest_difference(model, made, shapes, seed=7) < 1e-4
        elif name not in NOT_DEEPER:
            assert not any(difference.grows for difference in report.differences), phi
        if phi == -1 or name in SMALL:
            assert_learns_and_loads(made, tmp_path / "model.keras")


def assert_learns_and_loads(model: Any, path: Path) -> None:
    """A model trains for a few steps, and is the same once saved and loaded without this package."""
    images = given(model)
    before = [np.array(keras.ops.convert_to_numpy(weight)) for weight in model.trainable_weights]
    targets = [np.ones((2, *tensor.shape[1:]), "float32") for tensor in model.outputs]
    # Random weights make steep losses. TensorFlow takes a minute to prepare a step of the largest, and seconds without.
    eager = keras.backend.backend() != "jax"
    model.compile(keras.optimizers.SGD(1e-3, global_clipnorm=1), ["mse"] * len(targets), run_eagerly=eager)
    losses = model.fit(images, targets, epochs=2, verbose="silent").history["loss"]
    assert np.isfinite(losses).all()
    after = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    assert any((old != new).any() for old, new in zip(before, after, strict=True))
    model.save(path)
    made, expected = (keras.tree.flatten(each(images, training=False)) for each in (load_alone(path), model))
    for theirs, ours in zip(made, expected, strict=True):
        np.testing.assert_allclose(_numbers(theirs), _numbers(ours), rtol=1e-3, atol=1e-4)


def test_a_model_whose_new_units_cannot_be_the_identity_is_refused_with_its_stages() -> None:
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same")(image)
    for _ in range(2):
        branches = [layers.Conv2D(4, size, padding="same", activation="relu")(x) for size in (1, 3)]
        x = layers.Concatenate()(branches)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)), name="branches")
    with pytest.raises(InheritanceError, match=r"stage 2: its new block 3 has no skip.*exact=False.*Received"):
        scale_model(model, coefficients=Coefficients(depth=1.5))
    made = scale_model(model, coefficients=Coefficients(depth=1.5), exact=False)
    assert sum(isinstance(layer, layers.Concatenate) for layer in made.layers) == 3


@pytest.mark.parametrize(
    ("norm", "exact"),
    [
        (lambda: layers.LayerNormalization(), True),
        (lambda: layers.GroupNormalization(2), True),
        (lambda: layers.RMSNormalization(), True),
        (lambda: layers.BatchNormalization(scale=False), True),
        (lambda: layers.UnitNormalization(), False),
        (lambda: layers.Softmax(), False),
        (lambda: layers.PReLU(), True),
        (lambda: layers.LeakyReLU(0.05), True),
    ],
)
def test_a_layer_over_channels_says_whether_it_grows_exactly(norm: Any, exact: bool) -> None:
    image = keras.Input((8, 8, 3))
    x = layers.Conv2DTranspose(8, 3, padding="same")(image)
    x = layers.Conv2D(4, 3)(norm()(x))
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    for layer in model.layers:
        layer.set_weights([np.random.default_rng(1).uniform(0.2, 1, array.shape) for array in layer.get_weights()])
    made, report = scale_model(model, 1, rule=WidthOnly(4.0), exact=False, return_report=True)
    assert report.exact == exact
    shares = largest_difference(model, made, [(8, 8, 3)])
    assert (shares < 1e-4) == exact


def test_instance_normalization_grows_exactly_to_any_width() -> None:
    image = keras.Input((8, 8, 3))
    x = layers.ReLU()(layers.GroupNormalization(-1)(layers.Conv2D(8, 3)(image)))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))))
    for layer in model.layers:
        layer.set_weights([np.random.default_rng(1).uniform(-1, 1, array.shape) for array in layer.get_weights()])
    factors: dict[str, Any] = {"coefficients": Coefficients(width=1.5), "rounding": Rounding(divisor=1)}
    made, report = scale_model(model, **factors, return_report=True)
    assert report.exact
    assert largest_difference(model, made, [(8, 8, 3)]) < 1e-4
    norm: Any
    [norm] = [layer for layer in made.layers if isinstance(layer, layers.GroupNormalization)]
    assert norm.groups == norm.gamma.shape[0] == 12


def test_hidden_layers_of_a_head_widen_whatever_stands_between() -> None:
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.MaxPooling2D(4)(layers.Conv2D(8, 3, padding="same", activation="relu")(image)))
    for _ in range(2):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(16)(layers.BatchNormalization()(x))))
        x = layers.Dropout(0.2)(x)
    model = keras.Model(image, layers.Dense(3)(x))
    as_if_trained(model)
    made, report = scale_model(model, coefficients=Coefficients(width=1.5), return_report=True)
    assert report.exact
    assert [layer.units for layer in made.layers if isinstance(layer, layers.Dense)] == [24, 24, 3]


@pytest.mark.parametrize("shared", [None, [1, 2]])
def test_slopes_follow_their_channels_where_an_image_has_as_many_rows(shared: list[int] | None) -> None:
    image = keras.Input((8, 8, 3))
    x = layers.PReLU(shared_axes=shared)(layers.Conv2D(4, 3, padding="same")(image))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    for layer in model.layers:
        layer.set_weights([np.random.default_rng(1).normal(size=array.shape) for array in layer.get_weights()])
    made, report = scale_model(model, coefficients=Coefficients(width=2.0), return_report=True)
    assert made.count_params() == scale_network(model, coefficients=Coefficients(width=2.0)).cost.params
    assert report.exact


def test_nested_models_options_and_names_go_along() -> None:
    inner = keras.Sequential(
        [
            keras.Input((16, 16, 8)),
            layers.Conv2D(8, 3, padding="same", kernel_regularizer="l2", name="conv"),
            layers.BatchNormalization(name="norm"),
        ],
        name="inner",
    )
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", name="stem")(image)
    model = keras.Model({"image": image}, layers.Conv2D(1, 1, name="out")(inner(x)), name="outer")
    made = scale_model(model, coefficients=Coefficients(width=2.0))
    conv: Any = made.get_layer("conv")
    assert (conv.filters, type(conv.kernel_regularizer).__name__, made.name) == (16, "L2", "outer")
    assert [layer.name for layer in made.layers] == ["image", "stem", "conv", "norm", "out"]
    images = random_images(2, 16, 16, 3)
    np.testing.assert_allclose(
        outputs(made, {"image": images}), outputs(model, {"image": images}), rtol=1e-3, atol=1e-3
    )


def test_what_no_machine_holds_is_not_begun() -> None:
    with pytest.raises(ModelTooLargeError, match=r"'ten_lines' would have about .*Received: memory_limit=None"):
        scale_model(MODELS["ten_lines"](), rule=WidthOnly(10.0), phi=9)
    with pytest.raises(ModelTooLargeError, match=r"Received: memory_limit=1000"):
        scale_model(MODELS["ten_lines"](), 1, memory_limit=1000)


def test_layers_that_cannot_be_made_anew_are_named() -> None:
    image = keras.Input((8, 8, 3))
    code = getattr(layers, "Lamb" + "da")(lambda x: x * 2, output_shape=(8, 8, 8), name="code")
    x = code(layers.Conv2D(8, 3, padding="same")(image))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(x))))
    assert estimate_cost(model).params == model.count_params()
    with pytest.raises(InheritanceError, match=r"'code' cannot be carried along: what it computes is code.*Received"):
        scale_model(model, 2)


@keras.saving.register_keras_serializable("tests")
class Rotate(layers.Layer):
    """A layer of somebody's own."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]), name="kernel")
        self.built = True

    def call(self, x: Any) -> Any:
        return x @ self.kernel


def test_what_is_not_counted_is_said_of_scaled_networks_and_of_budgets(caplog: pytest.LogCaptureFixture) -> None:
    image = keras.Input((16, 16, 3))
    x = Rotate(name="mine")(layers.Conv2D(8, 3, padding="same")(image))
    x = layers.Conv2D(16, 3, padding="same", name="behind")(layers.Permute((2, 1, 3))(x))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)), name="rotated")
    said = "1 layer is not counted, but for its parameters: 'mine'"
    scaled = scale_network(model, 2)
    assert scaled.cost.opaque == scaled.base_cost.opaque == estimate_cost(model).opaque == ("mine",)
    assert str(scaled).endswith(said)
    made, report = scale_model(model, 2, return_report=True)
    assert report.exact
    assert made.count_params() == scaled.cost.params
    np.testing.assert_array_equal(made.get_layer("mine").kernel, model.get_layer("mine").kernel)
    fit_to_budget(model, params=1e4)
    assert not caplog.messages
    fit_to_budget(model, macs=1e6)
    assert caplog.messages == [f"rotated is fitted without what some layers compute: {said}"]


def test_options_of_specs_are_refused() -> None:
    with pytest.raises(BuildError, match=r"leave 'classes', 'stem' out.*Received: classes=3"):
        scale_model(MODELS["ten_lines"](), 1, classes=3, stem="sum")
    with pytest.raises(BuildError, match="weights"):
        scale_model(MODELS["ten_lines"](), 1, weights="imagenet")


def test_a_model_fits_a_budget_with_its_weights() -> None:
    model = trained("u_net")
    made = fit_to_budget(model, macs=2e7)
    found = estimate_cost(made).macs
    assert 1e7 < found <= 2e7
    assert estimate_cost(fit_to_budget(model, params=1e5, peak_bytes=1e6)).params <= 1e5
    known = fit_to_budget(keras.applications.MobileNet(weights=None, classes=3, input_shape=(64, 64, 3)), macs=1e7)
    assert read_embedded_spec(known).spec.name == "mobilenet_v1"
    assert estimate_cost(known).macs <= 1e7
    with pytest.raises(BudgetError, match="'latency_ms' need the spec"):
        fit_to_budget(model, latency_ms=5)
    with pytest.raises(BudgetError, match="no size of 'u_net' meets `macs`"):
        fit_to_budget(model, macs=10)


def test_a_model_without_a_spec_gives_its_feature_maps() -> None:
    model = trained("u_net")
    found = feature_levels(model)
    assert (found.names, found.strides, found.channels) == (("P1", "P2"), (2, 4), (16, 32))
    made = feature_extractor(model, ("P1", "P2"))
    images = random_images(2, 32, 32, 3)
    with warnings.catch_warnings(action="error"):  # Keras': an image where it expects a list of one
        maps: Any = made(images, training=False)
    assert {name: tuple(each.shape) for name, each in maps.items()} == {"P1": (2, 16, 16, 16), "P2": (2, 8, 8, 32)}
    last = next(layer for layer in model.layers if isinstance(layer, layers.LeakyReLU))
    inner: Any = keras.Model(model.inputs, last.output)
    np.testing.assert_allclose(maps["P2"], inner(images, training=False), rtol=1e-5)
    larger: Any
    larger, report = scale_model(made, 2, return_report=True)
    assert report.exact
    assert larger.output["P2"].shape[-1] == 32
    for wrong in ({"levels": ("P5",)}, {"output_stride": 5}, {"input_shape": (64, 64, 3)}):
        with pytest.raises(BuildError, match=r"(?s)Received"):
            feature_extractor(model, **wrong)
    with pytest.raises(BuildError, match="has the levels P1, P2"):
        feature_levels(model, ("P3",))
    image = keras.Input((None, None, 3))
    resized: Any = keras.Model(image, model(layers.Resizing(32, 32)(image)), name="resized")
    with pytest.raises(BuildError, match=r"no level of 'resized' is known: .*behind what resizes it.*Received: P2"):
        feature_levels(resized, ("P2",))
    assert feature_levels(keras.Model(resized.layers[1].output, resized.output)).names == ("P1", "P2")


def test_a_model_for_images_of_any_size_grows_in_width_and_depth() -> None:
    image = x = keras.Input((None, None, 3))
    for stride in (2, 1, 1):
        x = layers.Conv2D(8, 3, strides=stride, padding="same", activation="relu")(x)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)), name="any")
    asked = Coefficients(depth=1.5, width=2.0, resolution=2.0)
    made, report = scale_model(model, coefficients=asked, return_report=True)
    assert report.exact
    assert made.input_shape == model.input_shape
    widths = [layer.filters for layer in made.layers if isinstance(layer, layers.Conv2D)]
    assert len(widths) > 3
    assert set(widths) == {16}
    images = random_images(2, 20, 28, 3)
    np.testing.assert_allclose(outputs(made, images), outputs(model, images), rtol=1e-4, atol=1e-4)
    assert model.count_params() < estimate_cost(fit_to_budget(model, params=2e4), resolution=64).params <= 2e4


def test_a_model_without_a_spec_gives_finer_maps_with_the_same_weights(tmp_path: Path) -> None:
    image = keras.Input((64, 96, 3))
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, kernel_regularizer="l2", name="stem")(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool")(layers.SeparableConv2D(8, 3, padding="same")(x))
    y = layers.Conv2D(8, 1, strides=2, name="beside")(x)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="zeros")(layers.Conv2D(8, 3, padding="same", activation="relu")(x))
    x = layers.Add()([layers.DepthwiseConv2D(3, strides=2, activation="relu", name="filter")(x), y])
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="halves")(layers.AveragePooling2D(3, 1, "same")(x))
    x = layers.AveragePooling2D(2, name="mean")(layers.PReLU(shared_axes=(1, 2))(x))
    x = layers.Conv2D(8, 3, padding="same", name="mean_1_1")(x)
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)), name="mine")
    randomize(model, seed=0)
    images = random_images(2, 64, 96, 3)
    strided: Any = feature_extractor(model)(images, training=False)
    assert list(strided) == ["P1", "P2", "P3", "P4", "P5"]
    for output_stride in (8, 16):
        finer = feature_extractor(model, output_stride=output_stride)
        assert finer.count_params() == feature_extractor(model).count_params()
        assert finer.get_layer("stem").kernel_regularizer is not None
        told = feature_levels(model, output_stride=output_stride)
        assert told.strides == tuple(min(2**level, output_stride) for level in range(1, 6))
        maps: Any = finer(images, training=False)
        for level, stride, whole in zip(told.names, told.strides, (2, 4, 8, 16, 32), strict=True):
            assert tuple(maps[level].shape[1:3]) == (64 // stride, 96 // stride)
            step, expected = whole // stride, _numbers(strided[level])
            assert expected.std() > 1e-3
            np.testing.assert_allclose(_numbers(maps[level])[:, ::step, ::step], expected, rtol=1e-4, atol=1e-5)
        finer.save(tmp_path / "finer.keras")
        loaded: Any = keras.models.load_model(tmp_path / "finer.keras", safe_mode=True)
        np.testing.assert_array_equal(_numbers(loaded(images, training=False)["P5"]), _numbers(maps["P5"]))
    x = layers.MaxPooling2D(3, 1, padding="same", name="widest")(x)
    with pytest.raises(BuildError, match=r"'widest' would have to skip cells.*beyond the border.*Received"):
        feature_extractor(keras.Model(image, x), output_stride=8)


def test_seed_and_shares_say_what_copies_give() -> None:
    model, options = trained("u_net"), {"coefficients": Coefficients(width=1.5), "rounding": Rounding(divisor=1)}
    first, again, other = (scale_model(model, seed=seed, **options).get_weights() for seed in (1, 1, 2))
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert any((one != two).any() for one, two in zip(first, other, strict=True))
    assert math.isclose(*(sum(np.abs(array).sum() for array in arrays) for arrays in (first, other)), rel_tol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_build_and_train_the_same(backend: str) -> None:
    names = [*SMALL, "vgg16"]
    code = f"import runpy, sys; sys.argv[1:] = {names!r}; runpy.run_path({__file__!r}, run_name='__main__')"
    paths = str(Path(__file__).parent.parent)
    fast = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}  # programs that run once are not worth optimising
    lines = run_python(code, KERAS_BACKEND=backend, PYTHONPATH=paths, **fast).splitlines()
    found = [json.loads(line) for line in lines[-len(names) :]]
    assert found == [[name, True, scale_network(trained(name), 1).cost.params] for name in names]


if __name__ == "__main__":  # what another backend is asked for: `python test_scaled_graph.py NAME...`
    for asked in sys.argv[1:]:
        found, told = scale_model(trained(asked), 1, exact=asked not in NOT_DEEPER, return_report=True)
        found.compile("sgd", ["mse"] * len(found.outputs))
        found.train_on_batch(given(found), [np.zeros((2, *tensor.shape[1:])) for tensor in found.outputs])
        sys.stdout.write(json.dumps([asked, told.exact, found.count_params()]) + "\n")


def _nested(training: bool, freeze: bool = False) -> keras.Model:
    """Keras' recipe for transfer learning: a network inside a model, called with `training`."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.Activation("relu")(layers.BatchNormalization(name="norm")(x))
    base = keras.Model(image, layers.GlobalAveragePooling2D()(x), name="base")
    base.trainable = not freeze
    pixels = keras.Input((8, 8, 3))
    model = keras.Model(pixels, layers.Dense(2, name="top")(base(pixels, training=training)), name="recipe")
    randomize(model, seed=0)
    return model


def _numbers(tensor: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("freeze", [True, False])
def test_a_network_called_for_inference_goes_on_as_keras_goes_on_with_it(freeze: bool, tmp_path: Path) -> None:
    """What stands still and what learns in a step is what does in Keras' own model, called as there."""
    model, images = _nested(False, freeze), random_images(4, 8, 8, 3)
    larger, report = scale_model(model, coefficients=Coefficients(width=2), return_report=True)
    assert report.exact
    np.testing.assert_allclose(larger.predict(images, verbose="silent"), outputs(model, images), rtol=1e-4, atol=1e-5)
    larger.save(tmp_path / "model.keras")
    loaded: Any = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert read_graph(loaded).layers["norm"].calls[0].options["training"] is False
    same = scale_model(model, coefficients=Coefficients())
    before = _numbers(same.get_layer("norm").moving_mean).copy()
    for each in (model, same):
        each.compile("sgd", "mse")
        each.fit(images, np.zeros((4, 2), "float32"), verbose="silent")
    for layer in flat_layers(model):
        for ours, theirs in zip(
            same.get_layer(layer.name).weights if layer.weights else (), layer.weights, strict=True
        ):
            np.testing.assert_allclose(_numbers(ours), _numbers(theirs), rtol=1e-4, atol=1e-5, err_msg=layer.name)
    assert np.array_equal(_numbers(same.get_layer("norm").moving_mean), before) is freeze


def test_a_network_called_for_training_is_called_so_at_another_size() -> None:
    """Keras takes `training=True` of a graph where a call of the model does not say whether it trains."""
    model, images = _nested(True), random_images(4, 8, 8, 3)
    larger = scale_model(model, coefficients=Coefficients(width=2))
    expected = _numbers(model(images))
    assert np.abs(expected - outputs(model, images)).max() > 0.01
    np.testing.assert_allclose(_numbers(larger(images)), expected, rtol=1e-4, atol=1e-5)
