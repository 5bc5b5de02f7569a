"""What the benchmarks share: fresh processes in turn, ratios within one run, and where they were measured."""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "keras", "tensorflow", "jax", "torch", "numpy", "onnxruntime", "openvino", "ai-edge-litert", "tflite-micro", "timm",
)  # fmt: skip


def in_turn(programs: Mapping[str, str], rounds: int, **environment: str) -> dict[str, list[float]]:
    """Runs each program in a fresh Python, one after the other, `rounds` times over.

    In turn, so that a machine that slows down slows all of them.

    Args:
        programs: source code by name; it prints the seconds it took on its last line.
        rounds: how often, at least 1.
        **environment: variables to set, such as KERAS_BACKEND.

    Returns:
        The seconds of each program, in the order of the rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds):
        for name, source in programs.items():
            done = subprocess.run(
                [sys.executable, "-c", source],
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
                capture_output=True,
                text=True,
                check=True,
            )
            seconds[name].append(float(done.stdout.strip().splitlines()[-1]))
            print(f"round {number + 1}/{rounds}  {name:<24} {seconds[name][-1]:9.4f} s", file=sys.stderr)
    return seconds


class Peer:
    """A process that answers each line with a number: timm_peer.py, say.

    Args:
        *command: the command line that starts it.
        **environment: variables to set, such as KERAS_BACKEND.
    """

    def __init__(self, *command: str | Path, **environment: str) -> None:
        given = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([*command], env=given, text=True, **pipes)

    def ask(self, *words: object) -> float:
        """Sends words, and waits for the answer."""
        pipe_in: Any = self._process.stdin
        pipe_out: Any = self._process.stdout
        pipe_in.write("\t".join(map(str, words)) + "\n")
        pipe_in.flush()
        return float(pipe_out.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def compare(ours: Sequence[float], peer: Sequence[float]) -> dict[str, Any]:
    """Medians, and the ratio ours / peer round by round."""
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    return {
        "ours_s": statistics.median(ours),
        "peer_s": statistics.median(peer),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "rounds": len(ratios),
    }


def save(name: str, command: str, rows: list[dict[str, Any]], **more: Any) -> None:
    """Writes `results/<name>.json` with the machine and the versions, and prints the rows.

    Args:
        name: of the benchmark.
        command: that measured it.
        rows: what was measured.
        **more: what else the file holds.
    """
    RESULTS.mkdir(exist_ok=True)
    content = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
        },
        "versions": {package: found for package in PACKAGES if (found := _version(package))},
        "rows": rows,
        **more,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    for row in rows:
        print(
            "  ".join(
                f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in row.items()
            )
        )


def this_command() -> str:
    """The command that runs, with its options."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
