"""Draws some sections of a report: `python scripts/report_image.py IMAGE [--output FOLDER]`, as images.py does.

It trains a small network on so few of scikit-learn's digits that it makes mistakes, opens the report in Chromium, and
leaves out the sections that a reader of the documentation can do without. The run is kept, and not trained again.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from pages import screenshot  # noqa: E402 - the path comes first

from keras_effnet import FinetuneJob, FinetuneOptions, Recipe  # noqa: E402
from keras_effnet.data.augment import Augmentation  # noqa: E402

WIDTH, HEIGHT = 1200, 4000  # pixels of the window; of its height what is empty is cut off
SHOWN_WIDTH = 960  # pixels of the image
COLOURS = 256
SHOWN = ("curves", "confusion", "mistakes", "confidence")
OPTIONS = FinetuneOptions(
    data="digits",
    backbone="mobilenet_v1",
    weights="random",
    phi=-8,
    resolution=32,
    labels_per_class=30,
    recipe=Recipe(
        head_epochs=0,
        epochs=30,
        batch_size=20,
        rate=0.03,
        batchnorm="trained",
        augmentation=Augmentation(crop=0.7, operations=1, magnitude=4),
    ),
)


def main() -> None:
    """Makes the image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path, help="the PNG file to write")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "report_image", help="folder of the run")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    FinetuneJob(OPTIONS, output).run()
    page = (output / "report.html").read_text(encoding="utf-8")
    names = re.findall(r'<section id="(\w+)"', page)
    hidden = ", ".join(f"#{name}" for name in names if name not in SHOWN)
    shorter = output / "shorter.html"
    shorter.write_text(page.replace("</style>", f"{hidden} {{ display: none; }}</style>"), encoding="utf-8")
    image = output / "report.png"
    screenshot(shorter, image, WIDTH, HEIGHT)
    with Image.open(image) as whole:
        rgb = whole.convert("RGB")
    pixels = np.asarray(rgb)
    last = int(np.flatnonzero((pixels != pixels[-1, 0]).any(axis=(1, 2)))[-1])
    cut = rgb.crop((0, 0, WIDTH, last + 20))
    shown = cut.resize((SHOWN_WIDTH, round(cut.height * SHOWN_WIDTH / WIDTH)), Image.Resampling.LANCZOS)
    shown.quantize(COLOURS, kmeans=3, dither=Image.Dither.NONE).save(arguments.image, optimize=True)


if __name__ == "__main__":
    main()
