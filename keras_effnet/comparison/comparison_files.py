"""The files of a comparison: written, and read from a folder again."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from keras_effnet.atomic import atomic_write
from keras_effnet.comparison.compared import VERSION, ComparedNetwork, Comparison, TrainingSummary
from keras_effnet.errors import ComparisonError
from keras_effnet.json_text import read_json

JSON_FILE = "compare.json"


def write_comparison(comparison: Comparison, output: str | PathLike[str]) -> None:
    """Writes compare.csv, compare.md, compare.png, index.html and compare.json.

    Args:
        comparison: the comparison.
        output: folder for the files; made if missing.

    Raises:
        DataError: a file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    from keras_effnet.comparison.comparison_page import comparison_page
    from keras_effnet.comparison.comparison_plots import comparison_png
    from keras_effnet.report.text import json_text

    files = {
        "compare.csv": comparison.to_csv().encode(errors="replace"),
        "compare.md": comparison.to_markdown().encode(errors="replace"),
        "compare.png": comparison_png(comparison),
        "index.html": comparison_page(comparison),
        JSON_FILE: json_text(comparison.to_dict()).encode(),  # the last one: what it tells of is there
    }
    for name, content in files.items():
        atomic_write(Path(output) / name, lambda path, content=content: path.write_bytes(content))


def read_comparison(folder: str | PathLike[str]) -> Comparison:
    """Reads the comparison that a folder holds: that of the last call, whether it had finished or not.

    Args:
        folder: folder that `compare_networks` or `keras-effnet compare` wrote to.

    Raises:
        ComparisonError: there is none, or another version wrote it.

    Example:
        >>> from tempfile import mkdtemp
        >>> from keras_effnet import compare_networks
        >>> folder = mkdtemp()
        >>> made = compare_networks(["mobilenet_v1"], phi=[-1, 0], output=folder)
        >>> read_comparison(folder) == made
        True
    """
    path = Path(folder) / JSON_FILE
    if not path.is_file():
        raise ComparisonError(
            f"this folder holds no comparison: `keras-effnet compare NETWORK ... --output {folder}` makes one, with "
            "accuracies if `--train DATA` is added.",
            received=repr(str(folder)),
        )
    try:
        content = read_json(path)
        found = content.pop("version")
        if found != VERSION:
            raise ComparisonError(
                f"compare.json is of version {found}, and this is version {VERSION}: run the command that it names "
                "again; runs that are stored are not repeated.",
                received=f"{str(path)!r}, made by {content.get('command')!r}",
            )
        return _decoded(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ComparisonError):
            raise
        raise ComparisonError(
            f"compare.json cannot be read: {error!r:.200}. Run the command again that made it.",
            received=repr(str(path)),
        ) from error


def _decoded(content: Mapping[str, Any]) -> Comparison:
    networks = []
    for row in content["networks"]:
        told = {name: value for name, value in row.items() if name not in ("mean", "interval")}
        told["rates"] = {float(rate): accuracy for rate, accuracy in row["rates"].items()}
        told["accuracies"] = {int(seed): accuracy for seed, accuracy in row["accuracies"].items()}
        told["resolution"] = tuple(row["resolution"]) if isinstance(row["resolution"], list) else row["resolution"]
        networks.append(ComparedNetwork(**told))
    training = content["training"]
    if training is not None:
        recipe = {**training["recipe"], "rates": tuple(training["recipe"]["rates"])}
        lists = {name: tuple(training[name]) for name in ("seeds", "versions")}
        training = TrainingSummary(**{**training, **lists, "recipe": recipe})
    return Comparison(**{**content, "networks": tuple(networks), "training": training})
