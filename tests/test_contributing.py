"""CONTRIBUTING.md's diffs, applied to a copy of the package, give a block, data, a rule and a backbone that work."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import run_python

ROOT = Path(__file__).parents[1]
NEW = "/dev/null"

CHECKS = """
import sys
from pathlib import Path

import pytest

import keras_effnet
from keras_effnet import estimate_cost
from keras_effnet.blocks import WideBlock
from keras_effnet.data.sets import load_data
from keras_effnet.registry import backbones, blocks, rules
from keras_effnet.serialization import spec_schema
from keras_effnet.testing import check_backbone, check_block, check_rule

copy, archive, tests = sys.argv[1:]
assert Path(keras_effnet.__file__).is_relative_to(copy)
check_block(blocks.get("wide")())
check_block(WideBlock(kernel=5))
check_rule(rules.get("deep_late"))
check_backbone(backbones.get("wide_resnet28_10"))
# arXiv:1605.07146, Table 4: 36.5M.
assert round(estimate_cost("wide_resnet28_10", classes=10).trainable_params / 1e6, 1) == 36.5
assert "block_wide" in spec_schema()["$defs"]
splits = load_data(archive, validation=0.5)
assert splits.train.class_names == ("dark", "light") and len(splits.train) == len(splits.validation) == 2
for source in (splits.train, splits.validation):
    assert [int(source.read(index).mean()) for index in range(2)] == [0, 255] and source.name_of(0).startswith(archive)
assert splits.train.fingerprint() != splits.validation.fingerprint()
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", f"{tests}/test_registry.py"]))
"""


def apply_diff(root: Path, diff: str) -> None:
    """Applies a diff in the form of `diff -u`, except that each `@@` stands alone: a hunk goes where its context is."""
    for old, new, body in re.findall(r"^--- (\S+)\n\+\+\+ (\S+)\n(.*?)(?=^--- |\Z)", diff, re.DOTALL | re.MULTILINE):
        file = root / new
        if old == NEW:
            assert not file.exists()
            file.write_text("".join(line[1:] for line in body.splitlines(keepends=True) if line.startswith("+")))
            continue
        text = file.read_text()
        for hunk in body.removeprefix("@@\n").split("\n@@\n"):
            lines = hunk.removesuffix("\n").split("\n")
            before, after = ("\n".join(line[1:] for line in lines if line[:1] != sign) for sign in "+-")
            assert text.count(before) == 1, f"{new} must have once: {before}"
            text = text.replace(before, after)
        file.write_text(text)


@pytest.mark.slow
def test_what_the_diffs_add_keeps_the_laws(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "keras_effnet", tmp_path / "keras_effnet", ignore=shutil.ignore_patterns("__pycache__"))
    diffs = re.findall(r"^```diff\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(diffs) == 4
    for diff in diffs:
        apply_diff(tmp_path, diff)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name, value in {"dark": 0, "light": 255}.items():
            for number in range(2):
                with archive.open(f"{name}/{number}.png", "w") as file:
                    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(file, "png")
    tests = str(ROOT / "tests")
    run_python(
        CHECKS, str(tmp_path), str(tmp_path / "images.zip"), tests, cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{tests}"
    )
