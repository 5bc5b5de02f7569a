"""Images of letters, rendered from the fonts that Matplotlib ships: data to pre-train on offline.

Every letter is drawn once per font. Each image warps one of those drawings as a hand would (slant, proportions,
perspective, wobble, pen width), reduces it to a few pixels by averaging, as for scikit-learn's digits, and enlarges it
again. There are no digits among them.
"""

import string
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from keras_effnet.checks import check_seed
from keras_effnet.data.images import Images, enlarge_gray
from keras_effnet.errors import DataError
from keras_effnet.extras import import_extra

# Matplotlib's fonts with a full Latin alphabet; its others hold symbols only.
FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10", "cmmi10"),
)

# Small letters that look like their capital once both are scaled to fill the image; an "l" looks like an "I".
SAME_SHAPE = {letter: letter.upper() for letter in "ckopsuvwxyz"} | {"l": "I"}
LETTERS = string.ascii_uppercase + string.ascii_lowercase
CLASS_NAMES = tuple(letter for letter in LETTERS if letter not in SAME_SHAPE)

CELL = 64  # side of one drawing in the atlas, in pixels
BODY = 44  # longer side of a letter in its cell, in pixels: leaves blank paper around it for warping
FONT_SIZE = 72  # drawn larger than BODY and then reduced, which smooths the edges
PEN_BLUR = 2.5  # blur radius in pixels; a blurred edge cut at a random level gives pens of any width
BOX = 4  # side in pixels of the squares that are averaged into one coarse pixel, as for scikit-learn's digits
COARSE_SIDES = (8, 8, 8, 8, 7, 9, 10)  # sides of the coarse images in pixels: mostly the digits' 8, some others
CHUNK = 1024  # images warped at once: keeps their coordinates within about 50 MB
ELASTIC_KNOTS = 4  # knots per side of the smooth random displacement that makes lines wobble


def render_letters(count: int, resolution: int = 32, seed: int = 0) -> Images:
    """Renders letters in many fonts, warped as if written by hand.

    Args:
        count: number of images, at least 1; each class gets `count // 40` of them or one more.
        resolution: side of the images in pixels, 1..4096. Default: 32.
        seed: seed of the random choices, 0 to 4294967295; the same seed renders the same images. Default: 0.

    Returns:
        `count` images in random order, of 40 classes: the capitals, and the small letters that differ from their
        capital in shape. Bright ink on a dark ground, like scikit-learn's digits.

    Raises:
        DataError: `count` is below 1 or `resolution` is out of range.

    Example:
        >>> letters = render_letters(80, resolution=32, seed=0)
        >>> letters.images.shape, len(letters.class_names)
        ((80, 32, 32, 3), 40)
    """
    if count < 1:
        raise DataError("count, the number of images, must be at least 1.", received=repr(count))
    rng = np.random.default_rng(check_seed(DataError, seed))
    labels = rng.permutation(np.arange(count, dtype=np.int32) % len(CLASS_NAMES))
    atlas, atlas_labels = _draw_atlas()
    drawings = np.empty(count, np.intp)
    for label in range(len(CLASS_NAMES)):
        members = labels == label
        drawings[members] = rng.choice(np.flatnonzero(atlas_labels == label), members.sum())
    sides = rng.choice(COARSE_SIDES, count)
    images = np.empty((count, resolution, resolution, 3), np.uint8)
    for side in np.unique(sides):
        members = np.flatnonzero(sides == side)
        for start in range(0, len(members), CHUNK):
            part = members[start : start + CHUNK]
            ink = _handwrite(atlas, drawings[part], int(side), rng)
            images[part] = enlarge_gray(_scan(ink, rng), resolution)
    return Images(images, labels, CLASS_NAMES)


@cache
def _draw_atlas() -> tuple[np.ndarray, np.ndarray]:
    """Draws every letter in every font: uint8 `(n, CELL, CELL)`, bright on black and blurred, and its class."""
    # Only for its fonts: not loaded unless letters are rendered.
    folder = Path(import_extra("matplotlib", "drawing letters").get_data_path()) / "fonts" / "ttf"
    drawings, labels = [], []
    for name in FONTS:
        font = ImageFont.truetype(str(folder / f"{name}.ttf"), FONT_SIZE)
        for letter in LETTERS:
            drawings.append(_draw(font, letter))
            labels.append(CLASS_NAMES.index(SAME_SHAPE.get(letter, letter)))
    return np.stack(drawings), np.array(labels)


def _draw(font: ImageFont.FreeTypeFont, letter: str) -> np.ndarray:
    """Draws one letter with BODY as its longer side, centred in CELL, then blurred."""
    left, top, right, bottom = (round(edge) for edge in font.getbbox(letter))
    drawing = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(drawing).text((-left, -top), letter, fill=255, font=font)
    scale = BODY / max(drawing.size)
    size = (max(1, round(drawing.width * scale)), max(1, round(drawing.height * scale)))
    cell = Image.new("L", (CELL, CELL))
    cell.paste(drawing.resize(size), ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    return np.asarray(cell.filter(ImageFilter.GaussianBlur(PEN_BLUR)))


def _handwrite(atlas: np.ndarray, drawings: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Warps the chosen drawings, traces them with pens of random widths and averages them to `side` pixels per side.

    Returns:
        float32 array of shape `(n, side, side)`: fraction of each coarse pixel that ink covers, 0..1.
    """
    count, fine = len(drawings), side * BOX
    x, y = _warp(count, fine, rng)
    blurred = _sample(atlas, drawings, x, y)
    level = rng.uniform(0.15, 0.45, (count, 1)).astype(np.float32)  # a low level is a broad pen
    ink = np.clip((blurred / 255 - level) * 8 + 0.5, 0, 1)
    return ink.reshape(count, side, BOX, side, BOX).mean(axis=(2, 4))


def _warp(count: int, fine: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Atlas coordinates of each pixel of `count` images of `fine`x`fine`: two arrays of shape `(count, fine**2)`."""

    def draw(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (count, 1)).astype(np.float32)

    axis = ((np.arange(fine, dtype=np.float32) + 0.5) / fine * 2 - 1)[None]
    u, v = np.tile(axis, fine), np.repeat(axis, fine, axis=1)
    angle, slant = draw(-0.25, 0.25), draw(-0.35, 0.35)
    wide, high = draw(1.0, 1.7), draw(0.92, 1.12)  # above 1 the paper is larger, so the letter is smaller
    depth = 1 + draw(-0.15, 0.15) * u + draw(-0.15, 0.15) * v
    u, v = u / depth, v / depth
    x = wide * (np.cos(angle) * u - np.sin(angle) * v) + slant * v + draw(-0.1, 0.1)
    y = high * (np.sin(angle) * u + np.cos(angle) * v) + draw(-0.06, 0.06)
    spread = _interpolation(fine, ELASTIC_KNOTS)
    knots = rng.normal(0, 1, (2, count, ELASTIC_KNOTS, ELASTIC_KNOTS)).astype(np.float32)
    knots *= rng.uniform(0.03, 0.18, (1, count, 1, 1)).astype(np.float32)
    wobble = (spread @ knots @ spread.T).reshape(2, count, fine * fine)
    centre, half = (CELL - 1) / 2, BODY / 2
    return centre + half * (x + wobble[0]), centre + half * (y + wobble[1])


def _interpolation(fine: int, knots: int) -> np.ndarray:
    """Weights that spread `knots` values smoothly over `fine` pixels: float32 array of shape `(fine, knots)`."""
    position = np.linspace(0, knots - 1, fine)[:, None]
    distance = np.clip(np.abs(position - np.arange(knots)), 0, 1)
    return ((1 + np.cos(np.pi * distance)) / 2).astype(np.float32)


def _sample(atlas: np.ndarray, drawings: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Samples the chosen atlas cells bilinearly at `x` and `y` of shape `(n, points)`: float32, same shape, 0..255."""
    x = np.clip(x, 0, CELL - 1.001)
    y = np.clip(y, 0, CELL - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    right, below = x - column, y - row
    first = drawings[:, None].astype(np.int32) * (CELL * CELL) + row * CELL + column
    flat = atlas.reshape(-1)
    upper = flat[first] * (1 - right) + flat[first + 1] * right
    lower = flat[first + CELL] * (1 - right) + flat[first + CELL + 1] * right
    return upper * (1 - below) + lower * below


def _scan(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turns ink coverage `(n, side, side)` into what a scanner sees: uint8, with varying contrast and noise."""
    shape = (len(ink), 1, 1)
    contrast = rng.uniform(0.85, 1.1, shape)
    noise = rng.normal(0, 1, ink.shape) * rng.uniform(0, 0.02, shape)
    return np.rint(255 * np.clip(ink * contrast + noise, 0, 1)).astype(np.uint8)
