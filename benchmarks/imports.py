"""Time to import keras_effnet and count a scaled network, against importing keras.

Command: python benchmarks/imports.py
Time: about 1 minute on 2 cores.
Result: a few hundredths of the time of `import keras`.
"""

from __future__ import annotations

from measure import compare, in_turn, save

TIMED = """
import time
start = time.perf_counter()
{body}
print(time.perf_counter() - start)
"""
OURS = "import keras_effnet; keras_effnet.estimate_cost(keras_effnet.scale_spec('resnet50', phi=2))"

if __name__ == "__main__":
    programs = {"keras_effnet": TIMED.format(body=OURS), "keras": TIMED.format(body="import keras")}
    rows = []
    for backend in ("tensorflow", "jax", "torch"):
        seconds = in_turn(programs, rounds=5, KERAS_BACKEND=backend)
        row = {"what": "import, scale ResNet-50, count", "peer": f"import keras, {backend}"}
        rows.append({**row, **compare(seconds["keras_effnet"], seconds["keras"])})
    save("imports", "python benchmarks/imports.py", rows)
