"""Which phi is B3? The published sizes beside the nearest phi of their base."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keras_effnet import Rounding, estimate_cost, explain, scale_spec
from keras_effnet.backbones.catalogue import FAMILIES, family_of
from keras_effnet.registry import backbones
from keras_effnet.variants import variant_rows

# What users fitted: tensorflow/tpu issue 390, each give or take what rounding moves.
FITTED = {"b1": 0.5, "b2": 1, "b3": 2, "b4": 3.5, "b5": 5, "b6": 6, "b7": 7}


def test_the_phi_of_b3_has_an_answer() -> None:
    made = explain("efficientnet_b0")
    assert made.family == "efficientnet_b0"
    found = {row.name: row for row in made.variants}
    for size, phi in FITTED.items():
        assert found[f"efficientnet_{size}"].phi == pytest.approx(phi, abs=0.3)
    # "L2 fits no line": depth 5.3, width 4.3, resolution 3.57.
    assert found["efficientnet_l2"].difference > 1.5
    assert found["efficientnet_b3"].difference < 1.05
    text = str(made)
    assert "phi of efficientnet_b0" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("efficientnet_b3")] == ["efficientnet_b3"]


@pytest.mark.parametrize("base", FAMILIES)
def test_no_other_phi_is_nearer(base: str) -> None:
    spec = backbones.get(base)
    name, rows = variant_rows(spec)
    assert name == base
    assert {row.name for row in rows} == set(FAMILIES[base])
    assert [row.macs for row in rows] == sorted(row.macs for row in rows)
    for row in rows:
        assert row.macs == estimate_cost(row.name).macs
        assert row.phi_macs == estimate_cost(scale_spec(spec, row.phi)).macs
        distance = abs(row.phi_macs / row.macs - 1)
        for other in (row.phi - 0.5, row.phi - 0.05, row.phi + 0.05, row.phi + 0.5):
            try:
                macs = estimate_cost(scale_spec(spec, other)).macs
            except ValueError:
                continue  # the resolution would be below the total stride
            assert abs(macs / row.macs - 1) >= distance - 0.02


def test_a_member_shows_its_family_and_a_changed_one_itself() -> None:
    assert {row.name for row in explain("efficientnet_b3").variants} == set(FAMILIES["efficientnet_b0"])
    scaled = scale_spec("resnet50", 1)
    [row] = explain(scaled).variants
    assert (row.name, row.phi) == ("resnet50", pytest.approx(1, abs=0.05))
    assert row.difference == pytest.approx(1)


def test_backbones_of_no_family_and_rules_of_some_phi_have_no_rows() -> None:
    assert explain("mobilenet_v1").variants == ()
    assert explain(replace(backbones.get("resnet50"), name="mine")).variants == ()
    assert explain("efficientnet_b0", "b3", rule="tabulated").variants == ()
    assert family_of("mine") is None


def test_the_rule_and_the_rounding_count() -> None:
    by_width = {row.name: row.phi for row in variant_rows(backbones.get("resnet50"), "width_only")[1]}
    by_depth = {
        row.name: row for row in variant_rows(backbones.get("resnet50"), "depth_only", Rounding(depth="round"))[1]
    }
    assert by_width["resnet101"] == pytest.approx(1, abs=0.1)
    # ResNet-101 is ResNet-50 made deeper, in one stage only.
    assert by_depth["resnet101"].difference < 1.1
