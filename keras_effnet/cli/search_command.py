"""`keras-effnet search coefficients`, `keras-effnet search architecture`: the paper's two searches."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from keras_effnet.atomic import check_writable
from keras_effnet.checks import check_int, check_seed
from keras_effnet.cli.arguments import add_engine_options, backbone_argument
from keras_effnet.cli.parser import quantity
from keras_effnet.cli.printer import print_result
from keras_effnet.errors import SearchError
from keras_effnet.measures import COUNTED, MEASURES, WEIGHED

DESCRIPTION = """The paper's two searches on small data: coefficients (which alpha, beta and gamma make the best of
about twice the cost?) and architecture (which baseline is best at a cost?). Both run without arguments on letters that
the package draws. Interrupted or killed, the same command continues."""
COEFFICIENTS = """Trains all networks of a grid of (alpha, beta, gamma) that cost about twice the base, most of them
only a little (successive halving); trains the best and the paper's (1.2, 1.1, 1.15), at the same cost, with further
seeds; prints the winner as a Compound(...) to paste, and whether it is better than chance."""
ARCHITECTURE = """Searches the baseline: stage by stage the kind of block, kernel, expansion, squeeze-and-excitation,
width, depth and skip (MnasNet's space), by regularised evolution or at random, for the largest
ACC * (cost / target)^w. Leaves the best as a spec file, best.json, that every other command takes."""

# Searches that end within 4 minutes on 2 cores.
QUICK_COEFFICIENTS = {"step": 0.1, "steps": 80, "rungs": 2, "finalists": 1, "seeds": 3}
QUICK_ARCHITECTURE = {"trials": 12, "steps": 40, "population": 6, "sample": 3}


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's parser, with one for each search."""
    parser = commands.add_parser(
        "search", help="find coefficients, or a baseline, of your own", description=DESCRIPTION
    )
    searches = parser.commands = parser.add_subparsers(dest="search", required=True, metavar="SEARCH")
    _add_coefficients(searches)
    _add_architecture(searches)
    return parser


def _add_coefficients(searches: Any) -> None:
    parser = searches.add_parser("coefficients", help="alpha, beta and gamma for phi = 1", description=COEFFICIENTS)
    _add_common(parser, "results/coefficients")
    group = parser.add_argument_group("what is tried")
    group.add_argument("--factor", type=float, help="cost as a multiple of the base's (default: 2)")
    group.add_argument("--tolerance", type=float, help="share of the factor by which a cost may differ (default: 0.1)")
    group.add_argument("--measure", help=f"the cost: {', '.join(WEIGHED)} (default: macs)")
    group.add_argument("--step", type=float, help="distance between two values of a coefficient (default: 0.05)")
    group.add_argument(
        "--method", choices=("halving", "grid"), help="successive halving or all to the end (default: halving)"
    )
    group.add_argument("--steps", type=int, help="training steps on the last rung (default: 960)")
    group.add_argument("--eta", type=int, help="reduction factor: the best 1/eta are promoted (default: 4)")
    group.add_argument("--rungs", type=int, help="number of rungs of halving (default: 3)")
    group.add_argument("--finalists", type=int, help="number of networks trained with other seeds (default: 3)")
    group.add_argument("--seeds", type=int, help="number of other seeds (default: 3)")


def _add_architecture(searches: Any) -> None:
    parser = searches.add_parser("architecture", help="a baseline to scale", description=ARCHITECTURE)
    _add_common(parser, "results/architecture")
    group = parser.add_argument_group("what is tried")
    group.add_argument(
        "--method", choices=("evolution", "random"), help="how candidates are chosen (default: evolution)"
    )
    group.add_argument("--trials", type=int, help="number of candidates (default: 60)")
    group.add_argument("--steps", type=int, help="training steps of each candidate (default: 160)")
    group.add_argument("--population", type=int, help="size of the evolution's population (default: 20)")
    group.add_argument("--sample", type=int, help="members of which the best has a child (default: 5)")
    group.add_argument("--accuracy", help="how accuracy is judged: training (default), synflow, naswot or zen")
    group.add_argument("--inherit", action="store_const", const=True, help="children start from their parents' weights")
    group.add_argument("--cost", help=f"the cost that is weighed: {', '.join(COUNTED)} (default: macs)")
    group.add_argument(
        "--target", type=quantity, help="cost T at which the reward is the accuracy (default: the base's)"
    )
    group.add_argument("--exponent", type=float, help="exponent w of the cost (default: -0.07)")
    group.add_argument("--over", type=float, help="exponent w above T (default: the same)")
    for name in COUNTED:
        flag = f"--max-{name.replace('_', '-')}"
        group.add_argument(flag, type=quantity, metavar="LIMIT", help=f"largest allowed {MEASURES[name].label}")


def _add_common(parser: argparse.ArgumentParser, output: str) -> None:
    parser.add_argument(
        "backbone", nargs="?", metavar="BACKBONE",
        help="the base: a registered name or a spec file (.json); by default EfficientNet-B0 for 32 px",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path(output), help=f"folder for results (default: {output})")
    parser.add_argument("--data", help="'glyphs' (default), 'digits', 'scenes', a folder, a CSV, or a named set")
    parser.add_argument("--train", metavar="MODULE:FUNCTION", help="a train function of your own instead of --data")
    parser.add_argument("--seed", type=int, help="seed of everything random (default: 0)")
    parser.add_argument("--quick", action="store_true", help="a small search that ends within 4 minutes on 2 cores")
    add_engine_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Searches, prints what was found, and lists the files."""
    logging.getLogger("keras_effnet").setLevel(logging.INFO)
    from keras_effnet.data.sets import check_data

    left_out = {"run", "command", "search", "backbone", "data", "train", "quick", "accuracy"}
    asked = {name: value for name, value in vars(arguments).items() if name not in left_out and value is not None}
    backbone = None if arguments.backbone is None else backbone_argument(arguments.backbone)
    check_writable(arguments.output, folder=True)
    if arguments.seed is not None:
        check_seed(SearchError, arguments.seed)
    if arguments.steps is not None:
        check_int(SearchError, "steps", arguments.steps, 1)
    if arguments.data is not None:
        check_data(arguments.data)
    text = (_coefficients if arguments.search == "coefficients" else _architecture)(backbone, arguments, asked)
    output = arguments.output
    files = ", ".join(sorted(each.name for each in output.iterdir() if each.is_file() and each.name[0] != "."))
    print_result(f"{text}\n\nIn {output}: {files}\n")


def _coefficients(backbone: Any, arguments: argparse.Namespace, asked: dict[str, Any]) -> str:
    from keras_effnet.search.search_page import format_search
    from keras_effnet.search.searches import search_coefficients

    asked = {**(QUICK_COEFFICIENTS if arguments.quick else {}), **asked}
    train = _train(arguments, asked.get("steps", 960))
    return format_search(search_coefficients(backbone, train, **asked).summary)


def _architecture(backbone: Any, arguments: argparse.Namespace, asked: dict[str, Any]) -> str:
    from keras_effnet.search.search_page import format_search
    from keras_effnet.search.searches import search_architecture

    asked = {**(QUICK_ARCHITECTURE if arguments.quick else {}), **asked}
    asked = {name: value for name, value in asked.items() if not name.startswith("max_")}
    limits = {name: getattr(arguments, f"max_{name}") for name in COUNTED}
    asked["limits"] = {name: limit for name, limit in limits.items() if limit is not None}
    train = _train(arguments, asked.get("steps", 160))
    return format_search(search_architecture(backbone, train, **asked).summary)


def _train(arguments: argparse.Namespace, steps: int) -> Any:
    """Train function of a command line; None for the search's own."""
    if arguments.train is not None:
        return arguments.train
    score = getattr(arguments, "accuracy", None)
    if score not in (None, "training"):
        from keras_effnet.search.scores import ZeroCost

        return ZeroCost(score) if arguments.data is None else ZeroCost(score, arguments.data)
    if arguments.data is None:
        return None
    from keras_effnet.search.proxy_training import ProxyTraining

    return ProxyTraining(arguments.data, horizon=steps)
