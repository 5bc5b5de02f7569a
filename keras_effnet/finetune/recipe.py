"""How a network is moved to new images, as one value: printable, JSON-able, the same for whoever has it.

The setting that the EfficientNet paper borrows (Tan and Le 2019, arXiv:1905.11946, section 5.2) is that of Kornblith et
al. 2019 (arXiv:1805.08974, "Do Better ImageNet Models Transfer Better?"): SGD with Nesterov momentum 0.9, a cosine
decay, rates and decays found on a grid for each data set. What stands below is inside that grid; what differs says why.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from keras_effnet.checks import check_choice, check_int, check_number, check_rate
from keras_effnet.data.augment import Augmentation
from keras_effnet.errors import RecipeError

Optimizer = Literal["sgd", "adamw"]
Decay = Literal["cosine", "exponential", "constant"]
BatchNormPolicy = Literal["frozen", "recalibrated", "trained"]
Unfreeze = Literal["whole", "gradual"]
Precision = Literal["float32", "mixed_bfloat16"]

_CHOICES = {
    "optimizer": Optimizer,
    "decay": Decay,
    "batchnorm": BatchNormPolicy,
    "unfreeze": Unfreeze,
    "precision": Precision,
}
# The paper, section 5: dropout grows linearly from 0.2 for EfficientNet-B0 to 0.5 for B7. B7 is about phi = 7: its
# depth, width and resolution, 3.1, 2.0 and 600 / 224, are met at phi = 6.2 to 7.3.
DROPOUT_B0, DROPOUT_B7, PHI_B7 = 0.2, 0.5, 7.0


@dataclass(frozen=True)
class Recipe:
    """First the classifier on frozen features, then the whole network with a small rate.

    Args:
        head_epochs: passes with only the classifier learning, on features computed once; 0 leaves this phase out.
        head_rate: its largest learning rate, with AdamW; above 0.
        epochs: passes with the whole network learning; 0 leaves this phase out.
        rate: its largest learning rate; above 0. 0.003 is the middle of the grid of Kornblith et al., seven rates from
            0.0001 to 0.1.
        batch_size: images an update, at least 1.
        optimizer: of the whole network: "sgd" (Nesterov momentum 0.9) or "adamw" (Loshchilov and Hutter 2019,
            arXiv:1711.05101).
        decay: of the rate: "cosine" to zero (arXiv:1608.03983), "exponential" (0.97 every 2.4 epochs, as the paper
            trains on ImageNet, section 5.2) or "constant".
        warmup: share of a phase's steps over which the rate rises from zero, in [0, 1) (Goyal et al. 2017,
            arXiv:1706.02677, section 2.2).
        weight_decay: decoupled, at least 0; never of biases and normalisation (He et al. 2019, arXiv:1812.01187).
        clip: largest norm of all gradients of the whole network together, at least 0; 0: none (Pascanu et al. 2013,
            arXiv:1211.5063). Frozen statistics of other images can make the first gradients thousands of times too
            large.
        label_smoothing: in [0, 1) (Szegedy et al. 2016, arXiv:1512.00567, section 7; 0.1 there).
        average: momentum of a moving average of the weights, which is what is tested and kept, in [0, 1); 0: none. The
            paper's training on ImageNet uses one (0.9999); over few steps 0.99 is nearer to what that does.
        batchnorm: statistics of BatchNorm while the whole network learns: "frozen" (the default: those of a few batches
            of a small set are worse than the ones that came with the weights), "recalibrated" (taken anew from the new
            images once, then frozen; Li et al. 2016, arXiv:1603.04779) or "trained" (with momentum max(1 - 10/s, 0.9)
            at s steps an epoch: Kornblith et al., appendix).
        unfreeze: "whole": all at once; "gradual": stage by stage from the classifier down (Howard and Ruder 2018,
            arXiv:1801.06146, section 3.3), the epochs shared out evenly.
        precision: "mixed_bfloat16" computes all but the first and the last layers in bfloat16.
        accumulate: updates are made from so many batches, at least 1.
        views: of each image while the classifier learns: the image and `views - 1` augmented ones; at least 1.
        dropout: before the classifier, in [0, 1); None: 0.2 at phi = 0 to 0.5 at phi = 7, as the paper.
        drop_path: of the last block, in [0, 1); None: the backbone's own.
        augmentation: of the images learned from.
        center_crop: share of the side that is looked at in testing, in (0, 1]; 0.875 is 224 of 256 pixels, as the
            networks were tested on ImageNet; 1: the whole image.
        seed: of everything random, at least 0.

    Raises:
        RecipeError: a value outside its range.

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
    average: float = 0.0
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
        for name in ("head_epochs", "epochs", "seed"):
            check_int(RecipeError, name, getattr(self, name), 0)
        for name in ("batch_size", "accumulate", "views"):
            check_int(RecipeError, name, getattr(self, name), 1)
        for name in ("head_rate", "rate"):
            check_number(RecipeError, name, getattr(self, name), 0, open_low=True)
        for name in ("weight_decay", "clip"):
            check_number(RecipeError, name, getattr(self, name), 0)
        check_number(RecipeError, "center_crop", self.center_crop, 0, 1, open_low=True)
        for name in ("warmup", "label_smoothing", "average"):
            check_rate(RecipeError, name, getattr(self, name))
        for name in ("dropout", "drop_path"):
            if getattr(self, name) is not None:
                check_rate(RecipeError, name, getattr(self, name))
        for name, kind in _CHOICES.items():
            check_choice(RecipeError, name, getattr(self, name), get_args(kind))
        if not isinstance(self.augmentation, Augmentation):
            raise RecipeError(f"`augmentation` must be an Augmentation. Received: augmentation={self.augmentation!r}")
        if not self.head_epochs + self.epochs:
            raise RecipeError("at least one epoch must be trained. Received: head_epochs=0, epochs=0")

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON holds it."""
        return asdict(self)

    def to_json(self) -> str:
        """The recipe as a text that `from_json` reads."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """A recipe from what `to_dict` gives; what is left out has its default.

        Raises:
            RecipeError: a field that there is not, or a value outside its range.
        """
        known = {item.name for item in fields(cls)}
        unknown = [name for name in values if name not in known] if isinstance(values, dict) else [values]
        if unknown:
            raise RecipeError(f"a recipe has the fields {', '.join(sorted(known))}. Received: {unknown[0]!r:.200}")
        if isinstance(values.get("augmentation"), dict):
            try:
                values = {**values, "augmentation": Augmentation(**values["augmentation"])}
            except TypeError as error:
                raise RecipeError(
                    f"`augmentation` is not one: {error}. Received: {values['augmentation']!r}"
                ) from error
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """A recipe from the text of a file.

        Raises:
            RecipeError: the text is no JSON object, or no recipe.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise RecipeError(f"a recipe must be a JSON object: {error}. Received: {text!r:.200}") from error
        return cls.from_dict(values)


def read_recipe(path: str) -> Recipe:
    """The recipe in a file.

    Raises:
        RecipeError: the file cannot be read, or holds no recipe.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RecipeError(f"the recipe cannot be read: {error}. Received: {path!r}") from error
    return Recipe.from_json(text)


def dropout_for(phi: float) -> float:
    """The classifier's dropout at a phi: from 0.2 at 0 to 0.5 at 7, and never beyond.

    Example:
        >>> dropout_for(3.5)
        0.35
    """
    share = min(max(phi / PHI_B7, 0.0), 1.0)
    return round(DROPOUT_B0 + (DROPOUT_B7 - DROPOUT_B0) * share, 6)


def batchnorm_momentum(steps: int) -> float:
    """How much of its statistics BatchNorm keeps at each of an epoch's steps (Kornblith et al. 2019, appendix).

    Example:
        >>> batchnorm_momentum(1000)
        0.99
    """
    return max(1 - 10 / steps, 0.9)


def rate_at(recipe: Recipe, largest: float, step: int, steps: int, steps_per_epoch: int) -> float:
    """The learning rate of a phase's update `step`, counted from 0, of `steps`.

    Example:
        >>> [round(rate_at(Recipe(warmup=0.5), 1.0, step, 4, 2), 2) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]
    """
    rising = int(recipe.warmup * steps)
    if step < rising:
        return largest * (step + 1) / rising
    if recipe.decay == "cosine":
        return largest * (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2
    if recipe.decay == "exponential":
        # "decays by 0.97 every 2.4 epochs": the paper, section 5.2.
        return largest * 0.97 ** ((step - rising) / steps_per_epoch // 2.4)
    return largest
