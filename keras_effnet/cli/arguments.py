"""What several commands take from the command line."""

from __future__ import annotations

import os

from keras_effnet.registry import backbones
from keras_effnet.spec import BackboneSpec


def backbone_argument(text: str) -> BackboneSpec | str:
    """The spec in a file, where the text is the path of one; else the text, which is a name then.

    A registered name is a name even where a file is called so; what ends in .json is a file even where there is none.

    Raises:
        SpecError: the file is missing or holds no spec.
    """
    is_file = text.endswith(".json") or (text not in backbones.names() and os.path.isfile(text))
    if not is_file:
        return text
    from keras_effnet.serialization import read_spec

    return read_spec(text)


def phi_value(text: str) -> float | str:
    """A number where the text is one, else the text: the name of a row for `--rule tabulated`."""
    try:
        return float(text)
    except ValueError:
        return text
