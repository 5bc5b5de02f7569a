"""RandAugment's operations (Cubuk et al. 2020, arXiv:1909.13719), as layers of Keras or of keras-cv.

Both libraries' layers get the same strengths, and draw from one object given to them here instead of from generators of
their own: what they draw is then a function of a seed, bit by bit, in any thread and on any backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LARGEST_MAGNITUDE = 10.0  # RandAugment's scale, section 3: "an integer scale from 0 to 10"
# What an operation does at magnitude 10: google's code, `level_to_arg` in
# github.com/tensorflow/tpu models/official/efficientnet/autoaugment.py.
ROTATE_DEGREES = 30.0
SHEAR = 0.3
TRANSLATE = 100 / 224  # of the side: 100 pixels there, for images of about B0's 224
ENHANCE = 0.9  # colour, contrast, brightness and sharpness by 0.1 to 1.9; 1 changes nothing
POSTERIZE_BITS = 4  # left of 8
SOLARIZE = 256  # inverts what is brighter than this less its share of the magnitude
FILL = 128.0  # the gray that comes in where an image was moved away


class Draws:
    """What layers of both libraries draw from instead of generators of their own: a seed that is counted on.

    Attributes:
        generator: as Keras' random functions take it for `seed`.
    """

    def __init__(self) -> None:
        import keras

        self._seed: Any = None
        self._count = 0
        self.generator: Any = keras.random.SeedGenerator(0)
        self.generator.next = self.next

    def start(self, seed: Any) -> None:
        """Starts from `seed`: an int32 tensor of two numbers."""
        self._seed, self._count = seed, 0

    def next(self, ordered: bool = True) -> Any:
        """The seed of the next draw."""
        self._count += 1
        return fold_in(self._seed, self._count)

    def uniform(
        self, shape: Any = (), minval: Any = 0, maxval: Any = 1, dtype: Any = "float32", name: str | None = None
    ) -> Any:
        """As `tf.random.Generator.uniform`."""
        import tensorflow as tf

        return tf.random.stateless_uniform(shape, self.next(), minval, maxval, dtype, name)


def operations_of(engine: str, magnitude: float, draws: Draws) -> dict[str, Callable[[Any], Any]]:
    """RandAugment's 14 operations (section 3) by name.

    Args:
        engine: "keras" or "keras_cv".
        magnitude: from 0 to 10.
        draws: what their randomness comes from.

    Returns:
        Functions of one image, a float32 tensor of shape `(side, side, channels)`; for use in a TensorFlow graph.
        Where the paper has one strength and a random sign, the layers draw evenly from the whole range between.
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
        # Keras adds to the pixels where the paper multiplies them: half as much of 255 as of the pixel's own value.
        "brightness": layers.RandomBrightness(enhance / 2, **pixels),
        "sharpness": layers.RandomSharpness((0.5 - enhance / 2, 0.5 + enhance / 2), **pixels),  # 0.5 does nothing
        "shear_x": layers.RandomShear(x_factor=shear, **moves),
        "shear_y": layers.RandomShear(y_factor=shear, **moves),
        "translate_x": layers.RandomTranslation(0.0, move, **moves),
        "translate_y": layers.RandomTranslation(move, 0.0, **moves),
    }
    # Keras 3.15 multiplies the upper end by 255 and not the lower one, which its constructor wants in 0..1.
    made["solarize"].threshold_factor = (SOLARIZE * (1 - share), SOLARIZE / 255)
    made["color"].factor = (-enhance, enhance)  # its constructor knows less colour only
    made["equalize"]._custom_histogram_fixed_width = _histogram
    for layer in made.values():
        layer._get_seed_generator = lambda backend=None: draws.generator
    return made


def _histogram(values: Any, value_range: Any, nbins: int) -> Any:
    """What Keras' own counts, which on the JAX backend goes through an image 256 times, even in TensorFlow's graph."""
    import tensorflow as tf

    return tf.math.bincount(tf.cast(tf.reshape(values, [-1]), "int32"), minlength=nbins, maxlength=nbins)


def _keras_cv_operations(share: float, draws: Draws) -> dict[str, Callable[[Any], Any]]:
    from keras_cv import core, layers

    class Evenly(core.FactorSampler):
        """Evenly between two values."""

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
    both = Evenly(-enhance, enhance)
    dark: Any = Evenly(SOLARIZE * (1 - share), SOLARIZE)
    made = {
        "auto_contrast": layers.AutoContrast(**pixels),
        "equalize": layers.Equalization(**pixels),
        "rotate": layers.RandomRotation(turn, **moves),
        "solarize": layers.Solarization(threshold_factor=dark, **pixels),
        "color": layers.RandomColorDegeneration(both, **plain),
        "posterize": layers.Posterization(bits=8 - round(POSTERIZE_BITS * share), **pixels),
        "contrast": layers.RandomContrast(factor=0.5, **pixels),
        "brightness": layers.RandomBrightness(factor=Evenly(-enhance / 2, enhance / 2), **pixels),
        "sharpness": layers.RandomSharpness(both, **pixels),
        "shear_x": layers.RandomShear(x_factor=Evenly(0, shear), **moves),
        "shear_y": layers.RandomShear(y_factor=Evenly(0, shear), **moves),
        "translate_x": layers.RandomTranslation(0.0, move, **moves),
        "translate_y": layers.RandomTranslation(move, 0.0, **moves),
    }
    made["contrast"].factor = Evenly(1 - enhance, 1 + enhance)  # its constructor takes numbers alone
    for layer in made.values():
        layer._random_generator = draws
    return made


def fold_in(seed: Any, data: Any) -> Any:
    """Another seed for each `data`."""
    import tensorflow as tf

    return tf.random.fold_in(seed, data)
