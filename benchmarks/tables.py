"""Writes docs/benchmarks.md, and the tables of inherit, augment, data, finetune and search beside it, from results.

Command: python benchmarks/tables.py
Time: under 1 s.
Result: docs/benchmarks.md, one table for each file in benchmarks/results; in the others what is between their marks.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from measure import RESULTS

DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
INHERIT = DOCS.with_name("inherit.md")
AUGMENT = DOCS.with_name("augment.md")
DATA = DOCS.with_name("data.md")
FINETUNE = DOCS.with_name("finetune.md")
SEARCH = DOCS.with_name("search.md")
INTRODUCTION = """# Benchmarks

Every number is a ratio against a peer measured in the same run, in fresh processes that take turns: **ours / peer**,
the median over rounds with the smallest and the largest. Below 1 we are faster. Written by `python
benchmarks/tables.py` from `benchmarks/results/*.json`, which the named commands wrote.
"""


def table(content: dict[str, Any]) -> str:
    """One result file as Markdown."""
    lines = ["| what | peer | ours | peer's | ratio (min to max) | rounds |", "|---|---|---|---|---|---|"]
    for row in content["rows"]:
        if "unit" in row:
            times = f"{row['ours']:.0f} {row['unit']} | {row['peers']:.0f} {row['unit']}"
        else:
            times = f"{_seconds(row['ours_s'])} | {_seconds(row['peer_s'])}"
        ratio = f"**{row['ratio']:.2g}** ({row['ratio_min']:.2g} to {row['ratio_max']:.2g})"
        lines.append(f"| {row['what']} | {row['peer']} | {times} | {ratio} | {row['rounds']} |")
    return "\n".join([*lines, "", _where(content)])


def inheritance(content: dict[str, Any]) -> str:
    """What benchmarks/inherit.py measured, as Markdown."""
    lines = [
        "| pictures | way | equal in | compute, time | inherited | from scratch | difference (std; single seeds) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        gains = [100 * (ours - peer) for ours, peer in zip(row["ours"], row["peer"], strict=True)]
        single = ", ".join(f"{gain:+.1f}" for gain in gains)
        gain = f"**{100 * row['gain_mean']:+.1f}** ({100 * row['gain_std']:.1f}; {single})"
        spent = f"{row['ours_compute'] / row['peer_compute']:.2f}, {row['ours_s'] / row['peer_s']:.2f}"
        scores = (f"{row['ours_mean']:.1%}", f"{row['peer_mean']:.1%}", gain)
        cells = (row["task"], row["direction"], row["equal"], spent, *scores)
        lines.append(f"| {' | '.join(cells)} |")
    settings, seeds = content["settings"], content["seeds"]
    first = next(iter(seeds.values()))
    sizes = " and ".join(
        f"phi = {network['phi']:g} ({network['blocks']} blocks, {network['params']:,} parameters, "
        f"{network['macs']:,} multiply-adds)"
        for network in first[0]["networks"].values()
    )
    text = (
        f"Held-out accuracy, means over {len(first)} seeds; differences in points, paired by seed. Compute and time: "
        f"of the network that inherits, in shares of the one from scratch. EfficientNet-B0 at {sizes}, "
        f"{settings['resolution']} px; from scratch, the large one takes {settings['steps']} steps of "
        f"{settings['batch_size']} pictures on letters and {settings['digits_steps']} on digits. "
        "A grown network's compute and time include the small one's training, "
        "a shrunk network's the large one's.",
        "",
        _alone(seeds),
        "",
        "![Accuracy against compute and time](images/inherit.png)",
        "",
    )
    return "\n".join([*text, *lines, "", _where(content)])


def _alone(seeds: dict[str, list[dict[str, Any]]]) -> str:
    """What the small network reaches when it is neither grown nor inherits: is the large one worth it?"""
    scores = []
    for task, found in seeds.items():
        alone, large = ([run["runs"][name] for run in found] for name in ("small, all compute", "large"))
        share = sum(run["compute"][-1] for run in alone) / sum(run["compute"][-1] for run in large)
        accuracy = sum(run["accuracy"][-1] for run in alone) / len(alone)
        scores.append(f"{accuracy:.1%} on {task} with {share:.2f} times the compute of the large one from scratch")
    return f"The small network trained alone for longer reached {', and '.join(scores)}."


def pipeline(content: dict[str, Any]) -> str:
    """What benchmarks/pipeline.py measured, as Markdown."""
    idle, settings = content["idle"], content["settings"]
    text = (
        f"EfficientNet-B0 at {settings['resolution']} px, {settings['threads']} threads, batches of "
        f"{settings['batch']}, JPEG files of 300 to 500 px and {settings['bytes'] / 1e3:.0f} KB: the training waits "
        f"for data **{idle['ours']['median']:.3%}** of the time (at most {idle['ours']['max']:.3%} in a round), with "
        f"Keras' `image_dataset_from_directory` {idle['peer']['median']:.3%}. Others worked on the machine, too (load "
        f"before the start: {settings['load_before']:.1f}), so that ratios and shares mean more than seconds."
    )
    return f"{text}\n\n{table(content)}"


def scores(content: dict[str, Any]) -> str:
    """What benchmarks/scores.py measured, as Markdown."""
    settings = content["settings"]
    lines = [
        f"Rank correlation with the mean accuracy of {settings['seeds']} trainings of {settings['proxy']['horizon']} "
        f"steps on `{settings['proxy']['data']}`, over {settings['candidates']} random networks within the limits:",
        "",
        "| score | Spearman's rho (p) | Kendall's tau | seconds a network |",
        "|---|---|---|---|",
    ]
    for row in content["rows"]:
        rho, tau = (None if row[name] is None else f"{row[name]:+.2f}" for name in ("spearman", "kendall"))
        p = "" if row["p"] is None else f" ({row['p']:.2g})"
        lines.append(f"| {row['score']} | **{rho}**{p} | {tau} | {row['seconds']:.1f} |")
    return "\n".join([*lines, "", _where(content)])


def fill(page: str, name: str, body: str) -> str:
    """`page` with `body` between its two marks of that name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n{body}\n{end}{after}"


def _where(content: dict[str, Any]) -> str:
    """The command, the date, the machine and the versions."""
    machine = content["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    return f"`{content['command']}`, {content['date']}. {where}; {versions}."


def _seconds(value: float) -> str:
    return f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.2f} s"


def main() -> None:
    parts, inherit = [INTRODUCTION], INHERIT.read_text()
    for path in sorted(RESULTS.glob("*.json")):
        if path.stem in ("budget", "latency"):
            continue  # shares of limits, not times against a peer: benchmarks/budget.py writes docs/budget.md
        content = json.loads(path.read_text())
        if path.stem == "inherit":
            inherit = fill(inherit, path.stem, inheritance(content))
            continue
        if path.stem == "augment":
            AUGMENT.write_text(fill(AUGMENT.read_text(), path.stem, table(content)))
            continue
        if path.stem == "scores":
            SEARCH.write_text(fill(SEARCH.read_text(), path.stem, scores(content)))
            continue
        if path.stem == "pipeline":
            DATA.write_text(fill(DATA.read_text(), path.stem, pipeline(content)))
        if path.stem == "features":
            FINETUNE.write_text(fill(FINETUNE.read_text(), path.stem, table(content)))
        if path.stem == "grow":
            inherit = fill(inherit, path.stem, table(content))
        script = Path(__file__).parent / f"{path.stem}.py"
        title = (ast.get_docstring(ast.parse(script.read_text())) or path.stem).splitlines()[0].rstrip(".")
        parts.append(f"## {title}\n\n{table(content)}\n")
    DOCS.write_text("\n".join(parts))
    INHERIT.write_text(inherit)


if __name__ == "__main__":
    main()
