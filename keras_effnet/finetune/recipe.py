"""How a network is fine-tuned, as one printable and JSON-able value. Loads neither keras nor tensorflow.

The EfficientNet paper (Tan and Le 2019, arXiv:1905.11946, section 5.3) borrows its transfer setting from Kornblith et
al. 2019 (arXiv:1805.08974, "Do Better ImageNet Models Transfer Better?"): SGD with Nesterov momentum 0.9, a cosine
decay, and learning rate and weight decay found on a grid for each data set. The defaults lie inside that grid.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from keras_effnet.checks import check_choice, check_int, check_number, check_rate, check_seed, store_plain
from keras_effnet.data.augment import Augmentation
from keras_effnet.errors import RecipeError
from keras_effnet.json_text import parse_json, read_text

Optimizer = Literal["sgd", "adamw"]
Decay = Literal["cosine", "exponential", "constant"]
BatchNormPolicy = Literal["frozen", "recalibrated", "trained"]
Unfreeze = Literal["whole", "gradual"]
Precision = Literal["float32", "mixed_bfloat16"]
ClassWeights = Literal["equal", "balanced"]
Sampling = Literal["uniform", "balanced"]
AUTO = "auto"
RANDOM = "random"  # weights are only random where a user says so

_CHOICES = {
    "optimizer": Optimizer,
    "decay": Decay,
    "batchnorm": BatchNormPolicy,
    "unfreeze": Unfreeze,
    "precision": Precision,
    "class_weights": ClassWeights,
    "sampling": Sampling,
}
# The paper, section 5: dropout grows linearly from 0.2 for EfficientNet-B0 to 0.5 for B7. B7 is about phi = 7: its
# depth, width and resolution, 3.1, 2.0 and 600 / 224, are met at phi = 6.2 to 7.3.
DROPOUT_B0, DROPOUT_B7, PHI_B7 = 0.2, 0.5, 7.0


@dataclass(frozen=True)
class Recipe:
    """A recipe: first the classifier learns on frozen features, then the whole network at a small rate.

    Args:
        head_epochs: number of epochs in which only the classifier learns, on features computed once, at least 0.
        head_rate: largest learning rate of these epochs, above 0; their optimizer is AdamW.
        epochs: number of epochs in which the whole network learns, at least 0.
        rate: largest learning rate of these epochs, above 0. The default, 0.003, is the middle of the grid of Kornblith
            et al.: seven rates from 0.0001 to 0.1.
        batch_size: number of images per batch, at least 1.
        optimizer: optimizer of the whole network: "sgd" (Nesterov momentum 0.9) or "adamw" (Loshchilov and Hutter 2019,
            arXiv:1711.05101).
        decay: decay of the learning rate: "cosine" to zero (Loshchilov and Hutter 2017, arXiv:1608.03983),
            "exponential" (0.97 every 2.4 epochs, as the EfficientNet paper trains on ImageNet) or "constant".
        warmup: fraction of a phase's steps over which the rate rises from zero, in [0, 1) (Goyal et al. 2017,
            arXiv:1706.02677, section 2.2).
        weight_decay: decoupled weight decay, at least 0; biases and normalization are spared (He et al. 2019,
            arXiv:1812.01187, section 3.1).
        clip: largest norm of all gradients of the whole network together, at least 0; 0 turns clipping off (Pascanu et
            al. 2013, arXiv:1211.5063). Frozen statistics of other images can make the first gradients thousands of
            times too large.
        label_smoothing: fraction of each label that is spread over all classes, in [0, 1) (Szegedy et al. 2016,
            arXiv:1512.00567, section 7; 0.1 there).
        class_weights: "equal" counts every image alike; "balanced" gives each class the same weight in the loss and in
            the training's accuracy, whatever its number of images.
        sampling: "uniform" shows every image equally often; "balanced" every class, so that images of a rare class come
            more often than others (Kang et al. 2020, arXiv:1910.09217, section 3). Not together with balanced
            `class_weights`, which would count rare classes twice.
        focal: gamma of the focal loss, at least 0: how much less the loss counts images that are right already (Lin et
            al. 2017, arXiv:1708.02002, section 3.2; 2 there). 0 is cross-entropy.
        patience: number of epochs of the whole network without a better validation accuracy after which a phase ends
            early, at least 0; 0 trains all epochs.
        teacher_share: share of a teacher's answers in the labels that the whole network learns, if there is a teacher,
            in [0, 1].
        layer_decay: factor of the learning rate from one part of the network to the part before it, in (0, 1]; the
            classifier has the whole `rate`, and 1 gives it to all (Bao et al. 2022, arXiv:2106.08254; Liu et al. 2022,
            arXiv:2201.03545). Parts are the stem, each stage, the head and the classifier.
        average: momentum of a moving average of the weights, which is validated and kept, in [0, 1); 0 turns it off.
            "auto" derives it from the number of steps, so that the average covers the same share of the training as
            that of EfficientNet on ImageNet (`average_momentum`).
        batchnorm: statistics of BatchNorm while the whole network learns: "frozen" (the default: a few batches of a
            small data set give worse statistics than those that came with the weights), "recalibrated" (computed once
            from the new images, then frozen; Li et al. 2016, arXiv:1603.04779) or "trained" (with momentum
            max(1 - 10/s, 0.9) at s steps per epoch: Kornblith et al., appendix).
        unfreeze: "whole" unfreezes all layers at once; "gradual" unfreezes stage by stage from the classifier down
            (Howard and Ruder 2018, arXiv:1801.06146, section 3.3), with equal shares of the epochs.
        precision: "float32", or "mixed_bfloat16" to compute all but the first and last layers in bfloat16.
        accumulate: number of batches per update of the whole network, at least 1.
        views: number of views of each image while the classifier learns, at least 1: the image itself and `views - 1`
            augmented ones.
        dropout: dropout rate before the classifier, in [0, 1). By default it grows from 0.2 at phi = 0 to 0.5 at
            phi = 7, as in the EfficientNet paper.
        drop_path: drop-path rate of the last block, in [0, 1); by default the backbone's own.
        augmentation: augmentation of the training images.
        center_crop: fraction of each side that is kept in validation and test, in (0, 1]. 0.875 is 224 of 256 pixels,
            as the networks were tested on ImageNet; 1 keeps the whole image.
        seed: seed of everything random, 0 to 4294967295.

    Raises:
        RecipeError: a value is out of range.

    Example:
        >>> recipe = Recipe(epochs=3, rate=0.005)
        >>> Recipe.from_json(recipe.to_json()) == recipe
        True
    """

    head_epochs: int = 30
    head_rate: float = 3e-3
    epochs: int = 10
    rate: float = 3e-3
    batch_size: int = 32
    optimizer: Optimizer = "sgd"
    decay: Decay = "cosine"
    warmup: float = 0.1
    weight_decay: float = 1e-5
    clip: float = 1.0
    label_smoothing: float = 0.1
    class_weights: ClassWeights = "equal"
    sampling: Sampling = "uniform"
    focal: float = 0.0
    patience: int = 0
    teacher_share: float = 0.5
    layer_decay: float = 1.0
    average: float | Literal["auto"] = 0.0
    batchnorm: BatchNormPolicy = "frozen"
    unfreeze: Unfreeze = "whole"
    precision: Precision = "float32"
    accumulate: int = 1
    views: int = 1
    dropout: float | None = None
    drop_path: float | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    center_crop: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        store_plain(self)
        for name in ("head_epochs", "epochs", "patience"):
            check_int(RecipeError, name, getattr(self, name), 0)
        check_seed(RecipeError, self.seed)
        for name in ("batch_size", "accumulate", "views"):
            check_int(RecipeError, name, getattr(self, name), 1)
        for name in ("head_rate", "rate"):
            check_number(RecipeError, name, getattr(self, name), 0, open_low=True)
        for name in ("weight_decay", "clip", "focal"):
            check_number(RecipeError, name, getattr(self, name), 0)
        check_number(RecipeError, "center_crop", self.center_crop, 0, 1, open_low=True)
        check_number(RecipeError, "teacher_share", self.teacher_share, 0, 1)
        check_number(RecipeError, "layer_decay", self.layer_decay, 0, 1, open_low=True)
        for name in ("warmup", "label_smoothing"):
            check_rate(RecipeError, name, getattr(self, name))
        if not isinstance(self.average, str):
            check_rate(RecipeError, "average", self.average)
        elif self.average != AUTO:
            raise RecipeError("`average` must be a number, or 'auto'.", received=f"average={self.average!r}")
        for name in ("dropout", "drop_path"):
            if getattr(self, name) is not None:
                check_rate(RecipeError, name, getattr(self, name))
        for name, kind in _CHOICES.items():
            check_choice(RecipeError, name, getattr(self, name), get_args(kind))
        if not isinstance(self.augmentation, Augmentation):
            raise RecipeError("`augmentation` must be an Augmentation.", received=f"augmentation={self.augmentation!r}")
        if self.class_weights == self.sampling == "balanced":
            raise RecipeError(
                "rare classes are weighted or drawn more often, not both, which would count them twice: leave one of "
                "`class_weights` and `sampling` at its default.",
                received="class_weights='balanced', sampling='balanced'",
            )
        if not self.head_epochs + self.epochs:
            raise RecipeError("at least one epoch must be trained.", received="head_epochs=0, epochs=0")

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON holds it."""
        return asdict(self)

    def to_json(self) -> str:
        """The recipe as JSON text, which `from_json` reads."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Reads what `to_dict` gives.

        Args:
            values: fields by name; missing ones get their defaults.

        Raises:
            RecipeError: a field is unknown, or a value is out of range.
        """
        known = {item.name for item in fields(cls)}
        unknown = [name for name in values if name not in known] if isinstance(values, dict) else [values]
        if unknown:
            raise RecipeError(f"a recipe has the fields {', '.join(sorted(known))}.", received=f"{unknown[0]!r:.200}")
        if isinstance(values.get("augmentation"), dict):
            try:
                values = {**values, "augmentation": Augmentation(**values["augmentation"])}
            except TypeError as error:
                raise RecipeError(
                    f"`augmentation` must hold the fields of an Augmentation: {error}.",
                    received=repr(values["augmentation"]),
                ) from error
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Reads what `to_json` gives.

        Raises:
            RecipeError: the text is not a JSON object, or not a recipe.
        """
        try:
            values = parse_json(text)
        except ValueError as error:
            raise RecipeError(f"a recipe must be a JSON object: {error}.", received=f"{text!r:.200}") from error
        return cls.from_dict(values)


def default_recipe(weights: object) -> Recipe:
    """The recipe for weights to start from.

    A classifier learns nothing on the features of random weights, and their BatchNorm has no statistics to keep.

    Args:
        weights: "random", or whatever else `FinetuneOptions` takes.

    Example:
        >>> default_recipe("imagenet").head_epochs, default_recipe("random").head_epochs
        (30, 0)
    """
    return Recipe(head_epochs=0, batchnorm="trained") if weights == RANDOM else Recipe()


def read_recipe(path: str) -> Recipe:
    """Reads a recipe from a JSON file.

    Args:
        path: path of the file.

    Raises:
        RecipeError: the file cannot be read, or does not hold a recipe.
    """
    try:
        text = read_text(Path(path))
    except (OSError, ValueError) as error:
        raise RecipeError(f"the recipe cannot be read: {error}.", received=repr(path)) from error
    return Recipe.from_json(text)


def dropout_for(phi: float) -> float:
    """The classifier's dropout rate at a phi, on a straight line from 0.2 at phi = 0 to 0.5 at phi = 7.

    Args:
        phi: how the backbone is scaled; below 0 and above 7 the rate stays at its ends.

    Example:
        >>> dropout_for(3.5)
        0.35
    """
    share = min(max(phi / PHI_B7, 0.0), 1.0)
    return round(DROPOUT_B0 + (DROPOUT_B7 - DROPOUT_B0) * share, 6)
