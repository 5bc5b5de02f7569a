"""Judging a candidate by short training, the proxy of full training.

MnasNet trained its candidates for 5 epochs of the full data set (Tan et al. 2019, arXiv:1807.11626, section 5). Here
the data embedded in the package is enough, and takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from keras_effnet.checks import check_int, check_number, store_plain
from keras_effnet.errors import SearchError
from keras_effnet.scaling import Coefficients, Rounding, limit_stride, scale_spec
from keras_effnet.search.task import Task
from keras_effnet.spec import BackboneSpec, Preprocessing

EMBEDDED_RESOLUTION = 32  # pixels: the letters are drawn at 32, and more would show nothing more
EMBEDDED_STRIDE = 8  # leaves a last map of 4 x 4 at 32 pixels; B0's own stride of 32 would leave 1 x 1


def embedded_base() -> BackboneSpec:
    """EfficientNet-B0 for the embedded images of 32 px: a quarter of its width, 10 of its 16 blocks, stride 8.

    It is small enough to be trained many times, and its stages have one or two blocks, so that depth grows in steps.

    Example:
        >>> base = embedded_base()
        >>> base.resolution, base.total_stride, [stage.depth for stage in base.stages]
        (32, 8, [1, 1, 1, 2, 2, 2, 1])
    """
    small = scale_spec(
        "efficientnet_b0",
        coefficients=Coefficients(depth=0.6, width=0.25, resolution=EMBEDDED_RESOLUTION / 224),
        rounding=Rounding(depth="round"),
    )
    pixels = Preprocessing(scale=1 / 127.5, offset=-1.0)
    return replace(limit_stride(small, EMBEDDED_STRIDE), name="efficientnet_b0_32px", preprocessing=pixels)


@dataclass(frozen=True)
class ProxyTraining:
    """Short training from scratch, scored by the accuracy on held-out images.

    SGD with Nesterov momentum, a learning rate that falls to zero along a cosine over `horizon` steps, no dropout, no
    drop-path and no augmentation: over so few steps nothing overfits. A trial on a lower rung ends within the schedule.

    Args:
        data: images, as `load_data` takes them.
        horizon: number of steps of the longest training, at least 1.
        batch_size: number of images per step, at least 1.
        rate: largest learning rate, above 0.
        validation: fraction of the training images to measure the accuracy on, in (0, 0.9]; unused if the data set has
            a validation part.
        keep_every: number of steps between two checkpoints, at least 1.

    Raises:
        SearchError: a value is out of range.

    Example:
        >>> ProxyTraining.from_dict(ProxyTraining(horizon=100).to_dict())
        ProxyTraining(data='glyphs', horizon=100, batch_size=32, rate=0.1, validation=0.25, keep_every=120)
    """

    data: str = "glyphs"
    horizon: int = 960
    batch_size: int = 32
    rate: float = 0.1
    validation: float = 0.25
    keep_every: int = 120

    def __post_init__(self) -> None:
        store_plain(self)
        for name in ("horizon", "batch_size", "keep_every"):
            check_int(SearchError, name, getattr(self, name), 1)
        check_number(SearchError, "rate", self.rate, 0, open_low=True)
        check_number(SearchError, "validation", self.validation, 0, 0.9, open_low=True)

    def __call__(self, task: Task) -> float:
        """Trains a candidate. Notes "test_accuracy" after a whole training if the data has test images.

        Args:
            task: the candidate, the steps that it has at the end, and its folder.

        Returns:
            The accuracy on the validation images, from 0 to 1.

        Raises:
            SearchError: the task asks for more steps than `horizon`, or its parent's weights are not there.
            TrainingError: the loss is no longer a number.
        """
        from keras_effnet.search.learning import train_candidate

        return train_candidate(self, task)

    @property
    def classes(self) -> int:
        """Number of classes of the data, which is loaded for it."""
        from keras_effnet.search.learning import load_splits

        return len(load_splits(self).train.class_names)

    def to_dict(self) -> dict[str, Any]:
        """The proxy training as JSON holds it."""
        return {"kind": "proxy", **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ProxyTraining:
        """Reads what `to_dict` gives."""
        return cls(**{name: value for name, value in values.items() if name != "kind"})

    @property
    def validation_images(self) -> int:
        """Number of images that the accuracy is measured on. Reads the data."""
        from keras_effnet.search.learning import load_splits

        return len(load_splits(self).validation)
