"""Compare ResNet-50, MobileNetV2 and EfficientNet-B0 over several phi: parameters, multiply-adds, and accuracy.

Command: python examples/compare_scaled_backbones.py [--train] [--output FOLDER]
Time: 2 seconds on 2 cores; with --train about 10 minutes.
Result: a table, results/compare/costs.csv and results/compare/costs.png: cost against phi for each backbone. With
--train also the accuracy on held-out real digits after a short training of each network, scaled to small images.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tqdm import tqdm

from keras_effnet import BackboneSpec, Coefficients, Preprocessing, estimate_cost, scale_spec
from keras_effnet.scaling import Compound, limit_stride

BACKBONES = ("resnet50", "mobilenet_v2", "efficientnet_b0")
PHIS = (-3, -2, -1, 0, 1, 2, 3, 4)
# Networks of this comparison that 2 cores can train in a minute each.
TRAINED_PHIS = (-12, -9, -6)
RESOLUTION = 32
LABELS = 800


def cost_row(backbone: str, phi: float) -> dict[str, Any]:
    """The cost of a scaled backbone, counted without building it."""
    spec = scale_spec(backbone, phi=phi)
    cost = estimate_cost(spec)
    return {"backbone": backbone, "phi": phi, "resolution": spec.resolution, "params": cost.params, "macs": cost.macs}


def small_spec(backbone: str, phi: float) -> BackboneSpec:
    """The backbone scaled in depth and width, for images of 32 px."""
    nominal = Compound()(phi)
    scaled = scale_spec(backbone, coefficients=Coefficients(depth=nominal.depth, width=nominal.width))
    preprocessing = Preprocessing(scale=1 / 127.5, offset=-1.0)
    return replace(limit_stride(scaled, 8), resolution=RESOLUTION, preprocessing=preprocessing)


def trained_row(backbone: str, phi: float, epochs: int = 12) -> dict[str, Any]:
    """Accuracy on scikit-learn's digits after training on 800 of the 1,797."""
    import keras
    import numpy as np

    from keras_effnet import build_model
    from keras_effnet.data.images import load_digits

    keras.utils.set_random_seed(0)
    spec = small_spec(backbone, phi)
    digits = load_digits(RESOLUTION)
    order = np.random.default_rng(0).permutation(len(digits))
    train, held_out = digits.take(order[:LABELS]), digits.take(order[LABELS:])
    model = build_model(spec, classes=10)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # so that its statistics settle within a few hundred steps
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * len(train) // 32)
    model.compile(
        keras.optimizers.AdamW(rate), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
    )
    model.fit(train.images, train.labels, batch_size=32, epochs=epochs, verbose=0)
    accuracy = model.evaluate(held_out.images, held_out.labels, batch_size=256, verbose=0)[1]
    cost = estimate_cost(spec, classes=10)
    row = {"backbone": backbone, "phi": phi, "resolution": RESOLUTION, "params": cost.params, "macs": cost.macs}
    return {**row, "accuracy": float(accuracy)}


def report(rows: list[dict[str, Any]], name: str, output: Path) -> None:
    """Prints the rows and writes them as <name>.csv."""
    print("  ".join(f"{column:>15}" for column in rows[0]))
    for row in rows:
        print("  ".join(f"{value:>15,.3f}" if isinstance(value, float) else f"{value!s:>15}" for value in row.values()))
    with (output / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def plot(rows: list[dict[str, Any]], axes: Any, x: str, y: str, **labels: str) -> None:
    """Draws one line for each backbone."""
    for backbone in BACKBONES:
        mine = [row for row in rows if row["backbone"] == backbone]
        axes.plot([row[x] for row in mine], [row[y] for row in mine], "o-", label=backbone)
    axes.set(**labels)
    axes.grid(alpha=0.3, which="both")
    axes.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help="also train small networks and compare their accuracy")
    parser.add_argument(
        "--output", type=Path, default=Path("results/compare"), help="folder for the table and the plot"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    costs = [cost_row(backbone, phi) for backbone in BACKBONES for phi in PHIS]
    report(costs, "costs", arguments.output)
    figure = Figure(figsize=(15 if arguments.train else 10, 4), layout="constrained")
    panels = figure.subplots(1, 3 if arguments.train else 2)
    for axes, quantity, label in zip(
        panels, ("params", "macs"), ("parameters", "multiply-adds per image"), strict=False
    ):
        plot(costs, axes, "phi", quantity, xlabel="phi", ylabel=label, yscale="log", title=f"{label} against phi")
    if arguments.train:
        networks = [(backbone, phi) for backbone in BACKBONES for phi in TRAINED_PHIS]
        trained = [trained_row(backbone, phi) for backbone, phi in tqdm(networks, desc="training", unit="network")]
        report(trained, "trained", arguments.output)
        title = f"digits at {RESOLUTION} px, {LABELS} labels"
        labels = {"xlabel": "multiply-adds per image", "ylabel": "held-out accuracy", "xscale": "log", "title": title}
        plot(trained, panels[2], "macs", "accuracy", **labels)
    figure.savefig(arguments.output / "costs.png", dpi=120)
    print(f"in {arguments.output}: {', '.join(sorted(path.name for path in arguments.output.iterdir()))}")


if __name__ == "__main__":
    main()
