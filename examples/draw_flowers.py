"""A folder of flowers, one sub-folder for each kind: images for docs/start.md that nobody has to download.

Command: python examples/draw_flowers.py flowers [--images 60] [--seed 0] [--unsorted]
Time: 3 seconds.
Result: JPEG files of 80 to 128 px, each drawn at random: flowers/daisy/00.jpg, ... for each of five kinds. With
--unsorted all of them lie in the folder itself, as images do that somebody wants to have sorted.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Petals, their length and width as shares of the image's side, their colour, and the colour of the heart.
KINDS = {
    "daisy": (12, 0.36, 0.06, (240, 238, 230), (235, 190, 40)),
    "poppy": (4, 0.32, 0.19, (205, 45, 35), (40, 30, 35)),
    "sunflower": (20, 0.38, 0.05, (245, 195, 30), (95, 60, 30)),
    "violet": (5, 0.28, 0.12, (110, 70, 175), (240, 215, 90)),
    "rose": (9, 0.26, 0.13, (225, 120, 150), (190, 70, 105)),
}
FREAKS = 0.2  # share of the flowers that have the colours of any kind: else colours alone would tell them apart
FINER = 3  # drawn larger, and reduced, so that edges are smooth


def draw_flower(kind: str, generator: np.random.Generator) -> Image.Image:
    """A flower somewhere on a meadow."""
    petals, length, width, colour, heart = KINDS[kind]
    if generator.uniform() < FREAKS:
        *_, colour, heart = KINDS[str(generator.choice(list(KINDS)))]
    side = int(generator.integers(80, 129)) * FINER
    image = meadow(side, generator)
    drawing = ImageDraw.Draw(image)
    size = side * generator.uniform(0.5, 1.1)
    x, y = generator.uniform(0.35, 0.65, 2) * side
    start = generator.uniform(0, math.tau)
    for number in range(petals):
        angle = start + math.tau * number / petals + generator.normal(0, 0.08)
        long = size * length * generator.uniform(0.85, 1.1)
        outline = ellipse(x, y, angle, long, size * width)
        drawing.polygon(outline, fill=shaded(colour, generator), outline=shaded(heart, generator))
    radius = size * length * 0.3
    drawing.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shaded(heart, generator))
    return image.resize((side // FINER, side // FINER), Image.Resampling.LANCZOS)


def meadow(side: int, generator: np.random.Generator) -> Image.Image:
    """Blurred green, lighter or darker from image to image."""
    green = np.array([70, 120, 55]) + generator.normal(0, 20, 3)
    spots = generator.normal(0, 60, (9, 9, 1)) + green
    blurred = Image.fromarray(np.clip(spots, 0, 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return blurred.filter(ImageFilter.GaussianBlur(side / 40))


def ellipse(x: float, y: float, angle: float, length: float, width: float) -> list[tuple[float, float]]:
    """The outline of a petal that begins at (x, y)."""
    turns = np.linspace(0, math.tau, 24, endpoint=False)
    along, across = length / 2 * (1 + np.cos(turns)), width * np.sin(turns)
    cos, sin = math.cos(angle), math.sin(angle)
    return list(zip(x + along * cos - across * sin, y + along * sin + across * cos, strict=True))


def shaded(colour: Sequence[int], generator: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = np.clip(np.add(colour, generator.normal(0, 12, 3)), 0, 255).astype(int).tolist()
    return red, green, blue


def draw_folder(folder: Path, images: int, seed: int = 0, unsorted: bool = False) -> None:
    """Draws so many images of each kind."""
    generator = np.random.default_rng(seed)
    for first, kind in enumerate(KINDS):
        place = folder if unsorted else folder / kind
        place.mkdir(parents=True, exist_ok=True)
        for number in range(images):
            name = f"{first * images + number if unsorted else number:02}.jpg"
            draw_flower(kind, generator).save(place / name, quality=90)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="where to draw them")
    parser.add_argument("--images", type=int, default=60, help="number of images of each kind (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is random (default: 0)")
    parser.add_argument("--unsorted", action="store_true", help="all in one folder, without their kinds")
    arguments = parser.parse_args(words)
    draw_folder(arguments.folder, arguments.images, arguments.seed, arguments.unsorted)
    print(f"{len(KINDS) * arguments.images} images of {len(KINDS)} kinds in {arguments.folder}")


if __name__ == "__main__":
    main()
