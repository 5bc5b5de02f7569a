"""What a network costs, counted from its record alone: the reader that needs no Keras.

| quantity | unit | what counts | source |
|---|---|---|---|
| `params` | numbers | every weight, the untrained ones too: `model.count_params()` | keras |
| `macs` | multiply-adds per image | convolutions and dense layers, without biases | the "FLOPS" of arXiv:1905.11946 |
| `flops` | operations per image | 2 * macs | |
| `activations` | numbers per image | outputs of convolutions and dense layers | arXiv:2103.06877, section 3 |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_effnet.checks import check_int, is_keras_model, plain
from keras_effnet.counting import CostCounter, Counts, Shape, count_block
from keras_effnet.errors import BuildError
from keras_effnet.network import Network, Pooling, record_network
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec
from keras_effnet.tables import Shown, aligned

if TYPE_CHECKING:
    import keras

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
    """

    params: int
    trainable_params: int
    macs: int
    activations: int
    stages: tuple[StageCost, ...]

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
        return f"{self.params:,} parameters, {self.macs:,} MACs"

    def __str__(self) -> str:
        whole = (self.params, self.macs, self.activations)
        cells: list[tuple[str, ...]] = [("operator", "input", "output", "depth", "params", "MACs", "activations")]
        for row in self.stages:
            sizes = ("x".join(map(str, shape)) for shape in (row.input, row.output))
            cells.append(
                (row.operator, *sizes, *map("{:,}".format, (row.depth, row.params, row.macs, row.activations)))
            )
        cells.append(("all", "", "", "", *map("{:,}".format, whole)))
        return "\n".join(aligned(cells, text_column=0))


def estimate_cost(
    spec: BackboneSpec | str | keras.Model,
    *,
    resolution: int | tuple[int, int] | None = None,
    channels: int = 3,
    classes: int = 1000,
    include_top: bool = True,
    pooling: Pooling | None = None,
    features: Sequence[str] | None = None,
    output_stride: int | None = None,
) -> Cost:
    """Counts what `build_model(spec, ...)` would cost, exactly, without building it or importing Keras.

    The time does not grow with depth: equal blocks in a row are counted once. Only DenseNet's blocks, which
    all read more than the one before, are counted one by one.

    Args:
        spec: a backbone, the name of a registered one, or a model built here, which has its own channels, classes and
            top.
        resolution: side of the image in pixels, or (height, width), at least the total stride; by default that of the
            spec or the model.
        channels: number of channels of the image, at least 1.
        classes: number of classes of the classifier, at least 1.
        include_top: whether the classifier counts.
        pooling: how features are pooled without the top: "avg", "max" or None. Costs no parameters.
        features: names of levels, such as "P3", that the network returns in place of what follows the last of them; a
            model has its own. None for the whole network.
        output_stride: pixels from one cell of the coarsest map to the next, 8, 16 or 32; a model has its own. None for
            the spec's strides.

    Returns:
        The cost; `params` equals `model.count_params()`.

    Raises:
        BuildError: an argument outside its range; a level that the network does not have; a model that carries no spec,
            or has layers of its own around it.
        RegistryError: an unknown name.
        SpecError: a block that cannot exist at these widths, or a stage of over 10,000 blocks that all differ.

    Example:
        >>> cost = estimate_cost("efficientnet_b0")
        >>> cost.params, cost.macs
        (5330571, 385814752)
    """
    if is_keras_model(spec):
        return _cost_of_model(spec, resolution)
    spec = resolve_backbone(spec)
    size = spec.resolution if resolution is None else plain(resolution)
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2:
        raise BuildError("`resolution` must be one side or (height, width).", received=f"{resolution=}")
    for side in sides:
        check_int(BuildError, "resolution", side, spec.total_stride)
    channels = check_int(BuildError, "channels", channels, 1)
    network = record_network(
        spec,
        channels=channels,
        size=sides,
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        features=features,
        output_stride=output_stride,
        fold=True,
    )
    return count_network(network, Shape(*sides, channels))


def _cost_of_model(model: Any, resolution: int | tuple[int, int] | None) -> Cost:
    from keras_effnet.builder.embedded_spec import counted_arguments

    arguments = counted_arguments(model)
    cost = estimate_cost(**{**arguments, **({} if resolution is None else {"resolution": resolution})})
    if cost.params != model.count_params():
        raise BuildError(
            "a model is counted by the spec that it carries, and this one has other layers around that network: count "
            "the spec itself, `read_embedded_spec(model).spec` of keras_effnet.builder.embedded_spec.",
            received=f"{model.name!r} with {model.count_params():,} parameters, {cost.params:,} of the spec's network",
        )
    return cost


def count_network(network: Network, *images: Shape) -> Cost:
    """Counts a recorded network.

    Args:
        network: the network.
        *images: shape of each image that it reads.

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
            total = total.plus(count_block(block, values, CostCounter))
        if stage.name == "input" or not any(block.nodes for block in stage.blocks):
            continue
        y = values[stage.blocks[-1].output]
        stages.append(StageCost(stage.operator, x, y, stage.depth, *total.plus(booked, -1)))
        booked, x = total, y
    return Cost(*total, tuple(stages))
