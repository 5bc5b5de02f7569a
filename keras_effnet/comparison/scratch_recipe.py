"""How every network of a comparison is trained from scratch, as one value. Loads neither keras nor tensorflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from keras_effnet.checks import check_choice, check_int, check_number, store_plain
from keras_effnet.errors import RecipeError

Equal = Literal["steps", "compute"]
STEPS = 960  # those of a search's short training
# Multiply-adds of a training step, as a multiple of those of the network's output: the gradients take about twice as
# many again (Kaplan et al. 2020, arXiv:2001.08361, section 2.1).
TRAINING_FACTOR = 3


@dataclass(frozen=True)
class ScratchRecipe:
    """Training from scratch, equal for all networks: SGD with Nesterov momentum, and a cosine to zero.

    Args:
        steps: number of training steps, at least 1; None for 960, or for those of `epochs`.
        epochs: number of passes over the training images, in place of steps, at least 1. Default: None.
        batch_size: number of images per step, at least 1. Default: 32.
        rates: learning rates of which each network gets its best: all of them are tried on each network, with one seed
            that is not reported. One rate is used as it is. Default: half a power of ten to both sides of the search's
            0.1.
        equal: "steps" trains every network for as many steps; "compute" gives every network the multiply-adds of the
            first one, so that one of twice the cost gets half the steps. Default: "steps".
        validation: fraction of the training images by which learning rates are chosen, in (0, 0.9]; unused if the data
            holds some out. Default: 0.25.

    Raises:
        RecipeError: a value outside its range; steps and epochs.

    Example:
        >>> ScratchRecipe(epochs=2, batch_size=64).steps_of([4_000, 4_000, 8_000], images=1_000)
        (32, 32, 32)
        >>> ScratchRecipe(steps=100, equal="compute").steps_of([4_000, 4_000, 8_000], images=1_000)
        (100, 100, 50)
    """

    steps: int | None = None
    epochs: int | None = None
    batch_size: int = 32
    rates: tuple[float, ...] = (0.03, 0.1, 0.3)
    equal: Equal = "steps"
    validation: float = 0.25

    def __post_init__(self) -> None:
        store_plain(self)
        for name in ("steps", "epochs"):
            if getattr(self, name) is not None:
                check_int(RecipeError, name, getattr(self, name), 1)
        if self.steps is not None and self.epochs is not None:
            raise RecipeError(
                "steps and epochs say the same: give one of them.", received=f"{self.steps=}, {self.epochs=}"
            )
        check_int(RecipeError, "batch_size", self.batch_size, 1)
        rates = self.rates if isinstance(self.rates, tuple) else (self.rates,)
        for rate in rates:
            check_number(RecipeError, "rates", rate, 0, open_low=True)
        if not rates or len(set(rates)) < len(rates):
            raise RecipeError("there must be learning rates, no two alike.", received=f"rates={self.rates!r}")
        object.__setattr__(self, "rates", tuple(map(float, rates)))
        check_choice(RecipeError, "equal", self.equal, get_args(Equal))
        check_number(RecipeError, "validation", self.validation, 0, 0.9, open_low=True)

    def steps_of(self, macs: list[int], images: int | None) -> tuple[int, ...]:
        """Number of training steps of each network.

        Args:
            macs: multiply-adds of each network per image, the first of which has the steps of the recipe.
            images: number of training images, for epochs; None if nobody knows.

        Raises:
            RecipeError: epochs of unknown length, or a network so large that not even one step has the same compute.
        """
        steps = STEPS if self.steps is None else self.steps
        if self.epochs is not None:
            if images is None:
                raise RecipeError("a train function of your own has steps, not epochs.", received=f"{self.epochs=}")
            steps = self.epochs * -(-images // self.batch_size)
        if self.equal == "steps":
            return (steps,) * len(macs)
        found = tuple(round(steps * macs[0] / each) for each in macs)
        if min(found) < 1:
            raise RecipeError(
                "the compute of the first network is less than a step of another one: raise the steps.",
                received=f"{steps=}, multiply-adds {macs[0]:,} and {max(macs):,}",
            )
        return found

    def training_macs(self, macs: float, steps: int) -> float:
        """Multiply-adds of one whole training, three times those of the outputs of its images.

        Args:
            macs: multiply-adds of the network per image.
            steps: number of its steps.
        """
        return TRAINING_FACTOR * macs * self.batch_size * steps
