"""The catalogue: its rows, what is written from them, and that a name stands nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from runpy import run_path

import pytest
from support import GOLDEN, run_python

from keras_effnet import BackboneSpec, applications
from keras_effnet.backbones.catalogue import FAMILIES, MODULES, SPECS, VARIANTS, family_of
from keras_effnet.registry import backbones

ROOT = Path(__file__).parents[1]


def test_every_module_of_specs_is_in_the_catalogue() -> None:
    files = {path.stem for path in (ROOT / "keras_effnet" / "backbones").glob("*_specs.py")}
    assert {module.__name__.rpartition(".")[2] for module in MODULES} == files - {"timm_specs"}
    rows = [variant for module in MODULES for variant in module.VARIANTS]
    assert len({variant.name for variant in rows}) == len(rows) == len(VARIANTS)


def test_a_module_lists_every_spec_of_its_own() -> None:
    for module in MODULES:
        listed = {f"{variant.name}_spec": variant.spec for variant in module.VARIANTS}
        public = {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, BackboneSpec) and not name.startswith("_")
        }
        assert listed.items() <= public.items()
        # The base in another module may have been imported.
        assert all(spec is SPECS[spec.name] for spec in public.values())


def test_the_registry_has_the_rows() -> None:
    own = {name for name in backbones.names() if name in VARIANTS}
    assert own == set(VARIANTS)
    for name, variant in VARIANTS.items():
        assert backbones.get(name) is variant.spec is getattr(applications, f"{name}_spec")


def test_bases_are_bases() -> None:
    for base, sizes in FAMILIES.items():
        assert VARIANTS[base].base is None
        assert base not in sizes
        assert {family_of(name) for name in (base, *sizes)} == {base}
    assert sum(len(sizes) for sizes in FAMILIES.values()) == sum(one.base is not None for one in VARIANTS.values())
    assert family_of("mobilenet_v1") is None
    assert family_of("mine") is None


def test_an_accuracy_has_a_source() -> None:
    for variant in VARIANTS.values():
        assert (variant.top1 is None) == (variant.source is None)
        assert variant.top1 is None or 50 < variant.top1 < 100
    for base, sizes in FAMILIES.items():
        # Published by one source, a larger network of a family is better.
        rows = [VARIANTS[name] for name in (base, *sizes) if not name.startswith("tinynet")]
        found = [variant.top1 for variant in rows if variant.top1 is not None]
        assert found == sorted(found)
        assert len({variant.source for variant in rows if variant.source is not None}) <= 1


# Accuracies that stand in this project's own notes of the paper: arXiv:1905.11946v5, Table 2.
@pytest.mark.parametrize(("size", "top1"), [("b0", 77.1), ("b1", 79.1), ("b3", 81.6), ("b4", 82.9), ("b7", 84.3)])
def test_accuracies_of_efficientnet_are_the_papers(size: str, top1: float) -> None:
    assert VARIANTS[f"efficientnet_{size}"].top1 == top1


def test_weights_belong_to_builders_of_keras() -> None:
    for name, variant in VARIANTS.items():
        assert bool(variant.weights) == (variant.keras is not None), name
        assert not variant.weights or any(one.matches(variant.spec) for one in variant.weights)
        assert variant.keras is None or hasattr(applications, variant.keras)
        for weights in variant.weights:
            for file in (weights.top, weights.notop):
                assert file.url.endswith(file.name)
                assert file.checksum is None or len(file.checksum) in (32, 64)


def test_golden_values_of_timm_are_those_of_the_catalogues_names() -> None:
    rows = json.loads((GOLDEN / "timm.json").read_text(encoding="utf-8"))
    assert {name: row["timm"] for name, row in rows.items()} == {
        name: variant.timm for name, variant in VARIANTS.items() if variant.timm is not None
    }


def test_what_is_written_from_the_catalogue_is_up_to_date() -> None:
    outputs = run_path(str(ROOT / "scripts" / "catalogue.py"))["outputs"]()
    stale = [str(path) for path, text in outputs.items() if not path.is_file() or path.read_text("utf-8") != text]
    assert stale == [], "run: python scripts/catalogue.py"
    assert len(outputs) == 13
    page = outputs[ROOT / "docs" / "backbones.md"]
    assert all(f"`{name}`" in page for name in VARIANTS)


def test_listing_names_imports_nothing_heavy() -> None:
    code = "import sys, keras_effnet; before = set(sys.modules); from keras_effnet.registry import backbones; "
    code += "assert not any('_specs' in name for name in sys.modules); assert len(backbones.names()) >= 70; "
    code += "print(sorted({'keras', 'tensorflow', 'numpy', 'h5py'} & set(sys.modules)))"
    assert run_python(code) == "[]"
