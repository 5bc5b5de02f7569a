"""Writes docs/benchmarks.md from the measured results.

Command: python benchmarks/tables.py
Time: under 1 s.
Result: docs/benchmarks.md, one table for each file in benchmarks/results.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from measure import RESULTS

DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

Every number is a ratio against a peer measured in the same run, in fresh processes that take turns: **ours / peer**,
the median over rounds with the smallest and the largest. Below 1 we are faster. Written by `python
benchmarks/tables.py` from `benchmarks/results/*.json`, which the named commands wrote.
"""


def table(content: dict[str, Any]) -> str:
    """One result file as Markdown."""
    lines = ["| what | peer | ours | peer's | ratio (min to max) | rounds |", "|---|---|---|---|---|---|"]
    for row in content["rows"]:
        times = f"{_seconds(row['ours_s'])} | {_seconds(row['peer_s'])}"
        ratio = f"**{row['ratio']:.2g}** ({row['ratio_min']:.2g} to {row['ratio_max']:.2g})"
        lines.append(f"| {row['what']} | {row['peer']} | {times} | {ratio} | {row['rounds']} |")
    machine = content["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    return "\n".join([*lines, "", f"`{content['command']}`, {content['date']}. {where}; {versions}."])


def _seconds(value: float) -> str:
    return f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.2f} s"


if __name__ == "__main__":
    parts = [INTRODUCTION]
    for path in sorted(RESULTS.glob("*.json")):
        if path.stem in ("budget", "latency"):
            continue  # shares of limits, not times against a peer: benchmarks/budget.py writes docs/budget.md
        script = Path(__file__).parent / f"{path.stem}.py"
        title = (ast.get_docstring(ast.parse(script.read_text())) or path.stem).splitlines()[0].rstrip(".")
        parts.append(f"## {title}\n\n{table(json.loads(path.read_text()))}\n")
    DOCS.write_text("\n".join(parts))
