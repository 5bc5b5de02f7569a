"""What `build_model` builds: flat graphs of stock layers that live without this package."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import (
    STAGE_BLOCKS,
    assert_same_outputs,
    every_block_spec,
    outputs,
    random_images,
    randomize,
    run_python,
    tiny_spec,
    without_weights,
)

from keras_effnet import BackboneSpec, Coefficients, build_model, estimate_cost, scale_model, scale_spec
from keras_effnet.blocks import (
    Block,
    ConvBlock,
    ConvClassifier,
    ConvNeXtBlock,
    HiddenConvClassifier,
    InvertedResidual,
    MBConv,
)
from keras_effnet.blocks.ends import Classifier
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.network import record_network
from keras_effnet.ops import Dropout
from keras_effnet.registry import backbones

NARROW = Coefficients(depth=0.5, width=0.25, resolution=0.3)
SPECS = {
    "every block": every_block_spec(),
    "efficientnet": tiny_spec(MBConv(), MBConv(expand=2), initializer="fan_out"),
}


@pytest.fixture(params=["efficientnet", pytest.param("every block", marks=pytest.mark.slow)])
def spec(request: pytest.FixtureRequest) -> BackboneSpec:
    return SPECS[request.param]


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """From layer to layer of the same name; Normalization computes from constants that `set_weights` leaves alone."""
    for layer in source.layers[1:]:
        twin = target.get_layer(layer.name)
        twin.set_weights(layer.get_weights())
        if isinstance(twin, keras.layers.Normalization):
            twin.finalize_state()


def configs_in(value: Any) -> list[dict[str, Any]]:
    """Every serialised object in a configuration."""
    if isinstance(value, dict):
        mine = [value] if "class_name" in value else []
        return mine + [config for part in value.values() for config in configs_in(part)]
    return [config for part in value for config in configs_in(part)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    "name",
    [
        *("efficientnet_b0", "convnext_tiny"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("resnet50", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "every block")
        ),
    ],
)
def test_the_graph_is_flat_and_of_stock_parts_only(name: str) -> None:
    found = SPECS[name] if name in SPECS else scale_spec(name, coefficients=NARROW)
    with without_weights():
        model = build_model(found, include_top=True)
    for layer in model.layers:
        assert not isinstance(layer, keras.Model)
        assert type(layer).__module__.startswith("keras.src.layers.")
    parts = configs_in(json.loads(model.to_json()))
    assert len(parts) > 50
    for part in parts:
        # Initialisers, regularisers, policies: whatever a file names must be in Keras.
        assert part.get("module") is None or part["module"].startswith("keras")
        assert part.get("registered_name") in (None, part["class_name"], "Functional")
    assert "keras_effnet." not in model.to_json()
    assert "_StandIn" not in model.to_json()


def test_initialisers_in_the_configuration_are_the_specs() -> None:
    with without_weights():
        fan_out = build_model(SPECS["efficientnet"]).get_layer("stem_conv").kernel_initializer
        glorot = build_model(SPECS["every block"]).get_layer("conv1_conv").kernel_initializer
    assert isinstance(fan_out, keras.initializers.VarianceScaling)
    assert (fan_out.scale, fan_out.mode, fan_out.distribution) == (2.0, "fan_out", "truncated_normal")
    assert isinstance(glorot, keras.initializers.GlorotUniform)


ALONE = """
import sys
sys.modules["keras_effnet"] = None  # importing it now fails
import keras, numpy as np
for name in sys.argv[1:]:
    model = keras.saving.load_model(name, safe_mode=True)
    np.save(f"{name}.y.npy", keras.ops.convert_to_numpy(model(np.load(f"{name}.x.npy"), training=False)))
    if "efficientnet" in name:
        model.save(f"again_{name}.keras")
try:
    import keras_effnet
except ImportError:
    pass
else:
    sys.exit("the package was there")
"""


@pytest.mark.slow
def test_saved_models_load_without_this_package_in_safe_mode(tmp_path: Path) -> None:
    expected, tags = {}, {}
    for name in ("every block.keras", "efficientnet.keras", "efficientnet.h5"):
        spec = SPECS[name.partition(".")[0]]
        model = build_model(spec, classes=5)
        randomize(model, seed=1)
        x = random_images(2, spec.resolution, spec.resolution, 3)
        model.save(tmp_path / name)
        np.save(tmp_path / f"{name}.x.npy", x)
        expected[name], tags[name] = outputs(model, x), read_embedded_spec(model)
    run_python(ALONE, *expected, cwd=tmp_path)
    for name, y in expected.items():
        assert_same_outputs(np.load(tmp_path / f"{name}.y.npy"), y, tolerance=1e-6)
        if "efficientnet" in name:
            # Whoever saves it without this package keeps its spec.
            loaded: Any = keras.models.load_model(tmp_path / f"again_{name}.keras")
            assert read_embedded_spec(loaded) == tags[name]


def test_copies_by_json_config_and_clone_compute_the_same(spec: BackboneSpec) -> None:
    model = build_model(spec, classes=5)
    randomize(model, seed=1)
    x = random_images(2, spec.resolution, spec.resolution, 3)
    expected = outputs(model, x)
    copies = (
        keras.models.model_from_json(model.to_json()),
        keras.Model.from_config(model.get_config()),
        keras.models.clone_model(model),
    )
    for copy in copies:
        copy_weights(model, copy)
        # clone_model gives the input a name of its own.
        assert [layer.name for layer in copy.layers[1:]] == [layer.name for layer in model.layers[1:]]
        assert_same_outputs(outputs(copy, x), expected, tolerance=1e-6)


@pytest.mark.parametrize("block", STAGE_BLOCKS, ids=repr)
def test_names_stay_unique_and_readable_beyond_26_blocks(block: Block) -> None:
    # Layers are named after the operations, as `test_trace.py` checks; zeros around one stand in a layer of their own.
    operations = [node.name for node in record_network(tiny_spec(block, depth=30)).nodes]
    names = [*operations, *(f"{name}_pad" for name in operations)]
    assert len(operations) > 30
    assert max(Counter(names).values()) == 1
    assert all(name.replace("_", "").isalnum() for name in names)


def test_the_27th_block_of_a_stage_is_called_aa() -> None:
    # keras.applications calls it "{".
    with without_weights():
        names = [layer.name for layer in build_model(tiny_spec(MBConv(), depth=28)).layers]
    adds = [name for name in names if name.endswith("_add")]
    assert adds[-3:] == ["block1z_add", "block1aa_add", "block1ab_add"]


@pytest.mark.slow
def test_a_graph_may_be_deeper_than_pythons_recursion_limit() -> None:
    # Keras sorts layers by recursion; EfficientNet-L2 needs about the 1,000 calls that Python allows.
    limit = sys.getrecursionlimit()
    with without_weights():
        model = build_model(tiny_spec(MBConv(expand=1, se_ratio=0), depth=limit // 5, head=None))
    assert len(model.layers) > limit
    assert sys.getrecursionlimit() == limit


@pytest.mark.slow
@pytest.mark.parametrize("spec_name", SPECS)
def test_one_step_of_mixed_precision_training_changes_float_weights(spec_name: str) -> None:
    spec = SPECS[spec_name]
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build_model(spec, classes=4)
    keras.config.set_dtype_policy("float32")
    assert model.get_layer(index=-1).compute_dtype == "bfloat16"
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in model.trainable_weights} == {"float32"}
    before = [weight.copy() for weight in model.get_weights()]
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x = random_images(4, spec.resolution, spec.resolution, 3) / 255
    loss = model.train_on_batch(x, np.arange(4))
    assert np.isfinite(loss)
    after = model.get_weights()
    assert all(np.isfinite(weight).all() for weight in after)
    changed = sum(not np.array_equal(*pair) for pair in zip(before, after, strict=True))
    assert changed > len(before) / 2


def test_a_model_can_stand_on_another_layers_output(spec: BackboneSpec) -> None:
    pixels = keras.Input((spec.resolution, spec.resolution, 1), name="grey")
    color = keras.layers.Conv2D(3, 1, bias_initializer="ones", name="to_color")
    model = build_model(spec, classes=5, input_tensor=color(pixels))
    assert [tensor.name for tensor in model.inputs] == ["grey"]
    alone = build_model(spec, classes=5)
    randomize(alone, seed=3)
    copy_weights(alone, model)
    x = random_images(2, spec.resolution, spec.resolution, 1)
    assert_same_outputs(outputs(model, x), outputs(alone, np.asarray(color(x))))


@pytest.mark.parametrize(
    ("spec_name", "channels"),
    # Only what stands in front of the blocks sees the channels of images.
    [*(("efficientnet", number) for number in (1, 2, 4)), pytest.param("every block", 2, marks=pytest.mark.slow)],
)
def test_images_of_any_size_and_number_of_channels(spec_name: str, channels: int) -> None:
    spec = SPECS[spec_name]
    model = build_model(spec, include_top=False, pooling="avg", input_shape=(None, None, channels))
    assert model.input_shape == (None, None, None, channels)
    for height, width in ((32, 32), (33, 47), (64, 35)):
        assert outputs(model, random_images(1, height, width, channels)).shape == (1, model.output_shape[-1])


@pytest.mark.parametrize(
    "name",
    [
        *("efficientnet_b0", "resnet50"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "convnext_tiny")
        ),
    ],
)
def test_a_size_known_beforehand_and_an_unknown_one_give_the_same_shapes(name: str) -> None:
    spec = scale_spec(name, coefficients=NARROW)
    # All strides stay, and with them all roundings of sides.
    spec = replace(spec, stages=tuple(replace(stage, depth=1) for stage in spec.stages))
    free = build_model(spec, include_top=False)
    for height, width in ((64, 96), (65, 97), (50, 33)):
        cost = estimate_cost(spec, resolution=(height, width), include_top=False)
        runs = height % 2 == width % 2 == 0
        with nullcontext() if runs else without_weights():
            known = build_model(spec, include_top=False, input_shape=(height, width, 3))
        assert known.output_shape[1:] == tuple(cost.stages[-1].output)
        if runs:
            x = random_images(1, height, width, 3)
            known.set_weights(free.get_weights())
            assert outputs(free, x).shape == outputs(known, x).shape


def test_the_default_shape_is_the_specs_resolution_with_top_and_free_without(spec: BackboneSpec) -> None:
    with without_weights():
        assert build_model(spec).input_shape == (None, spec.resolution, spec.resolution, 3)
        assert build_model(spec, include_top=False).input_shape == (None, None, None, 3)


@pytest.mark.parametrize(
    "classifier",
    [
        None,
        *(
            pytest.param(classifier, marks=pytest.mark.slow)
            for classifier in (ConvClassifier(dropout=0.1), HiddenConvClassifier(width=9))
        ),
    ],
    ids=repr,
)
def test_top_pooling_activation_classes_and_name_are_what_was_asked_for(classifier: Classifier | None) -> None:
    spec = tiny_spec(MBConv(), MBConv(expand=2), **({} if classifier is None else {"classifier": classifier}), depth=1)
    x = random_images(2, spec.resolution, spec.resolution, 3)
    keras.utils.set_random_seed(1)
    scores = outputs(build_model(spec, classes=6, name="mine"), x)
    assert scores.shape == (2, 6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    keras.utils.set_random_seed(1)
    logits = outputs(build_model(spec, classes=6, classifier_activation=None), x)
    np.testing.assert_allclose(np.asarray(keras.ops.softmax(logits)), scores, rtol=1e-4)
    keras.utils.set_random_seed(1)
    features = outputs(build_model(spec, include_top=False), x)
    for pooling, pool in (("avg", np.mean), ("max", np.max)):
        keras.utils.set_random_seed(1)
        pooled = outputs(build_model(spec, include_top=False, pooling=pooling), x)
        np.testing.assert_allclose(pooled, pool(features, axis=(1, 2)), rtol=1e-4, atol=1e-5)
    with without_weights():
        assert build_model(spec, name="mine").name == "mine"
        assert build_model(spec).name == spec.name


def test_scale_model_is_scale_spec_and_build_model() -> None:
    with without_weights():
        model = scale_model("mobilenet_v2", -4, classes=3)
        twin = build_model(scale_spec("mobilenet_v2", -4), classes=3)
    assert model.to_json() == twin.to_json().replace(twin.layers[0].name, model.layers[0].name)


def test_drop_path_drops_whole_samples_at_the_rates_of_the_spec() -> None:
    spec = tiny_spec(MBConv(), InvertedResidual(), depth=4, drop_path=0.4)
    drops = [layer for layer in build_model(spec).layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.name for layer in drops] == [
        *("block1b_drop", "block1c_drop", "block1d_drop"),
        *("block_5_drop", "block_6_drop", "block_7_drop"),
    ]
    assert [layer.rate for layer in drops] == pytest.approx([0.4 * index / 8 for index in (1, 2, 3, 5, 6, 7)])
    assert all(tuple(layer.noise_shape) == (None, 1, 1, 1) for layer in drops)
    # In training a sample keeps its branch whole, scaled up, or loses it whole.
    y = np.asarray(drops[-1](np.ones((400, 2, 2, 3), "float32"), training=True))
    per_sample = y.reshape(400, -1)
    assert (per_sample == per_sample[:, :1]).all()
    assert 0.2 < (per_sample[:, 0] == 0).mean() < 0.5


@pytest.mark.parametrize("name", [name for name in backbones.names() if name.startswith("efficientnet")])
def test_no_drop_path_rate_of_a_released_network_reaches_1(name: str) -> None:
    small = scale_spec(name, coefficients=Coefficients(width=0.02, resolution=0.15))
    network = record_network(small)
    rates = [node.op.rate for node in network.nodes if isinstance(node.op, Dropout) and node.op.per_sample]
    # Without a rate it is no layer.
    rates = [rate for rate in rates if rate]
    assert rates == sorted(rates)
    assert 0 < rates[0] < rates[-1] < 0.2
    # The last block of the last stage has no skip connection where the stage has one block.
    assert rates[-1] >= 0.2 * (small.depth - 2) / small.depth


def test_a_seed_repeats_the_first_values_and_another_seed_does_not(spec: BackboneSpec) -> None:
    def values(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        return build_model(spec).get_weights()

    first, again, other = values(1), values(1), values(2)
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    kernels = [number for number, weight in enumerate(first) if weight.ndim > 1]
    assert not any(np.array_equal(first[number], other[number]) for number in kernels)
    # No two layers share a stream either.
    same = [number for number in kernels if first[number].shape == first[kernels[1]].shape]
    assert len({first[number].tobytes() for number in same}) == len(same)


@pytest.mark.slow
@pytest.mark.parametrize("spec_name", SPECS)
def test_channels_first_models_have_the_same_layers_and_weights(spec_name: str) -> None:
    spec = SPECS[spec_name]
    # Keras' Dense layers want channels last.
    stages = tuple(stage for stage in spec.stages if not isinstance(stage.block, ConvNeXtBlock))
    spec = replace(spec, stages=stages)
    with without_weights():
        last = build_model(spec, classes=3)
        keras.config.set_image_data_format("channels_first")
        first = build_model(spec, classes=3)
        free = build_model(spec, include_top=False)
    assert first.input_shape == (None, 3, spec.resolution, spec.resolution)
    assert [layer.name for layer in first.layers[1:]] == [layer.name for layer in last.layers[1:]]
    # Normalization keeps its statistics in the shape of the images, so that the weights move over as they are.
    assert [weight.shape for weight in first.weights] == [weight.shape for weight in last.weights]
    assert first.count_params() == estimate_cost(spec, classes=3).params
    assert free.input_shape == (None, 3, None, None)


def test_two_convblocks_of_one_name_are_refused_in_our_words() -> None:
    from keras_effnet.errors import KerasEffnetError

    spec = tiny_spec(MBConv(), stem=tiny_spec(MBConv()).stem, head=None)
    twice = BackboneSpec(name="twice", stem=spec.stem, stages=(*spec.stages, spec.stem), resolution=64)
    assert isinstance(twice.stem.block, ConvBlock)
    with pytest.raises(KerasEffnetError, match=r"stem_conv.*Received"):
        build_model(twice)
