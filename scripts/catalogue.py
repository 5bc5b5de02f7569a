"""Writes what follows from the catalogue and from the list of public names: `python scripts/catalogue.py`.

| file | is |
|---|---|
| `keras_effnet/applications/__init__.py`, and a module beside it for each of keras.applications | builders and specs |
| `keras_effnet/__init__.pyi` | the public names, for type checkers and editors |
| `docs/backbones.md` and the table of families in `README.md` | every network and what is published of it |

`tests/test_catalogue.py` fails while a file is not what this would write.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import keras_effnet
from keras_effnet import estimate_cost
from keras_effnet.backbones.catalogue import MODULES, VARIANTS
from keras_effnet.backbones.published import Variant

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_effnet"
WRITTEN = "Written by scripts/catalogue.py; do not edit."

# Where the builders of a module in keras.applications have arguments of their own. A builder that is no row but a
# function has the name of its builder here.
OWN_ARGUMENTS = {
    "convnext": "convnext_application",
    "efficientnet_v2": "efficientnet_v2_application",
    "mobilenet": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3": "mobilenet_v3_application",
}


def outputs() -> dict[Path, str]:
    """The text of every file that is written."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    head, _, rest = readme.partition("<!-- families -->\n")
    _, _, tail = rest.partition("<!-- /families -->")
    code = {
        PACKAGE / "__init__.pyi": public_stub(),
        PACKAGE / "applications" / "__init__.py": applications_package(),
        **{
            PACKAGE / "applications" / f"{stem_of(module)}.py": application_module(module)
            for module in MODULES
            if builders_of(module)
        },
    }
    return {
        ROOT / "README.md": f"{head}<!-- families -->\n{families_table()}<!-- /families -->{tail}",
        ROOT / "docs" / "backbones.md": backbones_page(),
        **{path: formatted(text, path.name) for path, text in code.items()},
    }


def stem_of(module: ModuleType) -> str:
    """The name of the module in keras.applications, where there is one."""
    return module.__name__.rpartition(".")[2].removesuffix("_specs")


def builders_of(module: ModuleType) -> dict[str, Variant]:
    """The first variant of each builder in keras.applications."""
    found: dict[str, Variant] = {}
    for variant in module.VARIANTS:
        if variant.keras is not None:
            found.setdefault(variant.keras, variant)
    return found


def specs_of(module: ModuleType) -> list[str]:
    return [f"{variant.name}_spec" for variant in module.VARIANTS]


def application_module(module: ModuleType) -> str:
    """A module of builders, like its namesake in keras.applications."""
    stem, builders = stem_of(module), builders_of(module)
    own = OWN_ARGUMENTS.get(stem, "application")
    home = "own_arguments" if stem in OWN_ARGUMENTS else "builders"
    makers = [
        name
        for name, value in vars(module).items()
        if name.endswith("_with") and getattr(value, "__module__", None) == module.__name__
    ]
    exported = [*builders, "decode_predictions", "preprocess_input", *makers, *specs_of(module)]
    mode = module.VARIANTS[0].spec.preprocessing.mode
    return "\n".join(
        [
            f'"""Builders as in `keras.applications.{stem}`, and the specs behind them.\n\n{WRITTEN}\n"""',
            "from __future__ import annotations",
            f"from keras_effnet.applications.{home} import {own}",
            "from keras_effnet.applications.imagenet_utils import decode_predictions",
            f"from keras_effnet.applications.imagenet_utils import preprocess_{mode} as preprocess_input",
            f"from {module.__name__} import {', '.join([*makers, *specs_of(module)])}",
            *(
                f'{name} = {own}({variant.name}_spec, "{name}", __name__)'
                for name, variant in builders.items()
                if name != own
            ),
            "",
            names_list(exported),
        ]
    )


def applications_package() -> str:
    imports, exported = [], []
    for module in MODULES:
        names = [*builders_of(module), *specs_of(module)]
        home = f"keras_effnet.applications.{stem_of(module)}" if builders_of(module) else module.__name__
        imports.append(f"from {home} import {', '.join(names)}")
        exported += names
    return "\n".join(
        [
            '"""Backbones as data, and builders that take the place of their namesakes in keras.applications.\n',
            f'Importing this imports neither keras nor tensorflow; calling a builder does.\n\n{WRITTEN}\n"""',
            *imports,
            names_list(exported),
        ]
    )


def public_stub() -> str:
    homes: dict[str, str] = vars(keras_effnet)["_HOMES"]
    return "\n".join(
        [
            f"# {WRITTEN}",
            *(f"from keras_effnet.{home} import {name} as {name}" for name, home in homes.items()),
            *(f"from keras_effnet import {part} as {part}" for part in vars(keras_effnet)["_PARTS"]),
            "__version__: str",
            names_list(homes),
        ]
    )


def names_list(names: Iterable[str]) -> str:
    return "__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]\n"


def formatted(code: str, name: str) -> str:
    """The code with sorted imports and names, as ruff writes it."""
    ruff = [sys.executable, "-m", "ruff"]
    for arguments in (["check", "--fix-only", "--select", "I,RUF022"], ["format"]):
        done = subprocess.run(  # noqa: S603 - a program of our own choice
            [*ruff, *arguments, "--quiet", "--stdin-filename", name, "-"],
            input=code,
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        )
        code = done.stdout
    return code


def title_of(module: ModuleType) -> str:
    """The first words of the module's docstring: the family, and its sizes."""
    return re.split(r" \(|: ", module.__doc__ or "", maxsplit=1)[0]


def families_table() -> str:
    lines = [
        "| family | parameters | ImageNet top-1 | weights and outputs of keras.applications |",
        "|---|---|---|---|",
    ]
    for module in MODULES:
        params = [estimate_cost(variant.spec).params for variant in module.VARIANTS]
        accuracies = [variant.top1 for variant in module.VARIANTS if variant.top1 is not None]
        builders = list(builders_of(module))
        keras = ranged([f"`{name}`" for name in builders])
        title = title_of(module)
        if found := re.search(r"arXiv:(\d{4}\.\d{5})", module.__doc__ or ""):
            title = f"[{title}](https://arxiv.org/abs/{found[1]})"
        top1 = ranged([f"{value:.1f} %" for value in sorted(accuracies)])
        lines.append(f"| {title} | {ranged([millions(count) for count in sorted(params)])} | {top1} | {keras} |")
    return "\n".join(lines) + "\n"


def ranged(values: list[str]) -> str:
    """The first and the last of the values, where they are two."""
    ends = dict.fromkeys((values[0], values[-1])) if values else ()
    return (" and " if len(values) == 2 else " to ").join(ends)


def millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count < 1e8 else f"{count / 1e6:.0f} M"


def backbones_page() -> str:
    return "\n".join(
        [
            "# Backbones",
            "",
            "Every network of this package, by the name that `scale_model`, `build_model`, spec files and the command "
            "line take.",
            "Parameters and multiply-adds are counted from the spec at the given resolution, with 1,000 classes, and "
            "compared to",
            "the last one with the graphs of keras.applications or with timm's (`tests/golden`). Accuracy is ImageNet",
            "top-1 as the source publishes it, not measured here; a blank means that we found no source. Networks with "
            "a builder load",
            '`weights="imagenet"`: the file that keras.applications downloads; names of timm load its files '
            "([how](weights.md)).",
            "Milliseconds are those of one image in ONNX Runtime, on two threads of the machine of "
            "[which backbone, which phi?](choosing.md); a blank was not measured.",
            "",
            f"<!-- {WRITTEN} -->",
            "",
            *(line for module in MODULES for line in family_section(module)),
        ]
    )


def family_section(module: ModuleType) -> Iterator[str]:
    yield f"## {title_of(module)}"
    yield ""
    yield "| name | parameters | multiply-adds | resolution | ms | top-1 | source | keras.applications | timm |"
    yield "|---|---|---|---|---|---|---|---|---|"
    times = milliseconds()
    for variant in module.VARIANTS:
        cost = estimate_cost(variant.spec)
        ms = f"{times[variant.name]:.1f}" if variant.name in times else ""
        top1 = "" if variant.top1 is None else f"{variant.top1:.1f} %"
        keras = "" if variant.keras is None else f"`{variant.keras}`"
        timm = "" if variant.timm is None else f"`{variant.timm}`"
        macs = f"{cost.macs / 1e6:,.0f} M"
        cells = [f"`{variant.name}`", f"{cost.params:,}", macs, f"{variant.spec.resolution} px", ms, top1]
        yield "| " + " | ".join([*cells, variant.source or "", keras, timm]) + " |"
    yield ""


@cache
def milliseconds() -> dict[str, float]:
    """The time of one image in ONNX Runtime, of each network that benchmarks/front.py measured."""
    rows = json.loads((ROOT / "benchmarks" / "results" / "front.json").read_text(encoding="utf-8"))["rows"]
    return {row["network"]: row["ms"] for row in rows if row["engine"] == "onnx"}


def main() -> None:
    for path, text in outputs().items():
        path.write_text(text, encoding="utf-8")
    print(f"{len(VARIANTS)} backbones of {len(MODULES)} families")


if __name__ == "__main__":
    main()
