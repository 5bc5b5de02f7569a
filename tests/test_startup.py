"""What a program of ours imports, and what it does not."""

from __future__ import annotations

import pytest
from support import run_python  # which has less imported, as our programs have

# Imports Keras, says what came with it, and imports what was left out.
CODE = """
import sys
import keras
left = [name for name in ("jax", "matplotlib", "sklearn") if name not in sys.modules]
import jax.numpy, matplotlib.pyplot, sklearn.datasets
print(*left, keras.ops.convert_to_numpy(keras.ops.ones(2)).sum())
"""


@pytest.mark.parametrize(
    ("backend", "left"),
    [
        ("tensorflow", "jax matplotlib sklearn"),
        ("jax", "matplotlib sklearn"),
        pytest.param("torch", "jax matplotlib sklearn", marks=pytest.mark.slow),
    ],
)
def test_what_keras_does_not_need_is_left_out_and_can_be_imported_later(backend: str, left: str) -> None:
    assert run_python(CODE, KERAS_BACKEND=backend) == f"{left} 2.0"
