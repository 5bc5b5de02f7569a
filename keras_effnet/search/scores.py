"""How good a network may become, from its structure and its first weights: scores without training.

| score | source |
|---|---|
| `synflow` | Tanaka et al. 2020, arXiv:2006.05467; as a score, Abdelfattah et al. 2021, arXiv:2101.08134 |
| `naswot` | Mellor et al. 2021, "Neural Architecture Search without Training", arXiv:2006.04647 |
| `zen_score` | Lin et al. 2021, Zen-NAS, arXiv:2102.01063 |

They were published for networks of convolutions, BatchNorm and ReLU; each says what it makes of the rest, and compares
itself with "released code" as public repositories hold it. How well they rank trained networks:
docs/evidence/search.md.

Each looks at networks that are never trained, and leaves out or replaces some operations (`Computation`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_effnet import ops as verbs
from keras_effnet.builder.computation import Computation, Flow
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.builder.model import build_model
from keras_effnet.checks import check_choice, check_int, store_plain
from keras_effnet.errors import SearchError, TrainingError
from keras_effnet.gradient import value_and_gradient
from keras_effnet.inheritance.raw_pixels import raw_spec
from keras_effnet.network import record_network
from keras_effnet.search.candidates import Record
from keras_effnet.search.proxy_training import ProxyTraining, load_splits
from keras_effnet.search.task import Task
from keras_effnet.training.seeding import seed_weights

SMALL_STEP = 0.01  # alpha of arXiv:2102.01063: "mixup_gamma=1e-2" in its released code
ZENS = 4  # of weights and noise, averaged; the released code takes 32, on a GPU
SCORE_IMAGES = 64
# Activations that open and close gates: they are never switched off, and an image is not told from another by them.
GATES = ("sigmoid", "hard_sigmoid", "softmax", "linear")
TINY = np.float32(1e-30)


def synflow(model: keras.Model, images: np.ndarray, seed: int = 0) -> float:
    """log S, with S the sum of weight * dR/dweight over all kernels.

    R is the sum of the class scores that an image of ones gets when all kernels are replaced by their absolute values.
    As in the papers BatchNorm is left out and activations pass on what they get, which ReLU does with what is never
    negative. Here swish passes it on, too; the gates of squeeze-and-excitation are left open at 1 and count nothing;
    biases are 0; images come in as they are. R is then a sum over all paths of the product of their weights. Each is
    in S as often as it has weights. S overflows in deep networks, so that it is computed in logarithms throughout.

    Args:
        model: built by this package, with its top.
        images: any that go into it; only their size counts.
        seed: changes nothing: the weights are the model's.

    Raises:
        BuildError: the model was not built by this package.
        TrainingError: the score is not finite.

    Example:
        >>> spec = "mobilenet_v1"
        >>> keras.utils.set_random_seed(0)
        >>> images = np.zeros((2, 64, 64, 3), "float32")
        >>> small, large = (build_model(spec, classes=n, input_shape=(64, 64, 3)) for n in (5, 50))
        >>> synflow(small, images) < synflow(large, images)
        True
    """
    tag = read_embedded_spec(model)
    names = [layer.name for layer in model.layers if hasattr(layer, "kernel")]
    ones = ops.ones((1, *images.shape[1:]))
    network = record_network(tag.spec, channels=images.shape[-1], classes=tag.classes)

    def log_flow(factors: Any) -> Any:
        [found] = network.run(_Paths(model, names, factors), Flow(ones))
        return ops.log(ops.sum(found.x)) + found.level

    # A factor of 1 on what a layer gives: the gradient of log R by it is the share of R that flows through the layer.
    # By Euler's theorem that is the layer's sum of weight * dR/dweight, over R.
    value, shares = value_and_gradient(log_flow, np.ones(len(names), "float32"))
    return _finite("synflow", value + math.log(max(float(shares.sum()), TINY)))


def naswot(model: keras.Model, images: np.ndarray, seed: int = 0) -> float:
    """log det K, with K[i, j] the number of units that images i and j switch alike, on or off.

    A unit is on where what goes into its activation is above 0. BatchNorm takes the statistics of these images. In
    the paper units are ReLUs; here those of swish and the others count, too, by the same rule; gates do not (sigmoids,
    and what stands inside squeeze-and-excitation). Two images that no unit tells apart give minus infinity in the
    paper; here the eigenvalues of K are not let below what rounding leaves of 0.

    Args:
        model: built by this package.
        images: at least two, as the model takes them.
        seed: changes nothing: the weights are the model's.

    Raises:
        BuildError: the model was not built by this package.
        SearchError: there is no activation, or only one image.
    """
    tag, reader = read_embedded_spec(model), _Switches(model, len(images))
    if len(images) < 2:
        raise SearchError("`naswot` compares images, of which there must be two.", received=str(len(images)))
    network = record_network(tag.spec, channels=images.shape[-1], include_top=False)
    network.run(reader, Flow(ops.convert_to_tensor(images)))
    units = reader.alike[0, 0]
    if not units:
        raise SearchError("`naswot` needs activations that switch.", received=f"{tag.spec.name!r}, which has none")
    least = units * len(images) * np.finfo(np.float64).eps
    return _finite("naswot", float(np.log(np.maximum(np.linalg.eigvalsh(reader.alike), least)).sum()))


def zen_score(model: keras.Model, images: np.ndarray, seed: int = 0) -> float:
    """log E |f(x) - f(x + 0.01 e)| + the sum over BatchNorm layers of log sqrt(mean variance of their channels).

    x and e are normal noise, f the features before pooling, with normal weights, and | | the Frobenius norm for each
    image (the released code sums absolute values). BatchNorm divides by the deviations of its batch, without which
    deep networks would overflow; the second term puts them back. As in the paper shortcuts and squeeze-and-excitation
    are left out. Activations are the network's own. LayerNorm stays, and adds no term; layer scale and preprocessing
    are left out. The mean of 4 draws.

    Args:
        model: built by this package; its weights do not count.
        images: any that go into it; only their number and size count.
        seed: seed of weights and noise, at least 0.

    Raises:
        BuildError: the model was not built by this package.
        TrainingError: the score is not finite.
    """
    tag, found = read_embedded_spec(model), []
    network = record_network(tag.spec, channels=images.shape[-1], include_top=False)
    for draw in range(ZENS):
        generator = np.random.default_rng((seed, draw))
        x, noise = (generator.standard_normal(images.shape, np.float32) for _ in range(2))
        outputs, reader = [], _Unlinked(model, generator)
        for given in (x, x + np.float32(SMALL_STEP) * noise):
            [flow] = network.run(reader, Flow(ops.convert_to_tensor(given)))
            outputs.append(np.asarray(ops.convert_to_numpy(flow.x), np.float64))
        change = np.sqrt(((outputs[0] - outputs[1]) ** 2).reshape(len(images), -1).sum(axis=1)).mean()
        # Of the first of the two runs.
        found.append(math.log(max(change, TINY)) + sum(reader.terms[: len(reader.terms) // 2]))
    return _finite("zen_score", float(np.mean(found)))


SCORES: dict[str, Callable[..., float]] = {"synflow": synflow, "naswot": naswot, "zen": zen_score}


@dataclass(frozen=True)
class ZeroCost(Record):
    """A score in place of training, as a train function.

    Args:
        score: "synflow", "naswot" or "zen".
        data: as `load_data` takes it: gives classes and images. Nothing is trained.
        images: number of images that are looked at, at least 2.

    Raises:
        SearchError: an unknown score, or too few images.

    Example:
        >>> ZeroCost("zen")
        ZeroCost(score='zen', data='glyphs', images=64)
    """

    kind: ClassVar[str] = "score"

    score: str
    data: str = ProxyTraining.data
    images: int = SCORE_IMAGES

    def __post_init__(self) -> None:
        store_plain(self)
        check_choice(SearchError, "score", self.score, SCORES)
        check_int(SearchError, "images", self.images, 2)

    def __call__(self, task: Task) -> float:
        """The score of a candidate; its steps are not made."""
        keras.utils.clear_session()
        seed_weights(task.seed)
        spec, data = raw_spec(task.candidate.spec), load_splits(self.data, ProxyTraining.validation)
        side = spec.resolution
        model = build_model(spec, classes=len(data.train.class_names), input_shape=(side, side, 3))
        chosen = np.random.default_rng(task.seed).permutation(len(data.train))[: self.images]
        images = np.stack([data.train.read(int(index), side) for index in chosen]).astype("float32")
        return SCORES[self.score](model, images, task.seed)

    @property
    def classes(self) -> int:
        """Of the data. Reads it."""
        return ProxyTraining(self.data).classes


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise TrainingError(f"`{name}` of this network is no finite number.", received=str(value))
    return value


class _Paths(Computation):
    """Absolute weights, nothing but them, and in each layer a factor on what it gives."""

    def __init__(self, model: keras.Model, names: list[str], factors: Any) -> None:
        super().__init__(model)
        self.names, self.factors = names, factors

    def variable(self, name: str, kind: str) -> np.ndarray | None:
        found = super().variable(name, kind)
        return None if found is None else np.abs(found)

    def weigh(self, flow: Flow, y: Any, name: str) -> Flow:
        # Kept near 1, with its true size in logarithms: floats hold no product over all layers of a deep network.
        largest = ops.maximum(ops.stop_gradient(ops.max(y)), TINY)
        return Flow(self.factors[self.names.index(name)] * y / largest, flow.depth + 1, flow.level + ops.log(largest))

    def activate(self, x: Flow, activation: Any) -> Flow:
        return x

    def read(self, op: verbs.Op, name: str, *inputs: Flow) -> Flow:
        if isinstance(op, verbs.Norm | verbs.Multiply | verbs.Rescale | verbs.Standardize):
            return inputs[0]
        return super().read(op, name, *inputs)


class _Switches(Computation):
    """Counts for each two images the units that they switch alike."""

    def __init__(self, model: keras.Model, count: int) -> None:
        super().__init__(model)
        self.alike = np.zeros((count, count))

    def read(self, op: verbs.Op, name: str, *inputs: Flow) -> Flow:
        if isinstance(op, verbs.Activation) and keras.activations.get(op.activation).__name__ not in GATES:
            x = inputs[0].x
            on: Any = ops.reshape(ops.cast(x > 0, "float32"), (x.shape[0], -1))
            for codes in (on, 1 - on):
                self.alike += np.asarray(ops.convert_to_numpy(ops.matmul(codes, ops.transpose(codes))), np.float64)
        return super().read(op, name, *inputs)


class _Unlinked(Computation):
    """Normal weights, no shortcuts and no gates; notes what BatchNorm divides by."""

    def __init__(self, model: keras.Model, generator: np.random.Generator) -> None:
        super().__init__(model)
        self.generator = generator
        self.kernels: dict[str, np.ndarray] = {}
        self.terms: list[float] = []

    def variable(self, name: str, kind: str) -> np.ndarray | None:
        if kind != "kernel":
            return None
        if name not in self.kernels:
            shape = self.model.get_layer(name).kernel.shape
            self.kernels[name] = self.generator.standard_normal(shape, np.float32)
        return self.kernels[name]

    def read(self, op: verbs.Op, name: str, *inputs: Flow) -> Flow:
        x, *others = inputs
        match op:
            case verbs.ChannelScale() | verbs.Multiply() | verbs.Rescale() | verbs.Standardize():
                return x
            case verbs.Add():
                return x if x.depth > others[0].depth else others[0]
            case verbs.BatchNorm():
                variances: Any = ops.convert_to_numpy(ops.var(x.x, axis=tuple(range(len(x.x.shape) - 1))))
                self.terms.append(math.log(max(float(variances.mean()), TINY)) / 2)
        return super().read(op, name, *inputs)
