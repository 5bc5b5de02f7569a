"""Names of what a network reads and returns, and arrays given by these names. Importing this does not load keras."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_effnet.errors import KerasEffnetError

if TYPE_CHECKING:
    import numpy as np

    from keras_effnet.recorded import Network

    Arrays = np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray]
    """An array for each input of a network: one alone, a list in the network's order, or a dict by name."""


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names with a number behind those that came before.

    Args:
        names: the names.

    Example:
        >>> unique_names(("head", "image", "head"))
        ('head', 'image', 'head_1')
    """
    found: list[str] = []
    for name in names:
        free, number = name, 0
        while free in found:
            number += 1
            free = f"{name}_{number}"
        found.append(free)
    return tuple(found)


def file_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names that every format of a file can hold: letters, digits and underscores behind a letter, each once.

    Args:
        names: the names.

    Example:
        >>> file_names(("left image", "left-image", "2"))
        ('left_image', 'left_image_1', 'x2')
    """
    plain = (re.sub(r"[^A-Za-z0-9_]", "_", name) for name in names)
    return unique_names(name if name[:1].isalpha() else f"x{name}" for name in plain)


def named_ends(network: Network) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names for the inputs and outputs of a recorded network that has no others: those of its nodes.

    Args:
        network: the network.

    Returns:
        Names that every format of a file can hold, each once; one output alone is called "output".
    """
    returned = ["output"] if len(network.outputs) == 1 else [node.name for node in network.outputs]
    names = file_names([*(node.name for node in network.inputs), *returned])
    return names[: len(network.inputs)], names[len(network.inputs) :]


def quoted(names: Collection[str]) -> str:
    """Names as a message has them.

    Args:
        names: the names.

    Example:
        >>> quoted(("left", "right"))
        "'left', 'right'"
    """
    return ", ".join(map(repr, names))


def check_arrays(error: type[KerasEffnetError], argument: str, given: Any, names: Sequence[str]) -> list[Any]:
    """Arrays for the inputs of a network, in the network's order.

    Args:
        error: what to raise.
        argument: name of the argument, for messages.
        given: one array for a network of one input; for several a list in their order, or a dict by their names.
        names: names of the inputs.

    Raises:
        KerasEffnetError: as `error`: not one array for each input.

    Example:
        >>> check_arrays(KerasEffnetError, "images", {"right": 2, "left": 1}, ("left", "right"))
        [1, 2]
    """
    if isinstance(given, Mapping):
        if set(given) == set(names):
            return [given[name] for name in names]
        received = f"a dict of {quoted([str(name) for name in given])}"
    elif len(names) == 1:
        return [given]
    elif isinstance(given, list | tuple):
        if len(given) == len(names):
            return list(given)
        received = f"{len(given)} of them"
    else:
        received = f"one, a {type(given).__name__}"
    wanted = f"one array for each input, {quoted(names)}: a list in this order, or a dict by name"
    raise error(f"`{argument}` must be {wanted}.", received=received)
