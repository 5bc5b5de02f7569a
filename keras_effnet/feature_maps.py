"""The feature maps of a network, level by level, known without building it. Importing this loads no keras."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keras_effnet.checks import is_keras_model
from keras_effnet.counting import Shape, network_shapes
from keras_effnet.dilation import dilate_network
from keras_effnet.errors import BuildError
from keras_effnet.levels import check_levels, find_levels, keep_nodes, levels_of_strides, walk_grids
from keras_effnet.network import Network, Node, RecordedBlock, record_network
from keras_effnet.registry import resolve_backbone
from keras_effnet.resolution_stages import cut_by_resolution
from keras_effnet.spec import BackboneSpec

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class FeatureLevels:
    """The levels of a network, from the finest map to the coarsest.

    Args:
        names: name of each level: the cells of "P3" lie 2**3 pixels apart, before `output_stride` makes them closer.
        strides: pixels of the image from one cell of each map to the next.
        channels: number of channels of each map.
    """

    names: tuple[str, ...]
    strides: tuple[int, ...]
    channels: tuple[int, ...]


def feature_levels(
    spec: BackboneSpec | str | keras.Model,
    levels: Sequence[str] | None = None,
    *,
    strides: Sequence[int] | None = None,
    output_stride: int | None = None,
) -> FeatureLevels:
    """Finds what `feature_extractor` would return, without building it or importing Keras.

    A level is what the last block of a resolution makes: before a head convolution, before pooling, and before any
    normalisation that belongs to the next block. Level P3 has a stride of 2**3 pixels.

    Args:
        spec: a backbone, the name of a registered one, or a functional or Sequential model.
        levels: names of the levels, such as ("P3", "P4"); None for all that a spec has, or a model returns.
        strides: in place of `levels`: their strides in pixels, powers of two from 2.
        output_stride: pixels from one cell of the coarsest map to the next, 8, 16 or 32: strides beyond it become 1.
            None for the spec's own strides, or for those of the model.

    Returns:
        Names, strides and channels.

    Raises:
        BuildError: a level that the network does not have, `levels` and `strides`, or another `output_stride`.
        InheritanceError: a model without a graph.
        RegistryError: an unknown name.

    Example:
        >>> feature_levels("efficientnet_b0", ("P3", "P4", "P5")).channels
        (40, 112, 320)
        >>> feature_levels("resnet50", strides=(16, 32), output_stride=16)
        FeatureLevels(names=('P4', 'P5'), strides=(16, 16), channels=(1024, 2048))
    """
    names = chosen_levels(levels, strides)
    if is_keras_model(spec):
        from keras_effnet.inheritance.embedded_network import spec_in

        embedded = spec_in(spec)
        if embedded is None:
            return _levels_of_graph(spec, names, output_stride)
        spec, names = embedded.spec, embedded.features if names is None else names
        output_stride = embedded.output_stride if output_stride is None else output_stride
    spec = resolve_backbone(spec)
    names = all_levels(spec) if names is None else names
    # No level depends on the size, but blocks of other people may ask for one.
    size = (spec.resolution, spec.resolution)
    network = record_network(spec, size=size, features=names, output_stride=output_stride, fold=True)
    grids: dict[Any, Any] = {node: grid for _, node, grid in walk_grids(network, size)}
    made = network.outputs
    return FeatureLevels(names, tuple(grids[node].stride[0] for node in made), tuple(node.channels for node in made))


def graph_levels(network: Network, images: Sequence[Shape]) -> dict[str, Node]:
    """Finds the levels of a network that nothing is known of but its graph: the last thing made at each resolution.

    What a head convolution makes is told from no other, and levels end where maps become larger again.

    Args:
        network: a network that was read.
        images: shape of each of its inputs.

    Returns:
        What makes each level, by the level's name.
    """
    cut = cut_by_resolution(network, network_shapes(network, *images))
    whole = tuple(replace(stage, blocks=[_one_block(stage.blocks)]) for stage in cut.stages)
    return find_levels(replace(cut, stages=whole))


def _one_block(blocks: Sequence[RecordedBlock]) -> RecordedBlock:
    return RecordedBlock(blocks[0].input, [node for block in blocks for node in block.nodes], blocks[-1].output)


def check_there(name: str, found: Collection[str], names: tuple[str, ...] | None) -> tuple[str, ...]:
    """The levels that were asked for, or all; raises BuildError, with the name of the model, unless they are there."""
    names = tuple(found) if names is None else names
    if not found:
        raise BuildError(
            f"no level of {name!r} is known: strides are counted from the image, and nobody knows them behind what "
            "resizes it, or is known to Keras alone. Take the layers behind that: the model inside, if there is one, "
            "or `keras.Model(model.get_layer(its name).output, model.output)`.",
            received=", ".join(names) or "no levels",
        )
    missing = [each for each in names if each not in found]
    if missing or not names:
        raise BuildError(
            f"{name!r} has the levels {', '.join(found)}: take some of them.",
            received=", ".join(missing) or "no levels",
        )
    return names


def _levels_of_graph(model: Any, names: tuple[str, ...] | None, output_stride: int | None) -> FeatureLevels:
    """The levels of a model without a spec."""
    from keras_effnet.reading.read_model import read_layers, some_images

    read = read_layers(model)
    found = graph_levels(read.network, some_images(read))
    names = check_there(model.name, found, names)
    network = keep_nodes(read.network, tuple(found[name] for name in names))
    network = network if output_stride is None else dilate_network(network, output_stride)
    grids: dict[Any, Any] = {node: grid for _, node, grid in walk_grids(network)}
    made = network.outputs
    return FeatureLevels(names, tuple(grids[node].stride[0] for node in made), tuple(node.channels for node in made))


def chosen_levels(levels: Sequence[str] | None, strides: Sequence[int] | None) -> tuple[str, ...] | None:
    """The names of levels that were given by their names or by their strides; None for neither.

    Raises:
        BuildError: both are given, or one of them names no levels.
    """
    if levels is not None and strides is not None:
        raise BuildError("give `levels` or their `strides`, not both.", received=f"{levels=}, {strides=}")
    if strides is not None:
        return levels_of_strides(strides)
    return None if levels is None else check_levels(levels)


def all_levels(spec: BackboneSpec) -> tuple[str, ...]:
    """The names of all levels of a network, from the finest to the coarsest."""
    size = (spec.resolution, spec.resolution)
    whole = replace(spec, head=None)
    return tuple(find_levels(record_network(whole, size=size, include_top=False, fold=True), size))
