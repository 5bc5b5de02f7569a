"""What a network costs, counted from its record alone: the reader that needs no Keras.

| quantity | unit | what counts | source |
|---|---|---|---|
| `params` | numbers | every weight, the untrained ones too: `model.count_params()` | keras |
| `macs` | multiply-adds per image | convolutions and dense layers, without biases | the "FLOPS" of arXiv:1905.11946 |
| `flops` | operations per image | 2 * macs | |
| `activations` | numbers per image | outputs of convolutions and dense layers | arXiv:2103.06877, section 3 |

A Keras model is counted in the same way from its graph. What its layers hold is taken from its variables, each once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keras_effnet.checks import check_int, is_keras_model, plain
from keras_effnet.counting import CostCounter, Counts, LayerCost, Shape, count_block
from keras_effnet.errors import BuildError
from keras_effnet.network import Network, Node, Pooling, RecordedStage, record_network
from keras_effnet.registry import resolve_backbone
from keras_effnet.resolution import Resolution
from keras_effnet.spec import BackboneSpec
from keras_effnet.tables import Shown, aligned

if TYPE_CHECKING:
    import keras

    from keras_effnet.counted_model import CountedModel

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage.

    Args:
        operator: the block as the paper's Table 1 writes it.
        input: (height, width, channels) that the stage reads.
        output: (height, width, channels) that the stage emits.
        depth: number of blocks.
        params: number of all weights.
        trainable_params: number of weights that training changes.
        macs: multiply-adds per image.
        activations: number of outputs of convolutions and dense layers, per image.
    """

    operator: str
    input: Shape
    output: Shape
    depth: int
    params: int
    trainable_params: int
    macs: int
    activations: int


@dataclass(frozen=True, repr=False)
class Cost(Shown):
    """The cost of a network, and of each of its stages.

    Args:
        params: number of all weights, as `model.count_params()` counts them.
        trainable_params: number of weights that training changes.
        macs: multiply-adds per image in convolutions and dense layers: the paper's "FLOPS".
        activations: number of outputs of convolutions and dense layers, per image.
        stages: costs of the stem (with preprocessing), the stages, the head, and the top (classifier or pooling) if
            there is one.
        opaque: names of a model's layers of which only the parameters are counted: what they compute is unknown.
    """

    params: int
    trainable_params: int
    macs: int
    activations: int
    stages: tuple[StageCost, ...]
    opaque: tuple[str, ...] = ()

    @property
    def flops(self) -> int:
        """Floating-point operations per image: one multiplication and one addition for each of `macs`."""
        return 2 * self.macs

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights in float32."""
        return FLOAT32_BYTES * self.params

    @property
    def headline(self) -> str:
        """Parameters and multiply-adds."""
        left = f" without {_number(self.opaque)}" if self.opaque else ""
        return f"{self.params:,} parameters, {self.macs:,} MACs{left}"

    def __str__(self) -> str:
        whole = (self.params, self.macs, self.activations)
        cells: list[tuple[str, ...]] = [("operator", "input", "output", "depth", "params", "MACs", "activations")]
        for row in self.stages:
            sizes = ("x".join(map(str, shape)) for shape in (row.input, row.output))
            cells.append(
                (row.operator, *sizes, *map("{:,}".format, (row.depth, row.params, row.macs, row.activations)))
            )
        cells.append(("all", "", "", "", *map("{:,}".format, whole)))
        return "\n".join([*aligned(cells, text_column=0), *opaque_note(self.opaque)])


def opaque_note(names: Sequence[str]) -> list[str]:
    """The lines that say which layers are not in a count.

    Args:
        names: names of the layers.

    Example:
        >>> opaque_note(["attention"])
        ["1 layer is not counted, but for its parameters: 'attention'"]
    """
    if not names:
        return []
    verb, whose = ("is", "its") if len(names) == 1 else ("are", "their")
    return [f"{_number(names)} {verb} not counted, but for {whose} parameters: {', '.join(map(repr, names))}"]


def _number(names: Sequence[str]) -> str:
    return "1 layer" if len(names) == 1 else f"{len(names)} layers"


def estimate_cost(
    spec: BackboneSpec | str | keras.Model,
    *,
    resolution: Resolution | None = None,
    channels: int = 3,
    classes: int = 1000,
    include_top: bool = True,
    pooling: Pooling | None = None,
    features: Sequence[str] | None = None,
    output_stride: int | None = None,
) -> Cost:
    """Counts what a network costs, without building it or importing Keras: a spec's, or that of any Keras model.

    The time does not grow with a spec's depth: equal blocks in a row are counted once. Only DenseNet's blocks, which
    all read more than the one before, are counted one by one. Of a model, nothing is computed: its graph is read. Its
    stages are those of the spec that it carries, if it is just that network; otherwise they begin where its resolution
    changes.

    Args:
        spec: a backbone, the name of a registered one, or a functional or Sequential Keras model, whoever built it. A
            model has its own channels, classes and top.
        resolution: side of the image in pixels, or (height, width), at least the total stride of a spec; by default
            that of the spec or the model. A model with several images keeps their proportions; its vectors stay.
        channels: number of channels of the image, at least 1.
        classes: number of classes of the classifier, at least 1.
        include_top: whether the classifier counts.
        pooling: how features are pooled without the top: "avg", "max" or None. Costs no parameters.
        features: names of levels, such as "P3", that the network returns in place of what follows the last of them; a
            model has its own. None for the whole network.
        output_stride: pixels from one cell of the coarsest map to the next, 8, 16 or 32; a model has its own. None for
            the spec's strides.

    Returns:
        The cost; `params` equals `model.count_params()`. Its `opaque` names the layers of a model that are not counted.

    Raises:
        BuildError: an argument outside its range; a level that the network does not have; a model of images of any size
            without `resolution`.
        InheritanceError: a model without a graph, with recurrent layers, or with layers for volumes.
        RegistryError: an unknown name.
        SpecError: a block that cannot exist at these widths, a layer that cannot exist at this resolution, or over
            10,000 blocks that all differ.

    Example:
        >>> cost = estimate_cost("efficientnet_b0")
        >>> cost.params, cost.macs
        (5330571, 385814752)
    """
    shape: dict[str, Any] = {"include_top": include_top, "pooling": pooling, "classes": classes}
    if is_keras_model(spec):
        check_own(channels=channels, features=features, output_stride=output_stride, **shape)
        return count_model(spec, resolution)[0]
    spec = resolve_backbone(spec)
    size = spec.resolution if resolution is None else plain(resolution)
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2:
        raise BuildError("`resolution` must be one side or (height, width).", received=f"{resolution=}")
    for side in sides:
        check_int(BuildError, "resolution", side, spec.total_stride)
    channels = check_int(BuildError, "channels", channels, 1)
    levels: dict[str, Any] = {"features": features, "output_stride": output_stride}
    network = record_network(spec, channels=channels, size=sides, fold=True, **shape, **levels)
    return count_network(network, Shape(*sides, channels))


_USUAL = {
    "include_top": True,
    "pooling": None,
    "classes": 1000,
    "channels": 3,
    "features": None,
    "output_stride": None,
}


def check_own(**given: Any) -> None:
    """Raises BuildError if an argument is given of which a model has its own value."""
    for name, value in given.items():
        if value != _USUAL[name]:
            raise BuildError(
                f"a model has its own {name}: leave the argument out, or give the spec.", received=f"{name}={value!r}"
            )


def count_model(model: Any, resolution: Resolution | None) -> tuple[Cost, bool]:
    """Counts a Keras model.

    Args:
        model: a functional or Sequential model.
        resolution: as in `estimate_cost`.

    Returns:
        The cost, and whether the model is just the network of the spec that it carries.

    Raises:
        BuildError, InheritanceError, SpecError: as `estimate_cost`.
    """
    from keras_effnet.counted_model import read_counted

    return cost_of(read_counted(model, resolution))


def cost_of(counted: CountedModel) -> tuple[Cost, bool]:
    """Counts a Keras model that was read; returns what `count_model` does."""
    cost = add_up(counted.stages, counted.costs, counted.images[0])
    network = counted.spec_network()
    if network is not None:
        own = count_network(network, *counted.images, make=counted.counter)
        if replace(own, stages=()) == replace(cost, stages=()) and not any(counted.rest) and not counted.opaque:
            return own, True
    trainable, untrained = counted.rest
    if trainable + untrained:
        y = cost.stages[-1].output
        rest = StageCost("Weights outside the graph", y, y, 0, trainable + untrained, trainable, 0, 0)
        cost = replace(
            cost,
            params=cost.params + rest.params,
            trainable_params=cost.trainable_params + trainable,
            stages=(*cost.stages, rest),
        )
    return replace(cost, opaque=counted.opaque), False


def add_up(stages: Sequence[RecordedStage], costs: Mapping[Node, LayerCost], image: Shape) -> Cost:
    """The cost of a network of which each operation was counted.

    Args:
        stages: its stages.
        costs: the cost of each operation.
        image: shape of what it reads.
    """
    found, x = [], image
    for stage in stages:
        made = [costs[node] for block in stage.blocks for node in block.nodes]
        trainable, untrained, macs, activations = map(sum, zip(*(cost[1:] for cost in made), strict=True))
        sums = Counts(trainable + untrained, trainable, macs, activations)
        y = costs[stage.blocks[-1].output].shape
        found.append(StageCost(stage.operator, x, y, stage.depth, *sums))
        x = y
    params, trainable, macs, activations = (sum(getattr(stage, name) for stage in found) for name in Counts._fields)
    return Cost(params, trainable, macs, activations, tuple(found))


def count_network(network: Network, *images: Shape, make: Callable[[], CostCounter] = CostCounter) -> Cost:
    """Counts a recorded network.

    Args:
        network: the network.
        *images: shape of each input.
        make: gives a reader that has read nothing yet.

    Returns:
        The cost. Its first stage has the preprocessing with it; a top that does nothing is left out.

    Raises:
        SpecError: an operation that is impossible on the shape that it reads.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> count_network(record_network(resnet50_spec), Shape(224, 224, 3)).params
        25636712
    """
    values, stages = dict(zip(network.inputs, images, strict=True)), []
    total, booked, x = Counts(), Counts(), images[0]
    for stage in network.stages:
        for block in stage.blocks:
            total = total.plus(count_block(block, values, make))
        if stage.name == "input" or not any(block.nodes for block in stage.blocks):
            continue
        y = values[stage.blocks[-1].output]
        stages.append(StageCost(stage.operator, x, y, stage.depth, *total.plus(booked, -1)))
        booked, x = total, y
    return Cost(*total, tuple(stages))
