"""How much of a budget `fit_to_budget` uses, over 50 budgets from 0.1 to 20 times each family's base.

Command: python benchmarks/budget.py
Time: about 1 minute on 2 cores.
Result: results/budget.json, docs/evidence/budget.md and docs/images/budget.png: no budget exceeded, none used by less
than 97 %.
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
INTRODUCTION = """# Evidence: budgets

How much of a limit [`fit_to_budget`](../budget.md) uses.

## How much of a budget is used

For each family and measure, {budgets} budgets from 0.1 to 20 times the base's own value, and the share of the limit
that the network found uses. No network was above its limit. MnasNet and
EfficientNet-Lite keep a head of 1280 channels at any size, so that with 1000 classes none of their networks has fewer
than 1.3 million parameters: their smallest budgets are missing.

![Share of the budget used, for each family](../images/budget.png)

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
    """The text of docs/evidence/budget.md, without the table of latencies."""
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
    """Writes docs/evidence/budget.md from both result files."""
    parts = [page(json.loads((RESULTS / "budget.json").read_text()))]
    if (RESULTS / "latency.json").is_file():
        parts.append(latency_table(json.loads((RESULTS / "latency.json").read_text())))
    (DOCS / "evidence" / "budget.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
