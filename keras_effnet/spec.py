"""A backbone as frozen data: what a network is before anything multiplies it.

A spec holds no coefficients: scaling takes a spec and returns another. It holds no weights: building takes a spec and
returns a model. NumPy's numbers, arrays and lists are stored as Python's numbers and tuples, so that specs can be
compared, hashed and written as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Literal, get_args

from keras_effnet.blocks.base import Block, Placement
from keras_effnet.blocks.ends import Classifier, DenseClassifier
from keras_effnet.checks import (
    MAX_SIZE,
    MAX_STAGES,
    check_bool,
    check_choice,
    check_int,
    check_name,
    check_number,
    check_rate,
    store_plain,
    with_plain_fields,
)
from keras_effnet.errors import SpecError
from keras_effnet.spec_document import read_document, write_document
from keras_effnet.tables import aligned, as_html

# A stage that strides further sees a 224 px image as fewer than 7 x 7 cells all by itself.
MAX_STRIDE = 32

Fixed = Literal["nothing", "width", "depth", "both"]
PixelMode = Literal["none", "tf", "caffe", "torch"]
Initializer = Literal["glorot_uniform", "fan_out"]


@dataclass(frozen=True)
class Preprocessing:
    """What happens to pixels (0 to 255) before the stem, and who does it.

    Either the model preprocesses, or the caller does. The *model* computes `x * scale + offset` and then `(x - mean) /
    sqrt(variance)` for each channel, with statistics that are weights (`standardize`) or constants (`mean` and
    `variance`). The *caller* applies `preprocess_input` with `mode`, unless that is "none".

    Args:
        mode: what the caller applies: "none", or a mode of `keras.applications.imagenet_utils.preprocess_input`.
        scale: factor by which the model multiplies pixels, any finite number; 1 adds no layer unless `offset` does.
        offset: number that the model adds to scaled pixels, any finite number.
        standardize: whether the model has a Normalization layer, whose weights are each channel's mean and variance.
        mean: constant that the model subtracts, one number per channel, or None. Images with another number of
            channels get the mean of these numbers in every channel.
        variance: constant by whose root the model then divides, one number above 0 per channel, or None.

    Raises:
        SpecError: an unknown mode; a number outside its range; only one of `mean` and `variance`, or either of them
            together with `standardize`; preprocessing by both the model and the caller.

    Example:
        >>> Preprocessing(scale=1 / 255, standardize=True).in_model
        True
    """

    mode: PixelMode = "none"
    scale: float = 1.0
    offset: float = 0.0
    standardize: bool = False
    mean: tuple[float, ...] | None = None
    variance: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        store_plain(self)
        check_choice(SpecError, "mode", self.mode, get_args(PixelMode))
        check_number(SpecError, "scale", self.scale, float("-inf"))
        check_number(SpecError, "offset", self.offset, float("-inf"))
        check_bool(SpecError, "standardize", self.standardize)
        self._check_statistics()
        if self.in_model and self.mode != "none":
            raise SpecError(
                "pixels would be preprocessed twice: give `mode` for the caller, or `scale`, `offset` and "
                "`standardize` for the model, not both.",
                received=repr(self),
            )

    def _check_statistics(self) -> None:
        for name, low in (("mean", float("-inf")), ("variance", 0)):
            numbers = getattr(self, name)
            if numbers is None:
                continue
            if not isinstance(numbers, tuple) or not numbers:
                raise SpecError(
                    f"`{name}` must be a tuple of numbers, one per channel.", received=f"{name}={numbers!r}"
                )
            for number in numbers:
                check_number(SpecError, name, number, low, open_low=True)
        counts = [None if numbers is None else len(numbers) for numbers in (self.mean, self.variance)]
        if counts[0] != counts[1] or (self.standardize and self.mean is not None):
            raise SpecError(
                "give `mean` and `variance` with as many numbers each, or `standardize` to keep them as weights, or "
                "neither.",
                received=repr(self),
            )

    @property
    def rescales(self) -> bool:
        """Whether `scale` and `offset` change pixels."""
        return self.scale != 1 or self.offset != 0

    @property
    def in_model(self) -> bool:
        """Whether the model itself takes raw pixels."""
        return self.rescales or self.standardize or self.mean is not None


@dataclass(frozen=True)
class StageSpec:
    """Equal blocks in a row; only the first one strides (or the last, if `Block.strides_last`).

    Args:
        block: what the stage repeats, a Block object.
        width: number of channels that scaling multiplies, at least 1; most blocks emit as many (`Bottleneck` emits
            `expand` times as many).
        depth: number of blocks, at least 1.
        stride: step of the striding block over the image, 1 to 32.
        fixed: what scaling leaves as it is: "nothing", "width", "depth" or "both" (EfficientNet-Lite keeps its stem,
            its head and the depths of its first and last stages).

    Raises:
        SpecError: a value outside its range, or `block` is not a Block.

    Example:
        >>> from keras_effnet.blocks import MBConv
        >>> StageSpec(MBConv(kernel=5), width=40, depth=2, stride=2).width
        40
    """

    block: Block
    width: int
    depth: int = 1
    stride: int = 1
    fixed: Fixed = "nothing"

    def __post_init__(self) -> None:
        store_plain(self)
        if not isinstance(self.block, Block):
            raise SpecError(
                "`block` must be a Block object, such as MBConv(kernel=3); call the class to make one.",
                received=f"block={self.block!r}",
            )
        # Done here, so that whoever writes a block need not think of it.
        object.__setattr__(self, "block", with_plain_fields(self.block))
        check_int(SpecError, "width", self.width, 1, MAX_SIZE)
        check_int(SpecError, "depth", self.depth, 1, MAX_SIZE)
        check_choice(SpecError, "fixed", self.fixed, get_args(Fixed))
        check_int(SpecError, "stride", self.stride, 1, MAX_STRIDE)


@dataclass(frozen=True)
class BackboneSpec:
    """A whole network: stem, stages, head, classifier, and the resolution that it is made for.

    Scaling multiplies every width (the stem's and the head's too), the depth of `stages` and `resolution`, except what
    a stage declares `fixed`.

    Args:
        name: name of the network and of the Keras model built from it: at most 200 letters, digits, `_`, `-` and `.`.
        stem: first convolution; its depth is 1 and stays so.
        stages: stages between stem and head, 1 to 1,000.
        head: last convolution before pooling (EfficientNet's 1280 channels), or None if there is none.
        classifier: pooling, dropout and class scores; left out of models that are built without their top.
        resolution: height and width of an image in pixels, at least the product of all strides.
        drop_path: drop-path rate in [0, 1); block i of n, counted from 0, has `drop_path * i / n`.
        preprocessing: what happens to pixels before the stem.
        initializer: distribution that kernels are drawn from: "glorot_uniform" (Keras' default) or "fan_out"
            (EfficientNet's variance scaling).

    Raises:
        SpecError: a value outside its range.

    Example:
        >>> from keras_effnet.blocks import ConvBlock, MBConv
        >>> spec = BackboneSpec(
        ...     name="tiny",
        ...     stem=StageSpec(ConvBlock(), width=16, stride=2),
        ...     stages=(StageSpec(MBConv(expand=4), width=24, depth=2, stride=2),),
        ...     resolution=64,
        ... )
        >>> spec.total_stride
        4
    """

    name: str
    stem: StageSpec
    stages: tuple[StageSpec, ...]
    head: StageSpec | None = None
    classifier: Classifier = field(default_factory=DenseClassifier)
    resolution: int = 224
    drop_path: float = 0.0
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    initializer: Initializer = "glorot_uniform"

    def __post_init__(self) -> None:
        store_plain(self)
        check_name(SpecError, "name", self.name)
        self._check_stages()
        if not isinstance(self.classifier, Classifier):
            raise SpecError("`classifier` must be a Classifier object.", received=f"classifier={self.classifier!r}")
        if not isinstance(self.preprocessing, Preprocessing):
            raise SpecError(
                "`preprocessing` must be a Preprocessing object.", received=f"preprocessing={self.preprocessing!r}"
            )
        check_int(SpecError, "resolution", self.resolution, 1, MAX_SIZE)
        check_rate(SpecError, "drop_path", self.drop_path)
        check_choice(SpecError, "initializer", self.initializer, get_args(Initializer))
        if self.resolution < self.total_stride:
            raise SpecError(
                f"`resolution` must be at least the total stride of {self.name!r}, {self.total_stride} px, or the last "
                "stage would see less than one cell. Raise it, or lower a stride.",
                received=f"resolution={self.resolution}",
            )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        names = ("stem", *(f"stage {number}" for number in range(1, len(self.stages) + 1)), "head")
        cells = [("", "operator", "width", "depth", "stride")]
        for name, stage in zip(names, self.parts, strict=False):
            cells.append((name, stage.block.describe(), f"{stage.width}", f"{stage.depth}", f"{stage.stride}"))
        return as_html([f"{self.name}, {self.resolution} px", "", *aligned(cells, text_column=1)])

    def _check_stages(self) -> None:
        if not isinstance(self.stages, tuple) or not self.stages:
            raise SpecError("`stages` must be a tuple of at least one StageSpec.", received=f"stages={self.stages!r}")
        if len(self.stages) > MAX_STAGES:
            raise SpecError(f"`stages` must be at most {MAX_STAGES:,}.", received=f"{len(self.stages):,} stages")
        for stage in self.parts:
            if not isinstance(stage, StageSpec):
                raise SpecError("stem, stages and head must be StageSpec objects.", received=repr(stage))
        for end in (self.stem, self.head):
            if end is not None and end.depth != 1:
                raise SpecError("a stem and a head have one block each.", received=f"depth={end.depth}")

    @property
    def parts(self) -> tuple[StageSpec, ...]:
        """Stem, stages and head (if there is one), in the order in which an image passes through them."""
        return (self.stem, *self.stages, *(() if self.head is None else (self.head,)))

    @property
    def total_stride(self) -> int:
        """Input pixels per cell of the last features, along one side."""
        head = self.head.stride if self.head is not None else 1
        return self.stem.stride * prod(stage.stride for stage in self.stages) * head

    @property
    def depth(self) -> int:
        """Number of blocks in all stages, without stem and head."""
        return sum(stage.depth for stage in self.stages)

    def to_json(self) -> str:
        """Writes this spec as JSON, without the fields that have their defaults.

        Raises:
            SpecError: a block, norm or classifier has a class that is not registered, or a value that JSON cannot hold.

        Example:
            >>> from keras_effnet.applications import resnet50_spec
            >>> BackboneSpec.from_json(resnet50_spec.to_json()) == resnet50_spec
            True
        """
        return write_document(self)

    @classmethod
    def from_json(cls, text: str) -> BackboneSpec:
        """Reads the spec that a JSON text describes. Nothing in the text is executed, whoever wrote it.

        Raises:
            SpecError: the text is not JSON, is too long, has another schema or describes no spec; the error names the
                place in it.
        """
        return read_document(text, cls)

    def placements(self) -> Iterator[tuple[StageSpec, Callable[[int], Placement]]]:
        """Yields every stage from stem to head, each with a function from a block's number in it to its placement.

        Blocks are numbered nowhere else, so that the drop-path ramp runs over the blocks that there are.
        """
        yield self.stem, lambda _: Placement(self.stem.width, self.stem.stride)
        first = 0
        for number, stage in enumerate(self.stages, start=1):
            yield stage, partial(self._place, stage, number, first, self.depth)
            first += stage.depth
        if self.head is not None:
            at = Placement(self.head.width, self.head.stride, stage=len(self.stages) + 1, index=first)
            yield self.head, lambda _: at

    def _place(self, stage: StageSpec, number: int, first: int, total: int, block: int) -> Placement:
        strides = block == (stage.depth - 1 if stage.block.strides_last else 0)
        return Placement(
            width=stage.width,
            stride=stage.stride if strides else 1,
            stage=number,
            block=block,
            index=first + block,
            drop_path=self.drop_path * (first + block) / total,
        )
