"""Any Keras model is counted from its graph: held against two counters of others, Keras' own sums, and by hand."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
from pathlib import Path
from typing import Any

import keras
import pytest
from lean_keras import graphs_alone
from support import GOLDEN, import_file, run_python, without_weights

from keras_effnet import (
    Coefficients,
    build_model,
    estimate_cost,
    estimate_peak,
    explain,
    explain_layers,
    scale_model,
    scale_spec,
)
from keras_effnet.cli.main import main, parse
from keras_effnet.cost import count_model
from keras_effnet.counted_model import read_counted
from keras_effnet.errors import BuildError, InheritanceError, KerasEffnetError, SpecError
from keras_effnet.scaling.scale import resolve_coefficients
from keras_effnet.testing import graph_counts

layers = keras.layers
slow = pytest.mark.slow
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
peers = import_file(BENCHMARKS / "peer_counts.py")


# What the counters say of every builder, kept by scripts/golden.py: to ask them takes minutes.
KEPT: dict[str, dict[str, dict[str, int]]] = json.loads((GOLDEN / "peer_counts.json").read_text(encoding="utf-8"))
# One of each family is asked for anew.
ASKED = (
    *("VGG16", "Xception", "InceptionV3", "InceptionResNetV2", "NASNetMobile", "ResNet50", "ResNet50V2", "MobileNet"),
    *("MobileNetV2", "MobileNetV3Small", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny"),
)


@pytest.mark.parametrize("name", [name if name in ASKED else pytest.param(name, marks=slow) for name in peers.BUILDERS])
def test_every_builder_of_keras_is_counted_as_others_count_it(name: str) -> None:
    with graphs_alone():
        model = peers.built(name)
    cost, grouped = estimate_cost(model), peers.grouped_macs(model)
    for backend, found in KEPT.items():
        if name not in peers.MISSING[backend]:
            assert cost.macs == peers.multiply_adds(found[name], backend, grouped), backend
    assert cost.params == model.count_params()
    assert cost.trainable_params == sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert not cost.opaque
    assert not read_counted(model).read.opaque


def test_keras_has_builders_of_all_kinds() -> None:
    assert set(ASKED) < set(peers.BUILDERS)
    for backend, found in KEPT.items():
        assert set(found) == {*peers.BUILDERS} - peers.MISSING[backend]


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the counter is TensorFlow's")
@pytest.mark.parametrize("name", ASKED)
def test_tensorflow_still_counts_what_is_kept(name: str) -> None:
    model = peers.built(name)
    assert peers.tensorflow_counts(model, model.input_shape[1:]) == KEPT["tensorflow"][name]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_torch_still_counts_what_is_kept() -> None:
    code = "import lean_keras, peer_counts, sys; lean_keras.make_keras_lean(); peer_counts.main(*sys.argv[1:])"
    paths = os.pathsep.join([str(BENCHMARKS), str(Path(__file__).parent)])
    names = [name for name in ASKED if name not in peers.MISSING["torch"]]
    told = run_python(code, "smallest", "1", *names, KERAS_BACKEND="torch", KERAS_TORCH_DEVICE="meta", PYTHONPATH=paths)
    found = {row["builder"]: row["peer"] for row in map(json.loads, told.splitlines())}
    assert found == {name: KEPT["torch"][name] for name in names}


def conv(x: Any, width: int, name: str, stride: int = 1, **options: Any) -> Any:
    return layers.Conv2D(width, 3, strides=stride, padding="same", name=name, **options)(x)


def unet(side: int | None = 16) -> keras.Model:
    """Down, up, and a skip."""
    image = keras.Input((side, side, 3), name="image")
    skip = conv(image, 4, "down1", activation="relu")
    x = layers.MaxPooling2D(name="pool")(skip)
    x = conv(x, 8, "down2", activation="relu")
    x = layers.Conv2DTranspose(4, 2, strides=2, name="up")(x)
    x = layers.Concatenate(name="both")([skip, x])
    return keras.Model(image, layers.Conv2D(2, 1, name="mask")(x), name="unet")


def gated(side: int) -> keras.Model:
    """Strides until one cell is left, with squeeze-and-excitation at each size, and a classifier."""
    image = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 255, name="pixels")(image)
    for number in range(4):
        x = conv(x, 8, f"conv{number}", 2)
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"pool{number}")(x)
        gate = layers.Conv2D(8, 1, activation="sigmoid", name=f"gate{number}")(gate)
        x = layers.Multiply(name=f"gated{number}")([x, gate])
    x = layers.GlobalAveragePooling2D(name="top_pool")(x)
    return keras.Model(image, layers.Dense(5, name="scores")(x))


def two_inputs(side: int = 16) -> keras.Model:
    """An image and a table."""
    image, table = keras.Input((side, side, 3), name="image"), keras.Input((7,), name="table")
    x = (
        layers.Flatten()(conv(image, 4, "stem", 2))
        if side == 8
        else layers.GlobalMaxPooling2D(name="pool")(conv(image, 4, "stem", 2))
    )
    y = layers.Dense(6, name="from_table")(table)
    return keras.Model([image, table], layers.Dense(2, name="scores")(layers.Concatenate(name="both")([x, y])))


def attending() -> keras.Model:
    """A model with a layer that the vocabulary has no word for."""
    image = keras.Input((8, 8, 3))
    x = layers.Reshape((64, 4), name="cells")(conv(image, 4, "stem"))
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    return keras.Model(image, layers.Dense(3, name="scores")(layers.Flatten()(x)), name="attending")


def assert_keras_own_sums(model: keras.Model) -> None:
    cost, table = estimate_cost(model), explain_layers(model)
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert (cost.params, cost.trainable_params) == (model.count_params(), trainable)
    assert sum(stage.params for stage in cost.stages) == cost.params
    assert sum(stage.trainable_params for stage in cost.stages) == trainable
    for name in ("params", "trainable_params", "macs", "activations"):
        assert sum(getattr(row, name) for row in table.rows) == getattr(cost, name)


def test_frozen_and_shared_layers_count_as_keras_counts_them() -> None:
    image = keras.Input((16, 16, 3))
    inner_image = keras.Input((16, 16, 3))
    inner = keras.Model(inner_image, layers.BatchNormalization()(conv(inner_image, 3, "inside")), name="inner")
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    x = inner(shared(shared(image)))
    once = shared.count_params()
    model = keras.Model(image, layers.PReLU(shared_axes=[1, 2])(inner(x)))
    assert_keras_own_sums(model)
    assert estimate_cost(model).macs == (2 + 2) * 16 * 16 * 27 * 3
    assert sum(row.params for row in explain_layers(model).rows if row.layer == "shared") == once
    inner.trainable = False
    assert_keras_own_sums(model)
    shared.trainable = False
    assert_keras_own_sums(model)
    model.trainable = False
    assert_keras_own_sums(model)
    assert estimate_cost(model).trainable_params == 0


def test_weights_that_no_output_depends_on_are_counted_too() -> None:
    class Extended(keras.Model):
        def __init__(self) -> None:
            x = keras.Input((8, 8, 3))
            super().__init__(x, conv(x, 2, "used"))
            self.unused = layers.Dense(5)
            self.unused.build((None, 4))

    model = Extended()
    cost = estimate_cost(model)
    assert (cost.params, cost.trainable_params) == (model.count_params(), model.count_params())
    assert cost.stages[-1].params == 25


def test_a_backbone_that_learns_in_part_is_explained_as_its_spec() -> None:
    spec = scale_spec("efficientnet_b0", phi=-4)
    with without_weights():
        model: Any = build_model(spec, classes=3)
    for layer in model.layers[:40]:
        layer.trainable = False
    cost = estimate_cost(model)
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert cost.trainable_params == trainable < estimate_cost(spec, classes=3).trainable_params
    assert [stage.operator for stage in cost.stages] == [stage.operator for stage in estimate_cost(spec).stages]
    made = explain(model)
    assert (made.cost, made.family) == (cost, "efficientnet_b0")
    for number, row in enumerate(made.rows, start=1):
        assert sum(each.macs for each in explain_layers(model).rows if each.stage == number) == row.macs


def test_a_network_with_layers_around_it_is_counted_with_them() -> None:
    spec = scale_spec("mobilenet_v1", phi=-8)
    with without_weights():
        inner = build_model(spec, classes=7, include_top=False, pooling="avg")
        model: Any = keras.Sequential([inner, layers.Dense(3)])
    cost, is_spec = count_model(model, None)
    bare = estimate_cost(spec, include_top=False, pooling="avg")
    width = inner.output_shape[-1]
    assert not is_spec
    assert (cost.params, cost.macs) == (bare.params + 3 * width + 3, bare.macs + 3 * width)
    assert_keras_own_sums(model)
    with pytest.raises(BuildError, match=r"'mobilenet_v1' among layers of its own.*Received: .*'dense"):
        explain(model, phi=1)


def test_stages_begin_where_the_resolution_changes() -> None:
    cost = estimate_cost(unet())
    assert [(stage.input[0], stage.output[0], stage.depth) for stage in cost.stages] == [
        (16, 16, 1),
        (16, 8, 1),
        (8, 16, 2),
    ]
    macs = (16 * 16 * 27 * 4, 8 * 8 * 9 * 4 * 8, 8 * 8 * 4 * 8 * 4 + 16 * 16 * 8 * 2)
    assert tuple(stage.macs for stage in cost.stages) == macs
    outputs = (16 * 16 * 4, 8 * 8 * 8, 16 * 16 * 4 + 16 * 16 * 2)
    assert tuple(stage.activations for stage in cost.stages) == outputs
    assert [stage.operator for stage in cost.stages][2] == "Transposed conv, k2x2 & Conv, k1x1"


@pytest.mark.parametrize("side", [16, 64, 100])
def test_side_branches_are_no_stages_of_their_own_however_small_the_image(side: int) -> None:
    model = gated(side)
    cost, table = estimate_cost(model), explain_layers(model)
    assert [stage.operator for stage in cost.stages] == ["Conv, k3x3"] * 4 + ["Pooling & FC"]
    numbers = {row.layer: row.stage for row in table.rows}
    for number in range(4):
        names = [f"{name}{number}" for name in ("conv", "pool", "gate", "gated")]
        assert [numbers[name] for name in names] == [number + 1] * 4
    assert numbers["top_pool"] == numbers["scores"] == 5
    assert (cost.macs, cost.activations, cost.params) == graph_counts(model.layers)


def test_what_comes_from_a_vector_belongs_to_the_top() -> None:
    cost, table = estimate_cost(two_inputs()), explain_layers(two_inputs())
    assert {row.layer: row.stage for row in table.rows}["from_table"] == 2
    assert cost.stages[-1].macs == 7 * 6 + (4 + 6) * 2
    table = keras.Sequential([keras.Input((7,)), layers.Dense(4), layers.Dense(2)], name="table")
    made = explain(table)
    assert (made.resolution, made.headline, len(made.rows)) == (None, "table", 1)


@pytest.mark.parametrize("make", [unet, gated, two_inputs])
def test_another_resolution_costs_what_a_model_of_that_size_costs(make: Any) -> None:
    assert estimate_cost(make(32), resolution=48) == estimate_cost(make(48))
    assert estimate_peak(make(32), resolution=48) == estimate_peak(make(48))
    assert explain_layers(make(32), resolution=48).rows == explain_layers(make(48)).rows


def test_several_images_keep_their_proportions() -> None:
    large, small = keras.Input((32, 32, 3)), keras.Input((16, 16, 1))
    x = layers.Concatenate()([conv(large, 4, "large", 2), conv(small, 4, "small")])
    model = keras.Model([large, small], x)
    cost = estimate_cost(model, resolution=(64, 96))
    assert cost.macs == 32 * 48 * 9 * (3 + 1) * 4
    with pytest.raises(BuildError, match=r"whole cells.*Received: resolution=\(33, 33\)"):
        estimate_cost(model, resolution=33)


def test_images_of_any_size_need_a_resolution() -> None:
    assert estimate_cost(unet(None), resolution=16) == estimate_cost(unet())
    for call in (estimate_cost, explain, explain_layers, estimate_peak):
        with pytest.raises(BuildError, match=r"give `resolution`.*Received: 'unet' with an input of \(None, None, No"):
            call(unet(None))


def test_a_layer_that_nobody_knows_is_said_wherever_it_matters(tmp_path: Path) -> None:
    model = attending()
    said = "1 layer is not counted, but for its parameters: 'attention'"
    cost, table = estimate_cost(model), explain_layers(model)
    assert cost.opaque == table.opaque == estimate_peak(model).opaque == ("attention",)
    assert cost.macs == 64 * 27 * 4 + 256 * 3
    assert "without 1 layer" in cost.headline
    for text in (str(cost), str(explain(model)), str(table)):
        assert text.endswith(said)
    assert explain(model).to_dict()["cost"]["opaque"] == ("attention",)
    table.to_csv(tmp_path / "layers.csv")
    rows = list(csv.DictReader((tmp_path / "layers.csv").open(newline="")))
    assert [row["layer"] for row in rows if row["counted"] == "no"] == ["attention"]
    [row] = [row for row in rows if row["layer"] == "attention"]
    assert (row["operation"], int(row["params"])) == ("MultiHeadAttention", model.get_layer("attention").count_params())
    assert_keras_own_sums(model)


def test_the_code_of_a_lambda_layer_is_not_run() -> None:
    calls = []
    image = keras.Input((8, 8, 3))
    x = layers.Lambda(lambda x: calls.append(1) or x * 2, name="code", output_shape=(8, 8, 3))(image)
    model = keras.Model(image, conv(x, 2, "conv"))
    calls.clear()
    assert estimate_cost(model).opaque == ("code",)
    assert "'code'" in str(explain(model))
    with pytest.raises(SpecError, match=r"Lambda layer 'code'.*Received: "):
        estimate_cost(model, resolution=16)
    assert not calls


def test_layers_that_only_move_values_are_no_gap_in_the_count() -> None:
    image = keras.Input((8, 8, 4))
    x = layers.Permute((2, 1, 3))(layers.Reshape((8, 4, 8))(image))
    assert estimate_cost(keras.Model(image, keras.ops.transpose(x, (0, 2, 1, 3)))).opaque == ()


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b0", "resnet50", "densenet121"])
def test_a_model_takes_the_memory_that_its_spec_takes(name: str) -> None:
    spec = scale_spec(name, phi=-3)
    with without_weights():
        model = build_model(spec)
    found, expected = estimate_peak(model), estimate_peak(spec)
    assert (found.values, found.litert_values, found.channels) == (
        expected.values,
        expected.litert_values,
        expected.channels,
    )


def test_a_spec_has_its_layers_in_the_stages_of_its_explanation() -> None:
    for name in ("efficientnet_b0", "resnet50", "convnext_tiny"):
        made, table = explain(name), explain_layers(name)
        for row in made.rows:
            mine = [each for each in table.rows if each.stage == row.stage]
            assert (sum(each.params for each in mine), sum(each.macs for each in mine)) == (row.params, row.macs)
    largest = explain_layers("resnet50").sorted("macs").rows
    assert [row.macs for row in largest] == sorted((row.macs for row in largest), reverse=True)


def test_the_program_explains_any_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        assert main(parse(["keras-effnet", "explain", *words])) == 0
        return capsys.readouterr().out

    path, table = str(tmp_path / "unet.keras"), tmp_path / "new" / "layers.csv"
    unet(None).save(path)
    assert said(path, "--resolution", "16") == f"{explain(unet())}\n"
    assert said(path, "--resolution", "16", "--layers") == f"{explain_layers(unet())}\n"
    assert json.loads(said(path, "--resolution", "16", "--layers", "--json"))["rows"][0]["layer"] == "down1"
    assert said(path, "--resolution", "16", "--csv", str(table)) == f"{explain(unet())}\n"
    rows = list(csv.DictReader(table.open(newline="")))
    assert sum(int(row["macs"]) for row in rows) == estimate_cost(unet()).macs
    assert said(path, "--resolution", "16", "--phi", "1") == f"{explain(unet(None), 1.0, resolution=16)}\n"
    scaled = scale_spec("mobilenet_v2", 1)
    assert said("mobilenet_v2", "--phi", "1", "--layers") == f"{explain_layers(scaled)}\n"
    assert main(parse(["keras-effnet", "explain", path])) == 1
    assert "give `resolution`" in capsys.readouterr().err


def _classifier() -> keras.Model:
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="frozen")(image)
    for number in range(2):
        x = layers.Conv2D(16, 3, padding="same", activation="relu", name=f"conv{number}")(x)
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(layers.BatchNormalization()(x)))
    model = keras.Model(image, layers.Dense(5)(x), name="mine")
    model.get_layer("frozen").trainable = False
    return model


def test_a_scaled_model_is_explained_as_the_one_that_is_built() -> None:
    model = _classifier()
    for phi in (-1, 1):
        made, built = explain(model, phi), scale_model(model, phi, exact=False)
        assert made.rows == explain(built).rows
        assert (made.cost, made.peak) == (estimate_cost(built), estimate_peak(built))
        assert made.resolution == built.input_shape[1] != 16
        assert made.cost.trainable_params < made.cost.params
        assert made.realised_macs == made.cost.macs / estimate_cost(model).macs
        assert made.nominal == resolve_coefficients(phi, None, None)
        assert "nominal" in str(made)
        assert f"phi = {phi}" in made.headline
    assert explain(model, 1, resolution=32).cost.macs == estimate_cost(built, resolution=32).macs
    wider = explain(model, coefficients=Coefficients(width=2))
    assert (wider.realised.depth, wider.realised.width, wider.realised.resolution) == (1, 2, 1)
    # The first layer makes other channels than the two behind it, and is not repeated.
    assert explain(model, coefficients=Coefficients(depth=2)).realised.depth == pytest.approx(5 / 3)
    assert explain(unet(None), 1, resolution=16).realised == explain(unet(), 1).realised


def test_a_backbone_of_others_is_explained_by_the_spec_that_scales_it() -> None:
    with without_weights():
        model = keras.applications.MobileNet(weights=None, alpha=0.25, classes=3, input_shape=(64, 64, 3))
        made, built = explain(model, -1), scale_model(model, -1, input_shape=(64, 64, 3), exact=False)
    assert made.cost.params == built.count_params()
    assert made.headline.startswith("mobilenet_v1, phi = -1")


class Subclassed(keras.Model):
    def call(self, x: Any) -> Any:
        return x


def sequence(*steps: Any) -> keras.Model:
    return keras.Sequential(list(steps))


REFUSED: list[tuple[Any, type[KerasEffnetError], str]] = [
    (Subclassed, InheritanceError, r"keras\.Model\(inputs, outputs\)"),
    (lambda: sequence(layers.Conv2D(4, 3)), InheritanceError, r"once it is built.*model\.build"),
    (lambda: sequence(keras.Input((8, 4)), layers.LSTM(3, name="lstm")), InheritanceError, "'lstm' is recurrent"),
    (
        lambda: sequence(keras.Input((8, 8, 8, 1)), layers.Conv3D(2, 3, name="solid")),
        InheritanceError,
        "'solid' works on",
    ),
    (lambda: sequence(keras.Input((None, 4)), layers.Dense(2)), BuildError, "inputs of known size"),
]


@pytest.mark.parametrize(("make", "error", "words"), REFUSED)
def test_what_cannot_be_counted_says_why(make: Any, error: type[KerasEffnetError], words: str) -> None:
    for call in (estimate_cost, explain, explain_layers, estimate_peak):
        with pytest.raises(error, match=rf"{words}.*Received: "):
            call(make())


def test_arguments_that_a_model_cannot_take_are_refused() -> None:
    with pytest.raises(BuildError, match=r"has its own classes.*Received: classes=5"):
        estimate_cost(unet(), classes=5)
    with pytest.raises(BuildError, match=r"`classes`.*not just a backbone.*Received: classes=5 for 'unet'"):
        explain(unet(), classes=5)
    with pytest.raises(BuildError, match=r"`resolution`.*at least 1.*Received: resolution=0"):
        estimate_cost(unet(), resolution=0)
    with pytest.raises(BuildError, match=r"reads none.*Received: resolution=8"):
        estimate_cost(sequence(keras.Input((4,)), layers.Dense(2)), resolution=8)
    with pytest.raises(SpecError, match=r"'last' would have no output.*Received: "):
        estimate_cost(sequence(keras.Input((8, 8, 3)), layers.Conv2D(2, 5, name="last")), resolution=4)
    flat = sequence(keras.Input((8, 8, 3)), layers.Flatten(name="flat"), layers.Dense(2))
    with pytest.raises(SpecError, match=r"'flat'.*keep the resolution.*Received: "):
        estimate_cost(flat, resolution=16)
    with pytest.raises(BuildError, match=r"`by`.*Received: by='size'"):
        explain_layers(unet()).sorted("size")
