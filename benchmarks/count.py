"""Time to count EfficientNet-B7 from its spec, against building it in Keras and counting.

Command: python benchmarks/count.py
Time: about 1 minute on 2 cores.
Result: the count takes under 2 ms; building and `count_params()` takes seconds, and knows no multiply-adds.
"""

from __future__ import annotations

from measure import compare, in_turn, save

OURS = """
import time
from keras_effnet import estimate_cost
from keras_effnet.applications import efficientnet_b7_spec
start = time.perf_counter()
assert estimate_cost(efficientnet_b7_spec).params == 66_658_687
print(time.perf_counter() - start)
"""
PEER = """
import time
import keras
start = time.perf_counter()
assert keras.applications.EfficientNetB7(weights=None).count_params() == 66_658_687
print(time.perf_counter() - start)
"""

if __name__ == "__main__":
    seconds = in_turn({"estimate_cost": OURS, "build and count": PEER}, rounds=5, KERAS_BACKEND="tensorflow")
    row = {"what": "EfficientNet-B7: first count in a process", "peer": "keras.applications, build and count_params"}
    save(
        "count",
        "python benchmarks/count.py",
        [{**row, **compare(seconds["estimate_cost"], seconds["build and count"])}],
    )
