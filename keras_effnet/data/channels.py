"""What all images of a data set must share: their number of channels, and the bits that their values use."""

from __future__ import annotations

import logging

from keras_effnet.checks import check_int
from keras_effnet.data.image_files import ImageFiles, log_skipped
from keras_effnet.data.reading import BITS, bits_for
from keras_effnet.data.source import Source
from keras_effnet.data.splits import RawSplits
from keras_effnet.errors import DataError

logger = logging.getLogger(__name__)


def with_channels(splits: RawSplits, channels: int, bits: int | None = None) -> RawSplits:
    """The images of all splits that can be read with so many channels; others are left out, logged and listed.

    Images of 16 bits often use fewer: X-rays 10 to 14, sensors 12. All of a data set are scaled by the same number of
    bits, the fewest that hold the largest value of all files, so that one image stays as bright against another as it
    was. It is logged, and a model that is trained on them remembers it.

    Args:
        splits: the splits as they come.
        channels: 3 (RGB), 1 (gray), or the number of bands that the files have, at least 1.
        bits: number of bits that images of 16 bits use, from 8 to 16; None finds it. Default: None.

    Returns:
        The splits, whose sources say the bits if there are images of 16 bits.

    Raises:
        DataError: no image of a class has so many channels, or a number is out of range.
    """
    channels = check_int(DataError, "channels", channels, 1)
    sources = [each for each in (splits.train, splits.validation, splits.test) if each is not None]
    found = common_bits([each for each in sources if isinstance(each, ImageFiles)], bits)
    done = {
        name: None if source is None else source_with_channels(source, channels, found)
        for name, source in (("validation", splits.validation), ("test", splits.test))
    }
    train = source_with_channels(splits.train, channels, found)
    _check_classes(splits.train, train, channels)
    return RawSplits(train, **done)


def common_bits(sources: list[ImageFiles], bits: int | None = None) -> int | None:
    """The number of bits that images of 16 bits use, which is logged; None if there are no such images.

    Args:
        sources: the images.
        bits: the number, if it is known. Default: None.

    Raises:
        DataError: `bits` is out of range.
    """
    if bits is not None:
        bits = check_int(DataError, "bits", bits, BITS[0], BITS[-1])
    peak = max((source.peak for source in sources), default=0)
    if not peak:
        return None
    found = bits_for(peak) if bits is None else bits
    cut = ": larger ones are white" if peak >= 2**found else ""
    logger.info("images of 16 bits have values up to %d, and are scaled from %d bits%s", peak, found, cut)
    return found


def source_with_channels(source: Source, channels: int, bits: int | None) -> Source:
    """The images of one source that can be read with so many channels.

    Args:
        source: the images.
        channels: as for `with_channels`.
        bits: number of bits that images of 16 bits use; None if there are none.

    Raises:
        DataError: the source has RGB images only, and other channels are asked for.
    """
    if not isinstance(source, ImageFiles):
        if channels not in (1, 3):
            raise DataError(
                "these images have 3 channels (RGB), or 1 (gray); only files have others.", received=f"{channels=}"
            )
        return source
    found = source.with_channels(channels, bits)
    others = found.skipped[len(source.skipped) :]
    if others:
        log_skipped(others)
    return found


def _check_classes(before: Source, after: Source, channels: int) -> None:
    gone = (before.images_per_class > 0) & (after.images_per_class == 0)
    if gone.any():
        name = before.class_names[int(gone.argmax())]
        raise DataError(
            f"class {name!r} has no image of {channels} channels. Ask for as many as the images have "
            "(`--channels`, `channels=`).",
            received=str(after.skipped[-1]),
        )
