"""What a transfer job is asked to do, and the network that follows from it. Loads neither keras nor tensorflow."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Any

from keras_effnet.checks import check_int
from keras_effnet.errors import DataError
from keras_effnet.registry import resolve_backbone
from keras_effnet.scaling import limit_stride, scale_spec
from keras_effnet.scaling.scale import resolve_coefficients
from keras_effnet.spec import BackboneSpec, Preprocessing


@dataclass(frozen=True)
class TransferOptions:
    """What `keras-effnet transfer` is asked to do.

    Args:
        backbone: a spec, or the name of a registered one.
        phi: how it is scaled; depth and width follow it, the resolution is `resolution`.
        data: folder of class sub-folders of images; None: scikit-learn's digits.
        resolution: of all images, in pixels, at least 8.
        letters: how many to draw for pre-training, at least 1.
        pretrain_epochs: passes over them, at least 1.
        epochs: passes over the labelled images, at least 1; from scratch twice as many.
        labels_per_class: images of each class to learn from, at least 1.
        repeats: draws of labels, at least 1.
        seed: of everything random, at least 0.

    Raises:
        DataError: a value outside its range.
    """

    backbone: BackboneSpec | str = "efficientnet_b0"
    phi: float = -10.0
    data: str | None = None
    resolution: int = 32
    letters: int = 20_000
    pretrain_epochs: int = 4
    epochs: int = 100
    labels_per_class: int = 3
    repeats: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        check_int(DataError, "resolution", self.resolution, 8)
        check_int(DataError, "seed", self.seed, 0)
        for name in ("letters", "pretrain_epochs", "epochs", "labels_per_class", "repeats"):
            check_int(DataError, name, getattr(self, name), 1)

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON holds them. A spec stands there whole: its file may change before the job goes on.

        Raises:
            SpecError: a spec that cannot be written.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if isinstance(self.backbone, BackboneSpec):
            values["backbone"] = json.loads(self.backbone.to_json())["backbone"]
        return values


def transfer_spec(options: TransferOptions) -> BackboneSpec:
    """The backbone for small images that need no preprocessing by the caller.

    Raises:
        RegistryError, ScalingError: as `scale_spec`.
    """
    base = resolve_backbone(options.backbone)
    scaled = scale_spec(base, coefficients=replace(resolve_coefficients(options.phi, None, None), resolution=1.0))
    # A quarter of the side leaves a last feature map of 4 x 4, which pooling can still average over.
    fitted = limit_stride(scaled, max(1, options.resolution // 4))
    return replace(
        fitted,
        resolution=options.resolution,
        preprocessing=Preprocessing(scale=1 / 127.5, offset=-1.0),
        drop_path=0.0,  # a few minutes are too short for a network to grow robust to missing branches
    )
