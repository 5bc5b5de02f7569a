"""Scores against NumPy: each layer of a small network again, in loops, with 64 bits.

That all backends agree is one of the checks of `backend_check.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import random_images

from keras_effnet import BackboneSpec, Coefficients, StageSpec, build_model, scale_spec
from keras_effnet.blocks import ConvBlock, FusedMBConv, MBConv, ResNetStem
from keras_effnet.errors import BuildError, SearchError
from keras_effnet.search.candidates import Candidate
from keras_effnet.search.scores import SCORES, ZENS, ZeroCost, naswot, synflow, zen_score
from keras_effnet.search.task import Task, train_to_dict
from keras_effnet.search.worker import restore

Arrays = Mapping[str, np.ndarray]


def small_spec(activation: str = "relu", skip: bool = True, se_ratio: float = 0.5) -> BackboneSpec:
    """A stem, two MBConv of which the second one has a shortcut, one convolution with a stride."""
    return BackboneSpec(
        name="small",
        stem=StageSpec(ConvBlock(activation=activation), width=3, stride=1),
        stages=(
            StageSpec(MBConv(3, 2, se_ratio, activation=activation, skip=skip), width=4, depth=2),
            StageSpec(FusedMBConv(3, 1, activation=activation), width=5, stride=2),
        ),
        resolution=6,
    )


def small_model(**changes: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_model(small_spec(**changes), classes=3)


def kernels_of(model: keras.Model) -> dict[str, np.ndarray]:
    kernels = {layer.name: layer.kernel for layer in model.layers if hasattr(layer, "kernel")}
    return {name: np.asarray(keras.ops.convert_to_numpy(value), np.float64) for name, value in kernels.items()}


def filtered(x: np.ndarray, kernel: np.ndarray, stride: int = 1, depthwise: bool = False) -> np.ndarray:
    """A convolution with zeros around as TensorFlow puts them ("same"), cell by cell."""
    size, (rows, columns) = kernel.shape[0], x.shape[1:3]
    cells = [-(-side // stride) for side in (rows, columns)]
    zeros = [max((cell - 1) * stride + size - side, 0) for cell, side in zip(cells, (rows, columns), strict=True)]
    padded = np.pad(x, ((0, 0), *((zero // 2, zero - zero // 2) for zero in zeros), (0, 0)))
    found = np.zeros((len(x), *cells, kernel.shape[2] if depthwise else kernel.shape[3]))
    for row in range(cells[0]):
        for column in range(cells[1]):
            window = padded[:, row * stride : row * stride + size, column * stride : column * stride + size]
            if depthwise:
                found[:, row, column] = (window * kernel[..., 0]).sum(axis=(1, 2))
            else:
                found[:, row, column] = np.einsum("nijc,ijcd->nd", window, kernel)
    return found


def total_flow(kernels: Arrays) -> float:
    """R of `small_spec`, written out: absolute weights, nothing else, ones as the image."""
    w = {name: np.abs(kernel) for name, kernel in kernels.items()}
    x = filtered(np.ones((1, 6, 6, 3)), w["stem_conv"])
    for block in ("block1a", "block1b"):
        y = filtered(x, w[f"{block}_expand_conv"])
        y = filtered(y, w[f"{block}_dwconv"], depthwise=True)
        y = filtered(y, w[f"{block}_project_conv"])
        x = x + y if block == "block1b" else y
    x = filtered(x, w["block2a_project_conv"], stride=2)
    return float((x.mean(axis=(1, 2)) @ w["predictions"]).sum())


@pytest.mark.parametrize("activation", ["relu", "swish"])
def test_synflow_is_the_sum_over_weights(activation: str) -> None:
    model = small_model(activation=activation)
    kernels, whole = kernels_of(model), total_flow(kernels_of(model))
    # R is linear in each kernel: doubling one adds what flows through it, which is its sum of weight * dR/dweight.
    flows = [total_flow({**kernels, name: 2 * kernel}) - whole for name, kernel in kernels.items()]
    assert synflow(model, random_images(1, 6, 6, 3)) == pytest.approx(math.log(sum(flows)), abs=1e-4)


def test_synflow_of_one_layer_is_counted_by_hand() -> None:
    # A network whose only kernels are the stem's and the classifier's would be R + R: each path has two weights.
    spec = BackboneSpec("one", StageSpec(ConvBlock(1), 2), (StageSpec(ConvBlock(1, names=("a", "b", "c")), 2),), None)
    spec = BackboneSpec(spec.name, spec.stem, spec.stages, resolution=2)
    model = build_model(spec, classes=2)
    for name, value in (("stem_conv", 0.5), ("a", -2.0), ("predictions", 3.0)):
        kernel: Any = model.get_layer(name).kernel
        kernel.assign(np.full(kernel.shape, value))
    # R = 3 channels of 1, times 0.5 * 2 * 3 along each of 3 * 2 * 2 * 2 paths; each path has 3 weights.
    assert synflow(model, random_images(1, 2, 2, 3)) == pytest.approx(math.log(3 * 24 * 3.0), abs=1e-5)


@pytest.mark.slow
def test_synflow_of_a_deep_network_does_not_overflow() -> None:
    model = build_model("efficientnet_b0", classes=10, input_shape=(32, 32, 3))
    assert 88 < synflow(model, random_images(1, 32, 32, 3)) < 700  # exp(88) is the largest float of 32 bits


def test_naswot_is_the_determinant_of_what_images_share() -> None:
    model, given = small_model(), random_images(4, 6, 6, 3)
    switched = [layer.input for layer in model.layers if layer.name.endswith("activation")]
    # Keras itself normalises each batch by its own statistics in training.
    values = keras.Model(model.input, switched)(given, training=True)
    codes = np.concatenate([np.asarray(value).reshape(4, -1) > 0 for value in values], axis=1)
    kernel = [[codes.shape[1] - np.count_nonzero(one != other) for other in codes] for one in codes]
    assert naswot(model, given) == pytest.approx(math.log(np.linalg.det(np.array(kernel, float))), rel=1e-3)


def test_naswot_of_equal_images_is_low_and_finite() -> None:
    model, given = small_model(), random_images(4, 6, 6, 3)
    assert naswot(model, np.repeat(given[:1], 4, axis=0)) < naswot(model, given) - 50


def zen_by_hand(seed: int, count: int, epsilon: float = 1e-3) -> float:
    """Zen of `small_spec` written out: no shortcut, no gate, the draws in the same order."""
    shapes = {
        "stem": (3, 3, 3, 3),
        **{f"{name}_expand": (1, 1, wide, 2 * wide) for name, wide in (("a", 3), ("b", 4))},
        **{f"{name}_filter": (3, 3, 2 * wide, 1) for name, wide in (("a", 3), ("b", 4))},
        **{f"{name}_project": (1, 1, 2 * wide, 4) for name, wide in (("a", 3), ("b", 4))},
        "last": (3, 3, 4, 5),
    }
    order = ("stem", "a_expand", "a_filter", "a_project", "b_expand", "b_filter", "b_project", "last")
    scores = []
    for draw in range(ZENS):
        generator = np.random.default_rng((seed, draw))
        x, noise = (generator.standard_normal((count, 6, 6, 3), np.float32) for _ in range(2))
        kernels = {}
        for name in order:
            kernels[name] = generator.standard_normal(shapes[name], np.float32)
            if name.endswith("filter"):  # the gate's two kernels are drawn, and do nothing
                wide = 3 if name[0] == "a" else 4
                generator.standard_normal((wide * 2 * max(1, wide // 2) * 2,), np.float32)
        ends, terms = [], []
        for given in (x, x + 0.01 * noise):
            y, terms = given.astype(float), []
            for name in order:
                stride = 2 if name == "last" else 1
                y = filtered(y, kernels[name].astype(float), stride, depthwise=name.endswith("filter"))
                terms.append(0.5 * math.log(y.var(axis=(0, 1, 2)).mean()))
                y = (y - y.mean(axis=(0, 1, 2))) / np.sqrt(y.var(axis=(0, 1, 2)) + epsilon)
                y = y if name.endswith("project") else np.maximum(y, 0)
            ends.append(y)
            first = terms if given is x else first  # noqa: F821 - set in the first round
        change = np.mean([np.linalg.norm(one - other) for one, other in zip(*ends, strict=True)])
        scores.append(math.log(change) + sum(first))
    return float(np.mean(scores))


def test_zen_is_the_change_for_a_small_step_and_what_batchnorm_took() -> None:
    assert zen_score(small_model(), random_images(3, 6, 6, 3), 7) == pytest.approx(zen_by_hand(7, 3), abs=2e-3)


def test_zen_leaves_out_shortcuts_and_does_not_read_the_weights() -> None:
    given = random_images(3, 6, 6, 3)
    with_skip = zen_score(small_model(), given, 2)
    assert zen_score(small_model(skip=False), given, 2) == with_skip
    assert zen_score(small_model(), np.zeros_like(given), 2) == with_skip
    assert zen_score(small_model(), given, 3) != with_skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["resnet50", "mobilenet_v1", "mobilenet_v3_small", "convnext_tiny", "densenet121", "regnet_y_400mf", "resnet50_v2"],
)
def test_every_kind_of_block_has_finite_scores(name: str) -> None:
    # Not narrower: where a processor has AVX-512, TensorFlow 2.21 writes beyond its memory in the gradient of a 1x1
    # convolution with a stride of 2 and under 16 channels, as RegNet then has.
    spec = scale_spec(name, coefficients=Coefficients(depth=0.1, width=0.5))
    model = build_model(spec, classes=4, input_shape=(64, 64, 3))
    before = [np.array(weight) for weight in model.get_weights()]
    for score in SCORES.values():
        assert math.isfinite(score(model, random_images(4, 64, 64, 3), 0))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_scores_of_foreign_networks_are_refused() -> None:
    foreign = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(2, 1)])
    for score in SCORES.values():
        with pytest.raises(BuildError, match="Received"):
            score(foreign, random_images(2, 6, 6, 3), 0)


def test_naswot_needs_two_images() -> None:
    with pytest.raises(SearchError, match="Received: 1"):
        naswot(small_model(), random_images(1, 6, 6, 3))


def make_task(seed: int, notes: dict[str, Any], folder: Path) -> Task:
    spec = BackboneSpec("one", StageSpec(ResNetStem(), 4, stride=4), (StageSpec(MBConv(), 4),), resolution=16)
    return Task(Candidate({}, spec, {}), seed, 1, folder, None, lambda step, metric: None, notes.__setitem__)


@pytest.mark.slow
def test_a_score_stands_in_for_training(tmp_path: Path) -> None:
    score = restore(json.loads(json.dumps(train_to_dict(ZeroCost("naswot", images=5)))))
    assert score == ZeroCost("naswot", images=5)
    first, again, other = (score(make_task(seed, {}, tmp_path)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(("name", "images"), [("grasp", 4), ("zen", 1)])
def test_wrong_scores_are_named(name: str, images: int) -> None:
    with pytest.raises(SearchError, match="Received: "):
        ZeroCost(name, images=images)
