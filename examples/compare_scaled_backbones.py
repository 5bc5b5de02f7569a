"""Compare ResNet-50, MobileNetV2 and EfficientNet-B0 over several phi: parameters, multiply-adds, and accuracy.

Command: python examples/compare_scaled_backbones.py [--train] [--output FOLDER]
Time: 3 seconds on 2 cores; with --train some minutes.
Result: a table of costs, and in results/compare the same as CSV, Markdown, a plot against phi and a page. With --train
also the accuracy on real digits after training each network, scaled to small images, in results/compare/trained.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from keras_effnet import (
    BackboneSpec,
    Coefficients,
    Contender,
    Preprocessing,
    ScratchRecipe,
    compare_networks,
    scale_spec,
)
from keras_effnet.scaling import Compound, limit_stride

BACKBONES = ("resnet50", "mobilenet_v2", "efficientnet_b0")
PHIS = (-3, -2, -1, 0, 1, 2, 3, 4)
# Networks of this comparison that 2 cores can train in less than a minute each.
TRAINED_PHIS = (-12, -9, -6)
RESOLUTION = 32
RECIPE = ScratchRecipe(epochs=4, rates=(0.1,))


def small_spec(backbone: str, phi: float) -> BackboneSpec:
    """The backbone scaled in depth and width, for images of 32 px."""
    nominal = Compound()(phi)
    scaled = scale_spec(backbone, coefficients=Coefficients(depth=nominal.depth, width=nominal.width))
    preprocessing = Preprocessing(scale=1 / 127.5, offset=-1.0)
    return replace(limit_stride(scaled, 8), resolution=RESOLUTION, preprocessing=preprocessing)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help="also train small networks and compare their accuracy")
    parser.add_argument("--output", type=Path, default=Path("results/compare"), help="folder for what is written")
    arguments = parser.parse_args(argv)

    print(compare_networks(BACKBONES, phi=PHIS, output=arguments.output))
    if arguments.train:
        small = [
            Contender(small_spec(backbone, phi), f"{backbone}, phi {phi}", group=backbone, phi=phi)
            for backbone in BACKBONES
            for phi in TRAINED_PHIS
        ]
        where = {"output": arguments.output / "trained", "workers": os.cpu_count() or 1}
        print(compare_networks(small, data="digits", recipe=RECIPE, seeds=2, **where))


if __name__ == "__main__":
    main()
