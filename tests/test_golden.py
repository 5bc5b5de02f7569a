"""Published numbers and golden values: what must not move by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import GOLDEN

from keras_effnet import Coefficients, Rounding, applications, estimate_cost, explain, scale_spec
from keras_effnet.registry import backbones
from keras_effnet.scaling import Compound


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


# (parameters that Keras counts with top, billions of FLOPS in arXiv:1905.11946v4, Table 2)
TABLE_2 = {
    "b0": (5_330_571, 0.39),
    "b1": (7_856_239, 0.70),
    "b2": (9_177_569, 1.0),
    "b3": (12_320_535, 1.8),
    "b4": (19_466_823, 4.2),
    "b5": (30_562_527, 9.9),
    "b6": (43_265_143, 19),
    "b7": (66_658_687, 37),
}


@pytest.mark.parametrize("size", TABLE_2)
def test_efficientnets_cost_what_table_2_says(size: str) -> None:
    params, billions = TABLE_2[size]
    cost = estimate_cost(f"efficientnet_{size}")
    assert cost.params == params
    assert cost.macs == pytest.approx(billions * 1e9, rel=0.06)


# The rows with d=1.4, w=1.2, r=1.3, which is phi=2 rounded: Tables 3 and 7, billions.
COMPOUND_ROWS = {"mobilenet_v1": 2.3, "mobilenet_v2": 1.3, "resnet50": 16.7, "efficientnet_b0": 1.8}


@pytest.mark.parametrize("name", COMPOUND_ROWS)
@pytest.mark.parametrize("asked", [{"phi": 2}, {"coefficients": Coefficients(1.4, 1.2, 1.3)}], ids=["phi", "rounded"])
def test_compound_rows_of_tables_3_and_7(name: str, asked: dict[str, Any]) -> None:
    macs = estimate_cost(scale_spec(name, **asked)).macs
    assert macs == pytest.approx(COMPOUND_ROWS[name] * 1e9, rel=0.15)


def test_the_worked_example() -> None:
    # alpha^7 = 3.58, beta^7 = gamma^7 = 1.95: stage 4, 56x56 with 40 channels in 2 layers, is multiplied by these.
    base = explain("efficientnet_b0").rows[3]
    assert (base.stage, base.resolution, base.channels, base.layers) == (4, (56, 56), 40, 2)
    made = explain("efficientnet_b0", phi=7, rule=Compound(1.2, 1.1, 1.1), rounding=Rounding(divisor=1, depth="round"))
    row = made.rows[3]
    assert (row.stage, row.resolution, row.channels, row.layers) == (4, (109, 109), 78, 7)
    [line] = [line for line in str(made).splitlines() if line.split()[:1] == ["4"]]
    assert line.split()[:6] == ["4", "MBConv6,", "k5x5", "109x109", "78", "7"]
    assert (round(made.nominal.depth, 2), round(made.nominal.width, 2)) == (3.58, 1.95)


@pytest.mark.parametrize("name", backbones.names())
def test_every_backbone_costs_what_it_always_did(name: str) -> None:
    cost = estimate_cost(name)
    expected = golden("backbones.json")[name]
    assert {"params": cost.params, "macs": cost.macs, "activations": cost.activations} == {
        key: value for key, value in expected.items() if key != "source"
    }


@pytest.mark.parametrize("case", golden("scaled.json"))
def test_scaled_backbones_are_what_they_always_were(case: str) -> None:
    name, _, phi = case.partition(" phi=")
    spec = scale_spec(name, float(phi))
    cost = estimate_cost(spec)
    assert golden("scaled.json")[case] == {
        "resolution": spec.resolution,
        "widths": [stage.width for stage in spec.stages],
        "depths": [stage.depth for stage in spec.stages],
        "params": cost.params,
        "macs": cost.macs,
    }


def test_golden_values_of_namesakes_were_counted_in_keras_own_graphs() -> None:
    sources = {row["source"] for row in golden("backbones.json").values()}
    builders = {name for name in applications.__all__ if not name.endswith("_spec")}
    assert sources == {"spec", *(f"keras.applications.{name}" for name in builders)}
