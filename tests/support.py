"""Helpers of several test files. Imports Keras only inside the functions that need it."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_effnet import ops
from keras_effnet.backbones.catalogue import FAMILIES
from keras_effnet.blocks import (
    BasicBlock,
    Bottleneck,
    ConvBlock,
    ConvClassifier,
    ConvNeXtBlock,
    DenselyConnected,
    DepthwiseSeparable,
    FusedMBConv,
    GhostBottleneck,
    InvertedResidual,
    InvertedResidualV3,
    MBConv,
    MobileOneBlock,
    NormActivation,
    PreactBottleneck,
    RepVGGBlock,
    ResNetStem,
    UniversalInvertedBottleneck,
)
from keras_effnet.blocks.base import Block
from keras_effnet.registry import backbones
from keras_effnet.scaling import Coefficients, scale_spec
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec

if TYPE_CHECKING:
    import keras

# Operations of models from elsewhere alone: zeros around an image, for one, are a word of `Conv` in blocks.
FOREIGN = {
    ops.Crop,
    ops.GroupNorm,
    ops.Merge,
    ops.PReLU,
    ops.Resize,
    ops.Reuse,
    ops.RMSNorm,
    ops.TransposedConv,
    ops.Unflatten,
    ops.UnitNorm,
    ops.UpSample,
    ops.ZeroPad,
}
_SIZES = {size for sizes in FAMILIES.values() for size in sizes}
# One backbone of each family: the base, or the only one.
BASES = [name for name in backbones.names() if name not in _SIZES]

GOLDEN = Path(__file__).parent / "golden"

# One block of every kind that can stand in a stage, with options away from their defaults.
STAGE_BLOCKS: tuple[Block, ...] = (
    MBConv(kernel=5, expand=3.5, se_ratio=0.3),
    MBConv(expand=1, se_ratio=0),
    InvertedResidual(kernel=5, expand=2),
    InvertedResidual(expand=1),
    DepthwiseSeparable(multiplier=2),
    Bottleneck(expand=2.5, bias=False),
    Bottleneck(kernel=1, expand=0.5),
    InvertedResidualV3(kernel=5, expand=2.5, se_ratio=0.3),
    InvertedResidualV3(expand=1, activation="relu", padding="symmetric"),
    ConvNeXtBlock(kernel=5, expand=2.5),
    ConvNeXtBlock(layer_scale=None),
    Bottleneck(expand=1, group_width=4, se_ratio=0.25, stride_at="kernel", padding="symmetric"),
    Bottleneck(expand=2, groups=4, se_ratio=0.5, se_at="end", stride_at="kernel", shortcut="pool", bias=False),
    PreactBottleneck(expand=2),
    DenselyConnected(expand=2),
    MBConv(kernel=7, padding="symmetric", skip=False, depthwise_name="dwconv2"),
    FusedMBConv(kernel=5, expand=2.5, se_ratio=0.3, padding="symmetric", expands="output"),
    FusedMBConv(expand=1),
    GhostBottleneck(kernel=5, expand=2.5, se_ratio=0.25),
    RepVGGBlock(),
    MobileOneBlock(branches=2, se_ratio=0.25),
    UniversalInvertedBottleneck(start_kernel=3, kernel=5, expand=2.5),
    UniversalInvertedBottleneck(start_kernel=5, kernel=0),
    UniversalInvertedBottleneck(kernel=0),
    BasicBlock(kernel=5),
)


def tiny_spec(*blocks: Block, resolution: int = 32, depth: int = 2, **changes: Any) -> BackboneSpec:
    """A network that builds in a tenth of a second: a stage of 8 channels or so for each block."""
    options: dict[str, Any] = {
        "stem": StageSpec(ConvBlock(padding="correct", activation="swish"), width=8, stride=2),
        "head": StageSpec(ConvBlock(kernel=1, names=("top_conv", "top_bn", "top_activation")), width=16),
        "drop_path": 0.2,
        "preprocessing": Preprocessing(scale=1 / 255, standardize=True),
        **changes,
    }
    stages = tuple(
        # Three strides in all, whatever the number of blocks, so that a small image is enough.
        StageSpec(block, width=8 + 4 * number, depth=depth, stride=2 if number in (1, 3, 5) else 1)
        for number, block in enumerate(blocks)
    )
    return BackboneSpec(name="tiny", stages=stages, resolution=resolution, **options)


def every_block_spec(resolution: int = 48) -> BackboneSpec:
    """All blocks of this package in one network."""
    return tiny_spec(
        *STAGE_BLOCKS,
        resolution=resolution,
        stem=StageSpec(ResNetStem(kernel=5), width=8, stride=4),
        classifier=ConvClassifier(dropout=0.1),
        preprocessing=Preprocessing(mode="tf"),
    )


def every_operation_spec() -> BackboneSpec:
    """A small network of all operations that have weights or gradients of their own: all but `Flatten` and `Opaque`."""
    return tiny_spec(
        FusedMBConv(se_ratio=0.25, padding="symmetric"),
        InvertedResidualV3(se_ratio=0.25),
        ConvNeXtBlock(),
        Bottleneck(groups=4, shortcut="pool", bias=False),
        DenselyConnected(expand=2),
        PreactBottleneck(expand=1),
        resolution=48,
        stem=StageSpec(ResNetStem(kernel=5), width=8, stride=4),
    )


def without_repetition(spec: BackboneSpec, depth: int | None = None) -> BackboneSpec:
    """A backbone with one stage of each block and of each stride: laws of layers hold stage by stage.

    Args:
        spec: the backbone.
        depth: the most blocks that a stage keeps; None for all.
    """
    stages: list[StageSpec] = []
    for stage in spec.stages:
        known = (stage.block in [one.block for one in stages], stage.stride in [one.stride for one in stages])
        if len(stages) < 2 or not all(known):
            stages.append(stage if depth is None else replace(stage, depth=min(stage.depth, depth)))
    return replace(spec, stages=tuple(stages))


@contextmanager
def without_weights() -> Iterator[None]:
    """Inside, layers get weights that have shapes but no values: building takes half the time and no memory.

    For tests of a graph alone: its names, shapes, settings and counts. Such a model cannot be called on images.
    """
    import keras
    from keras.src.backend.common import global_state

    pending = "uninitialized_variables"
    before = [*(global_state.get_global_attribute(pending) or ())]  # Keras appends to its list
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Keras would give all of them values as soon as it leaves a scope of its own.
        global_state.set_global_attribute(pending, before)


def as_if_trained(model: Any, seed: int = 0) -> None:
    """Weights and statistics as training leaves them: none where it started, and signals neither die nor explode."""
    import keras

    generator = np.random.default_rng(seed)

    def vector(variable: Any, low: float, high: float) -> None:
        variable.assign(generator.uniform(low, high, variable.shape))

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta = layer.gamma, layer.beta
            ranges = ((0.5, 1.5), (-0.5, 0.5), (-0.5, 0.5), (0.5, 2.0))
            for variable, (low, high) in zip(
                (gamma, beta, layer.moving_mean, layer.moving_variance), ranges, strict=True
            ):
                if variable is not None:
                    vector(variable, low, high)
            if gamma is not None:
                gamma.assign(gamma * generator.choice([-1, 1], gamma.shape))
        elif isinstance(layer, keras.layers.LayerNormalization):
            vector(layer.gamma, 0.5, 1.5)
            vector(layer.beta, -0.5, 0.5)
        elif isinstance(layer, keras.layers.Normalization) and layer.weights:
            vector(layer.weights[0], 0.4, 0.5)
            vector(layer.weights[1], 0.05, 0.1)
            layer.finalize_state()
        elif isinstance(layer, keras.layers.EinsumDense):
            vector(layer.kernel, 0.1, 0.5)
        else:
            for variable in layer.weights:
                if "kernel" in variable.path:
                    window = 2 if isinstance(layer, keras.layers.DepthwiseConv2D) else -1
                    fan_in = float(np.prod(variable.shape[:window]))
                    variable.assign(generator.normal(0, np.sqrt(2 / fan_in), variable.shape))
                elif "bias" in variable.path:
                    vector(variable, -0.1, 0.1)


def stage_of(name: str, spec: BackboneSpec) -> int:
    """The stage (0: stem, then stages, head, top) that a layer belongs to, told by its name alone."""
    ends = list(accumulate(stage.depth for stage in spec.stages))
    head = len(spec.stages) + 1

    def holder(index: int) -> int:
        return 1 + next(number for number, end in enumerate(ends) if index < end)

    if found := re.match(r"block(\d+)[a-z]+_", name):
        return int(found[1])
    if found := re.match(r"(?:ghost|one|rep|uib)(\d+)[a-z]+_", name):
        return int(found[1])
    if found := re.match(r"conv(\d+)_block\d+_", name):
        return int(found[1]) - 1
    if found := re.match(r"pool(\d+)_(bn|relu|conv|pool)$", name):
        # A dense stage's transition: pool1 is the stem's pooling, pool0 the transition of the first stage.
        return {0: 1, 1: 0}.get(int(found[1]), int(found[1]))
    if found := re.match(r"conv_[dp]w_(\d+)(_|$)", name):
        return holder(int(found[1]) - 1)
    if found := re.match(r"(?:block|expanded_conv)_(\d+)_", name):
        return holder(int(found[1]))
    if name.startswith("expanded_conv_"):
        return 1
    if (
        spec.head is not None
        and isinstance(spec.head.block, ConvBlock | NormActivation)
        and name in spec.head.block.names
    ):
        return head
    if found := re.match(r"convnext\w*_stage_(\d+)_block_\d+_", name):
        return int(found[1]) + 1
    if found := re.match(r"convnext\w*_downsampling_[a-z]+(?:_(\d+))?$", name):
        return 1 if found[1] is None else int(found[1]) + 2
    if (
        name in ("predictions", "conv_preds", "conv_2", "conv_2_bn", "logits", "layer_normalization")
        or "_head_" in name
    ):
        return head + (spec.head is not None)
    return 0


def random_images(*shape: int, seed: int = 0) -> np.ndarray:
    """Random pixels, 0 to 255."""
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def outputs(model: keras.Model, x: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """What `model.predict` returns, without the seconds that it takes to compile a graph."""
    import keras

    if keras.backend.backend() == "jax":
        # Layer by layer, JAX would compile a program for each.
        return np.asarray(model.predict(x, verbose="0"))
    return np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))


def flat_layers(model: keras.Model) -> list[Any]:
    """The layers of a model, with those of a model in it in its place: Keras' ConvNeXt holds its stem in one."""
    parts: list[list[Any]] = [flat_layers(layer) if hasattr(layer, "layers") else [layer] for layer in model.layers]
    return [layer for part in parts for layer in part]


def randomize(model: keras.Model, seed: int) -> None:
    """Random statistics on top of the random kernels: with fresh ones a misplaced normalisation goes unseen."""
    generator = np.random.default_rng(seed)
    for layer in flat_layers(model):
        kind = layer.__class__.__name__
        if kind == "BatchNormalization":
            channels = layer.moving_mean.shape
            layer.moving_mean.assign(generator.normal(0, 0.1, channels))
            layer.moving_variance.assign(generator.uniform(0.5, 1.5, channels))
            layer.gamma.assign(generator.uniform(0.5, 1.5, channels))
            layer.beta.assign(generator.normal(0, 0.1, channels))
        elif kind == "Normalization" and layer.weights:
            mean, variance, count = layer.weights
            mean.assign(generator.uniform(0.3, 0.6, mean.shape))
            variance.assign(generator.uniform(0.04, 0.09, variance.shape))
            count.assign(7)
            layer.finalize_state()
        elif kind == "LayerNormalization":
            layer.gamma.assign(generator.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(generator.normal(0, 0.1, layer.beta.shape))
        elif kind in ("LayerScale", "EinsumDense"):
            # Fresh ones leave next to nothing of a whole block.
            [factors] = layer.weights
            factors.assign(generator.uniform(0.3, 0.7, factors.shape))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(generator.normal(0, 0.1, layer.bias.shape))


def assert_same_outputs(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    """Equal up to the rounding of float32, relative to the largest output."""
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    assert expected.std() > 1e-3 * np.abs(expected).max(), "constant outputs prove nothing"
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * float(np.abs(expected).max()))


def write_legacy_h5(model: keras.Model, path: Path, chunk: int | None = None) -> None:
    """Writes the layout of Keras before version 3, which the published ImageNet weights have.

    Args:
        model: what to write.
        path: of the `.h5` file.
        chunk: cuts the list of layers into attributes of so many names, as Keras does with lists above 64 KB.
    """
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.4.0"
        names = [layer.name.encode() for layer in model.layers]
        if chunk is None:
            file.attrs["layer_names"] = names
        else:
            for number, first in enumerate(range(0, len(names), chunk)):
                file.attrs[f"layer_names{number}"] = names[first : first + chunk]
        for layer in model.layers:
            group = file.create_group(layer.name)
            weights = {
                f"{part.name}/weight{number}:0": array
                for part in (flat_layers(layer) if hasattr(layer, "layers") else [layer])
                for number, array in enumerate(part.get_weights())
            }
            group.attrs["weight_names"] = [name.encode() for name in weights]
            for name, array in weights.items():
                group.create_dataset(name, data=array)


def run_python(code: str, *arguments: str, cwd: Path | None = None, **environment: str) -> str:
    """Runs `code` in a fresh interpreter and returns what it printed; fails with what it said where it failed."""
    done = subprocess.run(
        [sys.executable, "-c", f"import keras_effnet.startup as s; s.import_less()\n{code}", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", **environment},
        timeout=900,  # against a hang alone: a shared machine may be slow
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@contextmanager
def untraced() -> Iterator[None]:
    """Inside, TensorFlow runs functions line by line: for a few steps, to prepare a graph takes longer than they do."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        yield
        return
    tensorflow.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tensorflow.config.run_functions_eagerly(False)


def load_alone(path: Path) -> Any:
    """Loads a saved model as where this package is not installed: its import fails, and Keras knows no class of it."""
    import keras

    ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "keras_effnet"}
    assert not any(each.__module__.startswith("keras_effnet") for each in keras.saving.get_custom_objects().values())
    sys.modules.update(dict.fromkeys(ours))  # importing what is None fails  # pyright: ignore[reportArgumentType, reportCallIssue]
    try:
        loaded: Any = keras.saving.load_model(path, safe_mode=True)
        return loaded
    finally:
        sys.modules.update(ours)


def fork_program(*words: str, folder: Path = Path(), output: Path = Path(os.devnull)) -> BaseProcess:
    """Starts the program in a process that is forked from one which has imported all it needs.

    That saves the eight seconds in which a fresh interpreter imports TensorFlow. All see the environment variables that
    the first of them saw.

    Args:
        words: the command line, behind the program's name.
        folder: where the program runs; by default here.
        output: file for what it prints; by default that is lost.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras_effnet.finetune.demonstration", "keras_effnet.finetune.job", "support"])
    process = context.Process(target=_program, args=(words, folder.resolve(), output), daemon=True)
    process.start()
    return process


def _program(words: tuple[str, ...], folder: Path, output: Path) -> None:
    from keras_effnet.cli.main import main, parse

    os.chdir(folder)
    with output.open("w") as stream:
        sys.stdout = sys.stderr = stream
        sys.exit(main(parse(["keras-effnet", *words])))


def import_example(name: str) -> ModuleType:
    """One of the programs in `examples/`, as a module."""
    return import_file(Path(__file__).parents[1] / "examples" / f"{name}.py")


def import_file(path: Path) -> ModuleType:
    """A file that belongs to no package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _thin(name: str) -> BackboneSpec:
    return scale_spec(name, coefficients=Coefficients(depth=0.1, width=0.2, resolution=0.2))


# A thin network of each family, for the tests that run under every backend.
BACKEND_SPECS = {
    name: _thin(name)
    for name in (
        *("efficientnet_b0", "efficientnet_v2_b0", "resnet50", "resnet50_v2", "mobilenet_v1", "mobilenet_v2"),
        *("mobilenet_v3_small", "convnext_tiny", "densenet121", "regnet_y_400mf"),
    )
}
