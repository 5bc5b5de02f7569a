"""What a network is, and what scaling did to it, in the layout of the paper's Table 1 (arXiv:1905.11946)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from keras_effnet.checks import is_keras_model, plain
from keras_effnet.cost import Cost, StageCost, cost_of, estimate_cost, opaque_note
from keras_effnet.deployed.folded_network import deployed_network
from keras_effnet.errors import BuildError
from keras_effnet.extras import import_extra
from keras_effnet.peak import DevicePeak, device_peak, estimate_peak
from keras_effnet.registry import resolve_backbone
from keras_effnet.resolution import Resolution, check_resolution, resolution_text
from keras_effnet.scaled_cost import cost_of_scaled
from keras_effnet.scaling import Coefficients, Rounding, ScalingRule, scale_spec
from keras_effnet.scaling.scale import resolve_coefficients, stage_factors
from keras_effnet.scaling.scale_network import scale_network
from keras_effnet.spec import BackboneSpec
from keras_effnet.tables import Shown, aligned
from keras_effnet.variants import DIGITS, VariantRow, realised_coefficients, variant_rows

if TYPE_CHECKING:
    import keras

    from keras_effnet.builder.embedded_spec import EmbeddedSpec
    from keras_effnet.counted_model import CountedModel


@dataclass(frozen=True)
class StageRow:
    """One line of the table.

    Args:
        stage: number of the stage, from 1, which is the stem.
        operator: the stage's block as the paper writes it: "MBConv6, k3x3".
        resolution: (height, width) of what the stage reads, in pixels or cells.
        channels: number of channels that the stage emits.
        layers: number of blocks in the stage; of a model without stages of its own, of convolutions and dense layers.
        params: number of weights, trained or not.
        macs: multiply-adds per image.
    """

    stage: int
    operator: str
    resolution: tuple[int, int]
    channels: int
    layers: int
    params: int
    macs: int


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """A scaled network, stage by stage, with the coefficients asked for beside what rounding made of them.

    `str()` is the table, `to_dict()` the same for JSON.

    Args:
        name: name of the backbone, or of the model.
        phi: argument of the scaling rule; None if there was none.
        nominal: coefficients asked for, for the network as a whole: those of single stages are in `depth` and `width`,
            as means weighted by the base's blocks and widths.
        realised: ratios of blocks, widths and resolution to the base's, after rounding; of a model without a spec
            those of `ScaledNetwork.realised`.
        nominal_macs: factor on multiply-adds that the coefficients promise (`Coefficients.macs_by_shares`).
        realised_macs: factor on multiply-adds that was counted.
        resolution: side of the image in pixels, or (height, width); None for a model that reads vectors alone.
        rows: one row for each stage; head and top share one.
        cost: cost of the whole network.
        peak: memory beside the weights when the network runs on a device (`estimate_peak`).
        family: name of the base of the published family that the backbone belongs to; None if it belongs to none.
        variants: published sizes of the family, each with the phi of its base that comes nearest.
    """

    name: str
    phi: float | str | None
    nominal: Coefficients
    realised: Coefficients
    nominal_macs: float
    realised_macs: float
    resolution: Resolution | None
    rows: tuple[StageRow, ...]
    cost: Cost
    peak: DevicePeak
    family: str | None
    variants: tuple[VariantRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        cost = {**asdict(self.cost), "flops": self.cost.flops}
        return {**asdict(self), "cost": cost}

    def plot(self) -> Any:
        """Draws what each stage costs: its share of the parameters and of the multiply-adds.

        Returns:
            A `matplotlib.figure.Figure`, which a notebook shows; `savefig(path)` writes it.

        Raises:
            MissingExtraError: matplotlib is not installed.

        Example:
            >>> explain("mobilenet_v2").plot().savefig("stages.png")  # doctest: +SKIP
        """
        figure = import_extra("matplotlib.figure", "a plot").Figure(figsize=(7, 1 + 0.3 * len(self.rows)))
        axes = figure.subplots()
        names = [f"{row.stage}  {row.operator}" for row in self.rows]
        for name, offset, color in (("params", 0.2, "#9ec5f8"), ("macs", -0.2, "tab:blue")):
            shares = [100 * getattr(row, name) / max(1, getattr(self.cost, name)) for row in self.rows]
            places = [place - offset for place in range(len(names))]
            label = {"params": "parameters", "macs": "multiply-adds"}[name]
            axes.barh(places, shares, height=0.38, color=color, label=f"{label}, {getattr(self.cost, name):,}")
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set(xlabel="% of the network", title=self.headline)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.set_layout_engine("constrained")
        return figure

    @property
    def headline(self) -> str:
        """Name, phi and resolution."""
        scale = "" if self.phi is None else f", phi = {self.phi}"
        size = "" if self.resolution is None else f", {resolution_text(self.resolution)} px"
        return f"{self.name}{scale}{size}"

    def __str__(self) -> str:
        lines = [self.headline, "", *_stage_table(self.rows)]
        if self.phi is not None or self.nominal != Coefficients():
            lines += ["", *_coefficient_table(self)]
        if self.variants:
            lines += ["", *_variant_table(self)]
        cost = self.cost
        return "\n".join(
            [
                *lines,
                "",
                f"params       {cost.params:,} ({cost.trainable_params:,} trainable, "
                f"{cost.weight_bytes / 1e6:,.1f} MB as float32)",
                f"MACs         {cost.macs:,} (multiply-adds per image: the paper's FLOPS)",
                f"FLOPs        {cost.flops:,} (2 * MACs)",
                f"activations  {cost.activations:,}",
                f"peak memory  {self.peak.values:,} values at once on a device, at {self.peak.layer} "
                f"({self.peak.bytes_on('litert-int8') / 1e6:,.2f} MB as int8)",
                *opaque_note(self.cost.opaque),
            ]
        )


def explain(
    spec: BackboneSpec | str | keras.Model,
    phi: float | str | None = None,
    *,
    rule: ScalingRule | str | None = None,
    coefficients: Coefficients | None = None,
    rounding: Rounding | None = None,
    channels: int | None = None,
    classes: int | None = None,
    resolution: Resolution | None = None,
) -> Explanation:
    """Explains what a network is, or what scaling makes of it: `print(explain("resnet50", phi=2))`.

    Args:
        spec: the base of the scaling, if there is any: a backbone, the name of a registered one, or a functional or
            Sequential Keras model, at the size of its images. A model that is not just a backbone is scaled by its
            graph, as `scale_network` does, and its stages begin where its resolution changes.
        phi: argument of the rule, as in `scale_spec`; without phi and coefficients the spec is explained as it is.
        rule: function from phi to coefficients, or its name, as in `scale_spec`.
        coefficients: factors in place of phi and rule, as in `scale_spec`.
        rounding: how sizes become whole numbers, as in `scale_spec`.
        channels: channels of the image, at least 1; 3 by default, or the model's.
        classes: number of classes, at least 1; 1000 by default, or the model's.
        resolution: side of the image in pixels, or (height, width), at least the total stride of a spec; by default the
            scaled backbone's, the model's, or the sides of a model that takes no squares.

    Returns:
        The explanation; `str()` makes a table of it.

    Raises:
        RegistryError, ScalingError, SpecError, BuildError, InheritanceError: as in `scale_spec` and `estimate_cost`.
            BuildError also for a model that is not just a backbone and is to have other channels or classes, or holds
            a backbone among layers of its own and is to be scaled.

    Example:
        EfficientNet-B0 with alpha 1.2, beta 1.1, gamma 1.1 at phi = 7. Stage 4 of B0 reads 56x56 and has 2 layers of 40
        channels.

        >>> from keras_effnet.scaling import Compound, Rounding
        >>> made = explain(
        ...     "efficientnet_b0", phi=7, rule=Compound(1.2, 1.1, 1.1), rounding=Rounding(divisor=1, depth="round")
        ... )
        >>> stage = made.rows[3]
        >>> stage.resolution, stage.channels, stage.layers
        ((109, 109), 78, 7)
    """
    counted: dict[str, Any] = {"channels": 3, "classes": 1000}
    asked = {"channels": channels, "classes": classes, "resolution": resolution}
    asked = {name: value for name, value in asked.items() if value is not None}
    own: Cost | None = None
    scales = phi is not None or rule is not None or coefficients is not None
    if is_keras_model(spec):
        nominal = resolve_coefficients(phi, rule, coefficients) if scales else None
        found = _of_model(spec, asked, nominal, rounding)
        if isinstance(found, Explanation):
            return replace(found, phi=plain(phi))
        spec, counted, own = found
    counted |= asked
    if "resolution" in counted:
        counted["resolution"] = check_resolution(BuildError, "resolution", counted["resolution"], 1)
    base = resolve_backbone(spec)
    nominal, scaled = Coefficients(), base
    if scales:
        nominal = resolve_coefficients(phi, rule, coefficients)
        scaled = scale_spec(base, coefficients=nominal, rounding=rounding)
    phi = plain(phi)
    cost, base_cost = estimate_cost(scaled, **counted), estimate_cost(base, **counted)
    if own is not None and cost.params == own.params and cost.macs == own.macs:
        cost = own  # as many weights are trained as the model says
    stages = base_cost.stages[1 : len(base.stages) + 1]
    family, variants = variant_rows(base, rule, rounding)
    return Explanation(
        name=base.name,
        phi=phi,
        nominal=_over_network(base, nominal),
        realised=realised_coefficients(base, scaled),
        nominal_macs=nominal.macs_by_shares([stage.macs / base_cost.macs for stage in stages]),
        realised_macs=cost.macs / base_cost.macs,
        resolution=counted.get("resolution", scaled.resolution),
        rows=_rows(cost, merged=scaled.head is not None and len(cost.stages) > len(scaled.parts)),
        cost=cost,
        peak=estimate_peak(
            scaled, **{name: counted[name] for name in ("channels", "classes", "resolution") if name in counted}
        ),
        family=family,
        variants=variants,
    )


def _over_network(base: BackboneSpec, coefficients: Coefficients) -> Coefficients:
    """The coefficients with the factors of single stages averaged, as `realised_coefficients` averages."""
    if coefficients.stages is None:
        return coefficients
    factors = stage_factors(base, coefficients)
    depth = sum(stage.depth * factor for stage, (factor, _) in zip(base.stages, factors, strict=True)) / base.depth
    own = sum(
        stage.width * (factor - coefficients.width) for stage, (_, factor) in zip(base.stages, factors, strict=True)
    )
    width = coefficients.width + own / sum(stage.width for stage in base.parts)
    return replace(coefficients, depth=depth, width=width, stages=None)


def _of_model(
    model: Any, asked: dict[str, Any], nominal: Coefficients | None, rounding: Rounding | None
) -> Explanation | tuple[BackboneSpec, dict[str, Any], Cost]:
    """The explanation of a model; of one that is just the network of a spec that spec, and what it is counted with.

    Args:
        model: the model.
        asked: those of `resolution`, `channels` and `classes` that were given, by name.
        nominal: the coefficients that it is scaled by; None if it is explained as it is.
        rounding: how sizes become whole numbers; None for the paper's way.
    """
    from keras_effnet.builder.embedded_spec import counted_arguments
    from keras_effnet.counted_model import read_counted

    counted = read_counted(model, asked.get("resolution"))
    cost, is_spec = cost_of(counted)
    embedded = None if is_spec or nominal is None else _recognised(model)
    if is_spec or embedded is not None:
        arguments = counted_arguments(model, embedded)
        spec, (height, width) = arguments.pop("spec"), arguments.pop("resolution")
        if height != width:
            return spec, {**arguments, "resolution": (height, width)}, cost
        return replace(spec, resolution=height), arguments, cost
    for name in ("channels", "classes"):
        if name in asked:
            raise BuildError(
                f"`{name}` is of a backbone's spec, and the model is not just a backbone: leave it out, or explain the "
                "spec.",
                received=f"{name}={asked[name]!r} for {model.name!r}",
            )
    return _of_graph(counted, cost, "resolution" in asked, nominal, rounding)


def _of_graph(
    counted: CountedModel, cost: Cost, sized: bool, nominal: Coefficients | None, rounding: Rounding | None
) -> Explanation:
    """The explanation of a model by its graph alone; `sized`: whether it is counted at a size that was asked for."""
    found, before, images, network = Coefficients(), cost, counted.images, counted.network
    if nominal is not None:
        # As a spec, it is scaled from its own size, and counted at another if one is asked for.
        own = counted.read.images if all(map(all, counted.read.images)) else images
        scaled = scale_network(network, coefficients=nominal, rounding=rounding, images=own)
        images = images if sized else tuple(after for _, after in scaled.images)
        found, cost = scaled.realised, cost_of_scaled(counted, scaled, images)
        network = scaled.network
    height, width, _ = cost.stages[0].input
    size = height if height == width else (height, width)
    return Explanation(
        name=network.name,
        phi=None,
        nominal=nominal or Coefficients(),
        realised=found,
        nominal_macs=1.0 if nominal is None else nominal.macs,
        realised_macs=cost.macs / before.macs if before.macs else 1.0,
        resolution=None if size == 1 else size,
        rows=_rows(cost, merged=False),
        cost=cost,
        peak=replace(device_peak(deployed_network(network), *images), opaque=cost.opaque),
        family=None,
        variants=(),
    )


def _recognised(model: Any) -> EmbeddedSpec | None:
    """What a registered backbone that carries no spec was built from; None for other models.

    Raises:
        BuildError: the network of a spec stands among layers of somebody's own: it is scaled, and they stay.
    """
    from keras_effnet.inheritance.embedded_network import known_network

    found = known_network(model)
    if found is None or found.alone:
        return None if found is None else found.embedded
    raise BuildError(
        f"the model is the network {found.embedded.spec.name!r} among layers of its own, not just a backbone: only the "
        "network is scaled, and they stay. Explain its spec.",
        received=f"{model.name!r} with {', '.join(map(repr, (*found.front, *found.behind)[:3]))}, and factors on it",
    )


def _rows(cost: Cost, merged: bool) -> tuple[StageRow, ...]:
    stages = list(cost.stages)
    if merged:
        # The paper writes the head and the top as one stage: Conv1x1 & Pooling & FC.
        top, head = stages.pop(), stages.pop()
        stages.append(
            StageCost(
                operator=f"{head.operator} & {top.operator}",
                input=head.input,
                output=head.output,
                depth=1,
                params=head.params + top.params,
                trainable_params=head.trainable_params + top.trainable_params,
                macs=head.macs + top.macs,
                activations=head.activations + top.activations,
            )
        )
    return tuple(
        StageRow(number, stage.operator, stage.input[:2], stage.output.channels, stage.depth, stage.params, stage.macs)
        for number, stage in enumerate(stages, start=1)
    )


def _stage_table(rows: tuple[StageRow, ...]) -> list[str]:
    cells: list[tuple[str, ...]] = [("stage", "operator", "resolution", "channels", "layers", "params", "MACs")]
    for row in rows:
        size = f"{row.resolution[0]}x{row.resolution[1]}"
        numbers = (f"{row.channels}", f"{row.layers}", f"{row.params:,}", f"{row.macs:,}")
        cells.append((f"{row.stage}", row.operator, size, *numbers))
    return aligned(cells, text_column=1)


def _variant_table(made: Explanation) -> list[str]:
    nearest = f"phi of {made.family}"
    cells: list[tuple[str, ...]] = [
        ("network", "depth", "width", "resolution", "MACs", nearest, "its MACs", "shape differs by")
    ]
    for row in made.variants:
        ratios = (row.realised.depth, row.realised.width, row.realised.resolution)
        numbers = (*(f"{ratio:.2f}" for ratio in ratios), f"{row.macs:,}", f"{row.phi:.{DIGITS}f}", f"{row.phi_macs:,}")
        cells.append((row.name, *numbers, f"{row.difference - 1:.0%}"))
    return aligned(cells, text_column=0)


def _coefficient_table(made: Explanation) -> list[str]:
    pairs = (
        ("depth", made.nominal.depth, made.realised.depth),
        ("width", made.nominal.width, made.realised.width),
        ("resolution", made.nominal.resolution, made.realised.resolution),
        ("MACs", made.nominal_macs, made.realised_macs),
    )
    head = f"{'coefficient':<11}  {'nominal':>8}  {'realised':>8}"
    return [head, *(f"{name:<11}  {nominal:>8.3f}  {realised:>8.3f}" for name, nominal, realised in pairs)]
