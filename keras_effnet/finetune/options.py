"""What a run of fine-tuning is asked to do. Loads neither keras nor tensorflow."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

from keras_effnet.checks import check_bool, check_int, check_number
from keras_effnet.errors import TrainingError
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.spec import BackboneSpec


@dataclass(frozen=True)
class FinetuneOptions:
    """What `keras-effnet finetune` is asked to do.

    Args:
        data: as `load_data` takes it: "digits", "glyphs", a name of the paper's table, "tfds:NAME", a folder, a CSV.
        backbone: a spec, the name of a registered one, or the path of a model built here (`.keras`).
        weights: "imagenet", "saved" (those of the `.keras` file), the path of a weight file, or "random".
        phi: how the backbone is scaled.
        resolution: of the images, in pixels, at least 8; None: the scaled backbone's own.
        channels: of the images: 3, or 1 for gray.
        data_dir: where the set lies or is downloaded to; None: where its library puts it.
        validation: share of the training images that the best epoch is chosen by, in (0, 1), where the set has none.
        labels_per_class: training images of each class; None: all.
        recipe: how it is trained.
        deterministic: whether every operation must give the same bits in every run; slower on a GPU.

    Raises:
        TrainingError: a value outside its range.
    """

    data: str = "digits"
    backbone: BackboneSpec | str = "efficientnet_b0"
    weights: str = "imagenet"
    phi: float = 0.0
    resolution: int | None = None
    channels: int = 3
    data_dir: str | None = None
    validation: float = 0.1
    labels_per_class: int | None = None
    recipe: Recipe = field(default_factory=Recipe)
    deterministic: bool = False

    def __post_init__(self) -> None:
        check_number(TrainingError, "phi", self.phi, -1000)
        check_int(TrainingError, "channels", self.channels, 1)
        check_number(TrainingError, "validation", self.validation, 0, 0.9, open_low=True)
        check_bool(TrainingError, "deterministic", self.deterministic)
        if self.resolution is not None:
            check_int(TrainingError, "resolution", self.resolution, 8)
        if self.labels_per_class is not None:
            check_int(TrainingError, "labels_per_class", self.labels_per_class, 1)

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON holds them. A spec stands there whole: its file may change before the run goes on.

        Raises:
            SpecError: a spec that cannot be written.
        """
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        if isinstance(self.backbone, BackboneSpec):
            values["backbone"] = json.loads(self.backbone.to_json())["backbone"]
        return {**values, "recipe": self.recipe.to_dict()}
