"""What is compared: networks from names, specs, files and models, at every phi by every rule; and what each costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from keras_effnet.checks import is_keras_model, plain
from keras_effnet.cost import Cost, estimate_cost
from keras_effnet.errors import ComparisonError, WeightsError
from keras_effnet.registry import resolve_backbone, rules
from keras_effnet.resolution import Resolution
from keras_effnet.scaling import ScalingRule, scale_spec
from keras_effnet.spec import BackboneSpec

SAVED = (".keras", ".h5")


@dataclass(frozen=True, eq=False)
class Contender:
    """A network of a comparison, at the size that it has.

    Args:
        network: a spec, the name of a registered backbone, the path of a spec file (.json) or of a saved model (.keras,
            .h5), or a functional or Sequential Keras model.
        label: name in tables, which no other network of the comparison has; None for the network's own name.
        group: name of the line that joins it with others in plots, such as "width only"; None for the label.
        phi: phi to show; nothing is scaled by it.
        rule: name of the scaling rule to show; nothing is scaled by it.

    Example:
        >>> small = scale_spec("mobilenet_v1", phi=-4)
        >>> Contender(small, "quarter", group="width only", phi=-4).label
        'quarter'
    """

    network: Any
    label: str | None = None
    group: str | None = None
    phi: float | str | None = None
    rule: str | None = None


@dataclass(frozen=True, eq=False)
class CountedContender:
    """A contender, opened and counted.

    Args:
        label: name in tables.
        group: name of the line in plots.
        contender: the contender, whose network is opened.
        resolution: side of its images in pixels, or (height, width); None for a model without images.
        cost: what it costs.
        spec: its spec; None for a model that carries none and is no registered backbone.
    """

    label: str
    group: str
    contender: Contender
    resolution: Resolution | None
    cost: Cost
    spec: BackboneSpec | None = None

    @property
    def timed(self) -> Any:
        """What can be built and timed: a spec or a model; None for a graph that was scaled, but not built."""
        network = self.contender.network
        return network if is_keras_model(network) else self.spec


def open_network(network: Any) -> tuple[str, Any]:
    """Opens a network: reads its file, or looks its name up.

    Args:
        network: as in `Contender`.

    Returns:
        Its name, that of its file if it is in one, and its spec or model.

    Raises:
        RegistryError, SpecError: an unknown name; a spec file that is missing or wrong.
        WeightsError: a model's file that is missing or broken.
    """
    if isinstance(network, PathLike) or (isinstance(network, str) and network.endswith((".json", *SAVED))):
        path = Path(fspath(network))
        if path.suffix not in SAVED:
            from keras_effnet.serialization import read_spec

            return path.stem, read_spec(path)
        if not path.exists():
            raise WeightsError("there is no such model.", received=repr(str(path)))
        from keras_effnet.inheritance.scaled_model import load_model

        return path.stem, load_model(path)
    opened: Any = network if is_keras_model(network) else resolve_backbone(network)
    return opened.name, opened


def read_rules(rule: Sequence[ScalingRule | str]) -> dict[str, ScalingRule]:
    """The rules by their names; one that is not registered is called what it prints as.

    Raises:
        ComparisonError: there is none.
        RegistryError: an unknown name.
    """
    found: dict[str, ScalingRule] = {}
    for each in [rule] if isinstance(rule, str) or callable(rule) else rule:
        name = each if isinstance(each, str) else getattr(each, "__name__", repr(each))
        found[name] = rules.get(each) if isinstance(each, str) else each
    if not found:
        raise ComparisonError("there must be a scaling rule.", received=f"{rule=}")
    return found


def open_contenders(
    networks: Sequence[Any], phi: Sequence[float | str] = (0,), rule: Sequence[ScalingRule | str] = ("compound",)
) -> list[Contender]:
    """Opens networks, and scales those that are no `Contender`: at every phi by every rule.

    Args:
        networks: what to compare, as in `Contender`, or contenders, which are taken as they are.
        phi: phis to scale by, as in `scale_spec`; 0 is the network as it is.
        rule: rules to scale by, or their names.

    Returns:
        Contenders with labels and groups in the order of the arguments, whose networks are specs, models, or scaled
        graphs (`ScaledNetwork`).

    Raises:
        ComparisonError: there is no network or phi, or two networks have one label.
        InheritanceError, RegistryError, ScalingError, SpecError, WeightsError: as `open_network`, `scale_spec` and
            `scale_network`.

    Example:
        >>> found = open_contenders(["mobilenet_v1", Contender("resnet50", "theirs")], phi=[0, 1])
        >>> [each.label for each in found]
        ['mobilenet_v1', 'mobilenet_v1, phi 1', 'theirs']
    """
    known = read_rules(rule)
    phis = [plain(phi)] if isinstance(phi, float | int | str) else [plain(each) for each in phi]
    if isinstance(networks, str | PathLike | BackboneSpec) or not networks or not phis:
        raise ComparisonError(
            "there must be a list of networks, and a phi: name at least one of each.", received=f"{networks=}, {phi=}"
        )
    found: list[Contender] = []
    for network in networks:
        if isinstance(network, Contender):
            name, opened = open_network(network.network)
            label = name if network.label is None else network.label
            group = label if network.group is None else network.group
            found.append(replace(network, network=opened, label=label, group=group))
        else:
            found += _scaled(*open_network(network), phis, known)
    labels = [each.label for each in found]
    twice = [label for label in dict.fromkeys(labels) if labels.count(label) > 1]
    if twice:
        raise ComparisonError(
            "each network needs a label of its own: name each network, phi and rule once, or give labels "
            "(Contender(network, label)).",
            received=", ".join(map(repr, twice)),
        )
    return found


def _scaled(name: str, network: Any, phis: Sequence[Any], known: Mapping[str, ScalingRule]) -> Iterator[Contender]:
    """A network at every phi by every rule."""
    for rule, law in known.items():
        group = f"{name}, {rule}" if len(known) > 1 else name
        for phi in phis:
            # At 0 a network is the same by every rule, but the line of each rule begins there.
            as_it_is = not isinstance(phi, str) and phi == 0
            shown = phi if isinstance(phi, str) else f"{phi:g}"
            label = group if as_it_is else f"{group}, phi {shown}"
            yield Contender(network if as_it_is else _at(network, phi, law), label, group, phi, rule)


def _at(network: Any, phi: Any, law: ScalingRule) -> Any:
    """A network scaled by phi: a spec; of a model without one, the scaled graph, which is counted, not built."""
    if not is_keras_model(network):
        return scale_spec(network, phi, rule=law)
    from keras_effnet.inheritance.embedded_network import spec_in

    embedded = spec_in(network)
    if embedded is not None:
        return scale_spec(embedded.spec, phi, rule=law)
    from keras_effnet.scaling.scale_network import scale_network

    return scale_network(network, phi, rule=law)


def count_contender(contender: Contender, classes: int | None = None) -> CountedContender:
    """Counts what an opened contender costs.

    Args:
        contender: as `open_contenders` returns it.
        classes: number of classes of its classifier; None for 1000, and for a model's own.

    Raises:
        BuildError, InheritanceError, SpecError: as `estimate_cost`.

    Example:
        >>> [found] = open_contenders(["mobilenet_v1"], phi=[1])
        >>> count_contender(found).resolution
        256
    """
    network = contender.network
    told = str(contender.label), str(contender.group), contender
    if is_keras_model(network):
        from keras_effnet.inheritance.embedded_network import spec_in

        embedded = spec_in(network)
        if embedded is None or classes is None:
            sides = next((tensor.shape[1:3] for tensor in network.inputs if len(tensor.shape) == 4), None)
            spec = None if embedded is None else embedded.spec
            return CountedContender(*told, sides and _side(*sides), estimate_cost(network), spec)
        network = embedded.spec
    if isinstance(network, BackboneSpec):
        cost = estimate_cost(network, classes=1000 if classes is None else classes)
        return CountedContender(*told, network.resolution, cost, network)
    height, width, _ = network.images[0][1]
    return CountedContender(*told, _side(height, width), network.cost)


def _side(height: int, width: int) -> Resolution:
    return height if height == width else (height, width)
