"""Times the networks that lie beside this file, on the device where they shall run.

Command: python measure_probes.py [--output phone.json] [--threads N]
Needs NumPy and the engine: ai-edge-litert, onnxruntime or openvino. Neither Keras nor keras-effnet.

Copy the result to the desk: `keras-effnet fit NAME --latency-ms 20 --device phone.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SPEAKER = "measure_probes: "  # before each line of its own: engines print lines as well
WARM_UP_CALLS, MIN_CALLS, MIN_SECONDS = 3, 15, 0.5


def opened(path: Path, threads: int) -> tuple[Callable[[], Any], str]:
    """Opens a file of one image a call.

    Returns:
        A function that runs it once on random pixels, and the engine's name and version.
    """
    pixels = np.random.default_rng(0).integers(0, 256, 10**7)

    def image(shape: Any, kind: Any) -> np.ndarray:
        return np.resize(pixels, [int(side) for side in shape]).astype(kind)

    if path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        [given] = session.get_inputs()
        x = image(given.shape, np.float32)
        return lambda: session.run(None, {given.name: x}), f"onnxruntime {onnxruntime.__version__}"
    if path.suffix == ".xml":
        import openvino

        config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(str(path), "CPU", config)
        request, x = compiled.create_infer_request(), image(compiled.input(0).shape, np.float32)
        return lambda: request.infer([x]), f"openvino {openvino.__version__}"
    from ai_edge_litert import interpreter as litert

    interpreter = litert.Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    [given], [output] = interpreter.get_input_details(), interpreter.get_output_details()
    x = image(given["shape"], given["dtype"])

    def call() -> Any:
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    return call, "ai-edge-litert"


def timed(call: Callable[[], Any]) -> list[float]:
    """The milliseconds of each of some calls, after some to warm up."""
    for _ in range(WARM_UP_CALLS):
        call()
    times: list[float] = []
    while len(times) < MIN_CALLS or sum(times) < MIN_SECONDS * 1e3:
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e3)
    return times


def processor() -> str:
    """The processor's model, if the system tells it; else its architecture."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main(argv: list[str]) -> None:
    """Times all and writes the result."""
    parser = argparse.ArgumentParser(description="Times the networks beside this file on this device.")
    parser.add_argument("--output", type=Path, default=Path("phone.json"), help="(default: phone.json)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="(default: all processors)")
    arguments = parser.parse_args(argv)
    folder = Path(__file__).resolve().parent
    content = json.loads((folder / "probes.json").read_text(encoding="utf-8"))
    engine = ""
    for number, probe in enumerate(content["probes"], 1):
        call, engine = opened(folder / probe["file"], arguments.threads)
        low, median, high = (float(value) for value in np.quantile(timed(call), (0.1, 0.5, 0.9)))
        probe.update(median_ms=median, low_ms=low, high_ms=high)
        sys.stderr.write(f"{SPEAKER}{number}/{len(content['probes'])} {probe['network']}: {median:.2f} ms\n")
    content["machine"] = {
        "processor": processor(),
        "system": f"{platform.system()} {platform.release()}",
        "engine": engine,
        "threads": str(arguments.threads),
        "date": time.strftime("%Y-%m-%d"),
    }
    partial = arguments.output.with_name(arguments.output.name + ".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(arguments.output)
    sys.stderr.write(f"{SPEAKER}wrote {arguments.output}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
