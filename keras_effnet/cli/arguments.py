"""Conversions of command-line arguments that several commands share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from keras_effnet.errors import WeightsError
from keras_effnet.given_path import given_path
from keras_effnet.registry import backbones
from keras_effnet.resolution import Resolution
from keras_effnet.spec import BackboneSpec


def check_model_file(path: Path) -> None:
    """Checks that there is a model's file (or folder, of a SavedModel), before a framework is imported to read it.

    Raises:
        WeightsError: there is none.
    """
    if not given_path(WeightsError, path).exists():
        raise WeightsError("there is no such model.", received=repr(str(path)))


def backbone_argument(text: str) -> BackboneSpec | str:
    """Reads a spec if `text` is the path of a spec file; otherwise returns the name of a backbone.

    A registered name is a name even if there is a file called so, and text that ends in .json is always a path.

    Args:
        text: name of a backbone, or path of a spec file.

    Raises:
        RegistryError: there is no backbone of this name.
        SpecError: the file is missing, or does not contain a valid spec.
    """
    is_file = text.endswith(".json") or (text not in backbones.names() and os.path.isfile(text))
    if not is_file:
        name = backbones.spelled(text)
        backbones.get(name)
        return name
    from keras_effnet.serialization import read_spec

    return read_spec(text)


def phi_value(text: str) -> float | str:
    """Converts `text` to a number if it is one; otherwise returns it: the name of a row for `--rule tabulated`."""
    try:
        return float(text)
    except ValueError:
        return text


def resolution_value(text: str) -> Resolution:
    """Reads the size of images: one side, or height and width as in "96x160".

    Args:
        text: what was given.

    Raises:
        argparse.ArgumentTypeError: it is neither.

    Example:
        >>> resolution_value("224"), resolution_value("96x160")
        (224, (96, 160))
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().lstrip("-").isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(
            f"it must be a number of pixels, or height and width such as 96x160. Received: {text!r}"
        )
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say where the trials of a search, or the runs of a comparison, take place."""
    group = parser.add_argument_group("where it runs (docs/search.md)")
    cores = os.cpu_count() or 1
    group.add_argument(
        "--workers", type=int, default=cores, help=f"number of processes (default: one per core, {cores})"
    )
    group.add_argument("--storage", metavar="URL", help="postgresql://... for several hosts (default: SQLite)")
    group.add_argument("--ray-address", metavar="ADDRESS", help="address of a Ray cluster to spread the workers over")
    group.add_argument("--trial-timeout", type=float, help="seconds after which a trial counts as hung (default: 1800)")
    group.add_argument("--retries", type=int, help="times that a failed trial is tried again (default: 2)")
    group.add_argument("--heartbeat", type=float, help="seconds between two signs of life (default: 10)")
