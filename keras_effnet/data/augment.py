"""Augmentation: random crop and flip, RandAugment (Cubuk et al. 2020, arXiv:1909.13719), MixUp (Zhang et al. 2018,
arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899).

RandAugment applies N operations to each image, each drawn from the paper's 14 at magnitude M on a scale from 0 to 10.
An operation is one layer: Keras' own or, on request, keras-cv's, which is no longer developed
(`keras_effnet.data.operations`). Each image runs only through the operations drawn for it; `keras.layers.RandAugment`
runs every batch through all of them and keeps one, which is why it is several times slower (measured in
docs/evidence/training.md).

The layers run as TensorFlow operations on the CPU, whichever backend Keras uses; where TensorFlow is not installed, the
backend runs them (`keras_effnet.data.array_flow`). Their random numbers are a function of the given seed and of the
image's place in the batch: the same seed gives the same images, bit by bit, in any thread and, with TensorFlow, on any
backend. keras-cv's MixUp and CutMix use TensorFlow's global generator, which cannot be reset for a single call,
so both engines use Keras' MixUp and CutMix.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from keras_effnet.checks import check_bool, check_choice, check_int, check_number, store_plain
from keras_effnet.data.operations import LARGEST_MAGNITUDE, Draws, operations_of
from keras_effnet.errors import DataError
from keras_effnet.extras import is_installed, require
from keras_effnet.resolution import Resolution, sides_of

if TYPE_CHECKING:
    import numpy as np

    from keras_effnet.data.array_flow import ArrayFlow

logger = logging.getLogger(__name__)

Engine = Literal["auto", "keras_cv", "keras"]
Box = tuple[float, float, float, float]

# Largest ratio between the crop's proportions and the image's: Szegedy et al. 2015, arXiv:1409.4842, section 6.
LARGEST_ASPECT = 4 / 3
# Our choice: training from scratch uses crops down to 8 % of the area (same section), which is too hard for few epochs.
CROP = 0.5
OPERATIONS = 2  # RandAugment's N in google's code for EfficientNet
# github.com/google/automl efficientnetv2/effnetv2_configs.py: RandAugment's magnitude and the alpha of MixUp and CutMix
# for EfficientNetV2-S, M and L, which correspond to the depth and width of B4, B5 and B7. They are 10, 15, 20 and 0,
# 0.2, 0.5; our scale ends at 10. B0 to B3 have magnitude 0 there (but AutoAugment); the line up to B4 is our choice.
PHI_S, PHI_M, PHI_L = 4.0, 5.0, 7.0
MIX_M, MIX_L = 0.2, 0.5


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images.

    Args:
        crop: smallest fraction of an image's area that a random crop keeps, in (0, 1]; 1 disables cropping. Default: 1.
        flip: whether to mirror images with probability 1/2; not for digits or letters, which change their meaning.
            Default: False.
        operations: number of RandAugment operations per image (N in the paper), at least 0. Default: 0.
        magnitude: strength of RandAugment's operations (M in the paper), 0 to 10; 0 disables them. Default: 0.
        mixup: alpha of MixUp, in [0, 1]; 0 disables it. With CutMix enabled too, each batch gets one of the two at
            equal probability. Default: 0.
        cutmix: alpha of CutMix, in [0, 1]; 0 disables it. Default: 0.
        engine: library whose layers compute RandAugment: "keras", "keras_cv" or "auto". "auto" is Keras, which was
            measured to be no slower, so that results do not depend on what else is installed. Default: "auto".

    Raises:
        DataError: a value outside its range.

    Example:
        >>> Augmentation(flip=True, operations=2, magnitude=9).magnitude
        9
    """

    crop: float = 1.0
    flip: bool = False
    operations: int = 0
    magnitude: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    engine: Engine = "auto"

    def __post_init__(self) -> None:
        store_plain(self)
        check_number(DataError, "crop", self.crop, 0, 1, open_low=True)
        check_bool(DataError, "flip", self.flip)
        check_int(DataError, "operations", self.operations, 0)
        check_number(DataError, "magnitude", self.magnitude, 0, LARGEST_MAGNITUDE)
        check_number(DataError, "mixup", self.mixup, 0, 1)
        check_number(DataError, "cutmix", self.cutmix, 0, 1)
        check_choice(DataError, "engine", self.engine, get_args(Engine))


def augmentation_for(phi: float, *, flip: bool = True) -> Augmentation:
    """The augmentation for a backbone scaled by `phi`: larger networks need more of it, as they need more dropout.

    Args:
        phi: compound coefficient of the backbone, any finite number; up to 0 images are only cropped and flipped.
        flip: whether to mirror images; False for digits, letters and everything else that has a handedness. Default:
            True.

    Returns:
        An augmentation whose magnitude of RandAugment grows from 0 at phi = 0 to 10 at 4, and whose alpha of MixUp and
        CutMix grows from 0 at 4 to 0.2 at 5 and 0.5 at 7, as they do with the size of EfficientNetV2.

    Raises:
        DataError: `phi` is not a finite number.

    Example:
        >>> augmentation_for(2)
        Augmentation(crop=0.5, flip=True, operations=2, magnitude=5.0, mixup=0.0, cutmix=0.0, engine='auto')
    """
    phi = check_number(DataError, "phi", phi, -math.inf)
    magnitude = LARGEST_MAGNITUDE * min(max(phi / PHI_S, 0.0), 1.0)
    to_m = (phi - PHI_S) / (PHI_M - PHI_S) * MIX_M
    to_l = MIX_M + (phi - PHI_M) / (PHI_L - PHI_M) * (MIX_L - MIX_M)
    mix = min(max(0.0, min(to_m, to_l)), MIX_L)
    operations = OPERATIONS if magnitude else 0
    return Augmentation(crop=CROP, flip=flip, operations=operations, magnitude=magnitude, mixup=mix, cutmix=mix)


def random_box(height: int, width: int, smallest: float, draws: Sequence[float]) -> Box:
    """Draws a random crop of an image, to be resized to the square that the network sees.

    An uncropped image is resized to a square whatever its proportions; the crop's proportions therefore vary around
    the image's own. (Szegedy et al. vary them around the square, and draw again if the crop does not fit.)

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        smallest: smallest fraction of the area to keep, in (0, 1].
        draws: four random numbers, each uniform in [0, 1).

    Returns:
        `(left, top, right, bottom)` inside the image, in fractional pixels, as for Pillow's `resize(box=...)`. The
        fraction of the area is distributed uniformly from `smallest` to 1.
    """
    first, second, across, down = draws
    share = smallest + (1 - smallest) * first
    limit = math.log(min(LARGEST_ASPECT, 1 / share))  # a wider one would not fit into the image
    aspect = math.exp(limit * (2 * second - 1))
    wide = min(math.sqrt(share * aspect), 1.0) * width
    high = min(math.sqrt(share / aspect), 1.0) * height
    left, top = across * (width - wide), down * (height - high)
    return left, top, min(left + wide, width), min(top + high, height)


def center_box(height: int, width: int, share: float) -> Box:
    """The centre crop of an image, as used for evaluation.

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        share: fraction of each side to keep, in (0, 1]; 0.875 keeps 224 of 256 pixels.

    Returns:
        `(left, top, right, bottom)` in fractional pixels.

    Example:
        >>> center_box(256, 512, 0.875)
        (32.0, 16.0, 480.0, 240.0)
    """
    left, top = width * (1 - share) / 2, height * (1 - share) / 2
    return left, top, width - left, height - top


class Augmenter:
    """Applies RandAugment, MixUp and CutMix to batches; crop and flip are applied when images are read.

    Thread-safe.

    Args:
        augmentation: the augmentation to apply.
        resolution: side of the images in pixels, or (height, width).
        classes: number of classes, the length of a one-hot label.

    Attributes:
        engine: library that computes RandAugment: "keras", "keras_cv", or None if RandAugment is disabled.

    Raises:
        DataError: keras-cv was asked for and is not installed, or TensorFlow, which all three need, is not.

    Example:
        >>> import numpy as np
        >>> augmenter = Augmenter(Augmentation(mixup=0.2), resolution=8, classes=3)
        >>> images, labels = augmenter(np.zeros((4, 8, 8, 3), "uint8"), np.eye(4, 3, dtype="float32"), (0, 0, 0))
        >>> images.shape, labels.shape
        ((4, 8, 8, 3), (4, 3))
    """

    def __init__(self, augmentation: Augmentation, resolution: Resolution, classes: int) -> None:
        self.augmentation, self.resolution, self.classes = augmentation, resolution, classes
        self.engine = engine_of(augmentation)
        self._function: Any = None
        if not (self.engine or augmentation.mixup or augmentation.cutmix):
            return
        self._flow = _choose_flow()
        self._draws = Draws(self._flow)
        if self.engine:
            logger.info("RandAugment is computed by %s", {"keras": "Keras", "keras_cv": "keras-cv"}[str(self.engine)])
            self._operations = operations_of(str(self.engine), augmentation.magnitude, self._draws)
        self._mixers = _mixers(augmentation, self._draws)
        self._function = self._flow.compiled(self._augment)

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, seed: tuple[int, int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augments a batch.

        Args:
            images: float32 or uint8 array of shape `(n, height, width, channels)`, values 0..255.
            labels: float32 array of shape `(n, classes)`.
            seed: three integers, at least 0; the same batch and seed give the same result.

        Returns:
            Images and labels as float32 arrays of the same shapes. Images stay within 0..255, and the sum of each label
            does not change.

        Raises:
            DataError: an array has the wrong shape.
        """
        import numpy as np

        images, labels = np.asarray(images, np.float32), np.asarray(labels, np.float32)
        side = sides_of(self.resolution)
        if images.ndim != 4 or images.shape[1:3] != side or labels.shape != (len(images), self.classes):
            raise DataError(
                f"a batch must have images of shape (n, {side[0]}, {side[1]}, channels) and labels of shape "
                f"(n, {self.classes}).",
                received=f"{images.shape} and {labels.shape}",
            )
        if self._function is None:
            return images, labels
        start = np.random.SeedSequence(seed).generate_state(2).view(np.int32)
        return self._function(images, labels, start)

    def _augment(self, images: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        flow = self._flow
        if self.engine is not None:
            images = flow.each(lambda image, place: self._rand_augment(image, flow.fold_in(seed, place)), images)
        if self._mixers:
            self._draws.start(flow.fold_in(seed, -1))
            mixed = [lambda mixer=mixer: mixer({"images": images, "labels": labels}) for mixer in self._mixers]
            batch = flow.choose(self._draws.uniform((), 0, len(mixed), "int32"), mixed)
            images, labels = batch["images"], batch["labels"]
        return flow.clip(images), labels

    def _rand_augment(self, image: Any, seed: Any) -> Any:
        # Only RGB images have colours to change.
        able = [apply for name, apply in self._operations.items() if image.shape[-1] == 3 or name != "color"]
        for number in range(self.augmentation.operations):
            self._draws.start(self._flow.fold_in(seed, number))
            chosen = self._draws.uniform((), 0, len(able), "int32")
            image = self._flow.choose(chosen, [lambda apply=apply, image=image: apply(image) for apply in able])
        return image


def _mixers(augmentation: Augmentation, draws: Draws) -> list[Any]:
    from keras import layers

    plain: dict[str, Any] = {"data_format": "channels_last", "dtype": "float32"}
    made: list[Any] = []
    if augmentation.mixup:
        made.append(layers.MixUp(alpha=augmentation.mixup, **plain))
    if augmentation.cutmix:
        # Its `factor` is the range from which alpha is drawn.
        alpha: Any = (augmentation.cutmix, augmentation.cutmix)
        made.append(layers.CutMix(factor=alpha, **plain))
    for layer in made:
        layer._get_seed_generator = lambda backend=None: draws.generator
    return made


def engine_of(augmentation: Augmentation) -> Engine | None:
    """The library that computes an augmentation's RandAugment: "keras" or "keras_cv"; None if RandAugment is disabled.

    Raises:
        MissingExtraError: keras-cv was asked for and is not installed.

    Example:
        >>> engine_of(Augmentation(operations=2, magnitude=9)), engine_of(Augmentation(flip=True))
        ('keras', None)
    """
    if not (augmentation.operations and augmentation.magnitude):
        return None
    if augmentation.engine != "keras_cv":
        return "keras"
    require("keras-cv", "engine 'keras_cv' (engine 'keras' computes the same)")
    return "keras_cv"


def _choose_flow() -> ArrayFlow:
    import keras

    from keras_effnet.data.array_flow import (  # with NumPy, which `--help` does not need
        JaxFlow,
        TensorFlowFlow,
        TorchFlow,
    )

    backend = keras.backend.backend()
    if backend != "tensorflow" and not is_installed("tensorflow"):
        return {"jax": JaxFlow, "torch": TorchFlow}[backend]()
    flow = TensorFlowFlow()
    if backend != "tensorflow":
        flow.leave_gpu()
    return flow
