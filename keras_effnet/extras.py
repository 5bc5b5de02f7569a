"""What the core does without: the extra that installs each further library, and the error where one is missing."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from keras_effnet.errors import MissingExtraError

# What each extra tells pip to install, as in pyproject.toml (test).
_TRAIN = ("matplotlib", "scikit-learn", "scipy")
_PACKAGES = {
    "train": _TRAIN,
    "tensorflow": ("tensorflow", *_TRAIN),
    "jax": ("jax", *_TRAIN),
    "torch": ("torch", *_TRAIN),
    "search": ("filelock", "optuna"),
    "tfds": ("importlib-resources", "tensorflow-datasets"),
    "keras-cv": ("keras-cv",),
    "litert": ("ai-edge-litert",),
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
    "postgresql": ("psycopg[binary]",),
    "ray": ("ray",),
    "hf": ("huggingface-hub",),
    "tiff": ("imagecodecs", "tifffile"),
}
_BACKENDS = ("tensorflow", "jax", "torch")
# Where a module is not called as its package is, or more than one extra brings it.
_MODULES = {"scikit-learn": "sklearn", "psycopg[binary]": "psycopg"}
_EXTRAS = {"onnx": "onnx", **dict.fromkeys(("matplotlib", "sklearn", "scipy"), "train")}


def _module(package: str) -> str:
    return _MODULES.get(package, package.replace("-", "_"))


def is_installed(module: str) -> bool:
    """Whether a module can be imported; does not import it.

    Args:
        module: name of the module, without a dot.
    """
    return find_spec(module) is not None


def _missing(what: str, extra: str, received: str, otherwise: str = "") -> MissingExtraError:
    packages = " ".join(f"'{each}'" if "[" in each else each for each in _PACKAGES[extra])
    return MissingExtraError(
        f"{what} needs what the extra [{extra}] of keras-effnet installs: pip install {packages}.{otherwise}",
        received=received,
    )


def require(extra: str, what: str) -> None:
    """Checks that an extra is installed, before anything is done; imports nothing.

    Args:
        extra: name of the extra.
        what: what needs it: the first words of the message.

    Raises:
        MissingExtraError: a module of it is not installed.

    Example:
        >>> require("train", "training")
    """
    for module in map(_module, _PACKAGES[extra]):
        if not is_installed(module):
            raise _missing(what, extra, f"no module named {module!r}")


def import_extra(name: str, what: str) -> Any:
    """Imports a module that an extra installs.

    Args:
        name: name of the module.
        what: what needs it: the first words of the message.

    Raises:
        MissingExtraError: it cannot be imported: names the extra.

    Example:
        >>> import_extra("scipy.stats", "a test").__name__
        'scipy.stats'
    """
    try:
        return import_module(name)
    except ImportError as error:
        extra = _extra_of(name.split(".")[0])
        raise (_missing(what, extra, str(error)) if extra else as_missing_extra(error) or error) from None


def _extra_of(module: str) -> str | None:
    every = {_module(package): extra for extra, packages in _PACKAGES.items() for package in packages}
    return {**every, **_EXTRAS}.get(module)


def as_missing_extra(error: ImportError) -> MissingExtraError | None:
    """The error that names the extra which installs what could not be imported; None if no extra does.

    Args:
        error: what Python raised. Keras raises it when its backend is not there.

    Example:
        >>> print(as_missing_extra(ModuleNotFoundError(name="ray")).rule)
        this needs what the extra [ray] of keras-effnet installs: pip install ray.
    """
    module = (error.name or "").split(".")[0]
    if module not in _BACKENDS:
        extra = _extra_of(module)
        return None if extra is None else _missing("this", extra, str(error))
    others = [name for name in _BACKENDS if is_installed(name)]
    asked = os.environ.get("KERAS_BACKEND")
    received = f"KERAS_BACKEND={asked!r}, and {error}" if asked else str(error)
    instead = f" Or use what is installed: set KERAS_BACKEND={others[0]}." if others else ""
    return _missing(f"Keras on the backend {module!r}", module, received, instead)
