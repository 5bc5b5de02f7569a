"""The scaling explorer: its numbers are `estimate_cost`'s, in Python and in a browser, and anybody can read it."""

from __future__ import annotations

import html
import json
import math
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pages import VIEWS, assert_nothing_is_hidden, probe, read_page, run_browser
from support import every_block_spec, tiny_spec

from keras_effnet import BackboneSpec, Coefficients, estimate_cost, scale_spec, write_explorer
from keras_effnet.backbones.catalogue import SPECS
from keras_effnet.blocks import Block, DenselyConnected, MBConv, Placement
from keras_effnet.cli.main import main, parse
from keras_effnet.errors import DataError, KerasEffnetError, RegistryError, ScalingError, SpecError
from keras_effnet.explorer.cost_table import cost_table, read_costs
from keras_effnet.explorer.sliders import BASES, DIMENSIONS, PHIS, Sliders, read_sliders, step_function
from keras_effnet.ops import Ops, T
from keras_effnet.registry import rules
from keras_effnet.scaling import Compound
from keras_effnet.variants import variant_rows

# Squeeze-and-excitation; blocks that all differ; stages that stride late; groups that widen.
SHOWN = ("efficientnet_b0", "densenet121", "resnet50_v2", "regnet_y_800mf")
FACTORS = ("alpha", "beta", "gamma")
POINTS, PHIS_EACH = 200, 10
BUDGET = 700  # of 1000, where the slider stands


@pytest.fixture(scope="module")
def sliders() -> Sliders:
    return read_sliders()


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "explore.html"
    write_explorer(path, SHOWN)
    return path


def numbers(spec: BackboneSpec, rule: Any, phi: float) -> list[list[int]] | None:
    """What the page should show: (side, channels, blocks, params, MACs, activations) of each part, or no network."""
    try:
        cost = estimate_cost(scale_spec(spec, phi, rule=rule))
    except (ScalingError, SpecError):
        return None
    return [
        [stage.input.height, stage.output.channels, stage.depth, stage.params, stage.macs, stage.activations]
        for stage in cost.stages
    ]


def every_other_block_spec() -> BackboneSpec:
    """Every block but DenseNet's, which DenseNets have to themselves: what other blocks read behind it has no table."""
    spec = every_block_spec()
    return replace(spec, stages=tuple(each for each in spec.stages if not isinstance(each.block, DenselyConnected)))


# Every block, and every network when there is time.
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(every_other_block_spec(), id="every block"),
        *(pytest.param(spec, id=name, marks=pytest.mark.slow) for name, spec in SPECS.items()),
    ],
)
def test_the_table_is_what_is_counted(spec: BackboneSpec, sliders: Sliders) -> None:
    table = json.loads(json.dumps(cost_table(spec, sliders)))
    draw = random.Random(1)
    for _ in range(20):
        factors = Coefficients(*(draw.choice(sliders.places[name]) for name in DIMENSIONS))
        try:
            cost = estimate_cost(scale_spec(spec, coefficients=factors))
        except SpecError:
            assert read_costs(table, factors) is None
            continue
        found = read_costs(table, factors)
        assert found is not None
        assert [part.operator for part in found] == [stage.operator for stage in cost.stages]
        for name in ("params", "macs", "activations"):
            assert sum(getattr(part, name) for part in found) == getattr(cost, name)


def settings(draw: random.Random, table: dict[str, Any], found: Sliders) -> dict[str, Any]:
    """Where the sliders stand, and some phi; among them powers whose last digit decides."""
    rule = draw.choice([*found.rules, *["compound"] * len(found.rules)])
    bases = [draw.choice(BASES) for _ in FACTORS]
    phis = [draw.choice(PHIS) for _ in range(PHIS_EACH)]
    if table["powers"]:
        base, phi = draw.choice(sorted(table["powers"])).split("^")
        if float(base) in BASES:
            bases[0] = bases[1] = float(base)
        phis[0] = float(phi)
    return {"rule": rule, "bases": bases, "phis": phis}


DRIVE = """
<script>
  const set = (name, value) => { document.getElementById(name).value = value; };
  const move = (name) => document.getElementById(name).dispatchEvent(new Event("input"));
  const shown = (id) => document.getElementById(id).textContent;
  const texts = (row) => [...row.cells].map((cell) => cell.textContent);
  const rows = (id) => [...document.getElementById(id).tBodies[0].rows].map(texts);
  const state = () => ({
    phi: document.getElementById("phi").value, macs: shown("macs"), params: shown("params"),
    activations: shown("activations"), stages: rows("stages"), sizes: rows("sizes"), used: shown("used"),
    python: shown("python"), command: shown("command"),
    range: [document.getElementById("phi").min, document.getElementById("phi").max],
  });
  const found = JOBS.map((job) => {
    for (const name in job.set) set(name, job.set[name]);
    move("rule");
    return job.moves.map(([name, value]) => { set(name, value); move(name); return state(); });
  });
  document.body.setAttribute("data-found", JSON.stringify(found));
</script>
"""


@pytest.fixture(scope="module")
def jobs(sliders: Sliders, explorer: Path) -> list[dict[str, Any]]:
    draw, made = random.Random(0), []
    [text] = re.findall(r'id="tables">(.*?)</script>', explorer.read_text(encoding="utf-8"))
    tables = json.loads(text)["tables"]
    for number in range(POINTS // PHIS_EACH):
        backbone = number % len(SHOWN)
        made.append({"backbone": backbone, **settings(draw, tables[backbone], sliders)})
    return [
        {
            **job,
            "set": {
                "backbone": str(job["backbone"]),
                "rule": job["rule"],
                **dict(zip(FACTORS, job["bases"], strict=True)),
            },
            "moves": [["phi", phi] for phi in job["phis"]],
        }
        for job in made
    ] + [
        {
            "set": {"backbone": "0", "rule": "compound", "alpha": 1.2, "beta": 1.1, "gamma": 1.15},
            "moves": [["phi", 1], ["budget", BUDGET]],
        }
    ]


@pytest.fixture(scope="module")
def driven(explorer: Path, jobs: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """What the page shows after each move."""
    content = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", explorer.read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("driven")
    copy = folder / "driven.html"
    copy.write_text(content.replace("</body>", DRIVE.replace("JOBS", json.dumps(jobs)) + "</body>"), encoding="utf-8")
    dom = run_browser(folder, "--window-size=1200,900", "--dump-dom", copy.as_uri())
    [attribute] = re.findall(r'data-found="([^"]*)"', dom)
    return json.loads(html.unescape(attribute))


def parsed(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_page_shows_what_estimate_cost_counts(
    jobs: list[dict[str, Any]], driven: list[list[dict[str, Any]]]
) -> None:
    compared = 0
    for job, states in zip(jobs[:-1], driven, strict=False):
        spec = SPECS[SHOWN[job["backbone"]]]
        rule = Compound(*job["bases"]) if job["rule"] == "compound" else rules.get(job["rule"])
        for phi, shown in zip(job["phis"], states, strict=True):
            # A slider stands at its end where there is no network beyond.
            at, (low, high) = float(shown["phi"]), map(float, shown["range"])
            assert at == min(max(phi, low), high)
            wanted = numbers(spec, rule, at)
            assert wanted is not None
            *stages, whole = shown["stages"]
            assert [[parsed(text) for text in row[1:]] for row in stages] == wanted
            totals = [sum(row[place] for row in wanted) for place in (3, 4, 5)]
            assert [parsed(text) for text in whole[4:]] == totals
            assert [parsed(shown[name]) for name in ("params", "macs", "activations")] == totals
            compared += 1
    assert compared == POINTS


def test_a_budget_gives_the_largest_phi_within_it(driven: list[list[dict[str, Any]]]) -> None:
    _, shown = driven[-1]
    phi, (low, high) = float(shown["phi"]), map(float, shown["range"])

    def macs(phi: float) -> int:
        return estimate_cost(scale_spec("efficientnet_b0", phi)).macs

    share = BUDGET / 1000
    budget = math.exp((1 - share) * math.log(macs(low)) + share * math.log(macs(high)))
    assert macs(phi) == parsed(shown["macs"]) <= budget
    assert all(macs(round(phi + more / 100, 2)) > budget for more in range(1, 30))
    assert f"phi = {phi:.2f} is the largest within it and uses {100 * macs(phi) / budget:.1f} %" in shown["used"]


def test_published_sizes_lie_where_explain_has_them(driven: list[list[dict[str, Any]]]) -> None:
    shown, _ = driven[-1]
    _, rows = variant_rows(SPECS["efficientnet_b0"])
    found = {row[0]: row[1:] for row in shown["sizes"]}
    assert set(found) == {row.name for row in rows}
    for row in rows:
        ratios, (cost, phi) = found[row.name][:3], found[row.name][3:5]
        assert [float(each) for each in ratios] == pytest.approx(
            [getattr(row.realised, name) for name in DIMENSIONS], abs=0.0051
        )
        assert parsed(cost) == row.macs
        if not PHIS[0] <= row.phi <= PHIS[-1]:
            assert phi == "beyond"
        else:
            assert abs(float(phi.replace("\N{MINUS SIGN}", "-")) - row.phi) <= 0.011


def test_what_is_taken_along_is_the_network_that_is_shown(
    jobs: list[dict[str, Any]],
    driven: list[list[dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    own, other = (
        next(states[0] for job, states in zip(jobs, driven, strict=True) if (job["set"]["rule"] == "compound") is own)
        for own in (True, False)
    )
    for shown in (driven[-1][1], own, other):
        names: dict[str, Any] = {}
        exec(shown["python"].replace("scale_model", "scale_spec"), names)  # noqa: S102 - which counts as the model does
        assert estimate_cost(names["model"]).macs == parsed(shown["macs"])
        assert main(parse(shown["command"].split())) == 0
        assert f"MACs         {shown['macs']} " in capsys.readouterr().out


@pytest.fixture(scope="module")
def opened(explorer: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page as a browser has it, which runs the one program that the page names by its digest."""
    address = f"{explorer.as_uri()}#backbone=resnet50_v2&rule=fast&phi=1.5"
    return run_browser(tmp_path_factory.mktemp("opened"), "--dump-dom", address)


def test_the_page_follows_its_address_and_its_own_policy(opened: str) -> None:
    spec = scale_spec("resnet50_v2", 1.5, rule="fast")
    assert f'<span id="macs">{estimate_cost(spec).macs:,}</span>' in opened
    assert "script-src 'sha256-" in opened
    assert "default-src 'none'" in opened


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_is_hidden_or_asked_of_the_network(view: tuple[int, str], explorer: Path, tmp_path: Path) -> None:
    found = probe(explorer, tmp_path, *view)
    assert_nothing_is_hidden(found)
    assert found["sections"] == ["choices", "network", "asked", "stage-costs", "published", "take"]


def test_every_control_and_table_has_a_name(explorer: Path, opened: str) -> None:
    page = read_page(explorer)
    assert page.title == "What is phi?"
    assert page.references == [], "all is inside"
    labelled = set(re.findall(r'<label for="(\w+)"', opened))
    assert set(re.findall(r'<(?:input|select)[^>]*\bid="(\w+)"', opened)) == labelled
    assert len(labelled) == 8
    assert opened.count("<table") == opened.count("<caption") == 3
    assert all("scope=" in head for head in re.findall(r"<th\b[^>]*>", opened))
    drawings = re.findall(r"<svg\b[^>]*>", opened)
    assert len(drawings) == 3
    assert all('role="img"' in each and "aria-label=" in each for each in drawings)
    assert re.search(r'<p role="status" id="said"', opened)


def test_sizes_left_behind_are_found_by_few_calls() -> None:
    calls = []

    def value_of(place: float) -> int:
        calls.append(place)
        return 30 if place == 1 else int(place * 40 + 4) // 8 * 8

    places = [number / 1000 for number in range(200, 5000)]
    found = step_function(places, value_of)
    assert len(calls) < len(places) / 4
    assert all(found.at(place) == value_of(place) for place in places)


def test_powers_that_the_last_digit_decides_are_pythons(sliders: Sliders) -> None:
    # 40 channels become 44, half way between 40 and 48, at 1.1: the same as 1.21^0.5, nearly.
    places = sorted({*sliders.places["width"], 1.1, math.nextafter(1.1, 0)})
    found = step_function(places, lambda place: int(place * 40 + 4) // 8 * 8)
    assert 1.1 in found.ties
    powers = sliders.exact_powers(found.ties)
    assert powers["1.1^1"] == 1.1
    assert powers["1.21^0.5"] == 1.21**0.5


class Sized(MBConv):
    """A block whose cost follows the size of its map by a law of its own."""

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        side = ops.size(x)[0] or 1
        x = ops.conv(x, side, name=f"wide{at.stage}{at.letter}")
        return super().apply(ops, x, at)


class Cropping(MBConv):
    """A block with a layer of its own that changes the size by a law that only it knows."""

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        height, width = (side or 2 for side in ops.size(x))
        x = ops.layer(
            x, lambda name: None, shape=(height - 1, width - 1, ops.channels(x)), name=f"crop{at.stage}{at.letter}"
        )
        return super().apply(ops, x, at)


@pytest.mark.parametrize("block", [Sized, Cropping])
def test_costs_that_no_table_holds_are_refused(block: type[Block], sliders: Sliders) -> None:
    with pytest.raises(SpecError, match="explorer"):
        cost_table(tiny_spec(block(), depth=3), sliders)


@pytest.mark.parametrize(
    ("backbones", "error"),
    [([], SpecError), (["resnet50", "resnet50"], SpecError), (["resnet51"], RegistryError)],
)
def test_bad_input_is_refused_before_anything_is_written(
    backbones: list[str], error: type[KerasEffnetError], tmp_path: Path
) -> None:
    with pytest.raises(error, match="Received"):
        write_explorer(tmp_path / "page.html", backbones)
    assert list(tmp_path.iterdir()) == []


def test_the_command_takes_names_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.json").write_text(tiny_spec(MBConv(), resolution=64).to_json(), encoding="utf-8")
    assert main(parse(["keras-effnet", "explore", "own.json", "--output", "pages/own.html"])) == 0
    content = Path("pages/own.html").read_text(encoding="utf-8")
    assert '"registered":false' in content
    with pytest.raises(DataError):
        write_explorer(tmp_path, ["mobilenet_v2"])
