"""What a network costs, layer by layer: a table for terminals, notebooks and spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_effnet.atomic import atomic_write
from keras_effnet.checks import check_choice, check_int, is_keras_model
from keras_effnet.cost import check_own, cost_of, opaque_note
from keras_effnet.counting import LayerCost, Shape, count_nodes
from keras_effnet.errors import BuildError
from keras_effnet.network import Network, Node, Pooling, RecordedStage, record_network
from keras_effnet.ops import Opaque, first_call
from keras_effnet.registry import resolve_backbone
from keras_effnet.resolution import Resolution, check_resolution, sides_of
from keras_effnet.spec import BackboneSpec
from keras_effnet.tables import Shown, aligned
from keras_effnet.windows import both

if TYPE_CHECKING:
    import keras

_NUMBERS = ("params", "trainable_params", "macs", "activations")
_TEXTS = ("layer", "operation", "kernel", "stage", "input", "output")


@dataclass(frozen=True)
class LayerRow:
    """The cost of one layer.

    Args:
        layer: name of the layer in the Keras model; the first of two operations of one layer has more behind it.
        operation: what it does: the name of an operation of `keras_effnet.ops`, or the class of a layer that there is
            no word for.
        kernel: sides of its window as "3x3"; "" for an operation without one.
        stage: number of its stage, as in `explain`.
        input: (height, width, channels) of what it reads, as "56x56x24"; of several inputs with " + " between them.
        output: the same of what it makes.
        params: number of its weights. A layer that is called again has them once.
        trainable_params: number of its weights that training changes.
        macs: multiply-adds per image.
        activations: number of outputs per image, if it is a convolution or a dense layer.
    """

    layer: str
    operation: str
    kernel: str
    stage: int
    input: str
    output: str
    params: int
    trainable_params: int
    macs: int
    activations: int


@dataclass(frozen=True, repr=False)
class LayerTable(Shown):
    """The cost of a network, layer by layer, in the order in which an image goes through them.

    Args:
        name: name of the network.
        rows: one row for each layer.
        opaque: names of the layers that are not counted, but for their parameters: what they compute is unknown.
    """

    name: str
    rows: tuple[LayerRow, ...]
    opaque: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """Name, layers and multiply-adds."""
        return f"{self.name}, {len(self.rows)} layers, {sum(row.macs for row in self.rows):,} MACs"

    def sorted(self, by: str) -> LayerTable:
        """The same table with the largest first.

        Args:
            by: "params", "trainable_params", "macs" or "activations".

        Raises:
            BuildError: another word.

        Example:
            >>> explain_layers("mobilenet_v1").sorted("macs").rows[0].layer
            'conv_pw_3'
        """
        check_choice(BuildError, "by", by, _NUMBERS)
        return replace(self, rows=tuple(sorted(self.rows, key=lambda row: getattr(row, by), reverse=True)))

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)

    def to_csv(self, path: str | Path) -> None:
        """Writes the table for spreadsheets: a line for each layer, with a column `counted` that is "no" where unknown.

        Args:
            path: path of the file; its folder is created if missing.

        Raises:
            DataError: the file cannot be written.

        Example:
            >>> explain_layers("mobilenet_v1").to_csv("layers.csv")  # doctest: +SKIP
        """
        unknown = {*self.opaque}

        def write(part: Path) -> None:
            with part.open("w", newline="", encoding="utf-8") as file:
                lines = csv.writer(file)
                lines.writerow((*_TEXTS, *_NUMBERS, "counted"))
                lines.writerows((*astuple(row), "no" if row.layer in unknown else "yes") for row in self.rows)

        atomic_write(Path(path), write)

    def __str__(self) -> str:
        cells: list[tuple[str, ...]] = [(*_TEXTS, "params", "trainable", "MACs", "activations")]
        for row in self.rows:
            numbers = (f"{getattr(row, name):,}" for name in _NUMBERS)
            cells.append((*(_brief(str(getattr(row, name))) for name in _TEXTS), *numbers))
        sums = (f"{sum(getattr(row, name) for row in self.rows):,}" for name in _NUMBERS)
        cells.append(("all", *[""] * (len(_TEXTS) - 1), *sums))
        return "\n".join([self.headline, "", *aligned(cells, text_column=0), *opaque_note(self.opaque)])


def explain_layers(
    spec: BackboneSpec | str | keras.Model,
    *,
    resolution: Resolution | None = None,
    channels: int = 3,
    classes: int = 1000,
    include_top: bool = True,
    pooling: Pooling | None = None,
) -> LayerTable:
    """Counts a network layer by layer, without building it, importing Keras for a spec, or running a model.

    Args:
        spec: a backbone, the name of a registered one, or a functional or Sequential Keras model, which has its own
            channels, classes and top.
        resolution: side of the image in pixels, or (height, width), at least the total stride of a spec; by default
            that of the spec or the model.
        channels: number of channels of the image, at least 1.
        classes: number of classes of the classifier, at least 1.
        include_top: whether the classifier counts.
        pooling: how features are pooled without the top: "avg", "max" or None.

    Returns:
        The table; `print` shows it, `sorted("macs")` puts the dearest layers first, `to_csv` writes a file.

    Raises:
        BuildError, InheritanceError, RegistryError, SpecError: as `estimate_cost`.

    Example:
        >>> table = explain_layers("efficientnet_b0")
        >>> row = table.sorted("params").rows[0]
        >>> row.layer, row.operation, row.stage, row.params
        ('predictions', 'Dense', 9, 1281000)
        >>> sum(row.macs for row in table.rows) == 385_814_752
        True
    """
    top: dict[str, Any] = {"include_top": include_top, "pooling": pooling, "classes": classes}
    if is_keras_model(spec):
        check_own(channels=channels, **top)
        return _of_model(spec, resolution)
    spec = resolve_backbone(spec)
    if resolution is not None:
        resolution = check_resolution(BuildError, "resolution", resolution, spec.total_stride)
    channels = check_int(BuildError, "channels", channels, 1)
    sides = sides_of(spec.resolution if resolution is None else resolution)
    network = record_network(spec, channels=channels, size=sides, **top)
    numbers = {node: number for number, node in _numbered(network.stages)}
    return LayerTable(spec.name, tuple(_rows(count_nodes(network, Shape(*sides, channels)), numbers, {})))


def _of_model(model: Any, resolution: Resolution | None) -> LayerTable:
    from keras_effnet.counted_model import read_counted

    counted = read_counted(model, resolution)
    numbers = {node: number for number, node in _numbered(counted.stages)}
    network = counted.spec_network()
    if network is not None and cost_of(counted)[1]:
        numbers = _numbers_of_spec(counted.network, network)
    kinds = {
        node.name: counted.read.graph.layers[source.layer].kind
        for node, source in counted.read.sources.items()
        if isinstance(node.op, Opaque)
    }
    return LayerTable(model.name, tuple(_rows(counted.costs, numbers, kinds)), counted.opaque)


def _numbered(stages: Sequence[RecordedStage]) -> Iterator[tuple[int, Node]]:
    """The number of the stage of each node, as `explain` numbers its rows."""
    number, before = 0, ""
    for stage in stages:
        nodes = [node for block in stage.blocks for node in block.nodes]
        # Preprocessing is the stem's, and the head's line is the top's as well.
        if nodes and before not in ("input", "head"):
            number += 1
        before = stage.name if nodes else before
        yield from ((number, node) for node in nodes)


def _numbers_of_spec(network: Network, spec_network: Network) -> dict[Node, int]:
    """The stages of a model that is its spec's network: a layer that the spec has no word for is that of the next."""
    names = {node.name: number for number, node in _numbered(spec_network.stages)}
    numbers, number = {}, max(names.values())
    for node in reversed(list(network.nodes)):
        number = names.get(node.name, number)
        numbers[node] = number
    return numbers


def _rows(costs: Mapping[Node, LayerCost], numbers: Mapping[Node, int], kinds: Mapping[str, str]) -> Iterator[LayerRow]:
    for node, cost in costs.items():
        if node.op is None:
            continue
        op = first_call(node.op)
        window = getattr(op, "kernel", None)
        yield LayerRow(
            layer=node.name,
            operation=kinds.get(node.name, type(op).__name__),
            kernel="" if window is None else _sized(both(window)),
            stage=numbers[node],
            input=" + ".join(_sized(costs[given].shape) for given in node.inputs),
            output=_sized(cost.shape),
            params=cost.trainable_params + cost.untrained_params,
            trainable_params=cost.trainable_params,
            macs=cost.macs,
            activations=cost.activations,
        )


def _sized(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides))


def _brief(text: str) -> str:
    """What several inputs are in a table for people: the first, and how many more."""
    first, *others = text.split(" + ")
    return first if not others else text if len(others) == 1 else f"{first} + {len(others)} more"
