"""How long an image takes on this machine: measured, and foretold from the spec without building it.

`measure_latency` builds a network and times it. `WorkReader` reads a spec as the counting reader does, and adds up
kinds of work; how long each takes on this machine is calibrated once, by timing a few networks, and kept on disk. What
is foretold is good enough to choose what to build: `fit_to_budget(spec, latency_ms=...)` measures what it returns.
Importing this imports no keras; measuring does.
"""

from keras_effnet.latency.table import LatencyTable, calibrate_latency
from keras_effnet.latency.timing import Latency, describe_machine, measure_latency
from keras_effnet.latency.work import Work, WorkReader, read_work

__all__ = [
    "Latency",
    "LatencyTable",
    "Work",
    "WorkReader",
    "calibrate_latency",
    "describe_machine",
    "measure_latency",
    "read_work",
]
