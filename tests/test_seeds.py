"""One rule for seeds, wherever one is taken: 32 bits, and room for those that are counted up from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from keras_effnet.checks import MAX_SEED
from keras_effnet.cli.main import main, parse
from keras_effnet.data.batches import Batches
from keras_effnet.data.glyphs import render_letters
from keras_effnet.data.images import Images
from keras_effnet.data.sets import load_data
from keras_effnet.errors import KerasEffnetError
from keras_effnet.finetune.options import DemonstrationOptions
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.inheritance.inheritance_plan import InheritanceOptions

IMAGES = Images(np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1], np.int32), ("a", "b"))
TAKERS: dict[str, Callable[[Any], Any]] = {
    "recipe": lambda seed: Recipe(seed=seed),
    "demonstration": lambda seed: DemonstrationOptions(seed=seed),
    "inheritance": lambda seed: InheritanceOptions(seed=seed),
    "data": lambda seed: load_data("digits", seed=seed),
    "batches": lambda seed: Batches(IMAGES, resolution=8, batch_size=1, seed=seed),
    "letters": lambda seed: render_letters(1, seed=seed),
}


@pytest.mark.parametrize("seed", [MAX_SEED + 1, -1, 1.5, "7", None, 10**5000], ids=lambda seed: type(seed).__name__)
@pytest.mark.parametrize("taker", TAKERS)
def test_no_seed_is_taken_that_a_generator_refuses(taker: str, seed: Any) -> None:
    with pytest.raises(KerasEffnetError, match=r"`seed` must be an integer from 0 to 42949672\d\d.*Received: seed="):
        TAKERS[taker](seed)


def test_the_largest_seed_is_one() -> None:
    assert Recipe(seed=MAX_SEED).seed == MAX_SEED
    assert DemonstrationOptions(seed=MAX_SEED - 3, repeats=3).seed == MAX_SEED - 3
    with pytest.raises(KerasEffnetError, match="`seed`"):
        DemonstrationOptions(seed=MAX_SEED - 2, repeats=3)


@pytest.mark.parametrize(
    "words",
    [("transfer",), ("finetune", "digits"), ("evaluate", __file__, "digits"), ("search", "coefficients")],
    ids=str,
)
def test_the_program_refuses_it_at_once(words: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    output = () if words[0] == "evaluate" else ("--output", str(tmp_path / "new"))
    assert main(parse(["keras-effnet", *words, "--seed", "4294967296", *output])) == 1
    assert "`seed` must be" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
