"""Bad input: one row for each mistake, with the error it raises and the words that name it."""

from __future__ import annotations

import copy
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import keras
import psutil
import pytest
from support import tiny_spec

from keras_effnet import (
    BackboneSpec,
    Coefficients,
    Preprocessing,
    Rounding,
    StageSpec,
    applications,
    build_model,
    estimate_cost,
    explain,
    scale_model,
    scale_spec,
)
from keras_effnet.blocks import (
    Block,
    Bottleneck,
    ConvBlock,
    ConvClassifier,
    ConvNeXtBlock,
    DenseClassifier,
    DenselyConnected,
    DepthwiseSeparable,
    FusedMBConv,
    InvertedResidual,
    MBConv,
    Placement,
    ResNetStem,
)
from keras_effnet.blocks.base import MAX_EXPAND
from keras_effnet.builder.build_arguments import LAYER_BYTES
from keras_effnet.checks import MAX_SIZE
from keras_effnet.errors import (
    BuildError,
    KerasEffnetError,
    ModelTooLargeError,
    RegistryError,
    ScalingError,
    SpecError,
    WeightsError,
)
from keras_effnet.network import record_network
from keras_effnet.ops import BatchNorm, LayerNorm, Ops, T
from keras_effnet.padding import padding_zeros
from keras_effnet.registry import blocks, classifiers
from keras_effnet.scaling import Compound, Tabulated
from keras_effnet.weights.locate import locate_weights
from keras_effnet.windows import ACTIVATIONS

NAN, INF = math.nan, math.inf
STEM = StageSpec(ConvBlock(), 8, stride=2)
STAGE = StageSpec(MBConv(), 8)
TINY = tiny_spec(MBConv())


def spec(**changes: Any) -> BackboneSpec:
    return BackboneSpec(**{"name": "bad", "stem": STEM, "stages": (STAGE,), **changes})


def build(**changes: Any) -> keras.Model:
    return build_model(TINY, **changes)


def at_width_1(block: Any) -> Any:
    return estimate_cost(spec(stem=StageSpec(ConvBlock(), 1), stages=(StageSpec(block, 1),)))


@dataclass(frozen=True)
class Named(Block):
    """A plugin's block, which checks nothing."""

    name: str
    function: str = "relu"

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        return ops.act(x, self.function, name=self.name)

    def describe(self) -> str:
        return "Named"


KINDS: list[Any] = [registry.get(name) for registry in (blocks, classifiers) for name in registry.names()]
ACTIVATED, EXPANDING = (
    [kind for kind in KINDS if name in {field.name for field in fields(kind)}] for name in ("activation", "expand")
)

Call = Callable[[], Any]
# The call, the error of this package, the built-in that it also is, words of its message.
Row = tuple[Call, type[KerasEffnetError], type[Exception], str]

NAMES: list[Row] = [
    (lambda: scale_spec("efficientnet_b10", 1), RegistryError, LookupError, "did you mean .*'efficientnet_b1'"),
    (lambda: estimate_cost("resnet"), RegistryError, LookupError, "did you mean .*'resnet50'"),
    (lambda: explain("vgg99"), RegistryError, LookupError, "there are|did you mean"),
    (lambda: build_model("mobilenet"), RegistryError, LookupError, "mobilenet_v1"),
    (lambda: scale_spec("resnet50", 1, rule="compund"), RegistryError, LookupError, "did you mean 'compound'"),
    (lambda: estimate_cost(50), RegistryError, LookupError, "BackboneSpec or the name of one.*50"),  # type: ignore
    (lambda: build_model(None), RegistryError, LookupError, "Received: None"),  # type: ignore
]

PHIS: list[Row] = [
    *((lambda phi=phi: scale_spec("resnet50", phi), ScalingError, ValueError, "`phi`") for phi in (NAN, INF, -INF)),
    *((lambda phi=phi: scale_spec("resnet50", phi), ScalingError, ValueError, "`phi`") for phi in ("x", "2", True)),
    *((lambda phi=phi: scale_spec("resnet50", phi), ScalingError, ValueError, "so far from 0") for phi in (1e6, -1e6)),
    (lambda: explain("resnet50", 1e6), ScalingError, ValueError, "so far from 0"),
    (lambda: scale_spec("resnet50"), ScalingError, ValueError, "give phi"),
    (lambda: scale_spec("resnet50", rule="compound"), ScalingError, ValueError, "give phi"),
    (lambda: scale_spec("resnet50", 1, coefficients=Coefficients()), ScalingError, ValueError, "not both"),
    (
        lambda: scale_spec("resnet50", rule="compound", coefficients=Coefficients()),
        ScalingError,
        ValueError,
        "not both",
    ),
    (lambda: scale_spec("resnet50", coefficients=(1, 1, 1)), ScalingError, ValueError, "must be Coefficients"),  # type: ignore
    (lambda: scale_spec("resnet50", 1, rule=lambda phi: phi), ScalingError, ValueError, "must return"),  # type: ignore
    (lambda: scale_spec("resnet50", 0.5, rule="tabulated"), ScalingError, ValueError, "no such row"),
    (lambda: Tabulated()([1]), ScalingError, ValueError, "`phi`"),  # type: ignore
    (lambda: Tabulated()(None), ScalingError, ValueError, "`phi`"),  # type: ignore
    (lambda: scale_spec("resnet50", -15), SpecError, ValueError, "total stride of 32 px"),
    (lambda: Compound(alpha=0), ScalingError, ValueError, "`alpha` must be greater than 0"),
    (lambda: Compound(beta=-1), ScalingError, ValueError, "`beta`"),
    (lambda: Compound(gamma=NAN), ScalingError, ValueError, "`gamma`"),
]

COEFFICIENTS: list[Row] = [
    *(
        (lambda name=name, value=value: Coefficients(**{name: value}), ScalingError, ValueError, f"`{name}`")
        for name in ("depth", "width", "resolution")
        for value in (0, -1.0, NAN, INF, "1", None, True)
    ),
    *((lambda rate=rate: Coefficients(dropout=rate), ScalingError, ValueError, "`dropout`") for rate in (-0.1, 1, NAN)),
    *(
        (lambda name=name, value=value: Rounding(**{name: value}), ScalingError, ValueError, f"`{name}`")
        for name in ("divisor", "min_width", "resolution_multiple")
        for value in (0, -8, 1.5, "8", True)
    ),
    *(
        (lambda value=value: Coefficients(stages=value), ScalingError, ValueError, "`stages` must be a tuple of")
        for value in ([1, 2], (1, 2), ((1, 1, 1),), "ab", 5)
    ),
    *(
        (lambda value=value: Coefficients(stages=(value,)), ScalingError, ValueError, "of a stage")
        for value in ((0, 1), (1, -1), (NAN, 1), (1, "2"))
    ),
    (
        lambda: scale_spec("resnet50", coefficients=Coefficients(stages=((1, 1),))),
        ScalingError,
        ValueError,
        "one pair for each of the 4 stages",
    ),
    (lambda: Rounding(limit=1.1), ScalingError, ValueError, "`limit`"),
    (lambda: Rounding(depth="floor"), ScalingError, ValueError, "`depth` must be one of 'ceil', 'round'"),  # type: ignore
]

BLOCKS: list[Row] = [
    *(
        (lambda block=block, kernel=kernel: block(kernel=kernel), SpecError, ValueError, "`kernel`.*1 to 31")
        for block in (MBConv, InvertedResidual, DepthwiseSeparable, Bottleneck, ConvBlock, ResNetStem)
        for kernel in (0, -3, 32, 3.0, (3, 3), True)
    ),
    *(
        (lambda block=block, expand=expand: block(expand=expand), SpecError, ValueError, "`expand`")
        for block in (MBConv, InvertedResidual, Bottleneck)
        for expand in (0, -6, NAN, INF, "6")
    ),
    *(
        (lambda block=block: at_width_1(block(expand=0.5)), SpecError, ValueError, "leave at least one channel")
        for block in (MBConv, InvertedResidual, Bottleneck)
    ),
    *((lambda ratio=ratio: MBConv(se_ratio=ratio), SpecError, ValueError, "`se_ratio`") for ratio in (-0.1, 1.1, NAN)),
    (lambda: DepthwiseSeparable(multiplier=0), SpecError, ValueError, "`multiplier`"),
    (lambda: ConvBlock(padding="full"), SpecError, ValueError, "`padding` must be one of"),  # type: ignore
    (lambda: ConvBlock(names=("a", "b")), SpecError, ValueError, "three layer names"),  # type: ignore
    (lambda: ConvBlock(names=("a", "", "c")), SpecError, ValueError, "`names` must be a word"),
    (lambda: BatchNorm(epsilon=-1), SpecError, ValueError, "`epsilon`"),
    (lambda: BatchNorm(momentum=1), SpecError, ValueError, "`momentum`"),
    (lambda: BatchNorm(center=None), SpecError, ValueError, "`center`"),  # type: ignore
    (lambda: LayerNorm(scale=1), SpecError, ValueError, "`scale`"),  # type: ignore
    *((lambda rate=rate: DenseClassifier(rate), SpecError, ValueError, "`dropout`") for rate in (-0.1, 1.0, NAN, "0")),
    (lambda: ConvClassifier(2), SpecError, ValueError, "`dropout`"),
    (
        lambda: estimate_cost(spec(stem=StageSpec(ResNetStem(), 8, stride=3))),
        SpecError,
        ValueError,
        "must be 1, 2 or 4",
    ),
    (lambda: padding_zeros("same", 3, 2, None), SpecError, ValueError, "depend on the size"),
]

SPECS: list[Row] = [
    (lambda: StageSpec(MBConv, 8), SpecError, ValueError, "call the class to make one"),  # type: ignore
    (lambda: StageSpec("mbconv", 8), SpecError, ValueError, "must be a Block"),  # type: ignore
    *(
        (lambda width=width: StageSpec(MBConv(), width), SpecError, ValueError, "`width`")
        for width in (0, -8, 8.0, True)
    ),
    *((lambda depth=depth: StageSpec(MBConv(), 8, depth), SpecError, ValueError, "`depth`") for depth in (0, 1.5)),
    *((lambda step=step: StageSpec(MBConv(), 8, 1, step), SpecError, ValueError, "`stride`") for step in (0, 33, 2.0)),
    *(
        (lambda name=name: spec(name=name), SpecError, ValueError, "`name` must be a word")
        for name in ("", "my net", "net:2", "a/b", "_a", "größe", "a\n", "a" * 201, 7, None)
    ),
    *(
        (lambda name=name: ConvBlock(names=("a", name, "c")), SpecError, ValueError, "`names` must be a word")
        for name in ("my conv", "a/b", "b:0", "a.b", 3)
    ),
    *(
        (lambda block=block, key=key: block(**{key: "a b"}), SpecError, ValueError, f"`{key}` must be a word")
        for block, key in ((MBConv, "depthwise_name"), (ConvNeXtBlock, "prefix"), (ResNetStem, "pool_name"))
    ),
    (lambda: estimate_cost(spec(stages=(StageSpec(Named("a b"), 8),))), SpecError, ValueError, "name of a layer"),
    (lambda: estimate_cost(spec(stages=(StageSpec(Named("a", "swosh"), 8),))), SpecError, ValueError, "an activation"),
    *(
        (lambda kind=kind, word=word: kind(activation=word), SpecError, ValueError, "an activation must be a name")
        for kind in ACTIVATED
        for word in ("swosh", "glu", "threshold", "", 7, {})
    ),
    *((lambda block=block: block(expand=1e308), SpecError, ValueError, "at most 1e") for block in EXPANDING),
    (lambda: spec(stages=(StageSpec(DenselyConnected(), 8, 10),) * 1001), SpecError, ValueError, "at most 1,000"),
    (
        lambda: estimate_cost(spec(stages=(StageSpec(DenselyConnected(), 8, 10_000),) * 1000)),
        SpecError,
        ValueError,
        "10,000 blocks that are taken one by one",
    ),
    (
        lambda: estimate_cost(
            spec(stages=(StageSpec(MBConv(padding="valid", skip=False), 8, 10**9),), resolution=10**9)
        ),
        SpecError,
        ValueError,
        "10,000 blocks that are taken one by one",
    ),
    (lambda: record_network(spec(stages=(StageSpec(MBConv(), 8, 10**9),))), SpecError, ValueError, "10,000 blocks"),
    (lambda: spec(stages=()), SpecError, ValueError, "at least one"),
    (lambda: spec(stages=STAGE), SpecError, ValueError, "tuple"),
    (lambda: spec(stages=(MBConv(),)), SpecError, ValueError, "StageSpec"),
    (lambda: spec(stem=ConvBlock()), SpecError, ValueError, "StageSpec"),
    (lambda: spec(head=ConvBlock()), SpecError, ValueError, "StageSpec"),
    (lambda: spec(stem=StageSpec(ConvBlock(), 8, depth=2)), SpecError, ValueError, "one block"),
    (lambda: spec(head=StageSpec(ConvBlock(), 8, depth=2)), SpecError, ValueError, "one block"),
    (lambda: spec(classifier=DenseClassifier), SpecError, ValueError, "`classifier`"),
    (lambda: spec(preprocessing="tf"), SpecError, ValueError, "`preprocessing`"),
    (lambda: spec(resolution=1), SpecError, ValueError, "total stride"),
    (lambda: spec(resolution=224.0), SpecError, ValueError, "`resolution`"),
    *((lambda rate=rate: spec(drop_path=rate), SpecError, ValueError, "`drop_path`") for rate in (-0.1, 1, NAN)),
    (lambda: spec(initializer="zeros"), SpecError, ValueError, "`initializer` must be one of"),
    (lambda: Preprocessing(mode="pytorch"), SpecError, ValueError, "`mode` must be one of"),  # type: ignore
    (lambda: Preprocessing(scale=INF), SpecError, ValueError, "`scale`"),
    (lambda: Preprocessing(mode="tf", scale=2), SpecError, ValueError, "preprocessed twice"),
    (lambda: Preprocessing(mode="tf", mean=(1.0,), variance=(1.0,)), SpecError, ValueError, "preprocessed twice"),
    (lambda: Preprocessing(mean=(1.0,)), SpecError, ValueError, "as many numbers each"),
    (lambda: Preprocessing(mean=(1.0,), variance=(1.0, 2.0)), SpecError, ValueError, "as many numbers each"),
    (lambda: Preprocessing(mean=(), variance=()), SpecError, ValueError, "`mean` must be a tuple of numbers"),
    (lambda: Preprocessing(mean=1, variance=1), SpecError, ValueError, "`mean` must be a tuple"),  # type: ignore
    (lambda: Preprocessing(mean=(NAN,), variance=(1,)), SpecError, ValueError, "`mean` must be a finite number"),
    (lambda: Preprocessing(mean=(0,), variance=(0,)), SpecError, ValueError, "`variance` must be greater than 0"),
    (
        lambda: Preprocessing(standardize=True, mean=(1.0,), variance=(1.0,)),
        SpecError,
        ValueError,
        "`standardize` to keep them as weights",
    ),
    (lambda: StageSpec(MBConv(), 8, fixed="all"), SpecError, ValueError, "`fixed` must be one of"),  # type: ignore
    (lambda: StageSpec(MBConv(), 10**41), SpecError, ValueError, "`width` must be an integer from 1 to"),
    (lambda: ConvBlock(bias=None), SpecError, ValueError, "`bias` must be True or False"),  # type: ignore
    (lambda: ConvBlock(norm="batch"), SpecError, ValueError, "must be a BatchNorm or a LayerNorm"),  # type: ignore
]

COSTS: list[Row] = [
    (lambda: estimate_cost(TINY, resolution=1), BuildError, ValueError, "`resolution`"),
    (lambda: estimate_cost(TINY, resolution=(32, 1)), BuildError, ValueError, "`resolution`"),
    (lambda: estimate_cost(TINY, resolution=32.0), BuildError, ValueError, "`resolution`"),  # type: ignore
    (lambda: estimate_cost(TINY, resolution=(32, 32, 3)), BuildError, ValueError, "`resolution`"),  # type: ignore
    (lambda: estimate_cost(TINY, channels=0), BuildError, ValueError, "`channels`"),
    (lambda: estimate_cost(TINY, classes=0), BuildError, ValueError, "`classes`"),
    (lambda: estimate_cost(TINY, include_top=False, pooling="sum"), BuildError, ValueError, "`pooling`"),  # type: ignore
    (lambda: explain(TINY, classes=-1), BuildError, ValueError, "`classes`"),
]

BUILDS: list[Row] = [
    (
        lambda: build(include_top=False, pooling="sum"),
        BuildError,
        ValueError,
        "`pooling` must be one of None, 'avg', 'max'",
    ),
    *(
        (lambda number=number: build(classes=number), BuildError, ValueError, "`classes`")
        for number in (0, -1, 2.5, "10")
    ),
    (lambda: build(input_shape=(32, 32)), BuildError, ValueError, r"\(height, width, channels\)"),
    (lambda: build(input_shape=224), BuildError, ValueError, r"\(height, width, channels\)"),
    (lambda: build(input_shape=(1, 32, 3)), BuildError, ValueError, "sides of input_shape"),
    (lambda: build(input_shape=(32.0, 32, 3)), BuildError, ValueError, "sides of input_shape"),
    (lambda: build(input_shape=(32, 32, None)), BuildError, ValueError, "channels of input_shape"),
    (lambda: build(input_shape=(32, 32, 0)), BuildError, ValueError, "channels of input_shape"),
    (lambda: build(input_tensor=[1, 2]), BuildError, ValueError, "Keras tensor"),
    (
        lambda: build(input_tensor=keras.Input((32, 32, 3)), input_shape=(64, 64, 3)),
        BuildError,
        ValueError,
        "must be that of `input_tensor`",
    ),
    (lambda: build(classifier_activation="softmin2"), BuildError, ValueError, "activation"),
    (lambda: build(name="my net"), BuildError, ValueError, "`name` must be a word"),
    (lambda: build(classes=10**400), BuildError, ValueError, "at most 1e40"),
    (lambda: build(weights="~nobody_at_all/net.h5"), WeightsError, ValueError, "no file can be read there"),
    (lambda: build(weights="x" * 5000), WeightsError, ValueError, "no file can be read there"),
    (lambda: build(weights="a\0b"), WeightsError, ValueError, "no file can be read there"),
    (lambda: MBConv(activation="swosh"), SpecError, ValueError, "did you mean 'swish'"),
    (lambda: build(weights=3), BuildError, ValueError, "`weights` must be None"),
    (lambda: build(weights="no such file.h5"), WeightsError, ValueError, "existing weight file"),
    (lambda: build(weights="."), WeightsError, ValueError, "existing weight file"),
    (lambda: build(weights="imagenet"), WeightsError, ValueError, "no ImageNet weights are published"),
    (lambda: locate_weights(TINY, "imagenet", True), WeightsError, ValueError, "no ImageNet weights are published"),
    (lambda: applications.EfficientNetB0(classes=10), BuildError, ValueError, "1000 classes"),
    (lambda: applications.EfficientNetB0(input_shape=(224, 224, 1)), BuildError, ValueError, "3 channels"),
    (lambda: applications.ResNet50(include_top=False, input_shape=(64, 64, 4)), BuildError, ValueError, "3 channels"),
    (lambda: applications.ResNet50(input_shape=(100, 100, 3)), BuildError, ValueError, "224 x 224"),
    (lambda: applications.ResNet50(classifier_activation="relu"), BuildError, ValueError, "'softmax' or None"),
    (lambda: applications.MobileNet(alpha=0.33), WeightsError, ValueError, "no ImageNet weights are published"),
    (lambda: applications.MobileNet(alpha=-1), SpecError, ValueError, "`alpha`"),
    (lambda: applications.MobileNet(alpha=0.001), SpecError, ValueError, "`width`"),
    (lambda: applications.MobileNet(depth_multiplier=0), SpecError, ValueError, "`multiplier`"),
    (lambda: applications.MobileNet(dropout=1), SpecError, ValueError, "`dropout`"),
    (lambda: applications.MobileNetV2(alpha=0), SpecError, ValueError, "`alpha`"),
]

ROWS = [*NAMES, *PHIS, *COEFFICIENTS, *BLOCKS, *SPECS, *COSTS, *BUILDS]


@pytest.mark.parametrize("row", ROWS, ids=[str(number) for number in range(len(ROWS))])
def test_a_mistake_raises_its_error_and_says_what_was_received(row: Row) -> None:
    call, ours, built_in, words = row
    with pytest.raises(ours, match=words) as caught:
        call()
    assert isinstance(caught.value, KerasEffnetError)
    assert isinstance(caught.value, built_in)
    rule, received = caught.value.rule, caught.value.received
    assert rule
    assert received
    assert "Received" not in rule + received, "said twice"
    # Errors cross processes.
    for error in (caught.value, copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):  # noqa: S301
        assert type(error) is type(caught.value)
        assert str(error) == f"{rule} Received: {received}"
        assert (error.rule, error.received) == (rule, received)


def available(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    class Memory:
        available = count

    monkeypatch.setattr(psutil, "virtual_memory", Memory)


def test_a_model_that_does_not_fit_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def built(*_: object, **__: object) -> None:
        raise AssertionError("allocated")

    monkeypatch.setattr("keras_effnet.builder.model.record_network", built)
    available(monkeypatch, 64e9)
    cost = estimate_cost(scale_spec("efficientnet_b0", 30))
    started = time.perf_counter()
    with pytest.raises(ModelTooLargeError) as caught:
        scale_model("efficientnet_b0", 30)
    assert time.perf_counter() - started < 1
    message = str(caught.value)
    assert f"{cost.params:,} parameters" in message
    assert f"{cost.weight_bytes / 1e9:,.1f} GB" in message
    assert "64.0 GB" in message
    assert "memory_limit=float('inf')" in message
    assert message.endswith("Received: memory_limit=None")
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, BuildError)


def test_a_thin_network_of_thousands_of_layers_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = spec(stages=(StageSpec(MBConv(expand=1, se_ratio=0), 8, 2_000),))
    assert estimate_cost(deep).weight_bytes < 10e6
    available(monkeypatch, 200e6)
    with pytest.raises(ModelTooLargeError, match=r"and 14,0\d\d layers"):
        build_model(deep)


def test_activations_are_those_of_keras_that_keep_shapes() -> None:
    from keras.src.activations import ALL_OBJECTS_DICT

    assert set(ACTIVATIONS) == set(ALL_OBJECTS_DICT) - {"glu", "threshold"}
    x: Any = keras.Input((4, 4, 8))
    for name in ACTIVATIONS:
        made: Any = keras.layers.Activation(name)(x)
        assert made.shape == x.shape


def test_no_count_overflows_a_float() -> None:
    most = StageSpec(Bottleneck(expand=MAX_EXPAND), MAX_SIZE, MAX_SIZE)
    fused = StageSpec(FusedMBConv(31, expand=MAX_EXPAND, padding="same"), MAX_SIZE, MAX_SIZE)
    dense = StageSpec(DenselyConnected(expand=MAX_EXPAND, compression=1), MAX_SIZE, 9_000)
    cost = estimate_cost(spec(stages=(most, fused, dense, fused), resolution=MAX_SIZE), classes=MAX_SIZE)
    assert all(math.isfinite(float(value)) for value in (cost.params, cost.macs, cost.activations))
    with pytest.raises(ModelTooLargeError, match="GB"):
        build_model(spec(stages=(most,)))


@pytest.mark.parametrize("phi", [20, 50, 100, 500])
def test_even_an_absurd_phi_is_refused_in_a_second(phi: float) -> None:
    started = time.perf_counter()
    with pytest.raises(KerasEffnetError, match="Received"):
        scale_model("efficientnet_b0", phi)
    assert time.perf_counter() - started < 2


def test_the_memory_limit_counts_bytes_and_works_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = estimate_cost(TINY, classes=10).weight_bytes
    needed = weights + LAYER_BYTES * sum(1 for _ in record_network(TINY).nodes)
    with pytest.raises(ModelTooLargeError, match=f"Received: memory_limit={needed - 1}"):
        build(classes=10, memory_limit=needed - 1)
    assert build(classes=10, memory_limit=needed).count_params() * 4 == weights
    available(monkeypatch, needed - 1)
    with pytest.raises(ModelTooLargeError):
        build(classes=10)
    assert build(classes=10, memory_limit=float("inf")).count_params() * 4 == weights
