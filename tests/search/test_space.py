"""The factorised space against brute force: every network, every cost, every step, on spaces small enough to list."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

import pytest

from keras_effnet import BackboneSpec, StageSpec, build_model, estimate_cost
from keras_effnet.blocks import ConvBlock, MBConv
from keras_effnet.errors import SearchError
from keras_effnet.measures import count
from keras_effnet.registry import backbones
from keras_effnet.scaling import Rounding
from keras_effnet.search.candidates import spec_key
from keras_effnet.search.evolution import Evolution, Reward, draw_feasible, excess, smallest, some_feasible
from keras_effnet.search.space import ArchitectureSpace, StageChoice

FIELDS = StageChoice._fields


def two_stages(**changes: Any) -> BackboneSpec:
    """Widths whose factors partly round to one, one stage where nothing can be added, one where it depends."""
    return BackboneSpec(
        name="two",
        stem=StageSpec(ConvBlock(), width=8, stride=2),
        stages=(
            StageSpec(MBConv(activation="relu"), width=8, depth=1, stride=1),
            StageSpec(MBConv(kernel=5, activation="relu"), width=16, depth=2, stride=2),
        ),
        resolution=16,
        **changes,
    )


def small_space(**changes: Any) -> ArchitectureSpace:
    values = {"expands": (3,), "se_ratios": (0.25,), "depths": (-1, 0), "divisor": 8, "classes": 5}
    return ArchitectureSpace(two_stages(), **{**values, **changes})


def every(space: ArchitectureSpace) -> list[dict[str, Any]]:
    """All choices there are, whether they have an effect or not."""
    stages = []
    for number, stage in enumerate(space.base.stages, 1):
        widths = {Rounding(divisor=space.divisor).nearest_width(stage.width * factor) for factor in space.widths}
        depths = {max(1, stage.depth + change) for change in space.depths}
        values = (
            space.kinds,
            space.kernels,
            space.expands,
            space.se_ratios,
            sorted(widths),
            sorted(depths),
            space.skips,
        )
        names = [f"stage{number}.{name}" for name in FIELDS]
        stages.append([dict(zip(names, each, strict=True)) for each in product(*values)])
    return [{**first, **second} for first, second in product(*stages)]


def behaviour(spec: BackboneSpec) -> tuple[Any, ...]:
    """What a network of `two_stages` computes, said in another way: a skip counts only where something is added."""
    channels, found = spec.stem.width, []
    for stage in spec.stages:
        adds = stage.depth > 1 or (stage.stride == 1 and channels == stage.width)
        block: Any = stage.block
        ratio, expand = block.se_ratio, block.expand
        found.append((type(block), block.kernel, expand, ratio, stage.width, stage.depth, block.skip and adds))
        channels = stage.width
    return tuple(found)


def test_the_size_is_the_number_of_different_networks() -> None:
    space = small_space(kernels=(3,))
    specs = {behaviour(spec): spec for spec in (space.network(space.read(choices)) for choices in every(space))}
    assert space.size == len(specs)
    assert len({spec_key(spec) for spec in specs.values()}) == len(specs)


def test_equal_networks_have_equal_keys_and_names() -> None:
    space = small_space(kernels=(3,), kinds=("conv", "mbconv", "fused"))
    by_behaviour: dict[Any, set[tuple[str, str]]] = {}
    for choices in every(space):
        spec = space.network(space.read(choices))
        by_behaviour.setdefault(behaviour(spec), set()).add((spec_key(spec), spec.name))
    assert {len(found) for found in by_behaviour.values()} == {1}
    assert len({name for found in by_behaviour.values() for _, name in found}) == space.size


def test_a_spec_holds_what_was_chosen() -> None:
    space = ArchitectureSpace(two_stages(drop_path=0.2), divisor=4)
    choices: dict[str, Any] = dict(
        zip(space.names, ("fused", 5, 6, 0.25, 12, 2, False, "fused", 5, 6, 0.25, 20, 3, False), strict=True)
    )
    first, second = space.network(space.read(choices)).stages
    assert (first.width, second.width, first.depth, second.depth) == (12, 20, 2, 3)
    assert (first.stride, second.stride) == (1, 2)
    block: Any = first.block
    assert type(block).__name__ == "FusedMBConv"
    assert (block.kernel, block.expand, block.se_ratio, block.skip, block.activation) == (5, 6, 0.25, False, "relu")
    assert space.network(space.read(choices)).drop_path == 0.2


def test_widths_are_channels_and_depths_are_blocks_that_every_network_has() -> None:
    space, generator = ArchitectureSpace(two_stages(), divisor=4), Random("sizes")
    assert space.values["stage2.width"] == (12, 16, 20)
    assert space.values["stage1.depth"] == (1, 2), "no stage has less than one block"
    assert space.values["stage2.depth"] == (1, 2, 3)
    for _ in range(50):
        choices = space.flat(space.draw(generator))
        for number, stage in enumerate(space.network(space.read(choices)).stages, 1):
            assert (stage.width, stage.depth) == (choices[f"stage{number}.width"], choices[f"stage{number}.depth"])


def test_a_plain_convolution_neither_expands_nor_has_a_gate() -> None:
    space = ArchitectureSpace(two_stages())
    for kind, ratio in (("conv", 0), ("dconv", 0.25)):
        values = (kind, 3, 6, 0.25, 8, 1, True, kind, 3, 6, 0.25, 16, 2, True)
        choices: dict[str, Any] = dict(zip(space.names, values, strict=True))
        block: Any = space.network(space.read(choices)).stages[0].block
        assert (block.expand, block.se_ratio) == (1, ratio)
        canonical = space.flat(space.read(choices))
        assert (canonical["stage1.expand"], canonical["stage1.se_ratio"]) == (1, ratio)


def test_the_cost_is_what_is_counted_of_the_spec() -> None:
    generator = Random("cost")
    for name in ("efficientnet_b0", "resnet50", "mobilenet_v3_small", "convnext_tiny", "densenet121", "mnasnet_a1"):
        space = ArchitectureSpace(backbones.get(name), classes=7)
        for _ in range(5):
            choices = space.draw(generator)
            assert space.cost(choices) == dict(count(estimate_cost(space.network(choices), classes=7)))


def test_stages_counted_before_are_counted_right_again() -> None:
    space = small_space(skips=(True,), kernels=(3,))
    # Twice: the first time fills what the second one reads.
    for choices in map(space.read, every(space) + every(space)):
        assert space.cost(choices) == dict(count(estimate_cost(space.network(choices), classes=5)))


def test_random_networks_are_of_the_space_and_reach_all_of_it() -> None:
    space, generator = small_space(kinds=("conv", "mbconv"), kernels=(3,), widths=(0.75, 1)), Random("draw")
    seen = set()
    for _ in range(1000):
        choices = space.draw(generator)
        assert choices == space.canonical(choices) == space.read(space.flat(choices))
        seen.add(choices)
    assert len(seen) == space.size


def test_a_step_changes_one_choice_of_one_stage_and_the_network() -> None:
    space, generator = small_space(expands=(3, 6), se_ratios=(0, 0.25), depths=(-1, 0, 1)), Random("step")
    names = Counter()
    for _ in range(500):
        old = space.draw(generator)
        new = space.step(old, generator)
        assert spec_key(space.network(new)) != spec_key(space.network(old))
        changed = [
            (number, name)
            for number in (0, 1)
            for name in FIELDS
            if getattr(old[number], name) != getattr(new[number], name)
        ]
        # Skips that have an effect no longer, or again, come and go with widths and depths.
        real = [each for each in changed if each[1] != "skip"] or changed
        assert len({number for number, _ in real}) == 1
        kinds = [name for _, name in real]
        assert len(real) == 1 or ("kind" in kinds and set(kinds) <= {"kind", "expand", "se_ratio"}), changed
        names.update(kinds)
    assert set(names) == set(FIELDS)


def test_the_same_generator_gives_the_same_networks() -> None:
    space = small_space()
    first, second = (
        [space.flat(space.draw(generator)) for _ in range(3)]
        + [space.flat(space.step(space.draw(generator), generator))]
        for generator in (Random("7"), Random("7"))
    )
    assert first == second


def test_a_space_survives_json() -> None:
    space = small_space()
    again = ArchitectureSpace.from_dict(json.loads(json.dumps(space.to_dict())))
    assert again.base == space.base
    assert again.names == space.names
    assert again.size == space.size
    choices = space.flat(space.draw(Random("json")))
    assert again.network(again.read(json.loads(json.dumps(choices)))) == space.network(space.read(choices))


def test_what_is_found_is_a_spec_file() -> None:
    space = small_space()
    spec = space.network(space.draw(Random("file")))
    assert BackboneSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("seed", range(3))
def test_what_is_counted_is_what_is_built(seed: int) -> None:
    space = small_space()
    choices = space.draw(Random(seed))
    assert build_model(space.network(choices), classes=5).count_params() == space.cost(choices)["params"]


def test_unknown_choices_are_refused() -> None:
    space = small_space()
    choices = space.flat(space.draw(Random("1")))
    with pytest.raises(SearchError, match=r"stage 1 has no such choice.*Received.*'kernel': 7"):
        space.network(space.read({**choices, "stage1.kernel": 7}))
    with pytest.raises(SearchError, match=r"Received.*'stage3.kind'"):
        space.network(space.read({**choices, "stage3.kind": "mbconv"}))
    with pytest.raises(SearchError, match=r"Received.*'stage2.skip'"):
        space.network(space.read({name: value for name, value in choices.items() if name != "stage2.skip"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base", "efficientnet_b0"),
        ("kinds", ("mbconv", "dense")),
        ("kinds", ()),
        ("kernels", (4,)),
        ("kernels", (3, 3)),
        ("expands", (1, 6)),
        ("se_ratios", (2,)),
        ("widths", (0,)),
        ("depths", (0.5,)),
        ("skips", ("yes",)),
        ("divisor", 0),
        ("classes", 0),
    ],
)
def test_a_space_of_wrong_values_is_refused(name: str, value: Any) -> None:
    with pytest.raises(SearchError, match="Received: "):
        ArchitectureSpace(**{"base": two_stages(), name: value})


def test_a_space_of_one_network_has_no_other() -> None:
    one: dict[str, Any] = {"kinds": ("conv",), "kernels": (3,), "widths": (1,), "depths": (0,), "skips": (True,)}
    space = small_space(**one)
    assert space.size == 1
    with pytest.raises(SearchError, match="more than one network"):
        space.step(space.draw(Random("1")), Random("1"))


@pytest.mark.parametrize("name", ["macs", "params", "activations"])
def test_the_smallest_and_the_largest_network_are_found(name: str) -> None:
    space = small_space(kernels=(3,))
    costs = [count(estimate_cost(space.network(space.read(choices)), classes=5))[name] for choices in every(space)]
    assert space.cost(smallest(space, lambda cost: cost[name]))[name] == min(costs)
    assert space.cost(smallest(space, lambda cost: -cost[name]))[name] == max(costs)


def test_an_end_is_found_where_the_best_beginning_is_not_that_of_the_best_whole() -> None:
    space, wrong = small_space(kernels=(3,)), 0
    every_cost = [(choices, space.cost(choices)) for choices in map(space.read, every(space))]
    for weight in (1, 3, 10, 30, 100):
        for sign in (1, -1):

            def measure(cost: Any, weight: int = weight, sign: int = sign) -> float:
                return sign * (cost["activations"] * weight - cost["params"])

            best = min(measure(cost) for _, cost in every_cost)
            assert measure(space.cost(smallest(space, measure))) == best
            tail = space.options[1][0]
            first = min((choices[0] for choices, _ in every_cost), key=lambda one: measure(space.cost((one, tail))))
            wrong += min(measure(cost) for choices, cost in every_cost if choices[0].width == first.width) > best
    assert wrong, "one stage after the other would do"


def test_an_empty_feasible_set_says_which_limit_empties_it_and_what_comes_nearest() -> None:
    space = small_space(kernels=(3,))
    least = min(estimate_cost(space.network(space.read(choices)), classes=5).params for choices in every(space))
    with pytest.raises(
        SearchError, match=rf"`params`: the smallest has .*params {least:,.4g}.*Raise.*Received: params=10"
    ):
        some_feasible(space, {"macs": 1e9, "params": 10})


def test_limits_that_exclude_each_other_are_told() -> None:
    space = small_space(kernels=(3,))
    costs = [space.cost(choices) for choices in map(space.read, every(space))]
    limits = {name: min(cost[name] for cost in costs) for name in ("params", "activations")}
    assert all(excess(cost, limits) for cost in costs)
    with pytest.raises(SearchError, match="at once"):
        some_feasible(space, limits)


def test_the_only_network_within_the_limits_is_found() -> None:
    space = ArchitectureSpace(two_stages(), classes=5)
    costs = sorted({space.cost(choices)["params"] for choices in (space.draw(Random(n)) for n in range(2000))})
    least = space.cost(smallest(space, lambda cost: cost["params"]))["params"]
    limits = {"params": least}
    assert least <= costs[0]
    start = some_feasible(space, limits)
    assert space.cost(start)["params"] == least
    assert excess(space.cost(draw_feasible(space, limits, Random("1"), start)), limits) == 0


@pytest.mark.parametrize("limits", [{"seconds": 1}, {"macs": 0}, {"macs": -1}])
def test_wrong_limits_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(SearchError, match="Received: "):
        Evolution(small_space(), Reward(1e6), limits)


def test_a_stage_without_a_kernel_of_its_own_takes_the_space_s() -> None:
    base = replace(two_stages(), stages=(StageSpec(ConvBlock(), width=8), *two_stages().stages[1:]))
    assert ArchitectureSpace(base).size > 1
