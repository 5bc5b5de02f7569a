"""Explanations: the table of a scaled network agrees with the count, as text and as JSON."""

from __future__ import annotations

import json

import pytest
from support import BASES

from keras_effnet import Coefficients, Rounding, estimate_cost, explain, scale_spec
from keras_effnet.registry import backbones
from keras_effnet.scaling import Compound

# Every phi for each family, one of them for each of its other sizes.
TURNS = [
    (name, phi)
    for number, name in enumerate(backbones.names())
    for place, phi in enumerate((None, -1, 2))
    if name in BASES or number % 3 == place
]


@pytest.mark.parametrize(("name", "phi"), TURNS)
def test_rows_add_up_to_the_cost_and_stand_in_the_text(name: str, phi: float | None) -> None:
    made = explain(name, phi)
    spec = backbones.get(name) if phi is None else scale_spec(name, phi)
    assert made.cost == estimate_cost(spec)
    assert sum(row.params for row in made.rows) == made.cost.params
    assert sum(row.macs for row in made.rows) == made.cost.macs
    assert [row.layers for row in made.rows[1:-1]] == [stage.depth for stage in spec.stages]
    assert [row.stage for row in made.rows] == list(range(1, len(made.rows) + 1))
    text = str(made)
    for row in made.rows:
        assert f"{row.resolution[0]}x{row.resolution[1]}" in text
        assert f"{row.params:,}" in text
        assert f"{row.macs:,}" in text
    assert f"{made.cost.params:,}" in text


def test_b0_is_table_1_of_the_paper() -> None:
    # (resolution, channels, layers): arXiv:1905.11946, Table 1. The paper's resolution is a stage's input; it gives
    # 112 for the second MBConv stage and 14 for stage 6, which are outputs of the stages before them.
    rows = explain("efficientnet_b0").rows
    assert [(row.resolution[0], row.channels, row.layers) for row in rows] == [
        (224, 32, 1),
        (112, 16, 1),
        (112, 24, 2),
        (56, 40, 2),
        (28, 80, 3),
        (14, 112, 3),
        (14, 192, 4),
        (7, 320, 1),
        (7, 1280, 1),
    ]
    assert rows[1].operator.startswith("MBConv1")
    assert rows[-1].operator == "Conv, k1x1 & Pooling & FC"


def test_realised_ratios_are_those_of_the_built_network() -> None:
    made = explain("resnet50", phi=2, rounding=Rounding(divisor=8))
    spec = scale_spec("resnet50", 2)
    assert made.nominal == Compound()(2)
    assert made.realised.depth == spec.depth / 16
    assert made.realised.resolution == spec.resolution / 224
    assert made.realised_macs == estimate_cost(spec).macs / estimate_cost("resnet50").macs
    assert made.nominal_macs == pytest.approx(1.9203**2, rel=1e-4)


def test_factors_of_single_stages_are_promised_as_they_are_kept() -> None:
    # Depth 2^phi in the last two stages of ResNet-50 (3, 4, 6, 3 blocks): 25 blocks instead of 16.
    late = explain("resnet50", 1, rule=lambda phi: Coefficients(stages=((1, 1), (1, 1), (2**phi, 1), (2**phi, 1))))
    assert late.nominal.depth == late.realised.depth == 25 / 16
    assert late.nominal.width == late.nominal.resolution == 1
    assert late.nominal_macs == pytest.approx(late.realised_macs, rel=0.05)
    both = explain("resnet50", coefficients=Coefficients(2, 1.5, 1.25, stages=((1, 1), (2, 2), (1, 0.5), (1, 1))))
    assert both.nominal.depth == both.realised.depth == 2 * 20 / 16
    assert both.nominal.width == pytest.approx(both.realised.width, rel=0.02)
    assert both.nominal_macs == pytest.approx(both.realised_macs, rel=0.15)
    # Equal factors in all stages are the same as one for the network, but for stem and classifier.
    equal = explain("resnet50", coefficients=Coefficients(stages=((2, 1.5),) * 4))
    assert equal.nominal_macs == pytest.approx(2 * 1.5**2, rel=0.05)


def test_what_is_not_scaled_has_ratios_of_1() -> None:
    for made in (explain("resnet50"), explain("resnet50", phi=0), explain("resnet50", coefficients=Coefficients())):
        assert made.nominal == made.realised == Coefficients()
        assert made.nominal_macs == made.realised_macs == 1


def test_the_dictionary_survives_json() -> None:
    made = explain("mobilenet_v2", phi=1.5, classes=10, channels=1)
    found = json.loads(json.dumps(made.to_dict()))
    assert found["phi"] == 1.5
    assert found["cost"]["params"] == made.cost.params
    assert found["cost"]["flops"] == 2 * made.cost.macs
    assert [row["layers"] for row in found["rows"]] == [row.layers for row in made.rows]
