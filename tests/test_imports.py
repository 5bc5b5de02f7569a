"""Imports go one way: no circle among the modules, wherever an import stands, and no name of a module twice."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import keras_effnet

ROOT = Path(keras_effnet.__file__).parent


def modules() -> dict[str, Path]:
    """Every module of the package by its full name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = (ROOT.name, *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str, known: Mapping[str, object]) -> Iterator[str]:
    """Modules of ours that `source` imports: at the top, inside functions, and only for type checkers."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, "imports are absolute"
            names = [full if (full := f"{node.module}.{alias.name}") in known else node.module for alias in node.names]
        else:
            continue
        yield from (name for name in names if name in known)


def circle(sources: Mapping[str, str]) -> list[str]:
    """Modules that import each other in a ring, or none."""
    graph = {name: set(imported(source, sources)) - {name} for name, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other() -> None:
    sources = {name: path.read_text(encoding="utf-8") for name, path in modules().items()}
    assert len(sources) > 100
    assert circle(sources) == []


@pytest.mark.parametrize(
    "back",
    [
        "import a",
        "from a import thing",
        "def f():\n    from a import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import thing",
    ],
)
def test_a_circle_is_seen_wherever_it_closes(back: str) -> None:
    assert circle({"a": "import b", "b": "from c import thing", "c": back})
    assert not circle({"a": "import b", "b": "from c import thing", "c": "import json"})


def test_no_two_modules_have_one_name() -> None:
    counts = Counter(path.stem for path in ROOT.rglob("*.py") if not path.stem.startswith("__"))
    assert [name for name, count in counts.items() if count > 1] == []
