"""The largest network of six families under 5 MB and 150 million multiply-adds, side by side.

Command: python examples/fit_a_budget.py
Time: about 10 seconds on 2 cores, most of it importing Keras; the searches take a tenth of a second.
Result: a table. All six use 5 MB, MobileNetV3-Small at 196 px and ResNet-50 at 56 px, and none uses all of the second
limit. Pass resolution=... to choose how much of it to spend.
"""

from __future__ import annotations

import argparse

from keras_effnet import build_model, estimate_cost, fit_to_budget

FAMILIES = ("efficientnet_b0", "efficientnet_v2_b0", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet50")
LIMITS = {"model_bytes": 5e6, "macs": 150e6}
CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--build", action="store_true", help="build the network with the most parameters")
    arguments = parser.parse_args()
    found = {name: fit_to_budget(name, **LIMITS, classes=CLASSES) for name in FAMILIES}
    print(f"{'family':<20} {'px':>5} {'blocks':>7} {'params':>11} {'MB':>6} {'MACs':>13}")
    for name, spec in found.items():
        cost = estimate_cost(spec, classes=CLASSES)
        megabytes = cost.weight_bytes / 1e6
        print(f"{name:<20} {spec.resolution:>5} {spec.depth:>7} {cost.params:>11,} {megabytes:>6.2f} {cost.macs:>13,}")
    if arguments.build:
        largest = max(found.values(), key=lambda spec: estimate_cost(spec, classes=CLASSES).params)
        model = build_model(largest, classes=CLASSES)
        print(f"{model.name}: {model.count_params():,} parameters, input {model.input_shape[1:]}")


if __name__ == "__main__":
    main()
