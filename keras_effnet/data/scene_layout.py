"""What is in a scene of each class: an object of a shape and a texture, a ring near it, and much that says nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from keras_effnet.data.scene_parts import Colour, Figure, Ground, Ring, ScenePart, Wave, Wire

# Number of corners, and whether a second polygon is laid across the first.
SHAPES = {
    "triangle": (3, False),
    "square": (4, False),
    "pentagon": (5, False),
    "hexagon": (6, False),
    "hexagram": (3, True),
    "octagram": (4, True),
}
# Angles of the waves that are added, in degrees.
TEXTURES = {"plain": (), "striped": (0,), "checked": (0, 90), "dotted": (0, 60, 120)}
# Angle between straight up and where the ring lies, in degrees.
CONTEXTS = {"under": 0, "beside": 90, "over": 180}
CLASS_NAMES = tuple(
    f"{texture} {shape} {context} ring" for shape, texture, context in product(SHAPES, TEXTURES, CONTEXTS)
)

# What follows was chosen by training small networks: docs/evidence/scenes.md. Lengths are fractions of the side.
RADII = (0.15, 0.32)  # of the object
WAVES_ACROSS = (3.0, 4.5)  # of the texture, over the object
LEAN = 35.0  # degrees that the ring's direction is off at most, of 45 that would touch the next context's
GAP = (0.08, 0.15)  # between the object and the centre of the ring
CLUTTER = 4  # small shapes
WIRES = 2
CONTRAST = (0.15, 0.3)  # half of that of the texture
NOISE = (0.02, 0.05)  # standard deviation for each pixel


def compose_scene(label: int, generator: np.random.Generator) -> tuple[list[ScenePart], float]:
    """Chooses what is in a scene of a class.

    Args:
        label: number of the class, 0..71.
        generator: where the random choices come from.

    Returns:
        The parts from the back to the front, and the standard deviation of the noise for each pixel, of 0..1.

    Example:
        >>> parts, noise = compose_scene(0, np.random.default_rng(0))
        >>> len(parts), 0 < noise < 1
        (10, True)
    """
    shape, texture, context = list(product(SHAPES, TEXTURES, CONTEXTS))[label]
    dice = Dice(generator)
    ground, figure = _ground(dice), _object(dice, shape, texture)
    ring = _ring(dice, figure, context)
    clutter = [_clutter(dice) for _ in range(CLUTTER)]
    wires = [_wire(dice) for _ in range(WIRES)]
    decoy = _decoy(dice)
    return [ground, *clutter, decoy, figure, ring, *wires], dice.between(*NOISE)


class Dice:
    """Random numbers, drawn at once, which is faster than one by one.

    Args:
        generator: where they come from.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self._values = iter(generator.random(160).tolist())

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._values)

    def below(self, count: int) -> int:
        return int(count * next(self._values))

    def colour(self, low: float = 0.0, high: float = 1.0) -> Colour:
        return self.between(low, high), self.between(low, high), self.between(low, high)

    def wave(self, cycles: float, angle: float) -> Wave:
        """A wave of so many cycles over the side, across lines at an angle in radians."""
        return Wave(cycles * math.cos(angle), cycles * math.sin(angle), next(self._values))


def _ground(dice: Dice) -> Ground:
    level = dice.between(0.2, 0.4)
    first, second = (dice.colour(level - 0.15, level + 0.15) for _ in range(2))
    waves = tuple(dice.wave(dice.between(1, 3), dice.between(0, math.pi)) for _ in range(2))
    slope = (dice.between(-0.5, 0.5), dice.between(-0.5, 0.5))
    return Ground((first, second), slope, waves, dice.between(0.1, 0.25))


def _object(dice: Dice, shape: str, texture: str) -> Figure:
    radius = RADII[0] * (RADII[1] / RADII[0]) ** dice.between(0, 1)
    room = min(0.2, 0.42 - radius)
    x, y = (0.5 + dice.between(-room, room) for _ in range(2))
    return _textured(dice, x, y, radius, SHAPES[shape], TEXTURES[texture], dice.between(0.6, 0.75))


def _textured(
    dice: Dice, x: float, y: float, radius: float, shape: tuple[int, bool], angles: Sequence[float], level: float
) -> Figure:
    cycles = dice.between(*WAVES_ACROSS) / (2 * radius)
    turn = dice.between(0, math.pi)
    waves = tuple(dice.wave(cycles, turn + math.radians(angle)) for angle in angles)
    red, green, blue = dice.colour(level - 0.12, level + 0.12)
    half = dice.between(*CONTRAST) * (1 if dice.below(2) else -1) if angles else 0.0
    colour, other = ((red + end, green + end, blue + end) for end in (-half, half))
    return Figure(x, y, radius, *shape, dice.between(0, 2 * math.pi), colour, other, waves)


def _ring(dice: Dice, figure: Figure, context: str) -> Ring:
    turn = math.radians(CONTEXTS[context] * (1 if dice.below(2) else -1) + dice.between(-LEAN, LEAN))
    away = figure.radius + dice.between(*GAP)
    x, y = figure.x + away * math.sin(turn), figure.y + away * math.cos(turn) * -1
    x, y = (min(max(place, 0.06), 0.94) for place in (x, y))
    radius = dice.between(0.05, 0.07)
    return Ring(x, y, radius, radius * dice.between(0.3, 0.4), dice.colour(0.8, 1.0))


def _clutter(dice: Dice) -> Figure:
    """A small shape of one colour; a disc, like a ring without its hole, as often as all others."""
    corners, star = (0, False) if dice.below(2) else list(SHAPES.values())[dice.below(len(SHAPES))]
    place, radius = (dice.between(0, 1), dice.between(0, 1)), dice.between(0.04, 0.08)
    return Figure(*place, radius, corners, star, dice.between(0, 2 * math.pi), dice.colour())


def _decoy(dice: Dice) -> Figure:
    """A textured shape of any class that is smaller than any object."""
    shape, angles = list(SHAPES.values())[dice.below(len(SHAPES))], list(TEXTURES.values())[dice.below(len(TEXTURES))]
    return _textured(
        dice, dice.between(0, 1), dice.between(0, 1), dice.between(0.06, 0.09), shape, angles, dice.between(0.2, 0.8)
    )


def _wire(dice: Dice) -> Wire:
    x, y = dice.between(0, 1), dice.between(0, 1)
    return Wire(x, y, dice.between(0, math.pi), dice.between(0.006, 0.014), dice.colour())
