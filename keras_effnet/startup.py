"""How a program of this package starts: quickly, and with the screen to itself.

Quickly: with everything installed, more than a third of the time in which TensorFlow and Keras are imported goes to
JAX, to scikit-learn with SciPy's statistics, and to matplotlib's windows. They are optional there: TensorFlow asks for
JAX to convert its functions, Keras for all three to save with Orbax, wrap models and plot images. Our programs do none
of it.

The screen: TensorFlow, absl and CUDA print lines on standard error that mean nothing to a user, some of them before any
setting of theirs is read. Only the file descriptor reaches all of them.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from keras_effnet.messages import said_on

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2  # their file descriptors
# What each module asks for as it is imported, and goes on without. Orbax' part of Keras comes after Keras' backend, so
# that JAX is there already where it is needed.
_OPTIONAL = {
    "tensorflow": ("jax",),
    "keras": ("matplotlib", "sklearn"),
    "keras.src.callbacks.orbax_checkpoint": ("jax",),
}


class _Refusal:
    """Finds the optional libraries while others are imported, and then says that they are not there."""

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        refused = any(name in optional and _is_being_imported(module) for module, optional in _OPTIONAL.items())
        # PyTorch asks whether there is one, and takes an exception here for a defect.
        return ModuleSpec(name, self) if refused else None  # pyright: ignore[reportArgumentType]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        raise ModuleNotFoundError(f"{spec.name} is left out while others are imported", name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Is never called."""


def _is_being_imported(name: str) -> bool:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


def import_less() -> None:
    """Lets TensorFlow and Keras be imported in two thirds of the time, from now on in this process.

    For programs only: where somebody else's code runs, it may want Keras' wrappers for scikit-learn. Whatever imports
    the optional libraries afterwards, or has before, is not affected.
    """
    if not any(isinstance(each, _Refusal) for each in sys.meta_path):
        sys.meta_path.insert(0, _Refusal())


def keep_output() -> None:
    """Keeps the place of a closed standard output: the next file that is opened would get what libraries print."""
    if sys.stdout is None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        if nowhere != STANDARD_OUTPUT:
            os.dup2(nowhere, STANDARD_OUTPUT)
            os.close(nowhere)


@contextmanager
def keep_screen() -> Iterator[Path | None]:
    """Inside, standard error is a log file, and only what `messages` says appears where it was.

    Yields:
        The file, for the caller to delete or to name; None, and nothing is moved, where there is no folder for the
        file: better too many lines than none.
    """
    if sys.stderr is None:  # closed: the next file that is opened would take its place, and get what libraries print
        os.dup2(os.open(os.devnull, os.O_WRONLY), STANDARD_ERROR)
        sys.stderr = os.fdopen(STANDARD_ERROR, "w")
    try:
        descriptor, name = tempfile.mkstemp(prefix="keras-effnet-", suffix=".log")
    except OSError:
        yield None
        return
    kept = os.dup(STANDARD_ERROR)
    sys.stderr.flush()
    os.dup2(descriptor, STANDARD_ERROR)
    os.close(descriptor)
    with os.fdopen(kept, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace") as stream:
        faulthandler.enable(stream)  # a crash inside a library ends the process, and nobody could name the file
        try:
            with said_on(stream):
                yield Path(name)
        finally:
            faulthandler.disable()
            sys.stderr.flush()
            os.dup2(stream.fileno(), STANDARD_ERROR)
