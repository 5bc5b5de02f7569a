"""Environments with less in them than the one that the tests run in: what pip would install for some extras."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = re.compile(r"([\w.-]+)\s*(?:\[(.*?)\])?")
EXTRA = re.compile(r"extra == ['\"]([\w-]+)['\"]")


def _own_requirements(extras: set[str]) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]


def _requirements(name: str, extras: set[str]) -> list[str]:
    """What a distribution needs, with some of its extras, as lines of its metadata."""
    if name == "keras-effnet":
        return _own_requirements(extras)
    wanted = []
    for line in distribution(name).requires or ():
        extra = EXTRA.search(line)
        if extra is None or extra[1] in extras:
            wanted.append(line)
    return wanted


def closure(extras: set[str]) -> dict[str, Distribution]:
    """The distributions that this package needs with some extras, directly or not, as far as they are installed here.

    What is not installed here is for another system, or for another Python.
    """
    found: dict[str, Distribution] = {}
    seen, waiting = set(), [("keras-effnet", frozenset(extras))]
    while waiting:
        name, asked = each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        if name != "keras-effnet":
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                continue
        for line in _requirements(name, set(asked)):
            needed, inside = PACKAGE.match(line).groups()  # pyright: ignore[reportOptionalMemberAccess]
            wanted = inside.replace(" ", "").split(",") if inside else ()
            waiting.append((re.sub(r"[-_.]+", "-", needed).lower(), frozenset(wanted)))
    return found


def make_environment(folder: Path, extras: str = "") -> Path:
    """Lays out what `pip install 'keras-effnet[EXTRAS]'` brings, by links into this environment.

    Returns:
        The environment's Python.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = (folder / "lib").glob("python*/site-packages")
    for each in closure(set(extras.split(",")) - {""}).values():
        for top in {path.parts[0] for path in each.files or () if path.parts[0] not in ("..", "__pycache__")}:
            source = Path(str(each.locate_file(top)))
            if not (packages / top).exists() and source.exists():
                (packages / top).symlink_to(source)
    (packages / "keras_effnet.pth").write_text(f"{ROOT}\n")
    return folder / "bin" / "python"
