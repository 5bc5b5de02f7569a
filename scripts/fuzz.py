"""Feeds mutated files to every reader of files: `python scripts/fuzz.py --target spec --seconds 60`.

Needs the extra `fuzz` (atheris: libFuzzer for Python). Whatever a file contains, its reader must read it or raise an
error of this package, within five seconds and two gigabytes. A file that makes it fail is kept in `--output`; run it
again with `--target TARGET --file FILE`, and turn it into a test.

| target | reader | seeds |
|---|---|---|
| `spec` | `serialization.read_spec`; what it reads is counted and written back | every registered backbone |
| `strings` | `block_strings.read_block_strings`, one string per line; what it reads is written back | B0's strings |
| `h5`, `keras` | `weights.keras_files.read_weight_file` | small files of each layout |
| `safetensors` | `weights.timm_weights.read_safetensors` | small files |
| `checkpoint` | `weights.tf_checkpoint.read_variables`; only the index is mutated, not the data | a small checkpoint |
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris  # pyright: ignore[reportMissingImports] - an extra

with atheris.instrument_imports(include=["keras_effnet"]):  # pyright: ignore[reportAttributeAccessIssue]
    from keras_effnet import BackboneSpec, estimate_cost
    from keras_effnet.block_strings import read_block_strings, write_block_strings
    from keras_effnet.errors import KerasEffnetError
    from keras_effnet.registry import backbones
    from keras_effnet.serialization import MAX_BYTES, read_spec
    from keras_effnet.weights.keras_files import read_weight_file
    from keras_effnet.weights.tf_checkpoint import read_variables, variable_names
    from keras_effnet.weights.timm_weights import read_safetensors

import h5py
import numpy as np
from safetensors.numpy import save

SECONDS_A_FILE, MEGABYTES = 5, 2048
SCRATCH = Path(tempfile.mkdtemp(prefix="fuzz-"))


def fuzz_spec(data: bytes) -> None:
    (SCRATCH / "file").write_bytes(data)
    spec = read_spec(SCRATCH / "file")
    if BackboneSpec.from_json(spec.to_json()) != spec:
        raise AssertionError(f"changed on the way: {spec}")
    estimate_cost(spec)


def fuzz_strings(data: bytes) -> None:
    stages = read_block_strings(data.decode("utf-8", "replace").splitlines(), stem_width=32)
    if read_block_strings(write_block_strings(stages, stem_width=32), stem_width=32) != stages:
        raise AssertionError(f"changed on the way: {stages}")


def fuzz_weights(data: bytes) -> None:
    path = SCRATCH / "file"
    path.write_bytes(data)
    for layer in read_weight_file(path):
        if not all(isinstance(array, np.ndarray) for array in layer.arrays):
            raise AssertionError(f"not arrays: {layer}")


def fuzz_safetensors(data: bytes) -> None:
    path = SCRATCH / "file"
    path.write_bytes(data)
    if not all(isinstance(array, np.ndarray) for array in read_safetensors(path).values()):
        raise AssertionError("not arrays")


def fuzz_checkpoint(data: bytes) -> None:
    prefix = SCRATCH / "model.ckpt"
    if not Path(f"{prefix}.data-00000-of-00001").exists():
        write_checkpoint(prefix)
    Path(f"{prefix}.index").write_bytes(data)
    read_variables(prefix, sorted(variable_names(prefix)))


def write_checkpoint(prefix: Path) -> None:
    import tensorflow as tf

    names, tensors = ["net/stem/conv2d/kernel", "step"], [tf.ones((1, 1, 3, 4)), tf.constant(3, "int64")]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=["", ""], tensors=tensors)


def spec_seeds() -> Iterator[bytes]:
    for name in backbones.names():
        yield backbones.get(name).to_json().encode()


def string_seeds() -> Iterator[bytes]:
    strings = write_block_strings(backbones.get("efficientnet_b0").stages, stem_width=32)
    yield "\n".join(strings).encode()
    yield b"r1_k3_s1_e4_i24_o24_c1_noskip\nr2_k5_s2_e.5_i24_o32_se0.25_c0"


def h5_seeds() -> Iterator[bytes]:
    """One file in each of the two HDF5 layouts, with one layer."""
    for legacy in (False, True):
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            if legacy:
                file.attrs["layer_names"] = [b"conv"]
                file.create_group("conv").attrs["weight_names"] = [b"conv/kernel:0"]
            place = "conv/conv/kernel:0" if legacy else "layers/conv2d/vars/0"
            file.create_dataset(place, data=np.ones((1, 1, 3, 4), "float32"))
        yield content.getvalue()


def keras_seeds() -> Iterator[bytes]:
    for number, seed in enumerate(h5_seeds()):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED if number else zipfile.ZIP_STORED) as archive:
            archive.writestr("model.weights.h5", seed)
        yield content.getvalue()


def safetensors_seeds() -> Iterator[bytes]:
    yield save({"conv.weight": np.ones((4, 3, 1, 1), "float32"), "bn.num_batches_tracked": np.array(3)})
    yield save({"a": np.ones(3, "float16")}, metadata={"format": "pt"})


def checkpoint_seeds() -> Iterator[bytes]:
    write_checkpoint(SCRATCH / "seed")
    yield (SCRATCH / "seed.index").read_bytes()


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterator[bytes]], int]] = {
    "spec": (fuzz_spec, spec_seeds, MAX_BYTES + 1),
    "strings": (fuzz_strings, string_seeds, 4096),
    "h5": (fuzz_weights, h5_seeds, 65_536),
    "keras": (fuzz_weights, keras_seeds, 65_536),
    "safetensors": (fuzz_safetensors, safetensors_seeds, 65_536),
    "checkpoint": (fuzz_checkpoint, checkpoint_seeds, 65_536),
}


def words() -> str:
    """A dictionary for the fuzzer: the words of spec files, and numbers at and beyond the limits."""
    schema = {
        "schema",
        "backbone",
        "block",
        "norm",
        "classifier",
        *backbones.get("efficientnet_b0").to_json().split('"'),
    }
    found = sorted(word for word in schema if word.isidentifier())
    edges = ("NaN", "Infinity", "1e999", "1e-999", "9" * 45, "-0", "null", "true", "[[[[", "{}", "1.0", "1e300")
    return "\n".join(f'"{word}"' for word in (*found, *edges))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", choices=sorted(TARGETS), required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--output", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--file", type=Path, help="read this file only, and show the error it raises")
    options = parser.parse_args()
    read, seeds, longest = TARGETS[options.target]

    def one(data: bytes) -> None:
        try:
            read(data)
        except KerasEffnetError as error:
            if "Received: " not in str(error) or len(str(error)) > 10_000:
                raise AssertionError(f"an unhelpful error: {error}") from error

    if options.file is not None:
        read(options.file.read_bytes())
        return
    options.output.mkdir(parents=True, exist_ok=True)
    corpus = SCRATCH / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds()):
        (corpus / str(number)).write_bytes(seed)
    (SCRATCH / "words").write_text(words() + "\n")
    flags = {
        "max_total_time": options.seconds,
        "max_len": longest,
        "timeout": SECONDS_A_FILE,
        "rss_limit_mb": MEGABYTES,
        "dict": SCRATCH / "words",
        "artifact_prefix": f"{options.output}/{options.target}-",
    }
    atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in flags.items()), str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
