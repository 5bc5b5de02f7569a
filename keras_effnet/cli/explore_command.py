"""`keras-effnet explore NAME ...`: one page on which sliders scale backbones. Loads neither keras nor tensorflow."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from keras_effnet.cli.arguments import backbone_argument
from keras_effnet.messages import say


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's own parser."""
    parser = commands.add_parser(
        "explore",
        help="write a page with sliders: what phi makes of a backbone, and what it costs",
        description="Writes one HTML file in which sliders scale backbones by phi, by alpha, beta and gamma, or to a "
        "budget, with the numbers of `explain`. It needs no network and no Python: open it in any browser, or send it.",
    )
    parser.add_argument(
        "backbones",
        metavar="NAME",
        nargs="*",
        help="registered names or spec files (.json) to offer (default: those that the EfficientNet paper scales)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", default=Path("explore.html"), help="the file (default: explore.html)"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the page."""
    from keras_effnet.explorer.explorer_page import USUAL_BACKBONES, write_explorer

    write_explorer(arguments.output, [backbone_argument(name) for name in arguments.backbones] or USUAL_BACKBONES)
    say(f"keras-effnet explore: wrote {arguments.output}; open it in a browser")
