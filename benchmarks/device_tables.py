"""The tables of what runs on devices and of what it takes, and the line that says where anything was measured."""

from __future__ import annotations

from typing import Any

# Exported files that compute in float32: the others compute less.
FLOAT32 = ("litert", "onnx", "openvino")


def int8(content: dict[str, Any]) -> str:
    """What benchmarks/int8.py measured, as Markdown."""
    counts = list(content["rows"][0]["mixed"])
    mixed = " | ".join(f"int8, {count} in float32" for count in counts)
    lines = [
        f"| pictures | network | float32 | int8 | loss, points | {mixed} | its worst layers: noise |",
        "|---" * (6 + len(counts)) + "|",
    ]
    for row in content["rows"]:
        recovered = " | ".join(f"{row['mixed'][count]:.1%}" for count in counts)
        worst = ", ".join(f"`{each['layer']}` {each['noise']:.1%}" for each in row["worst"][:3])
        loss = f"**{100 * row['loss']:+.1f}**"
        cells = (row["data"], row["form"], f"{row['float32']:.1%}", f"{row['int8']:.1%}", loss, recovered, worst)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", where(content)])


def on_device(content: dict[str, Any]) -> str:
    """What benchmarks/on_device.py measured, as Markdown."""
    rows = content["rows"]
    names = list(dict.fromkeys(row["contender"] for row in rows))
    lines = [
        f"Milliseconds an image, {content['threads']} threads, medians of calls in turn. Last two columns: ratios of "
        "our fastest float32 file to the fastest of the others, and to `predict`.",
        "",
        f"| network, batch | {' | '.join(names)} | ours / best other | ours / predict |",
        f"|---|{'---|' * len(names)}---|---|",
    ]
    for network, batch in dict.fromkeys((row["network"], row["batch"]) for row in rows):
        found = {row["contender"]: row for row in rows if (row["network"], row["batch"]) == (network, batch)}
        ours = min((row for name, row in found.items() if name in FLOAT32), key=lambda row: row["ms"])
        other = min(row["ms"] for row in found.values() if not row["ours"])
        cells = [f"{found[name]['ms']:.2f}" if name in found else "" for name in names]
        ratios = (f"**{ours['ms'] / other:.2f}**", f"{ours['of_predict']:.2f}")
        lines.append(f"| {network}, {batch} | {' | '.join([*cells, *ratios])} |")
    return "\n".join([*lines, "", where(content)])


def engine_profile(content: dict[str, Any]) -> str:
    """What benchmarks/engine_profile.py measured, as Markdown."""
    lines = [
        f"ONNX Runtime, {content['threads']} threads, one picture at a time; multiply-adds a second in thousands of "
        "millions.",
        "",
        "| network | ms | in convolutions | in activations | multiply-adds a second there | of a matrix product | all "
        "multiply-adds at that rate |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        least = row["macs"] / row["product_gmacs_s"] / 1e6
        shares = (f"{row['convolutions']:.0%}", f"{row['activations']:.0%}")
        rates = (f"{row['convolutions_gmacs_s']:.0f}", f"{row['product_gmacs_s']:.0f}")
        cells = (row["network"], f"{row['ms']:.1f}", *shares, *rates, f"{least:.1f} ms")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", where(content)])


def training_step(content: dict[str, Any]) -> str:
    """What benchmarks/training_step.py measured, as Markdown."""
    rows = content["rows"]
    names = list(dict.fromkeys(row["contender"] for row in rows))
    lines = [
        f"Images a second, {content['threads']} threads, medians of {content['rounds']} steps in turn; in brackets the "
        "time of a step as a share of that of keras.applications.",
        "",
        f"| network | images | {' | '.join(names)} |",
        "|---" * (2 + len(names)) + "|",
    ]
    for network, side, batch in dict.fromkeys((row["network"], row["resolution"], row["batch"]) for row in rows):
        found = {row["contender"]: row for row in rows if (row["network"], row["resolution"]) == (network, side)}
        cells = [
            f"{found[name]['images_s']:.1f} ({found[name]['of_keras']:.2f})" if name in found else "" for name in names
        ]
        lines.append(f"| {network} | {batch} of {side} px | {' | '.join(cells)} |")
    return "\n".join([*lines, "", where(content)])


def front(content: dict[str, Any]) -> str:
    """What benchmarks/front.py measured, as Markdown: the most accurate networks within each limit."""
    engines = list(dict.fromkeys(row["engine"] for row in content["rows"]))
    lines = [f"| within | {' | '.join(engines)} |", "|---" * (1 + len(engines)) + "|"]
    for limit in (5, 10, 20, 50):
        cells = []
        for engine in engines:
            fits = [row for row in content["rows"] if row["engine"] == engine and row["ms"] <= limit]
            best = sorted(fits, key=lambda row: (-row["top1"], row["ms"]))[:3]
            cells.append(
                "<br>".join(f"`{row['network']}` {row['top1']:.1f} %, {row['ms']:.1f} ms" for row in best) or "none"
            )
        lines.append(f"| {limit} ms | {' | '.join(cells)} |")
    return "\n".join([*lines, "", where(content)])


def table4(content: dict[str, Any]) -> str:
    """What benchmarks/table4.py measured, as Markdown."""
    lines = ["| engine | ResNet-152, ms | EfficientNet-B1, ms | times faster |", "|---" * 4 + "|"]
    for row in content["rows"]:
        numbers = (f"{row['resnet152_ms']:.0f}", f"{row['efficientnet_b1_ms']:.0f}", f"**{row['ratio']:.1f}**")
        lines.append(f"| {' | '.join((row['engine'], *numbers))} |")
    return "\n".join([*lines, "", where(content)])


def arenas(content: dict[str, Any]) -> str:
    """What benchmarks/memory.py measured of files for devices, as Markdown."""
    names = (
        "network",
        "px",
        "values, foretold",
        "Micro: values",
        "LiteRT: foretold",
        "LiteRT: values",
        "all, foretold",
        "Micro: all",
        "file",
    )
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in content["rows"]:
        if "task" in row:
            continue
        numbers = [
            row[name]
            for name in ("values", "micro_values", "litert_values", "litert", "estimate", "micro_total", "file")
        ]
        cells = (f"{row['network']}, phi = {row['phi']}", row["resolution"], *(f"{each:,}" for each in numbers))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, "", where(content)])


def resident(content: dict[str, Any]) -> str:
    """What benchmarks/memory.py measured of processes, as Markdown."""
    lines = ["| task | network | pixels | batch | peak, GB | estimate, GB | estimate / peak |", "|---" * 7 + "|"]
    for row in content["rows"]:
        if "task" in row:
            cells = (row["task"], row["network"], row["resolution"], row["batch"])
            sizes = (f"{row['measured'] / 1e9:.2f}", f"{row['estimate'] / 1e9:.2f}", f"**{row['ratio']:.2f}**")
            lines.append(f"| {' | '.join(map(str, (*cells, *sizes)))} |")
    return "\n".join([*lines, "", where(content)])


def where(content: dict[str, Any]) -> str:
    """The command, the date, the machine and the versions."""
    machine = content["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    return f"`{content['command']}`, {content['date']}. {where}; {versions}."
