"""Registries: names, near names, places that import."""

from __future__ import annotations

import pytest
from support import tiny_spec

from keras_effnet import BackboneSpec, Coefficients
from keras_effnet.blocks import Block, MBConv
from keras_effnet.errors import RegistryError
from keras_effnet.registry import Registry, backbones, blocks, resolve_backbone, rules


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
    for registry in (backbones, rules, blocks):
        assert list(registry.names()) == sorted(set(registry.names()))


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
    registry: Registry[BackboneSpec] = Registry("backbone", {"far": "no_such_module:spec", "wrong": "json:no_such"})
    spec = tiny_spec(MBConv())
    registry.register("mine", spec)
    assert registry.get("mine") is spec
    with pytest.raises(RegistryError, match=r"taken.*Received: 'mine'"):
        registry.register("mine", spec)
    registry.register("place", "keras_effnet.applications:resnet50_spec")
    assert registry.get("place") is backbones.get("resnet50")
    for name in ("far", "wrong"):
        with pytest.raises(RegistryError, match=r"cannot be imported.*Received"):
            registry.get(name)


def test_a_spec_stands_for_itself() -> None:
    spec = tiny_spec(MBConv())
    assert resolve_backbone(spec) is spec
    assert resolve_backbone("resnet50") is backbones.get("resnet50")
