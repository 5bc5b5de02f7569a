"""Groups of channels that stay whole when a stage is widened.

The rule for group widths is that of facebookresearch/pycls: `scale_model` in pycls/models/scaler.py and
`adjust_block_compatibility` in pycls/models/blocks.py (Dollar et al. 2021, arXiv:2103.06877), for blocks
whose grouped convolution is as wide as the stage. Groups that grow with the width keep their number, so that a grouped
convolution costs width^2 more, as a plain one does.
"""

from __future__ import annotations


def nearest_multiple(width: int, divisor: int) -> int:
    """The multiple of `divisor` nearest to `width`, at least `divisor`; the larger of two that are as near.

    Example:
        >>> nearest_multiple(140, 32), nearest_multiple(144, 32), nearest_multiple(8, 32)
        (128, 160, 32)
    """
    return max(divisor, (2 * width + divisor) // (2 * divisor) * divisor)


def widened_groups(group_width: int, width: int, coefficient: float) -> tuple[int, int]:
    """Group width and width of a widened stage.

    Args:
        group_width: number of channels in each group before, at least 1.
        width: width of the stage in channels, scaled and rounded.
        coefficient: factor by which the width was multiplied before it was rounded, above 0.

    Returns:
        The group width (1, 2, 4 or a multiple of 8, at most `width`), and its multiple nearest to `width`.

    Example:
        >>> widened_groups(16, 44, 1.4)
        (24, 48)
    """
    group = max(1, round(group_width * coefficient))
    if group > 2:
        group = 4 if group <= 5 else round(group / 8) * 8
    group = min(group, width)
    # Between two multiples pycls takes the even one, as Python's round does.
    return group, max(group, round(width / group) * group)
