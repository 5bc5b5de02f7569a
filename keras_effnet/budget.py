"""From a budget to a network: the largest one of a family at or under every limit.

The rule sets the direction, the count decides how far to go. First phi is bisected, counting the *rounded* network.
Rounding moves in steps that may cost a third of the network at once (one more block in each stage), so that the largest
phi under the limit may leave much of it unused. The rest is filled by enlarging single parts (a stage's width or depth,
stem, head, resolution), in the order in which the rule would reach them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from keras_effnet.checks import check_choice, check_int, check_number, is_keras_model
from keras_effnet.cost import estimate_cost
from keras_effnet.errors import BudgetError, ScalingError, SpecError
from keras_effnet.export.formats import ENGINES
from keras_effnet.measures import count
from keras_effnet.peak import estimate_peak
from keras_effnet.registry import resolve_backbone
from keras_effnet.scaling.coefficients import Coefficients
from keras_effnet.scaling.rounding import Rounding
from keras_effnet.scaling.rules import ScalingRule
from keras_effnet.scaling.scale import resolve_coefficients, scale_spec, stage_factors
from keras_effnet.spec import BackboneSpec, StageSpec

if TYPE_CHECKING:
    import keras

# The share of a limit that counts as all of it, so that the search ends.
FULL = 0.995
# The share below which the search also tries one step back; above the 0.97 that `fit_to_budget` promises.
CLOSE = 0.98
# |phi| at which the smallest networks of all rules have long been reached; the largest budget in use is far below.
FURTHEST_PHI = 64.0
# Bisection ends where no coefficient moves by more than a thousandth.
PHI_STEP = 1e-3
# A phi at which every rule that shrinks networks has changed everything that it ever changes.
ANY_PHI = -0.5

# From a network to its measures, by name.
Meter = Callable[[BackboneSpec], Mapping[str, float]]


@overload
def fit_to_budget(spec: BackboneSpec | str, **options: Any) -> BackboneSpec: ...


@overload
def fit_to_budget(spec: keras.Model, **options: Any) -> keras.Model: ...


def fit_to_budget(  # pyright: ignore[reportInconsistentOverload] - its options are listed once
    spec: Any,
    *,
    macs: float | None = None,
    params: float | None = None,
    activations: float | None = None,
    model_bytes: float | None = None,
    peak_bytes: float | None = None,
    latency_ms: float | None = None,
    rule: ScalingRule | str | None = None,
    rounding: Rounding | None = None,
    resolution: int | None = None,
    channels: int = 3,
    classes: int = 1000,
    engine: str = "keras",
    device: str | PathLike[str] | None = None,
) -> Any:
    """Finds the largest network of a family at or under every limit given.

    All parts grow together, as the rule has it, until one limit is used up; the others hold. With a fixed `resolution`
    the other parts grow instead.

    Limits that are counted take well under a second. A limit in milliseconds is timed on this machine: the first call
    calibrates for a minute and keeps the result on disk, and each call then builds and times a few candidates.

    Args:
        spec: the base: a backbone, the name of a registered one, or any functional or Sequential Keras model.
        macs: largest number of multiply-adds per image, above 0.
        params: largest number of weights, as `model.count_params()` counts them, above 0.
        activations: largest number of outputs of convolutions and dense layers per image, above 0.
        model_bytes: largest size of the weights as float32 (4 bytes each), above 0. A saved file also holds the graph,
            some 0.1 to 1 MB.
        peak_bytes: largest memory beside the weights while the engine runs the network for one image, in bytes, above
            0: `estimate_peak(spec).bytes_on(engine)`. With "litert-int8" the limit of a microcontroller.
        latency_ms: longest time for one image on this machine, in milliseconds, above 0; see `keras_effnet.latency`.
        rule: scaling rule to follow, as in `scale_spec`; the paper's `Compound()` by default. What a rule leaves alone
            (width and resolution in `DepthOnly`) stays as in the base.
        rounding: how sizes become whole numbers; by default the paper's `Rounding()`, but with depths rounded to the
            nearest.
        resolution: side of the image to keep, in pixels, at least the total stride; None scales it too.
        channels: channels of the image, at least 1; a model has its own.
        classes: number of classes that the classifier tells apart, at least 1; a model has its own.
        engine: what `latency_ms` is timed in and `peak_bytes` holds for: "keras" (the compiled model), or a format of
            `export_model`, such as "litert-int8".
        device: path of a file that `keras-effnet calibrate` made of another machine: `latency_ms` is then foretold for
            it, and nothing is timed here; None for this machine.

    Returns:
        A spec with the base's name, or a model with the weights of the one given. Every limit holds; of a spec, the
        one that binds is used to within 3 % where the family's sizes are fine enough (docs/evidence/budget.md has the
        distribution).

    Raises:
        BudgetError: no limit was given, the engine is unknown, the device's file cannot be read or is given without
            `latency_ms` or with an engine of its own, or no network of the family meets a limit; the error
            then names that limit and the smallest value that can be reached.
        RegistryError, ScalingError, SpecError, BuildError: as in `scale_spec` and `estimate_cost`.

    Example:
        >>> spec = fit_to_budget("mobilenet_v2", macs=100e6)
        >>> 0.97e8 < estimate_cost(spec).macs <= 1e8
        True
    """
    limits = _limits(
        engine,
        macs=macs,
        params=params,
        activations=activations,
        model_bytes=model_bytes,
        peak_bytes=peak_bytes,
        latency_ms=latency_ms,
    )
    if is_keras_model(spec):
        from keras_effnet.inheritance.fitted_model import fit_model

        options = {"rule": rule, "rounding": rounding, "resolution": resolution}
        return fit_model(spec, limits, fit_spec=fit_to_budget, engine=engine, device=device, **options)
    base = resolve_backbone(spec)
    if resolution is not None:
        base = replace(base, resolution=check_int(ScalingError, "resolution", resolution, base.total_stride))

    def meter(candidate: BackboneSpec) -> Mapping[str, float]:
        found = count(estimate_cost(candidate, channels=channels, classes=classes))
        if peak_bytes is not None:
            found["peak_bytes"] = estimate_peak(candidate, channels=channels, classes=classes).bytes_on(engine)
        return found

    if device is not None and (latency_ms is None or engine != "keras"):
        raise BudgetError(
            "a device's file says what `latency_ms` means: give that limit, and no `engine`, which the file names.",
            received=f"{device=}, {latency_ms=}, {engine=}",
        )
    path = _Path(base, rule, Rounding(depth="round") if rounding is None else rounding, resolution is not None)
    if latency_ms is None:
        return _fit(path, limits, meter)
    if device is not None:
        from keras_effnet.latency.device import read_device

        foretell = read_device(device)
        return _fit(path, limits, lambda one: {**meter(one), "latency_ms": foretell(one, channels, classes)})
    from keras_effnet.latency.latency_budget import fit_latency

    return fit_latency(lambda timed: _fit(path, limits, timed), meter, limits["latency_ms"], channels, classes, engine)


def _limits(engine: str, **given: float | None) -> dict[str, float]:
    """The limits that were given, by name."""
    limits = {
        name: check_number(BudgetError, name, limit, 0, open_low=True)
        for name, limit in given.items()
        if limit is not None
    }
    if not limits:
        raise BudgetError("give at least one limit, such as macs=300e6 or model_bytes=5e6.", received="no limit")
    check_choice(BudgetError, "engine", engine, ENGINES)
    return limits


def _fit(path: _Path, limits: Mapping[str, float], meter: Meter) -> BackboneSpec:
    def usage(candidate: BackboneSpec) -> float:
        found = meter(candidate)
        return max(found[name] / limit for name, limit in limits.items())

    path.check_rule()
    phi, start = _largest_phi(path, usage)
    if usage(start) > 1:
        found = meter(start)
        name = max(limits, key=lambda name: found[name] / limits[name])
        raise BudgetError(
            f"no network of {path.base.name!r} meets `{name}`: the smallest that this rule and rounding reach has "
            f"{found[name]:,.4g}. Raise the limit, or lower the rounding's `divisor`, the number of classes or a "
            "fixed resolution.",
            received=f"{name}={limits[name]:,.4g}",
        )
    if not path.goes_to(phi + 2 * PHI_STEP):
        return start  # the rule ends here, though the limits do not
    nominal = path.coefficients(phi)
    best, used = _filled(path, start, nominal, usage)
    if used < CLOSE:
        # One part a step smaller may make room for steps that fit better.
        for lower in path.steps(best, nominal, -1):
            candidate, share = _filled(path, lower.spec, nominal, usage)
            if used < share <= 1:
                best, used = candidate, share
            if used >= CLOSE:
                break
    return best


def _largest_phi(path: _Path, usage: Callable[[BackboneSpec], float]) -> tuple[float, BackboneSpec]:
    """The largest phi under the limits, by bisection, and its network; the smallest network if no phi is."""

    def fits(phi: float) -> bool:
        return path.goes_to(phi) and usage(path.at(phi)) <= 1

    low, high = (0.0, 1.0) if fits(0) else (-1.0, 0.0)
    while fits(high):
        if high >= FURTHEST_PHI:
            raise BudgetError(
                "the limits are met even by networks that no machine can hold; give smaller ones.",
                received=f"limits that phi={high:g} meets",
            )
        low, high = high, high * 2
    while not fits(low):
        if low <= -FURTHEST_PHI:
            return low, path.smallest()
        low, high = max(low * 2, -FURTHEST_PHI), low
    while high - low > PHI_STEP:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if low > 0 and usage(path.at(low)) == usage(path.base):
        low = 0.0  # nothing has become more expensive yet
    return low, path.at(low)


def _filled(
    path: _Path, spec: BackboneSpec, nominal: Coefficients, usage: Callable[[BackboneSpec], float]
) -> tuple[BackboneSpec, float]:
    """Takes the first step that still fits until none does; returns the network and the share of the limits it uses."""
    used = usage(spec)
    while used < FULL:
        for step in path.steps(spec, nominal, 1):
            after = usage(step.spec)
            if used < after <= 1:
                spec, used = step.spec, after
                break
        else:
            break
    return spec, used


class Step(NamedTuple):
    """A network that differs from another in one part, by one step.

    Args:
        strain: size of the changed part as a multiple of what the rule asks for (the inverse, for steps down); the
            step with the least strain is taken first.
        spec: the network after the step.
    """

    strain: float
    spec: BackboneSpec


@dataclass(frozen=True)
class _Path:
    """The networks that a rule and a rounding reach from a base, and the steps between them."""

    base: BackboneSpec
    rule: ScalingRule | str | None
    rounding: Rounding
    keep_resolution: bool

    def check_rule(self) -> None:
        """Raises BudgetError if the rule takes only some values of phi: a table has nothing between two rows."""
        if not self.goes_to(ANY_PHI):
            raise BudgetError(
                "a budget needs a rule that takes any phi, or any below 0: Compound, Fast, WidthOnly, TinyNet ...",
                received=f"rule={self.rule!r}",
            )

    def goes_to(self, phi: float) -> bool:
        """Whether the rule takes `phi`."""
        try:
            self.coefficients(phi)
        except ScalingError:
            return False
        return True

    def coefficients(self, phi: float) -> Coefficients:
        return resolve_coefficients(phi, self.rule, None)

    def at(self, phi: float) -> BackboneSpec:
        """The network at `phi`; its resolution is never below what its strides need."""
        nominal = self.coefficients(phi)
        scaled = scale_spec(self.base, coefficients=replace(nominal, resolution=1.0), rounding=self.rounding)
        if self.keep_resolution:
            return scaled
        side = self.rounding.round_resolution(self.base.resolution, nominal.resolution)
        return replace(scaled, resolution=max(side, self.least_resolution))

    @property
    def least_resolution(self) -> int:
        multiple = self.rounding.resolution_multiple
        return min(self.base.resolution, -(-self.base.total_stride // multiple) * multiple)

    def smallest(self) -> BackboneSpec:
        """The network at the lower end of the path: every part that the rule shrinks has its smallest size."""
        spec, tiny = self.at(-FURTHEST_PHI), self.coefficients(-FURTHEST_PHI)
        return spec if self.keep_resolution or tiny.resolution == 1 else replace(spec, resolution=self.least_resolution)

    def steps(self, spec: BackboneSpec, nominal: Coefficients, sign: int) -> list[Step]:
        """Every network one step larger (`sign` 1) or smaller (-1) in one part, the least strained first."""
        found = []
        for part, factor in self._parts(nominal):
            changed = self._stepped(spec, part, sign)
            if changed is not None:
                size = _size(changed, part) / (_size(self.base, part) * factor)
                found.append(Step(size**sign, changed))
        return sorted(found, key=lambda step: step.strain)

    def _parts(self, nominal: Coefficients) -> Iterator[tuple[Part, float]]:
        """Every part that the rule changes, with its factor at this phi."""
        moves = self.coefficients(ANY_PHI)
        pairs = zip(stage_factors(self.base, nominal), stage_factors(self.base, moves), strict=True)
        for number, ((depth, width), (depth_moves, width_moves)) in enumerate(pairs):
            if depth_moves != 1:
                yield Part("depth", number), depth
            if width_moves != 1:
                yield Part("width", number), width
        if moves.width != 1:
            yield Part("width", STEM), nominal.width
            if self.base.head is not None:
                yield Part("width", HEAD), nominal.width
        if moves.resolution != 1 and not self.keep_resolution:
            yield Part("resolution"), nominal.resolution

    def _stepped(self, spec: BackboneSpec, part: Part, sign: int) -> BackboneSpec | None:
        """`spec` with one part a step larger or smaller; None if there is no such network."""
        if part.dimension == "resolution":
            side = spec.resolution + sign * self.rounding.resolution_multiple
            return replace(spec, resolution=side) if side >= self.least_resolution else None
        stage, base = _stage(spec, part.stage), _stage(self.base, part.stage)
        if base.fixed in (part.dimension, "both"):
            return None
        if part.dimension == "depth":
            depth = stage.depth + sign
            return _with_stage(spec, part.stage, replace(stage, depth=depth)) if depth >= 1 else None
        return self._rewidened(spec, part.stage, stage, base, sign)

    def _rewidened(
        self, spec: BackboneSpec, number: int, stage: StageSpec, base: StageSpec, sign: int
    ) -> BackboneSpec | None:
        divisor, width = self.rounding.divisor, stage.width
        # Rounding to whole groups of channels can undo a step: go on until the width changes.
        while (
            width := (width // divisor + sign) * divisor if sign > 0 else -(-width // divisor + 1) * divisor
        ) >= self.rounding.least_width:
            block, found = base.block.widened(width, width / base.width)
            if (found - stage.width) * sign > 0:
                try:
                    return _with_stage(spec, number, replace(stage, block=block, width=found))
                except SpecError:
                    return None
            if abs(width - stage.width) > 4 * stage.width:
                return None
        return None


class Part(NamedTuple):
    """One number of a network that scaling changes.

    Args:
        dimension: the kind of number: "depth", "width" or "resolution".
        stage: number of the stage, from 0, or `STEM` or `HEAD`; ignored for a resolution.
    """

    dimension: str
    stage: int = 0


STEM, HEAD = -1, -2


def _stage(spec: BackboneSpec, number: int) -> StageSpec:
    if number == STEM:
        return spec.stem
    if number == HEAD and spec.head is not None:
        return spec.head
    return spec.stages[number]


def _with_stage(spec: BackboneSpec, number: int, stage: StageSpec) -> BackboneSpec:
    if number == STEM:
        return replace(spec, stem=stage)
    if number == HEAD:
        return replace(spec, head=stage)
    return replace(spec, stages=(*spec.stages[:number], stage, *spec.stages[number + 1 :]))


def _size(spec: BackboneSpec, part: Part) -> int:
    if part.dimension == "resolution":
        return spec.resolution
    stage = _stage(spec, part.stage)
    return stage.depth if part.dimension == "depth" else stage.width
