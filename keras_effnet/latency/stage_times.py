"""Where an engine spends its time, stage by stage, from its own profiler: ONNX Runtime's and OpenVINO's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from keras_effnet.checks import check_choice
from keras_effnet.errors import ExportError
from keras_effnet.export.engines import onnx_session, openvino_network
from keras_effnet.json_text import read_json
from keras_effnet.network import Network

PROFILED = ("onnx", "openvino")
"""Formats whose engine has a profiler that Python can ask; LiteRT's has none."""
OTHER = "other"  # what an engine adds of its own: conversions of the layout of images
CALLS, WARM_UP = 10, 3
MAX_PROFILE = 1_000_000_000  # bytes: a line for each node and call, of networks with thousands of nodes


def stage_times(path: Path, engine: str, network: Network, images: np.ndarray, threads: int) -> dict[str, float]:
    """Adds up the times that an engine reports for its operations, by the stage that they come from.

    Engines run several layers as one operation, which carries the name of one of them. Profiling takes time itself, so
    that the sum is a little above the latency.

    Args:
        path: the exported file.
        engine: its format: "onnx" or "openvino".
        network: the network with its stages, whose layers are named as in the file.
        images: float32 array of shape (batch, height, width, channels).
        threads: number of threads, at least 1.

    Returns:
        Milliseconds of a call by the name of the stage, in order; "other" for what belongs to none.

    Raises:
        ExportError: an engine without a profiler.
    """
    check_choice(ExportError, "engine", engine, PROFILED)
    found = (_onnx_runtime if engine == "onnx" else _openvino)(path, images, threads)
    stages = {node.name: stage.name for stage in network.stages for block in stage.blocks for node in block.nodes}
    times = dict.fromkeys((*dict.fromkeys(stages.values()), OTHER), 0.0)
    for name, ms in found.items():
        layer = _layer(name, stages)
        times[OTHER if layer is None else stages[layer]] += ms
    return times


def _layer(operation: str, layers: Iterable[str]) -> str | None:
    """The layer whose name an operation's begins with; the longest, where several do."""
    fits = (layer for layer in layers if operation == layer or operation.startswith((f"{layer}_", f"{layer}/")))
    return max(fits, key=len, default=None)


def _onnx_runtime(path: Path, images: np.ndarray, threads: int) -> Mapping[str, float]:
    with TemporaryDirectory() as folder:
        session = onnx_session(path, threads, profile=f"{folder}/profile")
        for _ in range(WARM_UP + CALLS):
            session.run(None, {session.get_inputs()[0].name: images})
        events = read_json(Path(session.end_profiling()), limit=MAX_PROFILE)
    calls: dict[str, list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            calls.setdefault(event["name"].removesuffix("_kernel_time"), []).append(event["dur"] / 1e3)
    return {name: sum(times[WARM_UP:]) / CALLS for name, times in calls.items()}


def _openvino(path: Path, images: np.ndarray, threads: int) -> Mapping[str, float]:
    request = openvino_network(path, threads, PERF_COUNT=True).create_infer_request()
    times: Counter[str] = Counter()
    for number in range(WARM_UP + CALLS):
        request.infer([images])
        if number >= WARM_UP:
            for each in request.profiling_info:
                times[each.node_name] += each.real_time.total_seconds() * 1e3 / CALLS
    return times
