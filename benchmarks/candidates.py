"""100,000 candidates of an architecture search: generated, counted, filtered.

Command: python benchmarks/candidates.py
Time: about 4 minutes on 2 cores.
Result: results/candidates.json and, by benchmarks/tables.py, a table in docs/evidence/benchmarks.md. Wanted: below
60 s.

Ours draws networks of the space that `keras-effnet search architecture` searches by default, counts what each costs,
puts them to the limits, and makes a spec of each one that keeps them. The peer does for each what a search without a
counter must do: it builds the network in Keras, and asks for its parameters. It builds 10, and its time is multiplied.
"""

from __future__ import annotations

from measure import compare, in_turn, save

COUNT = 100_000
SPACE = """
import time
from random import Random
from keras_effnet.search.searches import EMBEDDED_DIVISOR, embedded_base
from keras_effnet.search.evolution import excess
from keras_effnet.search.space import ArchitectureSpace
space, generator = ArchitectureSpace(embedded_base(), divisor=EMBEDDED_DIVISOR, classes=62), Random("candidates")
"""
OURS = f"""{SPACE}
limits, kept = {{"macs": 6e6}}, 0
start = time.perf_counter()
for _ in range({COUNT}):
    choices = space.draw(generator)
    if not excess(space.cost(choices), limits):
        kept += bool(space.network(choices).stages)
seconds = time.perf_counter() - start
assert {COUNT} // 4 < kept < {COUNT} // 2, kept
print(seconds)
"""
BUILT = 10
PEER = f"""{SPACE}
from keras_effnet import build_model
networks = [space.network(space.draw(generator)) for _ in range({BUILT} + 1)]
build_model(networks.pop(), classes=62)  # what only the first one takes
start = time.perf_counter()
for network in networks:
    build_model(network, classes=62).count_params()
print((time.perf_counter() - start) / {BUILT} * {COUNT})
"""

if __name__ == "__main__":
    seconds = in_turn({"count": OURS, "build": PEER}, rounds=5, KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="")
    row = {
        "what": f"{COUNT:,} candidates generated, counted and filtered",
        "peer": f"built in Keras, and their parameters counted ({BUILT}, times {COUNT // BUILT:,})",
    }
    save("candidates", "python benchmarks/candidates.py", [{**row, **compare(seconds["count"], seconds["build"])}])
