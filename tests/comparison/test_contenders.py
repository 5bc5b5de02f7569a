"""What is compared, and what it costs: against `estimate_cost`, the papers and Keras."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest
from support import run_python, tiny_spec

from keras_effnet import Contender, build_model, compare_networks, estimate_cost, scale_spec
from keras_effnet.blocks import MBConv
from keras_effnet.comparison.contenders import count_contender, open_contenders
from keras_effnet.errors import ComparisonError, KerasEffnetError
from keras_effnet.registry import rules
from keras_effnet.scaling import Compound, WidthOnly
from keras_effnet.serialization import write_spec

NAMES = ("efficientnet_b0", "resnet50", "mobilenet_v1", "mobilenet_v2")
# Millions of parameters and multiply-adds, as the papers have them: EfficientNet Table 2 (arXiv:1905.11946); Keras'
# documentation of ResNet50 and its counted operations (arXiv:1512.03385, Table 1: 3.8e9, of another first stride);
# MobileNet Table 8 (arXiv:1704.04861) and MobileNetV2 Table 4 (arXiv:1801.04381).
PUBLISHED = {
    "efficientnet_b0": (5.3, 390),
    "resnet50": (25.6, 3_860),
    "mobilenet_v1": (4.2, 569),
    "mobilenet_v2": (3.4, 300),
}


def test_counts_are_those_of_the_papers() -> None:
    for row in compare_networks(NAMES).networks:
        params, macs = PUBLISHED[row.label]
        assert row.params / 1e6 == pytest.approx(params, rel=0.05)
        assert row.macs / 1e6 == pytest.approx(macs, rel=0.05)


def test_every_network_is_counted_at_every_phi_by_every_rule() -> None:
    names = [name for name in rules.names() if name not in ("tabulated", "tinynet")]  # which take phis of their own
    found = compare_networks(NAMES, phi=[-1, 0, 0.5], rule=names, classes=10)
    assert len(found.networks) == len(NAMES) * 3 * len(names)
    rows = iter(found.networks)
    for name in NAMES:
        for rule in names:
            for phi in (-1, 0, 0.5):
                row, spec = next(rows), scale_spec(name, phi, rule=rule)
                cost = estimate_cost(spec, classes=10)
                assert (row.params, row.macs, row.activations) == (cost.params, cost.macs, cost.activations)
                assert (row.resolution, row.phi, row.rule) == (spec.resolution, phi, rule)
                assert row.group == f"{name}, {rule}"


def test_rows_of_a_table_are_phis_too() -> None:
    [row] = compare_networks(["efficientnet_b0"], phi=["b3"], rule=["tabulated"]).networks
    assert row.label == "efficientnet_b0, phi b3"
    assert row.params == estimate_cost("efficientnet_b3").params


def test_contenders_are_compared_as_they_are() -> None:
    wide = scale_spec("mobilenet_v1", 2, rule=WidthOnly())
    mine = Contender(wide, "twice", group="width only", phi=2, rule="width_only")
    found = compare_networks(["mobilenet_v1", mine], phi=[0, 1])
    assert [row.label for row in found.networks] == ["mobilenet_v1", "mobilenet_v1, phi 1", "twice"]
    row = found["twice"]
    assert (row.params, row.group, row.phi, row.rule) == (estimate_cost(wide).params, "width only", 2, "width_only")


def test_a_rule_of_ones_own_has_the_name_that_it_prints_as() -> None:
    rule = Compound(alpha=1.1, beta=1.2, gamma=1.0)
    found = compare_networks(["mobilenet_v1"], phi=[1], rule=[rule, "compound"])
    assert found.networks[0].rule == repr(rule)
    assert found.networks[0].params == estimate_cost(scale_spec("mobilenet_v1", 1, rule=rule)).params


def test_spec_files_and_saved_models(tmp_path: Path) -> None:
    spec = tiny_spec(MBConv())
    write_spec(spec, tmp_path / "mine.json")
    build_model(spec, classes=7).save(tmp_path / "trained.keras")
    found = compare_networks([tmp_path / "mine.json", str(tmp_path / "trained.keras")], phi=[0, 1])
    labels = ["mine", "mine, phi 1", "trained", "trained, phi 1"]
    assert [row.label for row in found.networks] == labels
    assert found["mine"].params == estimate_cost(spec).params
    assert found["trained"].params == estimate_cost(spec, classes=7).params
    assert found["trained, phi 1"].params == estimate_cost(scale_spec(spec, 1)).params


def test_a_model_of_others_is_counted_and_scaled_by_its_graph() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 48, 3)),
            layers.Conv2D(32, 3),
            layers.Conv2D(64, 3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ],
        name="theirs",
    )
    opened = open_contenders([model], phi=[0, 1])
    own, larger = (count_contender(each) for each in opened)
    assert own.resolution == (32, 48)
    assert own.cost.params == model.count_params()
    assert own.spec is None
    assert own.timed is model
    assert larger.cost.params > own.cost.params
    assert larger.timed is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"networks": []}, "name at least one"),
        ({"networks": "resnet50"}, "a list of networks"),
        ({"networks": ["resnet50"], "phi": []}, "name at least one"),
        ({"networks": ["resnet50"], "rule": []}, "there must be a scaling rule"),
        ({"networks": ["resnet50", "resnet50"]}, "a label of its own.*Received: 'resnet50'"),
        ({"networks": ["resnet50", Contender("mobilenet_v1", "resnet50")]}, "a label of its own"),
        ({"networks": ["resnet500"]}, "did you mean"),
        ({"networks": ["resnet50"], "rule": ["wide_only"]}, "did you mean"),
        ({"networks": ["nowhere.json"]}, "no such spec file"),
        ({"networks": ["nowhere.keras"]}, "no such model"),
        ({"networks": ["resnet50"], "phi": [-40]}, "resolution"),
        ({"networks": [7]}, "a backbone is"),
        ({"networks": ["resnet50"], "data": "digits"}, "give `output`"),
        ({"networks": ["resnet50"], "data": "digit", "output": "x"}, "Did you mean 'digits'"),
        ({"networks": ["resnet500"], "data": "digits", "output": "x"}, "did you mean"),
        ({"networks": ["resnet50"], "data": "digits", "train": len, "output": "x"}, "give one"),
        ({"networks": ["resnet50"], "heartbeat": 3}, "nothing is trained"),
        ({"networks": ["resnet50"], "seeds": 0}, "`seeds` must be"),
    ],
)
def test_bad_input_is_named_before_anything_is_done(arguments: dict[str, object], words: str, tmp_path: Path) -> None:
    if "output" in arguments:
        arguments = {**arguments, "output": tmp_path / "x"}
    with pytest.raises(KerasEffnetError, match=words) as caught:
        compare_networks(**arguments)  # pyright: ignore[reportArgumentType] - wrong on purpose
    assert "Received: " in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_labels_that_nobody_has_are_named() -> None:
    with pytest.raises(ComparisonError, match="there are resnet50"):
        compare_networks(["resnet50"])["resnet51"]


COUNTED = """
import sys
from keras_effnet import compare_networks
compare_networks(["efficientnet_b0", "resnet50"], phi=[0, 1, 2], rule=["compound", "width_only"])
print(" ".join(sorted({"keras", "tensorflow", "numpy", "matplotlib", "optuna", "PIL", "scipy"} & set(sys.modules))))
"""


def test_what_is_only_counted_imports_nothing_heavy() -> None:
    assert run_python(COUNTED) == ""
