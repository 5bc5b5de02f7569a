"""A training step on JAX on a processor: depthwise convolutions shifted, as in fine-tuning, against Keras' own

Command: python benchmarks/jax_training.py
Time: about 11 minutes on 2 cores.
Result: results/jax_training.json and its table in docs/evidence/benchmarks.md.
"""

from __future__ import annotations

from measure import compare, in_turn, save, this_command

SIDE, BATCH, ROUNDS = 64, 32, 3
STEP = """
import statistics, time
import keras, numpy as np
from keras_effnet import build_model
from keras_effnet.shifted_depthwise import shift_depthwise
model = build_model({name!r}, classes=10, input_shape=({side}, {side}, 3))
if {shifted}:
    shift_depthwise(model)
model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
images = np.random.default_rng(0).uniform(0, 255, ({batch}, {side}, {side}, 3)).astype("float32")
labels = np.arange({batch}) % 10
times = []
for _ in range(7):
    started = time.perf_counter()
    float(model.train_on_batch(images, labels))
    times.append(time.perf_counter() - started)
print(statistics.median(times[2:]))
"""

if __name__ == "__main__":
    rows = []
    for name in ("efficientnet_b0", "mobilenet_v2"):
        programs = {
            each: STEP.format(name=name, side=SIDE, batch=BATCH, shifted=each == "shifted")
            for each in ("shifted", "Keras")
        }
        found = in_turn(programs, ROUNDS, KERAS_BACKEND="jax")
        what = f"{name}, {BATCH} images of {SIDE} px"
        rows.append({"what": what, "peer": "Keras' depthwise", **compare(found["shifted"], found["Keras"])})
    save("jax_training", this_command(), rows)
