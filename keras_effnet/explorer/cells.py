"""The reader that counts a block for every resolution at once: what each cell of each of its maps costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from keras_effnet.counting import Shape, layer_cost
from keras_effnet.errors import SpecError
from keras_effnet.ops import Conv, Depthwise, GlobalPool, Op, Ops, Pool
from keras_effnet.padding import window_cells
from keras_effnet.windows import Window, reaches


class FeatureMap(NamedTuple):
    """What flows between operations.

    Args:
        size: number of its size, as `MapSizes` counts them.
        channels: number of channels.
    """

    size: int
    channels: int


class MapSizes:
    """The sizes that maps of a network have, each as a side for every resolution of the (square) image.

    Args:
        resolutions: sides of the image in pixels.
        resolution: the one of them that blocks are counted at.

    Example:
        >>> sizes = MapSizes((32, 64), 32)
        >>> sizes.sides[sizes.behind(sizes.image, Conv(8, kernel=3, stride=2))]
        (16, 32)
    """

    def __init__(self, resolutions: Sequence[int], resolution: int) -> None:
        self.sides: list[tuple[int, ...]] = []
        self._found: dict[object, int] = {}
        self._counted = list(resolutions).index(resolution)
        self.image = self._number(tuple(resolutions))
        self.cell = self._number((1,) * len(resolutions))

    def side(self, size: int) -> int:
        """Cells along one side of a map where blocks are counted."""
        return self.sides[size][self._counted]

    def behind(self, size: int, op: Window) -> int:
        """The size of what a window leaves of a map."""
        if op.stride == 1 and op.padding not in ("valid", "symmetric"):
            return size
        (reach, stride), _ = reaches(op)
        key = (size, reach, stride, op.padding)
        if key not in self._found:
            self._found[key] = self._number(
                tuple(window_cells(side, reach, stride, op.padding) or 0 for side in self.sides[size])
            )
        return self._found[key]

    def _number(self, sides: tuple[int, ...]) -> int:
        if sides not in self._found:
            self._found[sides] = len(self.sides)
            self.sides.append(sides)
        return self._found[sides]


class CellCounter(Ops[FeatureMap]):
    """The verbs that add up: parameters, and multiply-adds and activations of one cell by the size of the map.

    Args:
        sizes: the sizes of maps.
    """

    def __init__(self, sizes: MapSizes) -> None:
        self.sizes = sizes
        self.params = 0
        self.macs: Counter[int] = Counter()
        self.activations: Counter[int] = Counter()

    def read(self, op: Op, name: str, *inputs: FeatureMap) -> FeatureMap:
        """Adds one operation; a layer of somebody's own may not change the size, as its law is unknown.

        Raises:
            SpecError: an operation that is impossible, or changes the size by a law of its own.
        """
        cost = layer_cost(op, name, *(self._shape(x) for x in inputs))
        if isinstance(op, Conv | Depthwise | Pool):
            size = self.sizes.behind(inputs[0].size, op)
        elif isinstance(op, GlobalPool):
            size = self.sizes.cell
        else:
            size = max((x.size for x in inputs), key=self.sizes.side)
        if cost.shape[:2] != (self.sizes.side(size),) * 2:
            raise SpecError(
                "the explorer needs blocks whose maps change their size by convolution or pooling alone.",
                received=f"layer {name!r}, {op!r}",
            )
        cells = cost.shape.height * cost.shape.width
        self.params += cost.trainable_params + cost.untrained_params
        self.macs[size] += cost.macs // cells
        self.activations[size] += cost.activations // cells
        return FeatureMap(size, cost.shape.channels)

    def _shape(self, x: FeatureMap) -> Shape:
        side = self.sizes.side(x.size)
        return Shape(side, side, x.channels)

    def channels(self, x: FeatureMap) -> int:
        return x.channels

    def size(self, x: FeatureMap) -> tuple[int | None, int | None]:
        side = self.sizes.side(x.size)
        return side, side
