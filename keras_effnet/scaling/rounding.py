"""The only place where a multiplied size becomes a whole number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from keras_effnet.blocks.base import whole_width
from keras_effnet.checks import check_choice, check_int, check_number, store_plain
from keras_effnet.errors import ScalingError

DepthRounding = Literal["ceil", "round"]


@dataclass(frozen=True)
class Rounding:
    """How widths, depths and resolutions become whole numbers.

    A coefficient of exactly 1 rounds nothing: what is not scaled stays as it is.

    | argument | default | source of the default |
    |---|---|---|
    | `divisor`, `min_width`, `limit` | 8, the divisor, 0.9 | EfficientNet's `round_filters` |
    | `depth` | "ceil" | EfficientNet's `round_repeats`; "round" stays closer to the promised cost |
    | `resolution_multiple` | 4 | divides all of EfficientNet's: 240, 260, 300, 380, 456, 528, 600 px |

    Args:
        divisor: number of channels that every scaled width is a multiple of, at least 1.
        min_width: smallest width, in channels, at least 1; None for `divisor`.
        limit: smallest share of its exact value that a width may be rounded to, in [0, 1]; below it, the next multiple
            is taken instead.
        depth: direction in which numbers of blocks are rounded: "ceil" (up) or "round" (to the nearest, halves up);
            no stage has fewer than 1 block.
        resolution_multiple: number of pixels that every scaled resolution is a multiple of, at least 1; the nearest
            multiple is taken, halves up.

    Raises:
        ScalingError: a value outside its range.

    Example:
        >>> Rounding().round_width(32, 1.1), Rounding().round_depth(2, 1.2), Rounding().round_resolution(224, 1.15)
        (32, 3, 256)
    """

    divisor: int = 8
    min_width: int | None = None
    limit: float = 0.9
    depth: DepthRounding = "ceil"
    resolution_multiple: int = 4

    def __post_init__(self) -> None:
        store_plain(self)
        check_int(ScalingError, "divisor", self.divisor, 1)
        if self.min_width is not None:
            check_int(ScalingError, "min_width", self.min_width, 1)
        check_number(ScalingError, "limit", self.limit, 0, 1)
        check_choice(ScalingError, "depth", self.depth, get_args(DepthRounding))
        check_int(ScalingError, "resolution_multiple", self.resolution_multiple, 1)

    def round_width(self, width: int, coefficient: float) -> int:
        """The scaled width in channels, rounded by `nearest_width`; the width itself if `coefficient` is 1."""
        return width if coefficient == 1 else self.nearest_width(width * coefficient)

    def nearest_width(self, exact: float) -> int:
        """The nearest multiple of `divisor`, subject to `min_width` and `limit`."""
        return whole_width(exact, self.divisor, self.least_width, self.limit)

    @property
    def least_width(self) -> int:
        """The fewest channels that a width is rounded to."""
        return self.divisor if self.min_width is None else self.min_width

    def round_depth(self, depth: int, coefficient: float) -> int:
        """The scaled number of blocks, at least 1; `depth` itself if `coefficient` is 1."""
        if coefficient == 1:
            return depth
        exact = depth * coefficient
        return max(1, math.ceil(exact) if self.depth == "ceil" else math.floor(exact + 0.5))

    def round_resolution(self, resolution: int, coefficient: float) -> int:
        """The scaled side of the image in pixels; `resolution` itself if `coefficient` is 1."""
        if coefficient == 1:
            return resolution
        multiple = self.resolution_multiple
        return max(multiple, int(resolution * coefficient / multiple + 0.5) * multiple)
