"""Time of the first build of EfficientNet-B0 and B7 in a fresh process, against keras.applications, on each backend.

Command: python benchmarks/build.py
Time: about 10 minutes on 2 cores, most of it keras.applications on JAX.
Result: 0.02 to 0.05 of the peer's time on JAX, 0.4 to 0.6 on PyTorch, 0.6 to 0.7 on TensorFlow.
"""

from __future__ import annotations

from measure import compare, in_turn, save

BUILD = """
import time
import keras
{setup}
start = time.perf_counter()
model = build(weights=None)
print(time.perf_counter() - start)
"""
ROUNDS = {"tensorflow": 5, "torch": 5, "jax": 3}


def measure() -> list[dict[str, object]]:
    """A row for each backend and network."""
    rows: list[dict[str, object]] = []
    for backend, rounds in ROUNDS.items():
        for name in ("EfficientNetB0", "EfficientNetB7"):
            setups = {
                "ours": f"from keras_effnet.applications import {name} as build",
                # Our builder module is imported before the clock starts, as Keras' is.
                "peer": f"build = keras.applications.{name}",
            }
            setups["ours"] += "; import keras_effnet.builder.model"
            programs = {key: BUILD.format(setup=setup) for key, setup in setups.items()}
            seconds = in_turn(programs, rounds, KERAS_BACKEND=backend)
            row = {"what": f"{name}, {backend}", "peer": "keras.applications"}
            rows.append({**row, **compare(seconds["ours"], seconds["peer"])})
    return rows


if __name__ == "__main__":
    save("build", "python benchmarks/build.py", measure())
