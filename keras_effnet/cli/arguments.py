"""Conversions of command-line arguments that several commands share."""

from __future__ import annotations

import os
from pathlib import Path

from keras_effnet.errors import WeightsError
from keras_effnet.registry import backbones
from keras_effnet.spec import BackboneSpec


def check_model_file(path: Path) -> None:
    """Checks that there is a model's file (or folder, of a SavedModel), before a framework is imported to read it.

    Raises:
        WeightsError: there is none.
    """
    if not path.exists():
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
