"""Growing and shrinking models: what the larger computes, what the smaller keeps, and whether both go on learning."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from support import BASES, STAGE_BLOCKS, as_if_trained, outputs, tiny_spec, without_repetition

from keras_effnet import (
    BackboneSpec,
    Coefficients,
    StageSpec,
    build_model,
    grow_model,
    recalibrate,
    scale_model,
    scale_spec,
)
from keras_effnet.backbones.catalogue import FAMILIES
from keras_effnet.blocks import (
    Block,
    Bottleneck,
    ConvBlock,
    DenselyConnected,
    DepthwiseSeparable,
    FusedMBConv,
    MBConv,
)
from keras_effnet.errors import BuildError, InheritanceError, ScalingError, WeightsError
from keras_effnet.ops import LayerNorm
from keras_effnet.registry import backbones
from keras_effnet.scaling import Rounding
from keras_effnet.spec import Preprocessing

slow = pytest.mark.slow

EXACT = 1e-4  # of the largest logit
CLASSES = 7
_FREE = Rounding(divisor=1, depth="round")
QUICK = ("mobilenet_v1",)


def small(name: str, depth: float = 0.35, width: float = 0.25) -> BackboneSpec:
    """A backbone with one stage of each of its blocks, thin and shallow."""
    spec = without_repetition(backbones.get(name))
    return scale_spec(spec, coefficients=Coefficients(depth=depth, width=width, resolution=1))


def trained(spec: BackboneSpec, side: int = 32, seed: int = 0, **arguments: Any) -> keras.Model:
    """A model with weights as training leaves them; its top gives logits."""
    options = {"classes": CLASSES, "classifier_activation": None, **arguments}
    model = build_model(spec, input_shape=(side, side, 3), **options)
    as_if_trained(model, seed)
    return model


def logits(model: keras.Model, seed: int = 0) -> np.ndarray:
    raw = any(isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)) for layer in model.layers)
    images = np.random.default_rng(seed).uniform(*((0, 255) if raw else (-2, 2)), (4, *model.input_shape[1:]))
    return outputs(model, images.astype("float32"))


def check_same(before: keras.Model, after: keras.Model) -> None:
    """Both compute the same, and not just the same constant for every image."""
    check_same_logits(logits(before), logits(after))


def check_same_logits(theirs: np.ndarray, ours: np.ndarray) -> None:
    """Equal up to rounding, and different from image to image."""
    scale = np.abs(theirs).max()
    assert np.abs(theirs - theirs.mean(axis=0)).max() > 20 * EXACT * scale
    assert np.abs(ours - theirs).max() <= EXACT * scale


def has_layer_norm(spec: BackboneSpec) -> bool:
    return any(isinstance(getattr(part.block, "norm", None), LayerNorm) for part in spec.parts)


BATCH_NORM = [name for name in BASES if not has_layer_norm(backbones.get(name))]


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=slow) for name in BATCH_NORM])
def test_two_growths_in_a_row_compute_the_same(name: str) -> None:
    # How deep a network is does not matter to the law, only that each growth adds blocks to some of its stages. A block
    # that is the first and the last of its stage, and strides as the last, cannot become two.
    late = any(stage.block.strides_last for stage in backbones.get(name).stages)
    model, generator = trained(small(name, depth=0.5 if late else 0.2)), random.Random(name)
    before = logits(model)
    for _ in range(2):
        phi = generator.uniform(0, 1)
        grown, report = scale_model(model, phi=phi, input_shape=model.input_shape[1:], return_report=True)
        assert report.exact, str(report)
        assert grown.count_params() >= model.count_params()
        after = logits(grown)
        check_same_logits(before, after)
        model, before = grown, after


@pytest.mark.parametrize(
    "block",
    [
        block if number % 6 == 0 else pytest.param(block, marks=slow, id=block.describe())
        for number, block in enumerate(STAGE_BLOCKS)
    ],
    ids=lambda block: block.describe(),
)
def test_every_block_grows_or_says_where_it_cannot(block: Block) -> None:
    # A block that is the first and the last of its stage, and strides as the last, cannot become two.
    spec = tiny_spec(block, block, depth=2 if block.strides_last else 1)
    model = trained(spec)
    larger = scale_spec(spec, coefficients=Coefficients(depth=1.5, width=1.5))
    grown, report = grow_model(model, larger, exact=False, input_shape=(32, 32, 3), return_report=True)
    before = logits(model)
    difference = np.abs(logits(grown) - before).max() / np.abs(before).max()
    assert report.exact == (difference <= EXACT), f"{difference}\n{report}"
    if not report.exact:
        with pytest.raises(InheritanceError, match="stage 1"):
            grow_model(model, larger)


def no_skip(block: Block) -> BackboneSpec:
    stem = StageSpec(ConvBlock(activation="relu"), width=8, stride=2)
    return BackboneSpec("chain", stem=stem, stages=(StageSpec(block, 8), StageSpec(block, 16, stride=2)), resolution=32)


@pytest.mark.parametrize(
    ("block", "exact"),
    [
        (DepthwiseSeparable(), True),  # ReLU6 of what ReLU6 made
        pytest.param(DepthwiseSeparable(multiplier=2), True, marks=slow),
        (FusedMBConv(expand=4, skip=False, activation="relu"), True),  # relu(x) - relu(-x)
        pytest.param(FusedMBConv(expand=4, skip=False, activation="swish"), True, marks=slow),
        pytest.param(FusedMBConv(expand=4, skip=False, activation="gelu"), True, marks=slow),
        pytest.param(FusedMBConv(expand=4, skip=False, activation="hard_swish"), True, marks=slow),
        pytest.param(FusedMBConv(expand=4, skip=False, activation="tanh"), False, marks=slow),
        pytest.param(MBConv(expand=4, skip=False, activation="relu", se_ratio=0), True, marks=slow),
        (MBConv(expand=1, skip=False, activation="relu", se_ratio=0), True),  # moved out of ReLU's reach
        pytest.param(MBConv(expand=1, skip=False, activation="relu6", se_ratio=0), False, marks=slow),
        pytest.param(MBConv(expand=4, skip=False, activation="swish", se_ratio=0), False, marks=slow),  # two in a row
        (MBConv(expand=4, skip=False, activation="relu"), False),  # its gate is no identity
    ],
    ids=str,
)
def test_blocks_without_skip_start_as_the_identity_where_they_can(block: Block, exact: bool) -> None:
    spec = no_skip(block)
    model = trained(spec)
    # A new block behind an old one, and behind a new one.
    first, second = spec.stages
    deeper = replace(spec, stages=(replace(first, depth=2), replace(second, depth=3)))
    grown, report = grow_model(model, deeper, exact=False, return_report=True)
    assert report.exact == exact, str(report)
    if exact:
        check_same(model, grown)
    else:
        assert {difference.stage for difference in report.differences} == {"stage 1", "stage 2"}
        assert {difference.reason for difference in report.differences if difference.grows}


@slow
def test_layer_normalisation_grows_by_whole_multiples_or_says_where_it_does_not() -> None:
    spec = small("convnext_tiny", depth=0.5, width=0.2)
    model = trained(spec)
    twice = scale_spec(spec, coefficients=Coefficients(depth=2, width=2))
    grown, report = grow_model(model, twice, return_report=True)
    assert report.exact
    check_same(model, grown)
    more = scale_spec(spec, coefficients=Coefficients(width=1.5))
    reason = f"layer normalisation over {more.stages[0].width} channels"
    with pytest.raises(InheritanceError, match=rf"stage 1: {reason}.*top 0\.\d+.*exact=False"):
        grow_model(model, more)
    grown, report = grow_model(model, more, exact=False, return_report=True)
    assert not report.exact
    assert reason in str(report)
    before = logits(model)
    assert np.abs(logits(grown) - before).max() > EXACT * np.abs(before).max()


@slow
def test_groups_that_do_not_hold_old_ones_are_reported() -> None:
    base = small("regnet_x_400mf", width=0.5)
    model = trained(base)
    block: Any = base.stages[0].block
    stage = replace(base.stages[0], block=replace(block, group_width=block.group_width // 2))
    with pytest.raises(InheritanceError, match=r"stage 1: .*groups of channels do not hold"):
        grow_model(model, replace(base, stages=(stage, *base.stages[1:])))


def test_features_without_top_are_copies() -> None:
    spec = small("mobilenet_v2")
    model = build_model(spec, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    as_if_trained(model)
    grown, report = scale_model(model, coefficients=Coefficients(width=1.5), return_report=True)
    before, after = logits(model), logits(grown)
    assert after.shape[1] > before.shape[1]
    # A channel and its copies are computed alike: each new one is one of the old ones.
    nearest = np.abs(after[:, :, None] - before[:, None, :]).max(axis=0).min(axis=1)
    assert nearest.max() <= EXACT * np.abs(before).max()
    assert report.exact
    assert report.measured is not None


@slow
def test_features_that_new_blocks_add_are_no_difference() -> None:
    model = build_model(small("densenet121"), include_top=False, pooling="avg", input_shape=(32, 32, 3))
    as_if_trained(model)
    grown, report = scale_model(model, coefficients=Coefficients(depth=1.5), return_report=True)
    assert grown.output_shape[1] > model.output_shape[1]
    assert report.exact, str(report)


@slow
@pytest.mark.parametrize("shares", ["even", "uneven"])
def test_shares_and_noise(shares: Any) -> None:
    model = trained(small("mobilenet_v2"))
    check_same(model, scale_model(model, phi=1, shares=shares, input_shape=(32, 32, 3)))
    noisy, report = scale_model(
        model, phi=1, shares=shares, noise=0.05, exact=False, input_shape=(32, 32, 3), return_report=True
    )
    before = logits(model)
    difference = np.abs(logits(noisy) - before).max() / np.abs(before).max()
    assert EXACT < difference < 0.5
    assert "noise" in str(report)


@slow
def test_the_same_seed_gives_the_same_network() -> None:
    model = trained(small("mobilenet_v2"))
    larger = scale_spec(small("mobilenet_v2"), coefficients=Coefficients(width=1.5))
    first, second, other = (grow_model(model, larger, seed=seed) for seed in (1, 1, 2))
    pairs = list(zip(first.get_weights(), second.get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert not all(np.array_equal(a, b) for a, b in zip(first.get_weights(), other.get_weights(), strict=True))


def test_the_old_model_stays_as_it_is() -> None:
    model = trained(small("resnet50"))
    before = [np.array(weight) for weight in model.get_weights()]
    scale_model(model, phi=0.5)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("select", ["magnitude", "prefix", "uniform"])
def test_a_smaller_network_keeps_a_selection(select: Any) -> None:
    spec = tiny_spec(MBConv(), depth=4)
    model = trained(spec)
    smaller = scale_spec(spec, coefficients=Coefficients(width=0.5, depth=0.5), rounding=_FREE)
    shrunk, report = grow_model(model, smaller, select=select, return_report=True)
    assert set(report.counts) <= {"selected", "copied"}
    kernel, old = (np.array(one.get_layer("top_conv").kernel)[0, 0] for one in (shrunk, model))
    # Every column of the new kernel is one of the old ones, at a selection of its rows.
    size = kernel.shape[0]
    rows = _rows_of(
        np.array(shrunk.get_layer("block1a_project_bn").gamma), np.array(model.get_layer("block1a_project_bn").gamma)
    )
    assert len(rows) == size
    assert all((np.abs(old[rows] - column[:, None]).max(axis=0) == 0).any() for column in kernel.T)
    if select == "prefix":
        assert rows == list(range(size))
    if select == "magnitude":
        # The stem is tied to the stage: the first block adds what it reads.
        makers = ["stem_conv", *(f"block1{letter}_project_conv" for letter in "abcd")]
        sums = np.zeros(8)
        for maker in makers:
            absolute = np.abs(np.array(model.get_layer(maker).kernel)).sum((0, 1, 2))
            sums += absolute / absolute.mean()
        assert rows == sorted(np.argsort(-sums)[:size])
    text = str(report)
    assert "2 of 4 blocks are left out" in text
    assert "channels are left out" in text


def _rows_of(new: np.ndarray, old: np.ndarray) -> list[int]:
    return [int(np.flatnonzero(old == value)[0]) for value in new]


def test_shrinking_what_was_grown_gives_the_same_function_back() -> None:
    spec = small("resnet50")
    model = trained(spec)
    grown = scale_model(model, coefficients=Coefficients(width=2, depth=2), shares="even")
    back = grow_model(grown, spec, select="prefix")
    # All first copies were kept; what read them had half of what they gave.
    ours, theirs = back.get_layer("conv1_conv"), model.get_layer("conv1_conv")
    assert np.array_equal(np.array(ours.kernel), np.array(theirs.kernel))


# The blocks of MobileNet, EfficientNet, ResNet and DenseNet.
@slow
@pytest.mark.parametrize("block", [DepthwiseSeparable(), MBConv(), Bottleneck(), DenselyConnected()], ids=str)
def test_a_grown_network_goes_on_learning(block: Block) -> None:
    """After 50 steps no channel is dead, and no copy is still a twin."""
    spec = tiny_spec(block, depth=1, preprocessing=Preprocessing(scale=1 / 127.5, offset=-1.0))
    model = build_model(spec, input_shape=(16, 16, 3), classes=4, classifier_activation=None)
    images, labels = _four_classes(256, side=16)
    _train(model, images, labels, 30)
    wider = scale_model(model, coefficients=Coefficients(width=1.5, depth=1.5), input_shape=(16, 16, 3))
    twins = _equal_channels(wider)
    assert twins
    start = {layer.name: [np.array(value) for value in layer.get_weights()] for layer in wider.layers}
    _train(wider, images, labels, 50)
    still = sorted(_equal_channels(wider) & twins)
    assert not still, f"{len(still)} of {len(twins)} pairs are still equal, such as {still[:3]}"
    dead = [
        (layer.name, int(channel))
        for layer in wider.layers
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense))
        for channel in _unmoved(start[layer.name][0], np.array(layer.get_weights()[0]))
    ]
    assert not dead, dead[:5]
    # Keras' statistics still follow the first weights after so few steps.
    recalibrate(wider, [images])
    assert np.mean(np.argmax(wider.predict_on_batch(images), -1) == labels) > 0.6


def _four_classes(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Stripes of two directions and two widths, with noise."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, count)
    rows, columns = np.mgrid[:side, :side]
    waves = np.stack([rows // 2, columns // 2, rows // 6, columns // 6]) % 2
    images = 200.0 * waves[labels][..., None] + generator.normal(0, 30, (count, side, side, 3))
    return images.astype("float32"), labels


def _train(model: keras.Model, images: np.ndarray, labels: np.ndarray, steps: int) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer: Any = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)  # inside the graph TensorFlow would add a condition to each variable
    model.compile(optimizer, loss, jit_compile=False)
    generator = np.random.default_rng(1)
    for _ in range(steps):
        batch = generator.integers(0, len(images), 32)
        model.train_on_batch(images[batch], labels[batch])


def _equal_channels(model: keras.Model) -> set[tuple[str, int, int]]:
    """Pairs of channels that a layer computes alike: equal columns of its kernel (to a thousandth of their size)."""
    found = set()
    for layer in model.layers:
        if not isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)) or layer is model.layers[-1]:
            continue
        kernel: Any = np.array(layer.kernel)
        columns = kernel.reshape(-1, kernel.shape[-1]).T
        size = np.abs(columns).max()
        for one in range(len(columns) - 1):
            if np.abs(columns[one]).max() > 0:
                alike = np.abs(columns[one + 1 :] - columns[one]).max(axis=1) <= 1e-3 * size
                found |= {(layer.name, one, one + 1 + int(other)) for other in np.flatnonzero(alike)}
    return found


def _unmoved(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Channels that a layer makes of which no weight has changed."""
    moved = np.abs(after - before).reshape(-1, *before.shape[-2:]) if before.ndim > 2 else np.abs(after - before)[None]
    axes = (0, 2) if before.shape[-1] == 1 else (0, 1)
    return np.flatnonzero(moved.max(axis=axes) == 0)


@slow
def test_a_saved_model_is_scaled_later(tmp_path: Any) -> None:
    model = trained(small("mobilenet_v2"))
    for name in ("model.keras", "model.h5"):
        path = tmp_path / name
        model.save(path)
        place = path if name.endswith(".keras") else str(path)
        check_same(model, scale_model(place, phi=0.5, input_shape=(32, 32, 3)))
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "foreign.keras")
    with pytest.raises(ScalingError, match="no depth or width or resolution"):
        scale_model(tmp_path / "foreign.keras", phi=1)
    with pytest.raises(WeightsError, match="cannot be loaded"):
        scale_model(tmp_path / "missing.keras", phi=1)
    (tmp_path / "broken.keras").write_bytes((tmp_path / "model.keras").read_bytes()[:5000])
    with pytest.raises(WeightsError, match="cannot be loaded"):
        scale_model(tmp_path / "broken.keras", phi=1)


@slow
def test_a_model_without_a_tag_is_scaled_by_its_graph_or_its_base() -> None:
    spec = small("mobilenet_v2")
    model = trained(spec)
    twin = keras.Model(model.get_layer("backbone_spec").output, model.output)
    check_same(twin, scale_model(twin, coefficients=Coefficients(depth=1.3, width=1.2)))
    check_same(model, scale_model(twin, phi=0.5, base=spec, input_shape=(32, 32, 3)))


def test_what_cannot_follow_raises() -> None:
    spec = small("mobilenet_v2")
    model = trained(spec)
    with pytest.raises(InheritanceError, match="networks of the same blocks"):
        grow_model(model, "resnet50")
    stages = tuple(replace(stage, block=replace(stage.block, kernel=5)) for stage in spec.stages)
    with pytest.raises(InheritanceError, match="another `kernel`"):
        grow_model(model, replace(spec, stages=stages))
    for wrong in ({"select": "best"}, {"shares": "none"}, {"noise": -1}, {"stem": "first"}, {"exact": 1}):
        with pytest.raises(InheritanceError, match="Received"):
            grow_model(model, spec, **wrong)  # pyright: ignore[reportArgumentType, reportCallIssue]
    for classes in (0, [], [CLASSES], [-1]):
        with pytest.raises(InheritanceError, match="Received"):
            grow_model(model, spec, classes=classes)
    with pytest.raises(BuildError, match="leave `weights` out"):
        scale_model(model, phi=1, weights="imagenet")


def test_the_report_prints_and_goes_through_json() -> None:
    import json

    model = trained(small("efficientnet_b0"))
    _, report = scale_model(model, phi=1, return_report=True)
    content = json.loads(json.dumps(report.to_dict()))
    assert content["exact"]
    assert sum(content["counts"].values()) == len(content["layers"])
    names = {layer.name for layer in model.layers if layer.weights and "drop" not in layer.name}
    assert {row["source"] for row in content["layers"] if row["source"]} == names
    assert "stem_conv" in str(report)


def test_resolution_follows_unless_the_model_has_its_own() -> None:
    spec = small("mobilenet_v2")
    own = build_model(spec, classes=3)
    assert scale_model(own, phi=1).input_shape == (None, 256, 256, 3)
    other = build_model(spec, classes=3, input_shape=(96, 64, 3))
    assert scale_model(other, phi=1).input_shape == (None, 96, 64, 3)
    free = build_model(spec, include_top=False)
    assert scale_model(free, phi=1).input_shape == (None, None, None, 3)


def test_families_are_covered() -> None:
    assert set(FAMILIES) <= set(BASES)
    assert len(BATCH_NORM) > 15


def test_phi_scales_the_models_own_spec() -> None:
    spec = small("mobilenet_v1")
    model = trained(spec)
    grown = grow_model(model, phi=1)
    check_same(model, grown)
    expected = scale_model(model, phi=1)
    assert [weight.shape for weight in grown.weights] == [weight.shape for weight in expected.weights]
    with pytest.raises(InheritanceError, match=r"not both.*Received: phi=1"):
        grow_model(model, spec, phi=1)
