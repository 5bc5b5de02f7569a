"""Networks are scaled from their graph alone as from their spec: all registered backbones, and networks without one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import keras
import pytest
from keras import layers
from other_models import MODELS, SMALL

from keras_effnet import scale_model, scale_spec
from keras_effnet.cost import count_network
from keras_effnet.counting import Shape, network_shapes
from keras_effnet.errors import BudgetError, InheritanceError, ScalingError, SpecError
from keras_effnet.network import Network, record_network
from keras_effnet.ops import GlobalPool, GroupNorm
from keras_effnet.registry import backbones
from keras_effnet.scaling import Coefficients, DepthOnly, ResolutionOnly, Rounding, WidthOnly
from keras_effnet.scaling.network_budget import fit_network
from keras_effnet.scaling.scale_network import scale_network
from keras_effnet.scaling.scaled_network import ScaledNetwork
from keras_effnet.scaling.units import cut_network
from keras_effnet.spec import BackboneSpec

NAMES = backbones.names()
# Two of its neighbouring stages are one block each, and the same one: its graph has a run of two there.
EQUAL_STAGES = {"ghostnet"}


def image(spec: BackboneSpec) -> Shape:
    return Shape(spec.resolution, spec.resolution, 3)


def layers_of(network: Network, *images: Shape) -> list[tuple[object, Shape]]:
    """What every layer is and makes."""
    shapes = network_shapes(network, *images)
    return [(type(node.op), shapes[node]) for node in network.nodes]


def differences(scaled: ScaledNetwork, spec: BackboneSpec) -> list[str]:
    """In what a scaled network differs from a scaled spec."""
    wanted = record_network(spec, size=(spec.resolution, spec.resolution))
    ours, theirs = scaled.cost, count_network(wanted, image(spec))
    found = [name for name in ("params", "macs", "activations") if getattr(ours, name) != getattr(theirs, name)]
    same = layers_of(scaled.network, *(after for _, after in scaled.images)) == layers_of(wanted, image(spec))
    return found if same else [*found, "layers"]


def wrong(names: Iterable[str], coefficients: Coefficients, deepened: bool = False) -> list[str]:
    """The backbones that are another network when scaled from their graph than when scaled from their spec."""
    found = []
    for name in names:
        spec = backbones.get(name)
        scaled = scale_network(record_network(spec), coefficients=coefficients, images=[image(spec)])
        wanted = scale_spec(spec, coefficients=coefficients)
        if deepened:
            # A block that nothing repeats cannot be told from what stands around it.
            pairs = zip(spec.stages, wanted.stages, strict=True)
            wanted = replace(wanted, stages=tuple(new if old.depth > 1 else old for old, new in pairs))
        if differences(scaled, wanted):
            found.append(name)
    return found


def test_all_stages_of_two_blocks_or_more_are_found_in_the_graph() -> None:
    for name in set(NAMES) - EQUAL_STAGES:
        spec = backbones.get(name)
        network = record_network(spec)
        cut = cut_network(network, network_shapes(network, image(spec)))
        runs = [stage.depth for number, stage in enumerate(cut.network.stages) if number not in cut.fixed]
        assert runs == [stage.depth for stage in spec.stages if stage.depth > 1], name
        assert [node.name for node in cut.network.nodes] == [node.name for node in network.nodes]


@pytest.mark.parametrize("factor", [0.5, 1.4, 2.3])
def test_depth_from_the_graph_is_depth_from_the_spec(factor: float) -> None:
    assert wrong(set(NAMES) - EQUAL_STAGES, Coefficients(depth=factor), deepened=True) == []


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_resolution_from_the_graph_is_resolution_from_the_spec(factor: float) -> None:
    assert wrong(NAMES, Coefficients(resolution=factor)) == []


def test_width_from_the_graph_is_width_from_the_spec_where_nothing_is_rounded_or_fixed() -> None:
    plain = []
    for name in NAMES:
        spec = backbones.get(name)
        fixed = any(stage.fixed in ("width", "both") for stage in spec.parts)
        # The widths of gates are rounded from others, down or to a multiple of 8.
        gates = sum(isinstance(node.op, GlobalPool) for node in record_network(spec, include_top=False).nodes)
        if not fixed and not gates:
            plain.append(name)
    assert len(plain) > 35
    assert {"resnet50", "mobilenet_v2", "densenet121", "convnext_tiny", "resnext50"} <= set(plain)
    assert wrong(plain, Coefficients(width=2.0)) == []


def test_every_set_of_channels_is_multiplied_by_itself() -> None:
    """So that a network with gates differs from its scaled spec by what the gates round, and by nothing else."""
    for name in ("efficientnet_b0", "mobilenet_v3_large", "regnet_y_400mf"):
        spec = backbones.get(name)
        scaled = scale_network(record_network(spec), coefficients=Coefficients(width=2.0), images=[image(spec)])
        wanted = scale_spec(spec, coefficients=Coefficients(width=2.0))
        ours, theirs = scaled.cost, count_network(record_network(wanted), image(spec))
        assert ours.macs == pytest.approx(theirs.macs, rel=1e-4)
        assert ours.params == pytest.approx(theirs.params, rel=5e-3)


@pytest.mark.parametrize("phi", [-2, -1, 0, 0.5, 1, 2])
@pytest.mark.parametrize("name", SMALL)
def test_images_outputs_and_vectors_keep_their_channels(name: str, phi: float) -> None:
    model = MODELS[name]()
    scaled = scale_network(model, phi)
    assert [node.channels for node in scaled.network.inputs] == [shape[-1] for shape in _listed(model.input_shape)]
    assert [node.channels for node in scaled.network.outputs] == [shape[-1] for shape in _listed(model.output_shape)]
    if phi == 0:
        assert layers_of(scaled.network, *(after for _, after in scaled.images)) == layers_of(
            scaled.base, *(before for before, _ in scaled.images)
        )
    elif abs(phi) >= 1:
        before, after = scaled.base_cost, scaled.cost
        assert (after.macs > before.macs) == (phi > 0)
        assert after.macs != before.macs


def _listed(shape: object) -> list[tuple[int, ...]]:
    return shape if isinstance(shape, list) else [shape]  # pyright: ignore[reportReturnType]


def test_the_table_says_what_stays_and_why() -> None:
    text = str(scale_network(MODELS["ten_lines"](), phi=2))
    assert "The resolution stays: flatten" in text
    assert "169 cells" in text
    assert "2 -> 3" in text
    assert "width: it is an output" in text
    assert "depth: nothing in it is repeated" in text


def test_channels_of_what_is_not_known_stay() -> None:
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", name="before")(image)
    x = layers.Permute((2, 1, 3), name="turned")(x)
    x = layers.Conv2D(16, 3, padding="same", name="behind")(x)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    scaled = scale_network(model, coefficients=Coefficients(width=2.0))
    widths = {node.name: node.channels for node in scaled.network.nodes}
    assert (widths["before"], widths["turned"], widths["behind"]) == (8, 8, 32)
    assert "turned is outside the vocabulary" in str(scaled)


def test_grouped_channels_stay_a_multiple_of_their_groups() -> None:
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(24, 3, name="stem")(image)
    x = layers.GroupNormalization(3)(layers.Conv2D(48, 3, groups=12, name="grouped")(x))
    scaled = scale_network(
        keras.Model(image, layers.Dense(2)(layers.Flatten()(x))), coefficients=Coefficients(width=1.4)
    )
    widths = {node.name: node.channels for node in scaled.network.nodes}
    assert widths["stem"] % 12 == 0
    assert widths["grouped"] % 12 == 0
    assert (widths["stem"], widths["grouped"]) == (36, 60)


def test_groups_of_one_channel_follow_the_channels() -> None:
    image = keras.Input((16, 16, 3))
    x: Any = image
    for width in (24, 48, 48):
        x = layers.Conv2D(width, 3, padding="same")(x)
        x = layers.ReLU()(layers.GroupNormalization(-1)(x))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    factors = Coefficients(width=1.4, depth=2)
    scaled = scale_network(model, coefficients=factors)
    assert [node.op.groups for node in scaled.network.nodes if isinstance(node.op, GroupNorm)] == [32, 64, 64, 64, 64]
    made: Any = scale_model(model, coefficients=factors, exact=False)
    norms: list[Any] = [layer for layer in made.layers if isinstance(layer, layers.GroupNormalization)]
    assert [(norm.groups, norm.gamma.shape) for norm in norms] == [(32, (32,)), *[(64, (64,))] * 4]


def test_images_get_the_nearest_size_that_fits() -> None:
    scaled = scale_network(
        MODELS["u_net"](), coefficients=Coefficients(resolution=1.4), rounding=Rounding(resolution_multiple=1)
    )
    # 45 px cannot be halved twice and come back.
    assert scaled.images[0][1][:2] == (44, 44)
    assert "44x44 in place of 45x45" in str(scaled)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (
            {"phi": 1, "rule": ResolutionOnly()},
            ScalingError,
            "no resolution of 'flat' can be scaled: The resolution stays",
        ),
        ({"phi": 1, "rule": DepthOnly()}, ScalingError, "no depth of 'flat' can be scaled"),
        ({"phi": 1, "rule": WidthOnly()}, ScalingError, "no width of 'flat' can be scaled: .*it is an output"),
        ({}, ScalingError, "phi=1"),
        ({"coefficients": Coefficients(stages=((1, 1),))}, ScalingError, "single stages"),
        ({"phi": 1, "rule": WidthOnly(), "rounding": Rounding(divisor=1)}, ScalingError, r"output\. Scale something"),
    ],
)
def test_what_cannot_be_scaled_is_said(arguments: dict[str, object], error: type[Exception], said: str) -> None:
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(image)), name="flat")
    with pytest.raises(error, match=rf"(?s){said}.*Received"):
        scale_network(model, **arguments)  # pyright: ignore[reportArgumentType]


def test_the_resolution_of_a_model_for_images_of_any_size_is_left_alone() -> None:
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layers.Conv2D(2, 1)(layers.Conv2D(8, 3)(image)))
    still = "The resolution stays: the model takes images of any size"
    scaled = scale_network(model, coefficients=Coefficients(width=2.0, resolution=2.0))
    assert scaled.images == ((Shape(256, 256, 3), Shape(256, 256, 3)),)
    assert (scaled.kept, [node.channels for node in scaled.network.nodes]) == ((f"{still}.",), [16, 2])
    with pytest.raises(ScalingError, match=rf"no resolution of .* can be scaled: {still}\. .*Received"):
        scale_network(model, coefficients=Coefficients(resolution=2.0))
    assert scale_network(model, 1, images=[Shape(32, 32, 3)]).images[0][1] == Shape(36, 36, 3)


def test_models_without_channels_or_a_graph_are_refused() -> None:
    image = keras.Input((8, 8, None))
    with pytest.raises(ScalingError, match="any number of channels"):
        scale_network(keras.Model(image, layers.ReLU()(image)), 1)
    with pytest.raises(InheritanceError, match="build"):
        scale_network(keras.Sequential([layers.Dense(2)]), 1)


@pytest.mark.parametrize("limits", [{"macs": 2e7}, {"params": 40_000}, {"macs": 4e6, "params": 1e6}])
def test_a_network_fits_its_budget(limits: dict[str, float]) -> None:
    network = record_network(backbones.get("mobilenet_v2"), include_top=False)

    def meter(scaled: ScaledNetwork) -> dict[str, float]:
        cost = scaled.cost
        return {"macs": cost.macs, "params": cost.params}

    found = meter(fit_network(network, [Shape(64, 64, 3)], limits, meter))
    assert all(found[name] <= limit for name, limit in limits.items())
    assert max(found[name] / limit for name, limit in limits.items()) > 0.75
    with pytest.raises(BudgetError, match=r"no size of 'mobilenet_v2' meets `params`.*Received: params=10"):
        fit_network(network, [Shape(64, 64, 3)], {"params": 10}, meter)


@pytest.mark.parametrize("network", [3, None, backbones.get("resnet50")])
def test_what_is_no_network_is_refused(network: object) -> None:
    with pytest.raises(ScalingError, match=r"a functional or Sequential Keras model.*`scale_spec`.*Received: "):
        scale_network(network, 1)  # pyright: ignore[reportArgumentType]


def test_a_network_that_nobody_can_record_is_an_error_at_once() -> None:
    network = record_network(backbones.get("mobilenet_v2"))
    with pytest.raises(SpecError, match=r"'mobilenet_v2' would have .*e\+24 units, more than 10,000.*Received: "):
        scale_network(network, 300, images=[Shape(224, 224, 3)])


def test_a_size_below_every_window_is_an_error() -> None:
    with pytest.raises(SpecError, match="would have no output"):
        scale_network(MODELS["vgg16"](), coefficients=Coefficients(resolution=0.05))
