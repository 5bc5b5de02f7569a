"""Rules that every source file of the package keeps, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import keras_effnet
from keras_effnet import errors

PACKAGE = Path(keras_effnet.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
OURS = {name for name, value in vars(errors).items() if isinstance(value, type)}
MAX_LINES = 400
MAX_FUNCTION_LINES = 60

# Modules that execute what they read, or hide what a graph does.
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib"}
FORBIDDEN_NAMES = {"eval", "exec", "print", "Lambda"}


def nodes(source: str) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(source))


def violations(source: str) -> list[str]:
    """What in `source` breaks a rule."""
    found = []
    for node in nodes(source):
        if isinstance(node, ast.Assert):
            found.append(f"line {node.lineno}: assert")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"line {node.lineno}: bare except")
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in FORBIDDEN_NAMES:
                found.append(f"line {node.lineno}: {name}")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            names = {module, *(alias.name for alias in node.names)}
            if {str(name).split(".")[0] for name in names} & FORBIDDEN_MODULES:
                found.append(f"line {node.lineno}: imports {names}")
    return found


def text_of(node: ast.AST) -> str:
    """All constant text in an expression, f-strings too."""
    parts = (part for part in ast.walk(node) if isinstance(part, ast.Constant))
    return "".join(part.value for part in parts if isinstance(part.value, str))


def errors_without_received(source: str) -> list[int]:
    """Lines that make one of our errors (or the one a check was given) without saying what was received."""
    found = []
    for node in nodes(source):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            makes = node.func.id in OURS or node.func.id == "error"
            arguments = {keyword.arg for keyword in node.keywords}
            if makes and ("received" not in arguments or "Received:" in text_of(node)):
                found.append(node.lineno)
    return found


# The one place of each thing, and scripts that run without this package.
HOMES = {
    "json.loads": {"json_text.py", "latency/measure_probes.py"},
    "json.load": set(),
    "sys.stdout": {"cli/printer.py", "cli/parser.py", "cli/main.py", "startup.py"},
    "os.replace": {"atomic.py", "data/packed_images.py", "export/exporter.py"},
    # In place: drafts, which `export.exporter` renames, and files with a rename of their own.
    "write_text": {"export/formats.py", "latency/measure_probes.py", "latency/table.py"},
    "write_bytes": {"export/formats.py"},
}


def strangers(source: str, file: str) -> list[str]:
    """What `source` does itself that another file does for all. What is written in a lambda is `atomic_write`'s."""
    tree = ast.parse(source)
    deferred = {id(node) for made in ast.walk(tree) if isinstance(made, ast.Lambda) for node in ast.walk(made)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in deferred:
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            names = {node.attr, f"{owner}.{node.attr}"}
            found += [f"line {node.lineno}: {name}" for name in HOMES if name in names and file not in HOMES[name]]
    return found


def long_functions(source: str) -> list[str]:
    """Functions above the limit; a docstring is not code."""
    found = []
    for node in nodes(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            text = (first.end_lineno or 0) - first.lineno + 1 if is_text else 0
            lines = (node.end_lineno or 0) - node.lineno + 1 - text
            if lines > MAX_FUNCTION_LINES:
                found.append(f"{node.name}: {lines} lines")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_source_file_keeps_the_rules(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert violations(source) == []
    assert strangers(source, path.relative_to(PACKAGE).as_posix()) == []
    assert errors_without_received(source) == []
    assert long_functions(source) == []
    assert len(source.splitlines()) <= MAX_LINES
    assert not source or ast.get_docstring(ast.parse(source)), "a module says what it is for"


@pytest.mark.parametrize(
    "source",
    [
        "assert x",
        "try:\n    x\nexcept:\n    y",
        "print(1)",
        "eval('1')",
        "import pickle",
        "from pickle import load",
        "import numpy, pickle",
        "keras.layers.Lambda(f)",
    ],
)
def test_a_broken_rule_is_seen(source: str) -> None:
    assert violations(source)


@pytest.mark.parametrize(
    "source",
    [
        "raise SpecError(f'wrong: {x}')",
        "raise error('wrong')",
        "return WeightsError(text)",
        "raise SpecError('wrong. Received: it', received='it')",
    ],
)
def test_an_error_that_says_nothing_of_its_cause_is_seen(source: str) -> None:
    assert errors_without_received(f"def f(error, text):\n    {source}")


@pytest.mark.parametrize(
    "source", ["json.loads(text)", "sys.stdout.write(text)", "path.write_text(text)", "os.replace(part, path)"]
)
def test_what_another_file_is_for_is_seen(source: str) -> None:
    assert strangers(source, "cost.py")
    assert not strangers("atomic_write(path, lambda part: part.write_text(text))", "cost.py")


def test_a_long_function_is_seen() -> None:
    assert long_functions("def f():\n" + "    x = 1\n" * 60)
    assert not long_functions('def f():\n    """' + "text\n" * 60 + '"""\n' + "    x = 1\n" * 30)


def test_every_module_is_found() -> None:
    assert {"spec.py", "cost.py", "initialization.py", "__init__.py"} <= {path.name for path in FILES}
