"""Versions of what computes, to reproduce numbers with. Loads neither keras nor tensorflow."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import keras_effnet

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "optuna")


def installed_versions() -> dict[str, str]:
    """Versions of this package, of Python, and of the packages that compute, as far as they are installed.

    Returns:
        Versions by name.

    Example:
        >>> installed_versions()["keras_effnet"] == keras_effnet.__version__
        True
    """
    found = {"keras_effnet": keras_effnet.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
