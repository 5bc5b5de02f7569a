"""`keras-effnet grow`: the file that it writes, what it prints, and how it fails."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import pytest
from support import as_if_trained, assert_same_outputs, fork_program, outputs, random_images, tiny_spec

from keras_effnet import BackboneSpec, Coefficients, Preprocessing, StageSpec, build_model, scale_spec
from keras_effnet.blocks import ConvBlock, ConvNeXtBlock, InvertedResidual
from keras_effnet.builder.embedded_spec import note_images, read_embedded_spec
from keras_effnet.cli.main import main, make_parser
from keras_effnet.scaling import Rounding
from keras_effnet.serialization import write_spec

PARTS: dict[str, Any] = {
    "stem": StageSpec(ConvBlock(), width=8, stride=2),
    "head": StageSpec(ConvBlock(kernel=1, names=("top_conv", "top_bn", "top_activation")), width=40),
    "preprocessing": Preprocessing(mode="tf"),
}
SPEC = replace(
    tiny_spec(InvertedResidual(), **PARTS), stages=(StageSpec(InvertedResidual(expand=2), width=40, depth=2),)
)
NORMED = replace(SPEC, stages=(StageSpec(ConvNeXtBlock(layer_scale=None), width=40),))
SIDE = 48  # not the spec's own resolution

Grow = Callable[..., tuple[int, str, str]]


@pytest.fixture
def grow(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grow:
    """Runs the command in an empty folder with a model in it: its status, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(make_parser().parse_args(["grow", *arguments]))
        out, err = capsys.readouterr()
        return status, out, err

    return run


@cache
def trained(spec: BackboneSpec, input_shape: tuple[int, int, int] | None, suffix: str) -> tuple[keras.Model, bytes]:
    """A model that no test changes, and its file."""
    model = build_model(spec, input_shape=input_shape, classes=4, classifier_activation=None)
    as_if_trained(model)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"model{suffix}"
        model.save(path)
        return model, path.read_bytes()


def saved(
    spec: BackboneSpec = SPEC,
    name: str = "model.keras",
    input_shape: tuple[int, int, int] | None = (SIDE, SIDE, 3),
) -> keras.Model:
    model, content = trained(spec, input_shape, Path(name).suffix)
    Path(name).write_bytes(content)
    return model


def loaded(name: str = "bigger.keras") -> keras.Model:
    return keras.models.load_model(name, safe_mode=True)  # pyright: ignore[reportReturnType]


def same(before: keras.Model, after: keras.Model, tolerance: float = 1e-4) -> None:
    x = random_images(2, SIDE, SIDE, 3)
    assert_same_outputs(outputs(after, x), outputs(before, x), tolerance)


def check_failed(done: tuple[int, str, str], *words: str) -> None:
    """One line on standard error, nothing printed, no file written."""
    status, out, err = done
    assert (status, out) == (1, "")
    assert err.startswith("keras-effnet grow: ")
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1, err
    for word in (*words, "Received: "):
        assert word in err
    assert not Path("bigger.keras").exists()


def test_a_model_grows_from_file_to_file(grow: Grow) -> None:
    model = saved()
    status, out, err = grow("model.keras", "--phi", "1", "--output", "bigger.keras", "--verbose")
    assert (status, err) == (0, "")
    bigger = loaded()
    same(model, bigger)
    assert bigger.count_params() > model.count_params()
    assert read_embedded_spec(bigger).spec == scale_spec(SPEC, 1)
    said, _, table = out.partition("\nlayer ")
    sizes = {line.split()[0]: line.split()[1] for line in said.splitlines() if line.split()[0] in ("before", "after")}
    assert sizes == {"before": f"{model.count_params():,}", "after": f"{bigger.count_params():,}"}
    assert out.endswith("\nwrote bigger.keras\n")
    lines = table.splitlines()[:-2]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:] if line}
    assert rows["predictions"][:2] == ["widened", "predictions"]
    assert rows["stem_conv"][-1] == "x".join(map(str, model.get_layer("stem_conv").kernel.shape))
    assert "but for rounding" in lines[-1]


def test_another_size_of_images_is_said_and_can_be_refused(grow: Grow) -> None:
    saved(input_shape=None)
    _, out, _ = grow("model.keras", "--phi", "1", "--output", "bigger.keras")
    side = SPEC.resolution
    assert f"from {side} to {scale_spec(SPEC, 1).resolution} px" in out
    assert "predictions" not in out, "layers are for --verbose"
    _, out, _ = grow("model.keras", "--phi", "1", "--resolution", str(side), "--output", "bigger.keras", "--json")
    found = json.loads(out)
    assert found["before"]["resolution"] == found["after"]["resolution"] == side
    assert loaded().input_shape[1:3] == (side, side)
    assert found["after"]["params"] == loaded().count_params()


def test_a_model_of_rectangles_keeps_them_and_what_it_remembers_of_images(grow: Grow) -> None:
    model = build_model(SPEC, input_shape=(SIDE, 2 * SIDE, 3), classes=4)
    as_if_trained(model)
    note_images(model, resize="pad", bits=12)
    model.save("model.keras")
    status, out, _ = grow("model.keras", "--phi", "1", "--output", "bigger.keras")
    assert status == 0
    assert f"{SIDE}x{2 * SIDE} px" in out
    assert "The images go from" not in out
    bigger = loaded()
    assert bigger.input_shape == (None, SIDE, 2 * SIDE, 3)
    assert (read_embedded_spec(bigger).resize, read_embedded_spec(bigger).bits) == ("pad", 12)
    x = random_images(2, SIDE, 2 * SIDE, 3)
    assert_same_outputs(outputs(bigger, x), outputs(model, x), 1e-4)
    _, out, _ = grow("model.keras", "--phi", "1", "--resolution", "48x64", "--output", "bigger.keras", "--json")
    assert json.loads(out)["after"]["resolution"] == [48, 64]
    assert loaded().input_shape == (None, 48, 64, 3)
    assert (
        f"from {SIDE}x{2 * SIDE} to 48x64 px"
        in grow("model.keras", "--phi", "1", "--resolution", "48x64", "--output", "bigger.keras")[1]
    )


def test_json_is_json(grow: Grow) -> None:
    saved(name="model.h5")
    status, out, _ = grow("model.h5", "--phi", "0.5", "--output", "bigger.keras", "--json")
    content = json.loads(out)
    assert status == 0
    assert content["exact"]
    weighted = {layer.name for layer in loaded().layers if layer.weights and "drop" not in layer.name}
    assert {row["layer"] for row in content["layers"]} == weighted
    assert content["differences"] == []


def test_a_spec_file_or_a_name_is_a_size_outright(grow: Grow) -> None:
    model = saved()
    larger = scale_spec(SPEC, coefficients=Coefficients(width=1.6, depth=1.5))
    write_spec(larger, Path("larger.json"))
    assert grow("model.keras", "--spec", "larger.json", "--output", "bigger.keras")[0] == 0
    same(model, loaded())
    assert read_embedded_spec(loaded()).spec == larger
    write_spec(NORMED, Path("other.json"))
    status, _, err = grow("model.keras", "--spec", "other.json", "--output", "other.keras")
    assert status == 1
    assert "networks of the same blocks" in err


def test_a_rule_is_followed(grow: Grow) -> None:
    saved()
    assert grow("model.keras", "--phi", "1", "--rule", "fast", "--output", "bigger.keras")[0] == 0
    assert read_embedded_spec(loaded()).spec == scale_spec(SPEC, 1, rule="fast")


def test_classes_and_channels(grow: Grow) -> None:
    model = saved()
    status, out, _ = grow("model.keras", "--phi", "0", "--classes", "9", "--channels", "1", "--output", "bigger.keras")
    new = loaded()
    assert status == 0
    assert (new.input_shape, new.output_shape) == ((None, SIDE, SIDE, 1), (None, 9))
    kernel = np.array(model.get_layer("stem_conv").kernel).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(np.array(new.get_layer("stem_conv").kernel), kernel, atol=1e-6)
    assert "9 classes in place of 4" in out
    assert "1 channels in place of 3" in out


def test_channels_leave_the_resolution_to_the_spec(grow: Grow) -> None:
    """As without `--channels`: a model with its own spec's resolution gets the new one's."""
    saved(input_shape=None)
    sides = []
    for channels in ((), ("--channels", "1")):
        assert grow("model.keras", "--phi", "3", *channels, "--output", "bigger.keras")[0] == 0
        sides.append(loaded().input_shape[1:3])
    assert sides[0] == sides[1] == (scale_spec(SPEC, 3).resolution,) * 2


def test_a_model_shrinks(grow: Grow) -> None:
    model = saved()
    write_spec(scale_spec(SPEC, coefficients=Coefficients(width=0.5), rounding=Rounding(divisor=1)), Path("s.json"))
    kernel = np.array(model.get_layer("stem_conv").kernel)
    half = kernel.shape[-1] // 2
    kept = {"prefix": np.arange(half), "magnitude": np.sort(np.argsort(-np.abs(kernel).sum((0, 1, 2)))[:half])}
    for select, channels in kept.items():
        status, out, _ = grow("model.keras", "--spec", "s.json", "--select", select, "--output", "bigger.keras")
        assert status == 0
        assert "channels are left out" in out
        np.testing.assert_array_equal(np.array(loaded().get_layer("stem_conv").kernel), kernel[..., channels])


def test_where_growth_is_not_exact_it_is_refused_unless_allowed(grow: Grow) -> None:
    model = saved(NORMED)
    write_spec(scale_spec(NORMED, coefficients=Coefficients(width=1.5)), Path("more.json"))
    command = ("model.keras", "--spec", "more.json", "--output", "bigger.keras")
    check_failed(grow(*command), "stage 1", "layer normalisation over", "exact=True")
    status, out, err = grow(*command, "--allow-inexact")
    assert (status, err) == (0, "")
    assert "stage 1: layer normalisation over" in out
    with pytest.raises(AssertionError):
        same(model, loaded())


def test_files_that_hold_no_model_of_ours(grow: Grow, tmp_path: Path) -> None:
    saved()
    Path("broken.keras").write_bytes(Path("model.keras").read_bytes()[:4000])
    Path("text.h5").write_text("no model")
    foreign = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="foreign")
    foreign.save("foreign.keras")
    Path("folder.keras").mkdir()
    for name, word in (
        ("missing.keras", "no such model"),
        ("missing.h5", "no such model"),
        ("broken.keras", "cannot be loaded"),
        ("text.h5", "cannot be loaded"),
        ("folder.keras", "cannot be loaded"),
        ("foreign.keras", "of 'foreign' can be scaled"),
        ("model", "no such model"),
    ):
        check_failed(grow(name, "--phi", "1", "--output", "bigger.keras"), word)


def test_a_model_without_a_spec_grows_from_its_graph(grow: Grow) -> None:
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)), name="mine").save("mine.keras")
    status, out, _ = grow("mine.keras", "--phi", "2", "--output", "bigger.keras")
    assert status == 0
    assert "computes what the old mine does" in out
    bigger: Any = keras.models.load_model("bigger.keras")
    convolutions = sum(isinstance(layer, keras.layers.Conv2D) for layer in bigger.layers)
    assert (bigger.input_shape, convolutions) == ((None, 20, 20, 3), 3)


def test_specs_and_values_that_are_wrong(grow: Grow) -> None:
    saved()
    Path("broken.json").write_text("{")
    for arguments, word in (
        (("--spec", "broken.json"), "broken.json"),
        (("--spec", "missing.json"), "missing.json"),
        (("--spec", "mobilenet_v3"), "mobilenet_v3"),
        (("--phi", "nan"), "finite"),
        (("--phi", "inf"), "finite"),
        (("--phi", "1", "--rule", "compond"), "'compound'"),
        (("--phi", "0", "--classes", "0"), "classes"),
        (("--phi", "0", "--channels", "0"), "channels"),
    ):
        check_failed(grow("model.keras", *arguments, "--output", "bigger.keras"), word)


def test_the_output_is_checked_before_any_work(grow: Grow, tmp_path: Path) -> None:
    for output in ("bigger.h5", "bigger", "bigger.keras.zip"):
        check_failed(grow("missing.keras", "--phi", "1", "--output", output), "must end in .keras", output)
    saved()
    check_failed(
        grow("model.keras", "--phi", "0", "--output", str(tmp_path / "model.keras" / "x.keras")), "cannot be written"
    )
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("limit", [10, 20_000])
def test_a_full_disk_leaves_the_older_file(grow: Grow, tmp_path: Path, limit: int) -> None:
    saved()
    (tmp_path / "model.keras").rename(tmp_path / "older.keras")
    before = (tmp_path / "older.keras").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        status, out, err = grow("older.keras", "--phi", "0.5", "--output", "older.keras")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (status, out) == (1, "")
    assert "cannot be written" in err
    assert (tmp_path / "older.keras").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["older.keras"]


def test_the_command_line_is_checked() -> None:
    parser = make_parser()
    for arguments in (
        ("m.keras", "--output", "x.keras"),  # neither a phi nor a spec
        ("m.keras", "--phi", "1", "--spec", "a.json", "--output", "x.keras"),
        ("m.keras", "--phi", "1"),
        ("m.keras", "--phi", "1", "--select", "best", "--output", "x.keras"),
    ):
        with pytest.raises(SystemExit) as info:
            parser.parse_args(["grow", *arguments])
        assert info.value.code == 2


@pytest.mark.slow
def test_the_program_grows_in_a_process_of_its_own(tmp_path: Path) -> None:
    saved(name=str(tmp_path / "model.keras"))
    words = ("grow", "model.keras", "--phi", "0.5", "--output", "bigger.keras")
    process = fork_program(*words, folder=tmp_path, output=tmp_path / "told")
    process.join()
    assert process.exitcode == 0, (tmp_path / "told").read_text()
    assert "wrote bigger.keras" in (tmp_path / "told").read_text()
    assert (tmp_path / "bigger.keras").stat().st_size > 1000
