"""Writes the JSON Schema of spec files: `python scripts/schema.py`. If a default changes, so does what files mean."""

from __future__ import annotations

import json
from pathlib import Path

import keras_effnet
from keras_effnet.serialization import spec_schema


def main() -> None:
    path = Path(keras_effnet.__file__).with_name("spec.schema.json")
    path.write_text(json.dumps(spec_schema(), indent=1) + "\n", encoding="utf-8")
    print(f"{path}: {len(spec_schema()['$defs'])} kinds of object")


if __name__ == "__main__":
    main()
