"""Paths as users give them."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from keras_effnet.errors import KerasEffnetError


def given_path(error: type[KerasEffnetError], path: str | PathLike[str]) -> Path:
    """Completes a path that begins with `~`, the home folder.

    Args:
        error: class of the error.
        path: the path, whether there is such a file or not.

    Returns:
        The whole path.

    Raises:
        KerasEffnetError: `error`: no file can be called so, such as one whose name is too long, or one in the home of
            somebody unknown; or it lies where one may not look.

    Example:
        >>> from keras_effnet.errors import WeightsError
        >>> given_path(WeightsError, "weights/net.h5")
        PosixPath('weights/net.h5')
    """
    try:
        found = Path(path).expanduser()
        os.lstat(found)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError, RuntimeError) as problem:
        raise error(f"no file can be read there: {problem!s:.200}.", received=f"{str(path)!r:.300}") from problem
    return found
