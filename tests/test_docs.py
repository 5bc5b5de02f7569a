"""The documentation is true: its blocks run as pasted and print what they show, and its links lead somewhere."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from doc_blocks import PAGES, ROOT, Block, anchors, blocks, commands, links, name_of, named_files, prose
from PIL import Image
from support import as_if_trained, import_example, tiny_spec, untraced

from keras_effnet import BackboneSpec, scale_spec, timm_spec
from keras_effnet.blocks import MBConv
from keras_effnet.cli.main import main, parse
from keras_effnet.latency.table import CALIBRATION
from keras_effnet.latency.timing import Latency
from keras_effnet.latency.work import Work, read_work
from keras_effnet.serialization import write_spec

# Pages whose blocks take over ten seconds.
SLOW = ("README.md", "docs/finetune.md", "docs/other_data.md", "docs/start.md")
# Pages that train many networks, for a few steps each.
FEW_STEPS = ("docs/cookbook.md", "docs/other_data.md")
# Pages whose output depends on the machine, or is that of a longer training: numbers and answers are not compared.
MEASURED = ("docs/start.md",)
ANSWERS = r"\d[\d.,:e-]*|daisy|poppy|rose|sunflower|violet"

# Commands that are not run, by how they begin, and why. Those of this package are read by its parser all the same.
NOT_RUN = {
    "python3 -m venv": "installs",
    "python -m venv": "installs",
    "pip install": "installs",
    "pytest": "runs the tests, of which this is one",
    "FRESH=1 pytest": "runs the tests",
    "KERAS_BACKEND=jax pytest": "runs tests",
    "ruff check": "is a step of .ci/run",
    "zensical build": "is a step of .ci/run",
    "export KERAS_BACKEND": "would change the backend of all tests",
    "optuna-dashboard": "starts a server of another project",
    "python examples/microcontroller.py": "2 minutes; tests/test_examples.py runs it",
    "python probes/measure_probes.py": "runs on the device; tests/test_device.py runs it",
    "keras-effnet finetune food101": "downloads 5 GB",
    "keras-effnet finetune flowers/ --devices 2": "needs two devices",
    "keras-effnet finetune flowers/ --address": "needs two hosts; tests/training runs two processes",
    "keras-effnet transfer": "2 minutes; tests/finetune/test_demonstration.py runs it",
    "keras-effnet search": "minutes, in processes of their own; tests/cli/test_search.py runs them",
    "keras-effnet compare --train": "minutes, in processes of their own; tests/comparison trains small networks",
    "keras-effnet calibrate": "exports eight networks of full size; tests/test_device.py runs it",
}
# What a command is given at its end, so that it takes seconds: small networks with random weights, and few epochs.
SMALL = "--backbone tiny.json --weights random --resolution 32"
CHEAPER = {
    "keras-effnet finetune digits --backbone small.keras": "--epochs 1 --head-epochs 1 --labels-per-class 8",
    "keras-effnet finetune flowers --backbone bigger.keras": "--epochs 1 --head-epochs 1",
    "keras-effnet finetune flowers --backbone mobilenet_v1": "--phi -8 --epochs 2",
    "keras-effnet finetune flowers/ --folds 5": f"{SMALL} --epochs 1 --head-epochs 1 --folds 2",
    "keras-effnet finetune": f"{SMALL} --epochs 1",
}
# Text that no block before it prints, and why.
SAMPLES = {"epoch 31 of 40": "a line of standard error, which tests/finetune/test_job.py checks"}
# What is replaced in a block of Python, and why.
REPLACED = {
    'weights="imagenet"': ("weights=None", "the weights would be downloaded"),
    'phi=1, recipe=Recipe(epochs=20)), "results/flowers"': (
        'backbone="mobilenet_v1", phi=-8, weights="random", resolution=32, '
        'recipe=Recipe(head_epochs=1, epochs=1)), "results/python"',
        "weights would be downloaded, and a large network trained",
    ),
    'search_coefficients(output="results/coefficients", workers=2)': (
        'search_coefficients(train=lambda task: task.candidate.cost["macs"], output="results/coefficients", workers=1, '
        "step=0.2, steps=4, rungs=1, finalists=1, seeds=1)",
        "17 minutes of training",
    ),
    'data="digits", recipe=ScratchRecipe(steps=300), seeds=5, output="results/ways", workers=2': (
        'train=lambda task: task.candidate.cost["macs"] + task.seed, recipe=ScratchRecipe(rates=(0.1,)), seeds=2, '
        'output="results/ways"',
        "minutes of training",
    ),
}


def test_every_exception_is_still_needed() -> None:
    every = [block for page in PAGES for block in blocks(page)]
    lines = [line for block in every if block.language in ("sh", "console") for line, _ in commands(block)]
    code = "\n".join(block.text for block in every if block.language == "python")
    for start in (*NOT_RUN, *CHEAPER):
        assert any(line.startswith(start) for line in lines), start
    for text in REPLACED:
        assert text in code, text


class Page:
    """The blocks of a page, run in order as by somebody who pastes them, in the folder at hand."""

    def __init__(self, page: Path) -> None:
        self.name = name_of(page)
        self.names: dict[str, Any] = {"__name__": "pasted"}
        self.printed = ""
        self.kinds: dict[str, Callable[[Block], None]] = {
            "python": self.run_python,
            "sh": self.run_commands,
            "console": self.run_commands,
            "text": self.compare,
            "json": lambda block: self.keep(BackboneSpec.from_json(block.text)),
            "toml": lambda block: self.keep(tomllib.loads(block.text)),
            "diff": self.keep,  # tests/test_contributing.py applies them
            "mermaid": self.keep,  # drawn by GitHub and the site
        }

    def keep(self, value: Any) -> None:
        self.printed = ""

    def run_python(self, block: Block) -> None:
        text = block.text
        for old, (new, _) in REPLACED.items():
            text = text.replace(old, new)
        place = f"{block.page} (line {block.line})"
        with redirect_stdout(io.StringIO()) as out:
            exec(compile("\n" * (block.line - 1) + text, place, "exec"), self.names)  # noqa: S102
        self.printed = out.getvalue()

    def run_commands(self, block: Block) -> None:
        for line, shown in commands(block):
            with redirect_stdout(io.StringIO()) as out:
                run_command(line, block)
            self.printed = out.getvalue()
            if shown:
                self.compare(block._replace(text=shown))

    def compare(self, block: Block) -> None:
        """Compares what is shown with what the block before printed; nothing printed is a line of standard error."""
        if any(block.text.startswith(start) for start in SAMPLES):
            return
        shown, printed = block.text, self.printed
        if self.name in MEASURED:
            shown, printed = (re.sub(ANSWERS, "#", text) for text in (shown, printed))
        if not OutputChecker().check_output(shown, printed, ELLIPSIS | NORMALIZE_WHITESPACE):
            pytest.fail(f"{block.page}, line {block.line}, shows:\n{block.text}\nbut this is printed:\n{self.printed}")


def run_command(line: str, block: Block) -> None:
    """Runs a command in this process."""
    words = shlex.split(line, comments=True)
    left_out = any(line.startswith(start) for start in NOT_RUN)
    if words[0] == "keras-effnet":
        arguments = parse(words)
        if not left_out:
            added = next((more for start, more in CHEAPER.items() if line.startswith(start)), "")
            status = main(parse([*words, *added.split()]) if added else arguments)
            assert status == 0, f"{block.page}, line {block.line}: {line}"
    elif words[:2] == ["python", "examples/draw_flowers.py"]:
        import_example("draw_flowers").main(words[2:])
    elif not left_out:
        pytest.fail(f"{block.page}, line {block.line}: say in `NOT_RUN` why this is not run: {line}")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages name: images, tables, specs, models."""
    from keras_effnet import Recipe
    from keras_effnet.finetune.transfer_model import make_network

    folder = tmp_path_factory.mktemp("workshop")
    flowers = import_example("draw_flowers")
    flowers.draw_folder(folder / "flowers", 10)
    flowers.draw_folder(folder / "more_flowers", 2, seed=1)
    flowers.draw_folder(folder / "holiday", 1, seed=2, unsorted=True)
    shutil.copy(folder / "holiday" / "00.jpg", folder / "photo.jpg")
    rows = ["path,label"]
    generator = np.random.default_rng(0)
    (folder / "scans").mkdir()
    for number in range(24):
        pixels = generator.integers(0, 128 + 127 * (number % 2), (40, 40), np.uint8, endpoint=True)
        Image.fromarray(pixels).save(folder / "scans" / f"{number}.png")
        rows.append(f"scans/{number}.png,{('dark', 'light')[number % 2]}")
    (folder / "scans.csv").write_text("\n".join(rows))
    tags, ages = ["path,labels"], ["path,age,camera"]
    for number in range(24):
        tags.append(f"scans/{number}.png,{('', 'light', 'light|odd', 'odd')[number % 4]}")
        ages.append(f"scans/{number}.png,{20 + number % 5},{number % 2}")
    (folder / "tags.csv").write_text("\n".join(tags))
    (folder / "ages.csv").write_text("\n".join(ages))
    model = make_network(
        "mobilenet_v1", "random", class_names=sorted(flowers.KINDS), phi=-8, resolution=48, recipe=Recipe()
    )
    as_if_trained(model)
    (folder / "results" / "flowers").mkdir(parents=True)
    for name in ("model.keras", "small.keras", "results/flowers/model.keras"):
        model.save(folder / name)
    for name in ("small.json", "mine.json"):
        write_spec(scale_spec("mobilenet_v1", phi=-8), str(folder / name))
    write_spec(tiny_spec(MBConv(expand=2), depth=1), str(folder / "tiny.json"))
    (folder / "phone.json").write_text(json.dumps(phone()))
    return folder


# Milliseconds of a unit of each kind of work on a machine that never was.
TRUE = Work(call=0.5, layers=0.01, pointwise=2e-7, spatial=1e-7, depthwise=9e-7, numbers=1e-8)


def true_time(spec: BackboneSpec | str) -> float:
    return sum(unit * amount for unit, amount in zip(TRUE, read_work(spec, deployed=True), strict=True))


def phone() -> dict[str, Any]:
    """What `measure_probes.py` would have written there."""
    specs = [(name, scale_spec(name, phi)) for name, phi in CALIBRATION]
    probes = [
        {"network": name, "work": read_work(spec, deployed=True)._asdict(), "median_ms": true_time(spec)}
        for name, spec in specs
    ]
    return {"format": "litert-int8", "machine": {"engine": "none"}, "probes": probes}


@pytest.fixture
def folder(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in, on a machine whose networks take a known time and need not be timed."""

    def measure(spec: BackboneSpec | str, **options: Any) -> Latency:
        return Latency(true_time(spec), true_time(spec), true_time(spec), calls=15, warm_up=3, batch=1, machine={})

    shutil.copytree(workshop, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples" / "plugin")
    for name in ("KERAS_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / ".cache"))
    for module in ("table", "latency_budget"):
        monkeypatch.setattr(f"keras_effnet.latency.{module}.measure_latency", measure)
    return tmp_path


def weight_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's file, as PyTorch saves it, as safetensors, and in the Hub's cache."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("huggingface_hub")
    from random_tensors import random_tensors
    from safetensors.numpy import save_file
    from timm_files import torch_shapes

    monkeypatch.setattr("timm_files.CLASSES", 1000)
    name = "mobilenetv3_small_050"
    tensors = random_tensors(torch_shapes(timm_spec(name)), 1.0)
    torch.save({key: torch.from_numpy(value) for key, value in tensors.items()}, folder / f"{name}.pth")
    save_file(tensors, folder / "other.safetensors")
    shutil.copy(folder / "other.safetensors", folder / f"{name}.safetensors")
    commit, cached = "0" * 40, folder / "hub" / f"models--timm--{name}.lamb_in1k"
    (cached / "snapshots" / commit).mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    shutil.copy(folder / "other.safetensors", cached / "snapshots" / commit / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def no_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page begins with nothing, and makes all that it uses."""
    for entry in ("flowers", "holiday", "results"):
        shutil.rmtree(folder / entry)


# What else must be there before a page's blocks run.
PREPARED: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "docs/weights.md": weight_files,
    "docs/start.md": no_models,
    "docs/other_data.md": lambda folder, monkeypatch: pytest.importorskip("datasets") and None,
}


WITH_BLOCKS = [
    pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] * (name_of(page) in SLOW))
    for page in PAGES
    if blocks(page)
]


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_blocks_run_as_pasted(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Page(page)
    if reader.name in PREPARED:
        PREPARED[reader.name](folder, monkeypatch)
    with untraced() if reader.name in FEW_STEPS else nullcontext():
        for block in blocks(page):
            assert block.language in reader.kinds, f"{block.page}, line {block.line}: a block in no known language"
            reader.kinds[block.language](block)
    if reader.name == "docs/search.md":
        made = reader.names["train"](task(folder))
        assert 0 <= made <= 1


def task(folder: Path) -> Any:
    """What a search would ask of the page's train function."""
    candidate = SimpleNamespace(spec=replace(scale_spec("mobilenet_v1", phi=-6), resolution=32))
    (folder / "task").mkdir()
    silent = {"report": lambda step, metric: None, "note": lambda name, value: None}
    return SimpleNamespace(candidate=candidate, seed=0, steps=2, folder=folder / "task", **silent)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        if re.match(r"https?://", link):
            continue
        place = page.parent / target if target else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(link)
        # The site holds nothing from outside docs/.
        elif name_of(page).startswith("docs/") and not place.resolve().is_relative_to(ROOT / "docs"):
            broken.append(f"{link}: not part of the site; write the path as code")
    assert broken == []
    assert [name for name in named_files(prose(page)) if not list(ROOT.glob(name.rstrip("/")))] == []


@pytest.mark.parametrize("part", ["keras_effnet", "examples", "benchmarks", "scripts", "tests"])
def test_pages_that_sources_name_are_there(part: str) -> None:
    for file in (ROOT / part).rglob("*.py"):
        for page, anchor in re.findall(r"(docs/[\w/]+\.(?:md|png))(?:#([\w-]+))?", file.read_text(encoding="utf-8")):
            assert (ROOT / page).is_file(), f"{file}: {page}"
            assert not anchor or anchor in anchors(ROOT / page), f"{file}: {page}#{anchor}"


def test_pictures_are_shown_and_have_a_script_that_draws_them() -> None:
    shown = {Path(link).name for page in PAGES for link in links(page) if link.endswith(".png")}
    pictures = {path.name for path in (ROOT / "docs" / "images").iterdir()}
    assert pictures == shown
    scripts = [ROOT / "scripts" / "images.py", *(ROOT / "benchmarks").glob("*.py")]
    sources = "\n".join(script.read_text(encoding="utf-8") for script in scripts)
    assert [name for name in pictures if name not in sources and f"`{Path(name).stem}`" not in sources] == []


def test_tables_are_those_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    tables: Any = import_module("tables")
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in tables.RESULTS.glob("*.json")}
    for name, (page, write) in {**tables.ELSEWHERE, **tables.ALSO}.items():
        content = found[tables.SOURCES.get(name, name)]
        content = {**content, "counted": found["candidates"]} if name == "speed" else content
        text = page.read_text(encoding="utf-8")
        assert tables.fill(text, name, write(content)) == text, f"{name}: run python benchmarks/tables.py"
