"""RandAugment's operations (Cubuk et al. 2020, arXiv:1909.13719) as layers of Keras or keras-cv.

The layers of both libraries have the same strengths, and draw their random numbers from an object supplied here instead
of their own generators, which makes them a function of a seed, bit by bit, in any thread and on any backend.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_effnet.data.array_flow import ArrayFlow

LARGEST_MAGNITUDE = 10.0  # RandAugment's scale, section 3: "an integer scale from 0 to 10"
# The strength of each operation at magnitude 10: `level_to_arg` in Google's code,
# github.com/tensorflow/tpu models/official/efficientnet/autoaugment.py.
ROTATE_DEGREES = 30.0
SHEAR = 0.3
TRANSLATE = 100 / 224  # fraction of the side: 100 pixels there, for images of about 224 pixels as for B0
ENHANCE = 0.9  # scales colour, contrast, brightness and sharpness by 0.1 to 1.9, where 1 changes nothing
POSTERIZE_BITS = 4  # bits removed from 8
SOLARIZE = 256  # inverts pixels above 256 * (1 - magnitude / 10)
FILL = 128.0  # gray value of the area that a moved image uncovers


class Draws:
    """A counter-based source of random numbers that replaces the generators of both libraries' layers.

    Args:
        flow: the framework that the layers run in.

    Attributes:
        generator: the source as a `keras.random.SeedGenerator`, for Keras' random functions.
    """

    def __init__(self, flow: ArrayFlow) -> None:
        import keras

        self.flow = flow
        self._seed: Any = None
        self._count = 0
        self.generator: Any = keras.random.SeedGenerator(0)
        self.generator.next = self.next

    def start(self, seed: Any) -> None:
        """Restarts from `seed`, an array of two integers of 32 bits."""
        self._seed, self._count = seed, 0

    def next(self, ordered: bool = True) -> Any:
        """The seed of the next draw."""
        self._count += 1
        return self.flow.fold_in(self._seed, self._count)

    def uniform(
        self, shape: Any = (), minval: Any = 0, maxval: Any = 1, dtype: Any = "float32", name: str | None = None
    ) -> Any:
        """Same signature as `tf.random.Generator.uniform`."""
        return self.flow.uniform(self.next(), shape, minval, maxval, dtype)


def operations_of(engine: str, magnitude: float, draws: Draws) -> dict[str, Callable[[Any], Any]]:
    """RandAugment's 14 operations (section 3 of the paper) by name.

    Args:
        engine: library of the layers: "keras" or "keras_cv".
        magnitude: strength of the operations, 0 to 10.
        draws: source of random numbers.

    Returns:
        Functions of one image, a float32 tensor of shape `(side, side, channels)`, for use in the flow of `draws`.
        Where the paper has a fixed strength with a random sign, the layers draw uniformly from the range in between.
    """
    make = {"keras": _keras_operations, "keras_cv": _keras_cv_operations}[engine]
    return {"identity": lambda image: image, **make(magnitude / LARGEST_MAGNITUDE, draws)}


def _keras_operations(share: float, draws: Draws) -> dict[str, Callable[[Any], Any]]:
    from keras import layers

    plain: dict[str, Any] = {"data_format": "channels_last", "dtype": "float32"}
    pixels = {"value_range": (0, 255), **plain}
    moves = {"fill_mode": "constant", "fill_value": FILL, **plain}
    enhance, turn, shear, move = ENHANCE * share, ROTATE_DEGREES / 360 * share, SHEAR * share, TRANSLATE * share
    bits = 8 - round(POSTERIZE_BITS * share)
    made = {
        "auto_contrast": layers.AutoContrast(**pixels),
        "equalize": layers.Equalization(**pixels),
        "rotate": layers.RandomRotation(turn, **moves),
        "solarize": layers.Solarization(**pixels),
        "color": layers.RandomColorDegeneration(0.0, **pixels),
        "posterize": layers.RandomPosterization((bits, bits), **pixels),
        "contrast": layers.RandomContrast((enhance, enhance), **pixels),
        # Keras adds a share of 255 where the paper multiplies the pixel: half the share changes a mid gray as much.
        "brightness": layers.RandomBrightness(enhance / 2, **pixels),
        "sharpness": layers.RandomSharpness((0.5 - enhance / 2, 0.5 + enhance / 2), **pixels),  # 0.5 changes nothing
        "shear_x": layers.RandomShear(x_factor=shear, **moves),
        "shear_y": layers.RandomShear(y_factor=shear, **moves),
        "translate_x": layers.RandomTranslation(0.0, move, **moves),
        "translate_y": layers.RandomTranslation(move, 0.0, **moves),
    }
    # Keras 3.15 multiplies only the upper end by 255, while its constructor requires both in 0..1.
    made["solarize"].threshold_factor = (SOLARIZE * (1 - share), SOLARIZE / 255)
    made["color"].factor = (-enhance, enhance)  # its constructor only allows less colour, not more
    made["equalize"]._custom_histogram_fixed_width = partial(_histogram, draws.flow)
    for layer in made.values():
        layer._get_seed_generator = lambda backend=None: draws.generator
    return made


def _histogram(flow: ArrayFlow, values: Any, value_range: Any, nbins: int) -> Any:
    """Replaces Keras' own, which on the JAX backend scans the image 256 times, even in a TensorFlow graph."""
    return flow.histogram(values, nbins)


def _keras_cv_operations(share: float, draws: Draws) -> dict[str, Callable[[Any], Any]]:
    from keras_cv import core, layers

    class Uniform(core.FactorSampler):
        """A uniform distribution between two values."""

        def __init__(self, low: float, high: float) -> None:
            self.low, self.high = low, high

        def __call__(self, shape: Any = (), dtype: Any = "float32") -> Any:
            return draws.uniform(shape, self.low, self.high, dtype)

        def get_config(self) -> dict[str, Any]:
            return {"low": self.low, "high": self.high}

    plain: dict[str, Any] = {"dtype": "float32"}
    pixels = {"value_range": (0, 255), **plain}
    moves = {"fill_mode": "constant", "fill_value": FILL, **plain}
    enhance, turn, shear, move = ENHANCE * share, ROTATE_DEGREES / 360 * share, SHEAR * share, TRANSLATE * share
    both = Uniform(-enhance, enhance)
    dark: Any = Uniform(SOLARIZE * (1 - share), SOLARIZE)
    made = {
        "auto_contrast": layers.AutoContrast(**pixels),
        "equalize": layers.Equalization(**pixels),
        "rotate": layers.RandomRotation(turn, **moves),
        "solarize": layers.Solarization(threshold_factor=dark, **pixels),
        "color": layers.RandomColorDegeneration(both, **plain),
        "posterize": layers.Posterization(bits=8 - round(POSTERIZE_BITS * share), **pixels),
        "contrast": layers.RandomContrast(factor=0.5, **pixels),
        "brightness": layers.RandomBrightness(factor=Uniform(-enhance / 2, enhance / 2), **pixels),
        "sharpness": layers.RandomSharpness(both, **pixels),
        "shear_x": layers.RandomShear(x_factor=Uniform(0, shear), **moves),
        "shear_y": layers.RandomShear(y_factor=Uniform(0, shear), **moves),
        "translate_x": layers.RandomTranslation(0.0, move, **moves),
        "translate_y": layers.RandomTranslation(move, 0.0, **moves),
    }
    made["contrast"].factor = Uniform(1 - enhance, 1 + enhance)  # its constructor only takes numbers
    for layer in made.values():
        layer._random_generator = draws
    return made
