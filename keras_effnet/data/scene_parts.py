"""What scenes are drawn from: parts that lay themselves on a canvas of any number of pixels.

A pixel is the mean of the scene under a triangle as wide as two pixels, as where images are resized
(`keras_effnet.data.resizing`): straight edges and waves in closed form, so that nothing is drawn larger first. So what
is finer than the pixels fades, and a scene that is drawn small looks like the one that was drawn large and resized. All
of it is sums and products, which give the same bits on every processor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

Colour = tuple[float, float, float]


class Wave(NamedTuple):
    """A wave over the whole image, from -1 to 1.

    Args:
        across: cycles from the left edge to the right one.
        down: cycles from the upper edge to the lower one.
        phase: cycles to add, 0..1.
    """

    across: float
    down: float
    phase: float


class Canvas:
    """An image while it is drawn. Places and lengths are fractions of its side, from its upper left corner.

    Args:
        side: number of pixels of each side, at least 1.

    Attributes:
        image: float32 array of shape `(3, side, side)`, values about 0..1.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        self.image = np.zeros((3, side, side), np.float32)
        self._pixels = np.arange(side, dtype=np.float32) + np.float32(0.5)

    def cutout(self, x: float, y: float, radius: float) -> Cutout:
        """The pixels that a disc touches."""
        side, reach = self.side, radius * self.side + 1.5
        left, right = (min(max(int(x * side + end), 0), side) for end in (-reach, reach + 1))
        top, bottom = (min(max(int(y * side + end), 0), side) for end in (-reach, reach + 1))
        u = self._pixels[left:right] - np.float32(x * side)
        v = self._pixels[top:bottom, None] - np.float32(y * side)
        return Cutout(self.image[:, top:bottom, left:right], u, v)

    def wave(self, wave: Wave, cutout: Cutout) -> np.ndarray:
        """A wave over a cutout whose place is its origin, as faint as the pixels show it."""
        across, down = wave.across / self.side, wave.down / self.side
        strength = np.float32(8 * _seen(across) * _seen(down))
        cycles = cutout.u * np.float32(across) + (cutout.v * np.float32(down) + np.float32(wave.phase))
        cycles -= np.floor(cycles)
        cycles -= np.float32(0.5)
        # Two parabolas, within 6 % of a sine.
        height = np.abs(cycles)
        height *= -2 * strength
        height += strength
        height *= cycles
        return height


class Cutout(NamedTuple):
    """A part of a canvas.

    Args:
        image: its pixels, float32 of shape `(3, height, width)`, to be written to.
        u: distance of each column from a place, in pixels, of shape `(width,)`.
        v: distance of each row from that place, in pixels, of shape `(height, 1)`.
    """

    image: np.ndarray
    u: np.ndarray
    v: np.ndarray

    def lay(self, coverage: np.ndarray, colour: Colour | np.ndarray) -> None:
        """Lays a colour, or an image of shape `(3, height, width)`, on the share of each pixel that is covered."""
        above = np.asarray(colour, np.float32)
        layer = (above[:, None, None] if above.ndim == 1 else above) - self.image
        layer *= coverage
        self.image[...] += layer


class ScenePart(Protocol):
    """Something in a scene."""

    def lay(self, canvas: Canvas) -> None:
        """Draws it above what is there."""


@dataclass(frozen=True)
class Ground:
    """What is behind everything: a mixture of two colours that changes slowly.

    Args:
        colours: the two colours, 0..1 each.
        slope: change of the mixture from the left edge to the right one, and from the upper to the lower one.
        waves: waves that are added to the mixture.
        height: height of each wave.
    """

    colours: tuple[Colour, Colour]
    slope: tuple[float, float]
    waves: tuple[Wave, ...]
    height: float

    def lay(self, canvas: Canvas) -> None:
        cutout = canvas.cutout(0.5, 0.5, 1.0)
        across, down = (np.float32(each / canvas.side) for each in self.slope)
        mixture = cutout.u * across + (cutout.v * down + np.float32(0.5))
        for wave in self.waves:
            mixture += np.float32(self.height) * canvas.wave(wave, cutout)
        first, second = np.asarray(self.colours, np.float32)
        np.multiply((second - first)[:, None, None], mixture, out=canvas.image)
        canvas.image += first[:, None, None]


@dataclass(frozen=True)
class Figure:
    """A polygon, or a star of two that are turned against each other, in a colour and a texture.

    Args:
        x: place of its centre.
        y: place of its centre.
        radius: distance of its corners from the centre.
        corners: number of corners of the polygon, 3 to 6; 0 for a disc.
        star: whether a second polygon is laid on it, turned by half the angle between two corners.
        angle: angle by which it is turned, in radians.
        colour: its colour, 0..1 each.
        other: the other colour of its texture.
        waves: the waves of its texture; none if it has one colour.
    """

    x: float
    y: float
    radius: float
    corners: int
    star: bool
    angle: float
    colour: Colour
    other: Colour = (0.0, 0.0, 0.0)
    waves: tuple[Wave, ...] = ()

    def lay(self, canvas: Canvas) -> None:
        cutout = canvas.cutout(self.x, self.y, self.radius)
        coverage = _covered(self._distance(cutout, self.radius * canvas.side))
        cutout.lay(coverage, self._colours(canvas, cutout) if self.waves else self.colour)

    def _colours(self, canvas: Canvas, cutout: Cutout) -> np.ndarray:
        """Its texture, of shape `(3, height, width)`."""
        texture = canvas.wave(self.waves[0], cutout)
        for wave in self.waves[1:]:
            texture += canvas.wave(wave, cutout)
        texture *= np.float32(0.5 / math.sqrt(len(self.waves)))  # all textures have the same contrast
        first, second = np.asarray(self.colour, np.float32), np.asarray(self.other, np.float32)
        colours = (second - first)[:, None, None] * texture
        colours += ((first + second) / 2)[:, None, None]
        return colours

    def _distance(self, cutout: Cutout, radius: float) -> np.ndarray:
        """Distance of each pixel from the edge, in pixels, below 0 within."""
        if not self.corners:
            return _length(cutout) - np.float32(radius)
        inner = np.float32(radius * math.cos(math.pi / self.corners))
        sides = [self._from_side(cutout, number) for number in range(self.corners)]
        far = sides[0]
        if self.corners % 2:
            near = sides[0]
            for each in sides[1:]:
                far, near = np.maximum(far, each), np.minimum(near, each)
            # Opposite to each side of the one polygon is a side of the other.
            return (np.minimum(far, -near) if self.star else far) - inner
        half = self.corners // 2
        far = _largest([np.abs(each) for each in sides[:half]])
        if self.star:
            turned = [self._from_side(cutout, number + 0.5) for number in range(half)]
            far = np.minimum(far, _largest([np.abs(each) for each in turned]))
        return far - inner

    def _from_side(self, cutout: Cutout, number: float) -> np.ndarray:
        """Distance of each pixel from the line through the centre that is parallel to a side."""
        angle = self.angle + 2 * math.pi * number / self.corners
        return cutout.u * np.float32(math.cos(angle)) + cutout.v * np.float32(math.sin(angle))


@dataclass(frozen=True)
class Ring:
    """A ring.

    Args:
        x: place of its centre.
        y: place of its centre.
        radius: outer radius.
        thickness: outer less inner radius.
        colour: its colour, 0..1 each.
    """

    x: float
    y: float
    radius: float
    thickness: float
    colour: Colour

    def lay(self, canvas: Canvas) -> None:
        cutout = canvas.cutout(self.x, self.y, self.radius)
        outside = _length(cutout)
        outside -= np.float32(self.radius * canvas.side)
        coverage = _covered(outside) - _covered(outside + np.float32(self.thickness * canvas.side))
        cutout.lay(coverage, self.colour)


@dataclass(frozen=True)
class Wire:
    """A straight line through the whole image.

    Args:
        x: a place on it.
        y: a place on it.
        angle: its angle, in radians.
        thickness: its thickness.
        colour: its colour, 0..1 each.
    """

    x: float
    y: float
    angle: float
    thickness: float
    colour: Colour

    def lay(self, canvas: Canvas) -> None:
        cutout = canvas.cutout(self.x, self.y, 1.5)
        distance = cutout.u * np.float32(math.cos(self.angle)) + cutout.v * np.float32(math.sin(self.angle))
        half = np.float32(self.thickness * canvas.side / 2)
        cutout.lay(_covered(distance - half) - _covered(distance + half), self.colour)


def _length(cutout: Cutout) -> np.ndarray:
    return np.sqrt(cutout.u * cutout.u + cutout.v * cutout.v)


def _largest(arrays: list[np.ndarray]) -> np.ndarray:
    found = arrays[0]
    for each in arrays[1:]:
        found = np.maximum(found, each)
    return found


def _covered(distance: np.ndarray) -> np.ndarray:
    """Share of a pixel's triangle that is within an edge, `distance` pixels away (below 0: the pixel is within)."""
    away = np.minimum(np.maximum(distance, np.float32(-1)), np.float32(1))
    share = np.abs(away)
    share *= np.float32(0.5)
    share -= np.float32(1)
    share *= away
    share += np.float32(0.5)
    return share


def _seen(cycles: float) -> float:
    """Height of a sine of so many cycles per pixel under the triangle: the square of sin(pi f) / (pi f)."""
    turned = math.pi * cycles
    return 1.0 if turned == 0 else (math.sin(turned) / turned) ** 2
