"""Registries: names, near names, places that import."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from support import tiny_spec

from keras_effnet import BackboneSpec, Coefficients, registry
from keras_effnet.blocks import Block, MBConv
from keras_effnet.errors import RegistryError
from keras_effnet.registry import Registry, backbones, blocks, classifiers, norms, resolve_backbone, rules


def test_every_name_leads_to_an_object_of_its_kind() -> None:
    for name in backbones.names():
        spec = backbones.get(name)
        assert isinstance(spec, BackboneSpec)
        assert spec.name == name
    for name in rules.names():
        assert isinstance(rules.get(name)(0), Coefficients)
    for name in blocks.names():
        assert issubclass(blocks.get(name), Block)


def test_names_are_sorted_and_unique() -> None:
    for one in (backbones, rules, blocks, classifiers, norms):
        assert list(one.names()) == sorted(set(one.names()))


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("efficientnet-b4", "efficientnet_b4"), ("resnet_50", "resnet50"), ("mobilenetv2", "mobilenet_v2")],
)
def test_an_unknown_name_is_answered_with_near_ones(asked: str, meant: str) -> None:
    with pytest.raises(RegistryError, match=f"did you mean .*'{meant}'.*Received: '{asked}'"):
        backbones.get(asked)


def test_a_name_near_to_none_is_answered_with_all() -> None:
    with pytest.raises(RegistryError, match=rf"there are {', '.join(rules.names())}\. Received: 'zzz'"):
        rules.get("zzz")


def test_a_new_name_is_found_and_a_taken_one_refused() -> None:
    fresh: Registry[BackboneSpec] = Registry("backbone", {}, backbones.accepts)
    spec = tiny_spec(MBConv())
    fresh.register("mine", spec)
    assert fresh.get("mine") is spec
    with pytest.raises(RegistryError, match=r"taken.*Received: 'mine'"):
        fresh.register("mine", spec)
    fresh.register("place", "keras_effnet.applications:resnet50_spec")
    assert fresh.get("place") is backbones.get("resnet50")
    assert fresh.names() == ("mine", "place")
    with pytest.raises(RegistryError, match=r"taken.*Received: 'resnet50'"):
        backbones.register("resnet50", spec)
    for wrong in ("", 3, None):
        with pytest.raises(RegistryError, match=r"must be a text.*Received: name="):
            fresh.register(wrong, spec)  # pyright: ignore[reportArgumentType]


# What a module may do while it is imported, and what the message must then say.
BROKEN = {
    "raise NameError('no such name')": "NameError('no such name')",
    "no_such_name": "NameError",
    "def f(:": "SyntaxError",
    "raise SystemExit(3)": "SystemExit(3)",
    "import sys; sys.exit('usage: ...')": "usage: ...",
    "1 / 0": "ZeroDivisionError",
    "import no_such_module": "no_such_module",
    "raise type('Own', (Exception,), {})('mine')": "Own('mine')",
    "def f(): f()\nf()": "RecursionError",
    "spec = 1": "no attribute 'wanted'",
}


@pytest.mark.parametrize("code", BROKEN)
@pytest.mark.parametrize("kind", ["own", "registered", "table"])
def test_whatever_an_import_raises_names_the_place_and_the_cause(
    code: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"broken_{abs(hash((code, kind)))}"
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    place = f"{module}:wanted"
    broken: Registry[BackboneSpec] = Registry(
        "backbone", {"own": {"asked": place}, "registered": {}, "table": place}[kind], backbones.accepts
    )
    if kind == "registered":
        broken.register("asked", place)
    with pytest.raises(RegistryError) as caught:
        broken.get("asked")
    assert BROKEN[code] in str(caught.value)
    assert str(caught.value).endswith(f"Received: {place!r}")
    assert kind == "table" or "'asked'" in str(caught.value)
    assert caught.value.__cause__ is not None


def test_ctrl_c_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "interrupted.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        Registry("backbone", {"asked": "interrupted:spec"}, backbones.accepts).get("asked")


@pytest.mark.parametrize("place", ["json:dumps", "nothing", ":", "", ".relative:spec"])
def test_a_place_of_no_backbone_is_an_error(place: str) -> None:
    with pytest.raises(RegistryError, match=r"'asked'.*Received"):
        Registry("backbone", {"asked": place}, backbones.accepts).get("asked")


@pytest.mark.parametrize(
    ("found", "value"),
    [
        (backbones, MBConv),
        (backbones, MBConv()),
        (rules, 5),
        (blocks, MBConv()),
        (blocks, BackboneSpec),
        (classifiers, MBConv),
        (norms, MBConv),
        (norms, norms.get("batch")()),
    ],
)
def test_an_object_of_another_kind_cannot_be_registered(found: Registry, value: object) -> None:
    with pytest.raises(RegistryError, match=r"'my_own' is an object of another kind\. Received: "):
        found.register("my_own", value)
    assert "my_own" not in found.names()


def test_the_stub_says_what_the_module_has() -> None:
    stub = ast.parse(Path(registry.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    source = ast.parse(inspect.getsource(registry))

    def public(tree: ast.Module) -> dict[str, str]:
        found = {}
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                [target] = node.targets if isinstance(node, ast.Assign) else [node.target]
                found[ast.unparse(target)] = "value"
            elif isinstance(node, ast.FunctionDef):
                found[node.name] = ast.unparse(node.args)
            elif isinstance(node, ast.ClassDef):
                methods = {part.name: ast.unparse(part.args) for part in node.body if isinstance(part, ast.FunctionDef)}
                found |= {f"{node.name}.{name}": text for name, text in methods.items()}
        return {
            name: text
            for name, text in found.items()
            if name != "logger" and not any(part.startswith("_") and part != "__init__" for part in name.split("."))
        }

    assert public(stub) == public(source)
    assert len(public(stub)) == 12


def test_a_spec_stands_for_itself() -> None:
    spec = tiny_spec(MBConv())
    assert resolve_backbone(spec) is spec
    assert resolve_backbone("resnet50") is backbones.get("resnet50")
    for wrong in (MBConv(), 5, None, ["resnet50"]):
        with pytest.raises(RegistryError, match=r"a BackboneSpec or the name of one\. Received: "):
            resolve_backbone(wrong)
