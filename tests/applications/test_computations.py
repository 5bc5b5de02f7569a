"""The number for a computation, by which namesakes are compared, tells what it must and no more."""

from __future__ import annotations

from typing import Any

import keras
from computations import computation


def test_another_layer_padding_or_connection_is_another_computation() -> None:
    def number(
        stride: int = 2,
        kernel: int = 3,
        activation: str = "relu",
        skip: bool = True,
        padding: tuple[int, int] = (1, 0),
        groups: int = 1,
    ) -> int:
        image = keras.Input((16, 16, 4))
        x = keras.layers.Conv2D(4, 1, groups=groups)(image)
        y = keras.layers.Activation(activation)(keras.layers.Conv2D(4, kernel, padding="same")(x))
        x = keras.layers.Add()([x if skip else image, y])
        x = keras.layers.ZeroPadding2D((padding, padding))(x)
        return computation(keras.Model(image, keras.layers.MaxPooling2D(2, stride)(x)))

    assert number() == number()
    others = [
        *(number(stride=1), number(kernel=5), number(activation="gelu"), number(skip=False)),
        *(number(padding=(0, 1)), number(groups=2), number(groups=4)),
    ]
    assert len({number(), *others}) == 8


def test_one_computation_may_be_written_in_several_ways() -> None:
    image = keras.Input((15, 16, 4))
    same = keras.layers.Conv2D(4, 3, strides=2, padding="same", groups=4)(image)
    padded = keras.layers.ZeroPadding2D(((1, 1), (0, 1)))(image)
    written = keras.Sequential([keras.layers.DepthwiseConv2D(3, strides=2)])(padded)
    assert computation(keras.Model(image, same)) == computation(keras.Model(image, written))


def test_the_sides_of_a_padding_tell_also_where_a_size_is_unknown() -> None:
    def number(**padding: Any) -> int:
        image = keras.Input((None, None, 4))
        x = keras.layers.ZeroPadding2D(padding["zeros"])(image) if "zeros" in padding else image
        layer = keras.layers.Conv2D(4, 3, strides=padding.get("stride", 2), padding=padding.get("same", "valid"))
        return computation(keras.Model(image, layer(x)))

    assert len({number(), number(zeros=((0, 1), (0, 1))), number(zeros=((0, 1), (1, 0))), number(same="same")}) == 4
    assert number(stride=1, same="same") == number(stride=1, zeros=1)
