"""How much of a budget `fit_to_budget` uses, over 50 budgets from 0.1 to 20 times each family's base.

Command: python benchmarks/budget.py
Time: about 1 minute on 2 cores.
Result: results/budget.json, docs/budget.md and docs/images/budget.png: no budget exceeded, none used by less than 97 %.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from measure import RESULTS, save
from tqdm.auto import tqdm

from keras_effnet import estimate_cost, fit_to_budget
from keras_effnet.backbones.catalogue import FAMILIES
from keras_effnet.errors import BudgetError
from keras_effnet.measures import MEASURES, count
from keras_effnet.registry import backbones

DOCS = Path(__file__).parents[1] / "docs"
COMMAND = "python benchmarks/budget.py"
# Bytes are 4 times the parameters.
QUANTITIES = ("macs", "params", "activations")
FACTORS = [0.1 * 200 ** (number / 49) for number in range(50)]
INTRODUCTION = """# Any budget

```python
from keras_effnet import fit_to_budget

spec = fit_to_budget("efficientnet_b0", macs=100e6, model_bytes=8e6)  # both limits hold, one is used
spec = fit_to_budget("resnet50", params=5e6, resolution=160, rule="fast")
spec = fit_to_budget("mobilenet_v2", latency_ms=20)  # measured on this machine
```

```sh
keras-effnet fit efficientnet_b0 --macs 100e6 --model-bytes 8e6 --output small.json
keras-effnet transfer --backbone small.json
```

The rule sets the direction, the count decides how far to go: phi is bisected on the *rounded* network, and what the
last phi leaves unused is filled by enlarging single parts (a stage's width or depth, stem, head, resolution), in the
order in which the rule would reach them. What a rule leaves alone and what a stage declares `fixed` stay. Depths round
to the nearest here, unless another `Rounding` is given: with the paper's `ceil`, EfficientNet-B0 grows by half at the
first step above phi = 0.

A limit that no network meets raises an error that names it and the smallest value that can be reached. MnasNet and
EfficientNet-Lite keep a head of 1280 channels at any size, so that with 1000 classes none of their networks has fewer
than 1.3 million parameters: their smallest budgets raise such errors and are missing from the rows below.

For `latency_ms` a spec's kinds of work are added up (calls, layers, pointwise, spatial and depthwise multiply-adds,
numbers written). The time that each takes is calibrated once on a machine, by timing eight networks (a minute), and
kept in the user's cache folder, for each backend, version, processor, data format and number of threads. The search
builds the network it predicts to fit, times it (3 calls to warm up, then the median of at least 15 calls and half a
second), corrects its prediction and searches again, at most five times. What it returns was measured at or under the
limit.

## How much of a budget is used

For each family and measure, {budgets} budgets from 0.1 to 20 times the base's own value, and the share of the limit
that the network found uses. No network was above its limit.

![Share of the budget used, for each family](images/budget.png)

"""


def sweep(name: str, quantity: str) -> dict[str, Any]:
    """Every budget of one family and measure."""
    base = count(estimate_cost(name))[quantity]
    shares, seconds, impossible = [], [], 0
    for factor in FACTORS:
        started = time.perf_counter()
        try:
            found = fit_to_budget(name, **{quantity: factor * base})
        except BudgetError:
            impossible += 1
            continue
        seconds.append(time.perf_counter() - started)
        shares.append(count(estimate_cost(found))[quantity] / (factor * base))
    return {
        "family": name,
        "quantity": quantity,
        "budgets": len(shares),
        "impossible": impossible,
        "least": min(shares),
        "median": median(shares),
        "most": max(shares),
        "seconds_median": median(seconds),
        "seconds_most": max(seconds),
        "shares": [round(share, 5) for share in shares],
    }


def page(content: dict[str, Any]) -> str:
    """The text of docs/budget.md, without the table of latencies."""
    lines = [
        "| base | limit | budgets | least used | median | most used | time, median | time, most |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        cells = (f"{row['least']:.2%}", f"{row['median']:.2%}", f"{row['most']:.2%}")
        times = (f"{row['seconds_median'] * 1e3:.0f} ms", f"{row['seconds_most'] * 1e3:.0f} ms")
        lines.append(f"| {' | '.join((row['family'], row['quantity'], str(row['budgets']), *cells, *times))} |")
    machine = content["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    foot = f"`{content['command']}`, {content['date']}. {where}."
    return INTRODUCTION.format(budgets=len(FACTORS)) + "\n".join([*lines, "", foot, ""])


def latency_table(content: dict[str, Any]) -> str:
    """The results of benchmarks/latency.py, as a section of the page."""
    lines = [
        "## How much of a limit in milliseconds is used",
        "",
        "Each network found was built and timed once more after the search; the table gives the median of its calls,",
        "and their 10 % and 90 % quantiles. Two timings of one network differ by a few per cent, and by more while the",
        "machine is busy, so that this second median can exceed the limit that the search kept.",
        "",
        "| base | limit | timed again | share | networks built | time of the search |",
        "|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        timed = f"{row['median_ms']:.1f} ms ({row['low_ms']:.1f} to {row['high_ms']:.1f})"
        search = f"{row['builds']} | {row['seconds']:.0f} s"
        lines.append(f"| {row['base']} | {row['limit_ms']:g} ms | {timed} | {row['share']:.0%} | {search} |")
    machine, versions = content["machine"], content["versions"]
    where = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, keras {versions['keras']}"
    foot = f"`{content['command']}`, {content['date']}. {where}, tensorflow {versions['tensorflow']}."
    return "\n".join([*lines, "", foot, ""])


def draw(rows: list[dict[str, Any]]) -> None:
    """Draws the shares of each family, one row of dots for each measure."""
    families = list(dict.fromkeys(row["family"] for row in rows))
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(families) + 1.2), layout="constrained")
    for row in rows:
        line = QUANTITIES.index(row["quantity"])
        height = [families.index(row["family"]) + 0.22 * (line - 1)] * len(row["shares"])
        label = MEASURES[row["quantity"]].label if row["family"] == families[0] else None
        axes.plot(row["shares"], height, ".", color=f"C{line}", markersize=3, alpha=0.5, label=label)
    axes.axvline(0.97, color="black", linewidth=0.8, linestyle="--")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xlabel="share of the budget used", xlim=(0.965, 1.002), yticks=range(len(families)), yticklabels=families)
    axes.invert_yaxis()
    axes.legend(loc="lower left", markerscale=3)
    figure.savefig(DOCS / "images" / "budget.png", dpi=120)


def main() -> None:
    members = {member for sizes in FAMILIES.values() for member in sizes}
    cases = [(name, quantity) for name in backbones.names() if name not in members for quantity in QUANTITIES]
    rows = [sweep(name, quantity) for name, quantity in tqdm(cases, unit="sweep")]
    save("budget", COMMAND, rows)
    draw(rows)
    write_page()


def write_page() -> None:
    """Writes docs/budget.md from both result files."""
    parts = [page(json.loads((RESULTS / "budget.json").read_text()))]
    if (RESULTS / "latency.json").is_file():
        parts.append(latency_table(json.loads((RESULTS / "latency.json").read_text())))
    (DOCS / "budget.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
