"""Third-party packages: the one in examples/plugin, installed by pip, and broken ones beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import run_python

PLUGIN = Path(__file__).parents[1] / "examples" / "plugin"
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of packages with the example in it, as pip leaves it."""
    target = tmp_path_factory.mktemp("packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(PLUGIN)], check=True, capture_output=True, timeout=120)
    return str(target)


def declare(folder: Path, name: str, entries: str, code: str = "") -> None:
    """Writes an installed package: its code, and what pip records of it."""
    (folder / f"{name}.py").write_text(code)
    record = folder / f"{name}-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(entries)


def test_the_names_of_a_plugin_are_listed_without_importing_it(installed: str) -> None:
    code = """
import sys
from keras_effnet.registry import backbones, blocks, rules
assert "squeezenet" in backbones.names() and "fire" in blocks.names() and "fire_width" in rules.names()
assert "keras_effnet_fire" not in sys.modules
from keras_effnet import estimate_cost, fit_to_budget, scale_spec
estimate_cost("resnet50")
assert "keras_effnet_fire" not in sys.modules
# pytorch/vision, torchvision/models/squeezenet.py, SqueezeNet1_1_Weights: `num_params`.
assert estimate_cost("squeezenet").trainable_params == 1_235_496
assert scale_spec("squeezenet", 1, rule="fire_width").stages[0].width == 192
fitted = estimate_cost(fit_to_budget("squeezenet", macs=50e6)).macs
assert 48.5e6 < fitted <= 50e6
from keras_effnet import BackboneSpec
spec = scale_spec("squeezenet", 1)
assert '"fire"' in spec.to_json() and BackboneSpec.from_json(spec.to_json()) == spec
assert "keras" not in sys.modules
"""
    run_python(code, PYTHONPATH=installed)


def test_without_the_plugin_its_names_and_files_are_clear_errors(installed: str) -> None:
    text = run_python("from keras_effnet.registry import backbones; print(backbones.get('squeezenet').to_json())",
                      PYTHONPATH=installed)  # fmt: skip
    code = """
import sys
from keras_effnet import BackboneSpec, estimate_cost
from keras_effnet.errors import KerasEffnetError
for call in (lambda: estimate_cost("squeezenet"), lambda: BackboneSpec.from_json(sys.argv[1])):
    try:
        call()
    except KerasEffnetError as error:
        print(error)
"""
    said = run_python(code, text).splitlines()
    assert len(said) == 2
    assert "squeezenet" in said[0]
    assert "fire" in said[1]
    assert all("Received:" in line for line in said)


def test_the_program_takes_the_plugins_names(installed: str) -> None:
    code = "from keras_effnet.cli.main import run; import sys; sys.argv[1:] = ['explain', 'squeezenet', '--phi', '1']; "
    said = run_python(code + "run()", PYTHONPATH=installed)
    assert "Fire0.125, k3x3" in said


def test_a_broken_plugin_harms_no_other_name(installed: str, tmp_path: Path) -> None:
    declare(tmp_path, "crashing", "[keras_effnet.backbones]\ncrash = crashing:spec\n", "raise OSError('no such disk')")
    declare(tmp_path, "leaving", "[keras_effnet.scaling]\nquits = leaving:rule\n", "import sys; sys.exit(1)")
    declare(tmp_path, "garbled", "[keras_effnet.blocks]\ngarble = garbled:Block\n", "class Block(:")
    declare(tmp_path, "missing", "[keras_effnet.blocks]\nabsent = missing:Absent\n")
    declare(tmp_path, "wrong", "[keras_effnet.backbones]\nnumber = wrong:spec\n", "spec = 5")
    declare(tmp_path, "greedy", "[keras_effnet.backbones]\nresnet50 = wrong:spec\n")
    declare(tmp_path, "twin", "[keras_effnet.scaling]\nfire_width = wrong:spec\n")
    code = """
import logging
from keras_effnet import scale_spec
from keras_effnet.applications import resnet50_spec
from keras_effnet.errors import RegistryError
from keras_effnet.registry import backbones, blocks, rules
assert {"crash", "number", "squeezenet", "efficientnet_b0"} <= set(backbones.names())
assert backbones.get("resnet50") is resnet50_spec
scale_spec("squeezenet", 1), blocks.get("fire"), rules.get("compound")(1)
broken = ((backbones, "crash"), (blocks, "absent"), (backbones, "number"), (rules, "fire_width"))
for registry, name in (*broken, (rules, "quits"), (blocks, "garble")):
    try:
        registry.get(name)
    except RegistryError as error:
        print(error)
"""
    said = run_python(code, PYTHONPATH=os.pathsep.join([installed, str(tmp_path)])).splitlines()
    crash, absent, number, twice, quits, garble = said
    assert "'crash' of the package 'crashing'" in crash
    assert "no such disk" in crash
    assert "'absent' of the package 'missing'" in absent
    assert "'number' of the package 'wrong' is an object of another kind" in number
    assert "'quits' of the package 'leaving' cannot be imported: SystemExit(1)" in quits
    assert "'garble' of the package 'garbled' cannot be imported: SyntaxError" in garble
    assert "'keras-effnet-fire'" in twice
    assert "'twin'" in twice
    assert all("Received:" in line for line in said)


@slow
def test_the_plugins_own_tests_pass(installed: str) -> None:
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(PLUGIN)]
    done = subprocess.run(
        [*tests, str(PLUGIN / "tests")],
        env={**os.environ, "PYTHONPATH": installed, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "6 passed" in done.stdout
