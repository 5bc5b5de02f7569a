"""Our counts against timm's, which `scripts/golden_timm.py` took from its modules as they ran."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import GOLDEN

from keras_effnet import estimate_cost
from keras_effnet.registry import backbones

TIMM: dict[str, dict[str, Any]] = json.loads((GOLDEN / "timm.json").read_text(encoding="utf-8"))

# (millions of parameters, of multiply-adds).
PUBLISHED = {
    # google/automl, efficientnetv2/README.md.
    "efficientnet_v2_b0": (7.1, 720),
    "efficientnet_v2_b1": (8.1, 1_200),
    "efficientnet_v2_b2": (10.1, 1_700),
    "efficientnet_v2_b3": (14.4, 3_000),
    "efficientnet_v2_s": (21.5, 8_400),
    "efficientnet_v2_m": (54.1, 24_700),
    "efficientnet_v2_l": (119.5, 56_300),
    # arXiv:2010.14819.
    "tinynet_a": (6.2, 339),
    "tinynet_b": (3.7, 202),
    "tinynet_c": (2.5, 100),
    "tinynet_d": (2.3, 52),
    "tinynet_e": (2.0, 24),
    # pytorch.org/vision, torchvision.models: num_params and GFLOPS.
    "resnet18": (11.7, 1_810),
    "resnet34": (21.8, 3_660),
    # tensorflow/tpu, models/official/mnasnet/README.md.
    "mnasnet_a1": (3.9, 312),
}
# The same for Lite0 to Lite4: tensorflow/tpu, models/official/efficientnet/lite/README.md. Its multiply-adds are 3 to
# 6 % more than those of convolutions and dense layers, which timm counts as we do.
LITE = ((4.7, 407), (5.4, 631), (6.1, 899), (8.2, 1_440), (13.0, 2_640))


@pytest.mark.parametrize("name", TIMM)
def test_counts_are_those_of_timms_namesake(name: str) -> None:
    row = TIMM[name]
    assert backbones.get(name).resolution == row["resolution"]
    cost = estimate_cost(name)
    same = (cost.trainable_params, cost.macs) == (row["params"], row["macs"])
    # A row with a note says why ours is another; it goes as soon as the counts agree.
    assert same != ("note" in row), f"{cost.trainable_params=}, {cost.macs=}, {row}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_cost_what_their_authors_say(name: str) -> None:
    params, macs = PUBLISHED[name]
    cost = estimate_cost(name)
    assert cost.trainable_params / 1e6 == pytest.approx(params, rel=0.01, abs=0.05)
    assert cost.macs / 1e6 == pytest.approx(macs, rel=0.02)


@pytest.mark.parametrize("size", range(5))
def test_lites_cost_what_their_authors_say(size: int) -> None:
    params, macs = LITE[size]
    cost = estimate_cost(f"efficientnet_lite{size}")
    assert cost.trainable_params / 1e6 == pytest.approx(params, rel=0.01, abs=0.05)
    assert 0.94 * macs < cost.macs / 1e6 < 0.97 * macs
