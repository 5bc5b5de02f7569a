"""Draws the pictures of the documentation: `python scripts/images.py [NAME ...]`, without a name the quick ones.

| name | in docs/images | takes |
|---|---|---|
| `phi` | what scaling does to EfficientNet-B0, from its spec | 2 s |
| `costs` | parameters and multiply-adds against phi (examples/compare_scaled_backbones.py) | 5 s |
| `explore` | what `keras-effnet explore` writes, opened in Chromium | 5 s |
| `scenes` | scenes of the set of this name, and one of them at several resolutions | 3 s |
| `report` | some sections of a report, opened in Chromium (scripts/report_image.py) | 1 minute |
| `transfer` | what `keras-effnet transfer` leaves | 2 minutes |
| `search_surface` | what `keras-effnet search coefficients` leaves | 17 minutes |

`budget`, `front` and `inherit` are drawn by the benchmarks of these names, `scenes_scaling` by benchmarks/scenes.py.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from pages import screenshot  # noqa: E402 - the path comes first

from keras_effnet import estimate_cost, scale_spec, write_explorer  # noqa: E402
from keras_effnet.data.scene_layout import CLASS_NAMES, CONTEXTS, SHAPES, TEXTURES  # noqa: E402
from keras_effnet.data.scenes import Scenes  # noqa: E402

IMAGES = ROOT / "docs" / "images"
PHIS = (-4, -2, 0, 2)


def phi(path: Path) -> None:
    """EfficientNet-B0 at several phi: its image, and a box for each stage."""
    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    for axes, value in zip(figure.subplots(2, 2).flat, PHIS, strict=True):
        spec = scale_spec("efficientnet_b0", phi=value)
        cost = estimate_cost(spec)
        draw_network(axes, spec)
        axes.set_title(
            f"phi = {value}\n{sum(stage.depth for stage in spec.stages)} blocks, {spec.resolution} px\n"
            f"{cost.params / 1e6:.1f} M parameters\n{cost.macs / 1e6:,.0f} M multiply-adds",
            fontsize=11,
        )
    figure.supxlabel(
        "yellow: the image; blue: stages, as high as they have\nchannels, as wide as they have blocks", fontsize=11
    )
    figure.savefig(path, dpi=110)


def draw_network(axes: Any, spec: Any) -> None:
    """The image as a square, and stages as boxes: as wide as they are deep, as high as they have channels."""
    side = spec.resolution / 8
    axes.add_patch(Rectangle((0, -side / 2), side, side, facecolor="#f2c14e", edgecolor="none"))
    left = side + 6
    for stage in spec.stages:
        wide, high = 4 * stage.depth, stage.width / 5
        axes.add_patch(Rectangle((left, -high / 2), wide, high, facecolor="#3b6fb6", edgecolor="none"))
        left += wide + 2
    axes.set(xlim=(0, 165), ylim=(-42, 42), aspect="equal")
    axes.axis("off")


def costs(path: Path) -> None:
    """What the example draws."""
    with TemporaryDirectory() as folder:
        run(sys.executable, ROOT / "examples" / "compare_scaled_backbones.py", "--output", folder)
        shutil.copy(Path(folder) / "compare.png", path)


def explore(path: Path) -> None:
    """The upper part of the explorer at phi = 2, as a browser shows it."""
    with TemporaryDirectory() as folder:
        page, image = Path(folder) / "explore.html", Path(folder) / "explore.png"
        write_explorer(page, ["efficientnet_b0"])
        screenshot(page, image, 1200, 1340, address="phi=2")
        with Image.open(image) as whole:
            shown = whole.convert("RGB").resize((960, 1072), Image.Resampling.LANCZOS)
        shown.quantize(256, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)


def scenes(path: Path) -> None:
    """Each shape in each texture, the contexts in turn; below, one scene as it is drawn at several resolutions."""
    source, sides = Scenes(len(CLASS_NAMES)), (24, 32, 48, 64, 96, 192)
    figure = Figure(figsize=(5.8, 5.5), layout="constrained")
    axes: Any = figure.subplots(len(TEXTURES) + 1, len(SHAPES))
    for row, texture in enumerate(TEXTURES):
        for column, shape in enumerate(SHAPES):
            context = tuple(CONTEXTS)[(row + column) % len(CONTEXTS)]
            number = CLASS_NAMES.index(f"{texture} {shape} {context} ring")
            axes[row, column].imshow(source.read(number, 128))
            axes[row, column].set_xlabel(f"{context} ring", fontsize=9, labelpad=1)
            if not row:
                axes[row, column].set_title(shape, fontsize=10)
        axes[row, 0].set_ylabel(texture, fontsize=10)
    number = CLASS_NAMES.index("dotted pentagon beside ring")
    for axis, side in zip(axes[-1], sides, strict=True):
        axis.imshow(source.read(number, side), interpolation="nearest")
        axis.set_xlabel(f"{side} px", fontsize=10, labelpad=1)
    axes[-1, 0].set_ylabel("one scene", fontsize=10)
    for axis in axes.flat:
        axis.set(xticks=(), yticks=())
    figure.savefig(path, dpi=110)


def report(path: Path) -> None:
    """Some sections of a report, as a browser shows them."""
    with TemporaryDirectory() as folder:
        run(sys.executable, ROOT / "scripts" / "report_image.py", path, "--output", folder)


def transfer(path: Path) -> None:
    """The curves of the demonstration."""
    with TemporaryDirectory() as folder:
        run(*KERAS_EFFNET, "transfer", "--output", folder)
        shutil.copy(Path(folder) / "curves.png", path)


def search_surface(path: Path) -> None:
    """The surface of a search with its defaults."""
    with TemporaryDirectory() as folder:
        run(*KERAS_EFFNET, "search", "coefficients", "--workers", "2", "--output", folder)
        shutil.copy(Path(folder) / "surface.png", path)


KERAS_EFFNET = (sys.executable, "-m", "keras_effnet")
DRAWN = {each.__name__: each for each in (phi, costs, explore, scenes, report, transfer, search_surface)}
QUICK = ("phi", "costs", "explore", "scenes")


def run(*words: Any, cwd: str | None = None) -> None:
    subprocess.run([str(word) for word in words], cwd=cwd, check=True)  # noqa: S603 - programs of our own choice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", choices=[[], *DRAWN], help=f"what to draw (default: {' '.join(QUICK)})")
    for name in parser.parse_args().names or QUICK:
        DRAWN[name](IMAGES / f"{name}.png")
        print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
