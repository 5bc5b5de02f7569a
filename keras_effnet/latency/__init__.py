"""How long one image takes on this machine: measured, or predicted from the spec without building the network.

`measure_latency` builds a network and times it. `read_work` adds up a spec's kinds of work; the time that each takes on
this machine is calibrated once, by timing a few networks, and kept on disk. The prediction is good enough to choose
what to build; `fit_to_budget(spec, latency_ms=...)` measures whatever it returns. Importing this package does not
import keras; measuring does.
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
