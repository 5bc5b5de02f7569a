"""Writes docs/evidence/benchmarks.md, and the tables of other pages, from results.

Command: python benchmarks/tables.py
Time: under 1 s.
Result: docs/evidence/benchmarks.md, one table for each file in benchmarks/results; other pages, between marks.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from device_tables import arenas, engine_profile, front, int8, on_device, resident, table4, training_step, where
from measure import RESULTS

DOCS = Path(__file__).parent.parent / "docs"
BENCHMARKS, DEVICES, INHERIT, SCENES, SEARCH, TRAINING = (
    DOCS / "evidence" / f"{name}.md" for name in ("benchmarks", "devices", "inherit", "scenes", "search", "training")
)
CHOOSING = DOCS / "choosing.md"
ANY_MODEL = DOCS / "any_model.md"
INTRODUCTION = """# Evidence: speed against peers

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
    return "\n".join([*lines, "", where(content)])


def inheritance(content: dict[str, Any]) -> str:
    """What benchmarks/inherit.py measured, as Markdown."""
    lines = [
        "| images | way | equal in | compute, time | inherited | from scratch | difference (std; single seeds) |",
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
        f"{settings['batch_size']} images on letters and {settings['digits_steps']} on digits. "
        "A grown network's compute and time include the small one's training, "
        "a shrunk network's the large one's.",
        "",
        _alone(seeds),
        "",
        "![Accuracy against compute and time](../images/inherit.png)",
        "",
    )
    return "\n".join([*text, *lines, "", where(content)])


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
    return "\n".join([*lines, "", where(content)])


def coefficients(content: dict[str, Any]) -> str:
    """The search of alpha, beta and gamma that benchmarks/search.py ran, as Markdown."""
    found = content["coefficients"]
    lines = [
        f"{found['networks']} networks, of {found['triples']} triples, cost twice the base's "
        f"{found['base']['macs']:,} multiply-adds within 10 %. {found['trials']['done']} trials of {found['steps']:,} "
        f"steps in all; the plain grid alone takes {found['grid_steps']:,}.",
        "",
        "| alpha, beta, gamma | multiply-adds, times the base's | validation accuracy, mean (sd over seeds) | test |",
        "|---|---|---|---|",
    ]
    for each in found["finalists"]:
        triple = ", ".join(f"{each['choices'][name]:g}" for name in ("alpha", "beta", "gamma"))
        marks = ["the paper's"] * (each["label"] == "paper") + ["winner"] * (each["key"] == found["winner"])
        label = f" ({', '.join(marks)})" if marks else ""
        ratio = each["cost"]["macs"] / found["base"]["macs"]
        test = ", ".join(f"{value:.3f}" for value in each["test"].values())
        lines.append(f"| {triple}{label} | {ratio:.3f} | **{each['mean']:.4f}** ({each['sd']:.4f}) | {test} |")
    difference = found["difference"]
    if difference is not None:
        lines += [
            "",
            f"`{found['rule']}` against the paper's constants at the same cost, on the test images, "
            f"{difference['seeds']} seeds: "
            f"{difference['mean']:+.4f}, 95 % interval {difference['low']:+.4f} to {difference['high']:+.4f}: "
            f"**{difference['verdict']}**.",
        ]
    return "\n".join([*lines, "", where(content)])


def methods(content: dict[str, Any]) -> str:
    """What both ways of searching a baseline found, as Markdown."""
    settings, seeds = content["settings"], sorted({row["seed"] for row in content["rows"]})
    lines = [
        f"{settings['trials']} candidates of {settings['steps']} steps each; the largest reward of each seed:",
        "",
        f"| method | {' | '.join(f'seed {seed}' for seed in seeds)} | mean |",
        f"|---|{'---|' * len(seeds)}---|",
    ]
    for method in dict.fromkeys(row["method"] for row in content["rows"]):
        rewards = [row["reward"] for row in content["rows"] if row["method"] == method]
        cells = " | ".join(f"{reward:.3f}" for reward in rewards)
        lines.append(f"| {method} | {cells} | **{sum(rewards) / len(rewards):.3f}** |")
    lines += [
        "",
        f"The networks found, and the base, trained from scratch for {settings['final_steps']} steps with other seeds:",
        "",
        "| network | multiply-adds | parameters | test accuracy, mean (sd over seeds) |",
        "|---|---|---|---|",
    ]
    for row in content["final"]:
        score = f"**{row['mean']:.4f}** ({row['sd']:.4f})"
        lines.append(f"| {row['network']} | {row['macs']:,} | {row['params']:,} | {score} |")
    return "\n".join([*lines, "", where(content)])


def sharing(content: dict[str, Any]) -> str:
    """Whether inherited weights rank candidates as long training does, as Markdown."""
    found, settings = content["sharing"], content["settings"]
    shares = found["inherited_shares"]
    lines = [
        f"Spearman's rank correlation with training {8 * settings['shared_steps']} steps from scratch, over "
        f"{found['candidates']} candidates of an evolution whose children inherit, and over the {found['children']} "
        f"that have a parent (they took over {sum(shares) / max(1, len(shares)):.0%} of their weights on average):",
        "",
        "| accuracy after | steps in all | all | children |",
        "|---|---|---|---|",
    ]
    names = {"inherited": f"{settings['shared_steps']} steps from the parent's weights"}
    names |= {"same": f"{settings['shared_steps']} steps from scratch"}
    names |= {"twice": f"{2 * settings['shared_steps']} steps from scratch"}
    for row in found["rows"]:
        lines.append(
            f"| {names[row['accuracy']]} | {row['steps']:,} | **{row['all']:+.2f}** | {row['children']:+.2f} |"
        )
    return "\n".join([*lines, "", where(content)])


def speed(content: dict[str, Any]) -> str:
    """How fast the searches are, as Markdown."""
    halving, pair, empty = content["halving"], content["workers"], content["overhead"]
    gap = halving["grid_choice_accuracy"] - halving["halving_choice_accuracy"]
    ours, grids = (", ".join(f"{value:g}" for value in halving[name]) for name in ("halving_choice", "grid_choice"))
    lines = [
        "| what | measured | wanted |",
        "|---|---|---|",
        f"| steps of halving, share of the plain grid's: {halving['candidates']} networks of about "
        f"{2 * halving['params']:,.0f} parameters, on letters | "
        f"**{halving['ratio']:.3f}** ({halving['halving_steps']:,} of {halving['grid_steps']:,}) | 0.2 |",
        f"| its choice ({ours}) against the grid's ({grids}), accuracy of the same training | {gap:.3f} behind, rank "
        f"{halving['halving_choice_rank']}; the seeds differ by {halving['noise']:.3f} (sd) | within the noise |",
        f"| two single-threaded workers against one, {pair['trials']} trials of {pair['steps']} steps | "
        f"**{pair['ratio']:.2f}** ({pair['ratio_min']:.2f} to {pair['ratio_max']:.2f}; {pair['ours_s']:.0f} s and "
        f"{pair['peer_s']:.0f} s) | 0.6 |",
        f"| the engine's own time a trial, after {empty['trials']} trials | {empty['last_quarter_s']:.2f} s: "
        f"**{empty['share']:.1%}** of a trial of 10 s | 2 % |",
    ]
    counted = content.get("counted")
    if counted is not None:
        row = counted["rows"][0]
        lines.append(f"| {row['what']} | **{row['ours_s']:.1f} s** | 60 s |")
    return "\n".join([*lines, "", where(content)])


def first_run(content: dict[str, Any]) -> str:
    """What benchmarks/first_run.py measured of commands, files and installations, as Markdown."""
    commands = table(content).split("\n\n")[0]
    names = {
        "ours": "`load_data`, which decodes all",
        "ours again": "`load_data` again",
        "keras": "Keras, which lists them",
    }
    files = ["| files | seconds | peak memory |", "|---|---|---|"]
    files += [
        f"| {row['files']:,}: {names[row['what']]} | {row['seconds']:.1f} | {row['peak_mb']:,.0f} MB |"
        for row in content["files"]
    ]
    installed = ["| installation | packages | seconds | size |", "|---|---|---|---|"]
    installed += [
        f"| {row['what']} | {row['packages']} | {row['seconds']:.0f} | {row['mb']:,.0f} MB |"
        for row in content["installed"]
    ]
    return "\n\n".join([commands, "\n".join(files), "\n".join(installed), where(content)])


def options(content: dict[str, Any]) -> str:
    """What benchmarks/options.py measured, as Markdown."""
    lines = [
        "| option | task | what counts | without | with | difference (95 % interval) | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        shares = [f"{row[name]:.3f}" for name in ("without_mean", "with_mean")]
        difference = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        verdict = f"**{row['verdict']}**"
        if row["epochs_share"] != 1:
            verdict += f", in {row['epochs_share']:.0%} of the epochs"
        cells = (f"`{row['option']}`", row["task"], row["metric"], *shares, difference, verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"Means over {content['rows'][0]['seeds']} seeds. {where(content)}"])


def counts(content: dict[str, Any]) -> str:
    """What three counters say of the same networks, as Markdown."""
    lines = [
        "| network | multiply-adds, `estimate_cost` | TensorFlow's profiler / 2 | of these multiply-adds | "
        "`torch.utils.flop_counter` / 2 |",
        "|---|---|---|---|---|",
    ]
    for name, row in content["models"].items():
        seen = row["tensorflow"]
        lines.append(
            f"| {name} | {row['macs']:,} | {seen['total'] / 2:,.0f} | {seen['multiply_adds']:,} | "
            f"{row['torch']['total'] // 2:,} |"
        )
    return "\n".join([*lines, "", where(content)])


def class_maps(content: dict[str, Any]) -> str:
    """Where benchmarks/class_maps.py saw networks look, as Markdown."""
    rows = content["rows"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = [
        f"| network, images it is right about | map | layer | {' | '.join(methods)} |",
        f"|---|---|---|{'---|' * len(methods)}",
    ]
    for network, layer in dict.fromkeys((row["network"], row["layer"]) for row in rows):
        found = {
            (row["method"], row["marks"]): row for row in rows if (row["network"], row["layer"]) == (network, layer)
        }
        one, cells = found[methods[0], 1], []
        for method in methods:
            alone, pair = found[method, 1], found[method, 2]
            cells.append(
                f"{alone['pointing']:.0%}, {alone['inside']:.0%}; {pair['pointing']:.0%}, {pair['inside']:.0%} "
                f"({pair['other']:.0%})"
            )
        size = " x ".join(map(str, one["cells"]))
        lines.append(f"| `{network}`, {one['right']:.0%} | {size} | `{layer}` | {' | '.join(cells)} |")
    return "\n".join([*lines, "", where(content)])


def scenes(content: dict[str, Any]) -> str:
    """What benchmarks/scenes.py measured, as Markdown."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in content["rows"]:
        found.setdefault(row["network"], []).append(row)
    lines = [
        "| network | blocks | px | params | multiply-adds | seeds | accuracy | shape | texture | context | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        first = runs[0]
        alone = [f"{mean(run[factor] for run in runs):.1%}" for factor in ("shape", "texture", "context")]
        spread = f" ± {100 * stdev(run['accuracy'] for run in runs):.1f}" if len(runs) > 1 else ""
        accuracy = f"**{mean(run['accuracy'] for run in runs):.1%}**{spread}"
        sizes = (str(first["depth"]), str(first["resolution"]), f"{first['params']:,}", f"{first['macs']:,}")
        cells = (name, *sizes, str(len(runs)), accuracy, *alone, f"{mean(run['seconds'] for run in runs):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    first = content["rows"][0]
    text = (
        f"Accuracy on test images: of the class, and of each of its factors alone; ± is the standard deviation where "
        f"there is more than one seed. Chance is {1 / content['classes']:.1%}, 16.7%, 25.0% and 33.3%. "
        f"{first['steps']:,} steps of "
        f"{content['recipe']['batch_size']} images each, none of which comes twice. Seconds are of training.",
        "",
        "![Accuracy against multiply-adds, for each dimension](../images/scenes_scaling.png)",
        "",
    )
    drawn = ", ".join(f"{speed:,.0f} of {side} px" for side, speed in content.get("drawing", {}).items())
    speed = f"Drawing: {drawn}, in a second of one core's time."
    return "\n".join([*text, *lines, "", speed, "", where(content)])


def fill(page: str, name: str, body: str) -> str:
    """`page` with `body` between its two marks of that name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n{body}\n{end}{after}"


def _seconds(value: float) -> str:
    return f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.2f} s"


# Results that have a place of their own: the page, and what writes them.
ELSEWHERE: dict[str, tuple[Path, Callable[[dict[str, Any]], str]]] = {
    "inherit": (INHERIT, inheritance),
    "scenes": (SCENES, scenes),
    "augment": (TRAINING, table),
    "scores": (SEARCH, scores),
    "coefficients": (SEARCH, coefficients),
    "methods": (SEARCH, methods),
    "sharing": (SEARCH, sharing),
    "speed": (SEARCH, speed),
    "on_device": (DEVICES, on_device),
    "engine_profile": (DEVICES, engine_profile),
    "int8": (DEVICES, int8),
    "front": (CHOOSING, front),
    "table4": (DEVICES, table4),
    "arenas": (DEVICES, arenas),
    "resident": (TRAINING, resident),
    "training_step": (TRAINING, training_step),
    "options": (TRAINING, options),
    "first_run": (TRAINING, first_run),
    "class_maps": (TRAINING, class_maps),
}
# Files of which a page takes more than one table, and files that it takes its tables from.
SOURCES = {
    "coefficients": "search",
    "speed": "search",
    "methods": "searches",
    "sharing": "searches",
    "arenas": "memory",
    "resident": "memory",
}
# Results that stand on a page of their own and in docs/evidence/benchmarks.md.
ALSO: dict[str, tuple[Path, Callable[[dict[str, Any]], str]]] = {
    "pipeline": (TRAINING, pipeline),
    "features": (TRAINING, table),
    "grow": (INHERIT, table),
    "count": (ANY_MODEL, counts),
    "graph": (ANY_MODEL, table),
}
# Shares of limits, not times against a peer: benchmarks/budget.py writes docs/evidence/budget.md.
OWN_PAGE = ("budget", "latency")


def main() -> None:
    found = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    for name, (page, write) in {**ELSEWHERE, **ALSO}.items():
        source = SOURCES.get(name, name)
        if source in found:
            content = found[source] if name != "speed" else {**found[source], "counted": found.get("candidates")}
            page.write_text(fill(page.read_text(), name, write(content)))
    parts = [INTRODUCTION]
    for name, content in found.items():
        if name in OWN_PAGE or name in ELSEWHERE or name in SOURCES.values():
            continue
        script = Path(__file__).parent / f"{name}.py"
        title = (ast.get_docstring(ast.parse(script.read_text())) or name).splitlines()[0].rstrip(".")
        parts.append(f"## {title}\n\n{table(content)}\n")
    BENCHMARKS.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
