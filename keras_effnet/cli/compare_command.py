"""`keras-effnet compare NETWORK... --phi 0 1 2 --rule compound width_only`: networks side by side."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, get_args

from keras_effnet.atomic import check_writable
from keras_effnet.cli.arguments import add_engine_options, backbone_argument, phi_value
from keras_effnet.cli.printer import print_result
from keras_effnet.comparison.compare_networks import compare_networks
from keras_effnet.comparison.contenders import SAVED
from keras_effnet.comparison.scratch_recipe import Equal, ScratchRecipe
from keras_effnet.errors import ComparisonError
from keras_effnet.extras import require
from keras_effnet.registry import rules

DESCRIPTION = """Compares networks at any phi by any rule: parameters, multiply-adds and activations at once; with
--latency the time on this machine; with --train the accuracy after training from scratch, as a mean over seeds with an
interval, at a learning rate that is chosen for each network with the same effort. Interrupted or killed, the same
command continues; one with more networks trains only those that are new."""

OUTPUT = Path("results/compare")  # for training, which needs a folder
ENGINE = ("workers", "storage", "ray_address", "trial_timeout", "retries", "heartbeat")
RECIPE = {"steps": "steps", "epochs": "epochs", "batch_size": "batch_size", "learning_rates": "rates", "equal": "equal",
          "validation": "validation"}  # fmt: skip


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's own parser."""
    parser = commands.add_parser(
        "compare", help="compare networks at any phi: cost at once, accuracy after training", description=DESCRIPTION
    )
    parser.add_argument(
        "networks", metavar="NETWORK", nargs="+",
        help="a registered name, a spec file (.json), or a model that Keras saved (.keras, .h5)",
    )  # fmt: skip
    parser.add_argument("--phi", type=phi_value, nargs="+", default=[0], help="any numbers (default: 0, no scaling)")
    parser.add_argument(
        "--rule", nargs="+", default=["compound"], help=f"some of {', '.join(rules.names())} (default: compound)"
    )
    parser.add_argument("--classes", type=int, help="number of classes (default: those of the data, or 1000)")
    parser.add_argument("--latency", action="store_true", help="also build each network and time it on this machine")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER",
        help=f"write the table, a plot and a page into this folder (default with --train: {OUTPUT})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    group = parser.add_argument_group("training from scratch")
    group.add_argument(
        "--train", metavar="DATA", help="train every network on 'glyphs', 'digits', a folder, a CSV, or a named set"
    )
    group.add_argument("--steps", type=int, help="training steps of each run (default: 960)")
    group.add_argument("--epochs", type=int, help="passes over the training images, in place of --steps")
    group.add_argument("--batch-size", type=int, help="images per step (default: 32)")
    group.add_argument(
        "--learning-rates", type=float, nargs="+", metavar="RATE",
        help="rates of which each network gets its best; a single one is used as it is (default: 0.03 0.1 0.3)",
    )  # fmt: skip
    group.add_argument(
        "--equal", choices=get_args(Equal),
        help="what all networks get: as many steps, or the multiply-adds of the first network (default: steps)",
    )  # fmt: skip
    group.add_argument("--seeds", type=int, help="number of seeds that are reported (default: 3)")
    group.add_argument("--seed", type=int, help="seed that chooses learning rates; the others follow it (default: 0)")
    group.add_argument(
        "--validation", type=float, help="share of the training images to choose learning rates by (default: 0.25)"
    )
    add_engine_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the table, or JSON, and says where the files are."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    trained = arguments.train is not None
    options: dict[str, Any] = {name: given[name] for name in ("classes", "seeds", "seed", "storage") if name in given}
    options |= {name: given[name] for name in ENGINE if name in given}
    asked = {RECIPE[name]: given[name] for name in RECIPE if name in given}
    if not trained:
        del options["workers"]  # has a default
        if unused := [name for name in (*options, *asked) if name != "classes"]:
            raise ComparisonError(
                "these options are for training: name the images, `--train DATA`, or leave them out.",
                received=", ".join(unused),
            )
    output = arguments.output or (OUTPUT if trained else None)
    if output is not None:
        require("train", "a plot")
        check_writable(output, folder=True)
    networks = [name if name.endswith((".json", *SAVED)) else backbone_argument(name) for name in arguments.networks]
    found = compare_networks(
        networks,
        phi=arguments.phi,
        rule=arguments.rule,
        latency=arguments.latency,
        data=arguments.train,
        recipe=ScratchRecipe(**asked),
        output=output,
        **options,
    )
    text = json.dumps(found.to_dict(), indent=2) if arguments.json else str(found)
    print_result(f"{text}\n")
    if output is not None and not arguments.json:
        files = ", ".join(sorted(each.name for each in output.iterdir() if each.is_file() and each.name[0] != "."))
        print_result(f"\nIn {output}: {files}\n")
