"""JSON from elsewhere: how deep and how long it may be, and that every door refuses what is deeper."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_effnet import BackboneSpec
from keras_effnet.cli.class_names import read_names
from keras_effnet.errors import KerasEffnetError
from keras_effnet.export.export_metadata import metadata_from_json
from keras_effnet.finetune.recipe import read_recipe
from keras_effnet.json_text import MAX_NESTING, parse_json, read_json
from keras_effnet.latency.device import read_device
from keras_effnet.latency.table import calibrate_latency
from keras_effnet.serialization import read_spec
from keras_effnet.training.checkpoint import STATE_FILE, Checkpoint


def nested(levels: int, opens: str = "[", closes: str = "]") -> str:
    return opens * levels + closes * levels


@pytest.mark.parametrize("levels", [MAX_NESTING, MAX_NESTING + 1])
@pytest.mark.parametrize("around", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_so_many_levels_and_no_more(levels: int, around: tuple[str, str]) -> None:
    per = len(around[1])
    text = nested(levels // per, *around) if per == 1 else "[" * (levels % 2) + nested(levels // 2, *around)
    text = text.replace(":}", ":0}") + "]" * (levels % 2 if per == 2 else 0)
    if levels > MAX_NESTING:
        with pytest.raises(ValueError, match="more than 64 levels"):
            parse_json(text)
    else:
        assert parse_json(text) == json.loads(text)


def test_brackets_in_texts_do_not_count() -> None:
    for inner in ("[" * 100, '\\"' + "{" * 100, "\\\\", '\\\\\\"[' * 70):
        text = f'["{inner}", 1]'
        assert parse_json(text) == json.loads(text)


def test_any_value_is_parsed_as_python_does() -> None:
    generator = random.Random(0)

    def value(depth: int) -> Any:
        kind = generator.randrange(6 if depth else 4)
        if kind > 3:
            items = [value(depth - 1) for _ in range(generator.randrange(4))]
            return items if kind == 4 else {f'"{number}[{{\\': item for number, item in enumerate(items)}
        return [None, generator.random(), "".join(generator.choices('[]{}"\\,:a\n', k=5)), True][kind]

    for _ in range(200):
        made = value(5)
        for text in (json.dumps(made), json.dumps(made, indent=1)):
            assert parse_json(text) == made


@pytest.mark.parametrize("text", ['"' * 300_001, '\\"' * 150_000, '"' + "\\" * 299_999, "[" * 300_000, '["', "]" * 9])
def test_what_is_no_json_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)


def test_what_is_too_long_or_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text("[" + " " * 100 + "]")
    assert read_json(path) == []
    with pytest.raises(ValueError, match="more than 100 bytes"):
        read_json(path, limit=100)
    with pytest.raises(ValueError, match="102 characters, more than 100"):
        parse_json(path.read_text(), limit=100)
    for place in (tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="no regular file"):
            read_json(place)


def _of_folder(path: Path) -> Any:
    path.rename(path.parent / STATE_FILE)
    return Checkpoint(path.parent, {})


DOORS: dict[str, Callable[[Path], Any]] = {
    "spec": read_spec,
    "spec text": lambda path: BackboneSpec.from_json(path.read_text()),
    "recipe": lambda path: read_recipe(str(path)),
    "class list": read_names,
    "state": _of_folder,
    "device": read_device,
    "metadata": lambda path: metadata_from_json(path.read_text(), "a file"),
}


@pytest.mark.parametrize("door", DOORS)
def test_deep_json_is_our_error_at_every_door(door: str, tmp_path: Path) -> None:
    # Python's own parser takes 200 levels, so that none of this is its RecursionError.
    path = tmp_path / "deep.json"
    path.write_text(nested(200))
    with pytest.raises(KerasEffnetError, match="Received: "):
        DOORS[door](path)


def test_a_deep_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_effnet.latency.table._measured_table", lambda *_: "measured")
    path = tmp_path / "latency.json"
    path.write_text(nested(200))
    monkeypatch.setattr("keras_effnet.latency.table._write_tables", lambda *_: None)
    assert calibrate_latency(cache=path) == "measured"
