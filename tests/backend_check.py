"""What test_backends.py asks of another backend, in one process: `python backend_check.py FOLDER CHECK...`.

Prints what it came to as JSON: for each check nothing, or where it failed.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from support import (
    BACKEND_SPECS,
    as_if_trained,
    assert_same_outputs,
    every_operation_spec,
    import_file,
    outputs,
    random_images,
    tiny_spec,
)

from keras_effnet import applications, build_model, feature_extractor, scale_model, scale_spec
from keras_effnet.data.augment import Augmentation, Augmenter
from keras_effnet.latency import measure_latency
from keras_effnet.report.class_maps import class_maps
from keras_effnet.search.scores import SCORES

HERE = Path(__file__).parent
EVERY_OPERATION = "every operation"
_MANY = every_operation_spec()
# Of one block a stage, but for one that has a plain shortcut: what takes time is the compiler.
_FEW = (_MANY.stages[0], *(replace(stage, depth=1) for stage in _MANY.stages[1:]))
# Windows of each kind with dilation: depthwise, with zeros of their own, pooling.
DILATED = ("resnet50_v2", "densenet121", "mobilenet_v2")
SPECS = {**BACKEND_SPECS, EVERY_OPERATION: replace(_MANY, stages=_FEW)}


@contextmanager
def without_draws() -> Iterator[None]:
    """Inside, kernels start as zeros, for models that get all their weights afterwards.

    JAX compiles a program for each shape that it draws random numbers in.
    """
    draw = keras.initializers.VarianceScaling.__call__

    def zeros(self: Any, shape: Any, dtype: Any = None) -> np.ndarray:
        return np.zeros(shape, dtype or "float32")

    keras.initializers.VarianceScaling.__call__ = zeros  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        keras.initializers.VarianceScaling.__call__ = draw  # pyright: ignore[reportAttributeAccessIssue]


def same_outputs(folder: Path) -> None:
    """Files written under TensorFlow give the same outputs."""
    for name in SPECS:
        model, x, expected = written(folder, name)
        assert_same_outputs(outputs(model, x), expected)


def written(folder: Path, name: str) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A model with the weights that were written under TensorFlow, images, and its outputs there."""
    spec = SPECS[name]
    with without_draws():
        model = build_model(spec, classes=5, weights=str(folder / f"{name}.weights.h5"))
    return model, random_images(2, spec.resolution, spec.resolution, 3), np.load(folder / f"{name}.npy")


def growth(folder: Path) -> None:
    """A grown model gives the outputs that its original gave under TensorFlow."""
    model, x, expected = written(folder, "mobilenet_v2")
    grown = scale_model(model, phi=0.5, input_shape=model.input_shape[1:])
    assert_same_outputs(outputs(grown, x), expected)


def features(folder: Path) -> None:
    """The maps of dilated networks are the same, also those that were saved, loaded or grown here."""
    for name in DILATED:
        model, x, _ = written(folder, name)
        expected = dict(np.load(folder / f"{name}.maps.npz"))
        extractor = feature_extractor(model, output_stride=8)
        path = folder / f"{name}.{keras.backend.backend()}.maps.keras"
        extractor.save(path)
        loaded: Any = keras.saving.load_model(path, safe_mode=True)
        found = loaded.predict(x, verbose=0)
        assert list(found) == list(expected)
        for level, made in expected.items():
            assert_same_outputs(found[level], made)
    _, report = scale_model(loaded, phi=0.5, input_shape=loaded.input_shape[1:], return_report=True)
    assert report.exact


def training(folder: Path) -> None:
    """A model with every operation is saved, loaded and trained."""
    model, x, expected = written(folder, EVERY_OPERATION)
    path = folder / f"{keras.backend.backend()}.keras"
    model.save(path)
    with without_draws():
        loaded: Any = keras.saving.load_model(path)
    assert_same_outputs(outputs(loaded, x), expected)

    before = [weight.copy() for weight in model.get_weights()]
    # JAX would otherwise compile a program for each operation; PyTorch's compiler takes a minute.
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=keras.backend.backend() == "jax")
    loss = float(model.train_on_batch(x, np.arange(2)))
    assert np.isfinite(loss)
    changed = sum(not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
    assert changed > len(before) / 2


def channels_first(folder: Path) -> None:
    """The namesakes in Keras compute the same where channels come first, and latency is measured that way too."""
    keras.config.set_image_data_format("channels_first")
    try:
        for name, shape in (("EfficientNetB0", (3, 49, 64)), ("MobileNet", (3, 64, 65)), ("MobileNetV2", (3, 64, 65))):
            options = {"include_top": False, "pooling": "avg", "input_shape": shape}
            with without_draws():
                theirs = getattr(keras.applications, name)(weights=None, **options)
            as_if_trained(theirs, seed=1)
            path = folder / f"{name}.first.weights.h5"
            theirs.save_weights(path)
            ours = getattr(applications, name)(weights=str(path), **options)
            x = random_images(1, *shape)
            assert_same_outputs(outputs(ours, x), outputs(theirs, x))
        found = measure_latency(scale_spec("mobilenet_v1", -6), channels=2, classes=10)
        assert found.median_ms > 0
        assert found.machine["data format"] == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")


def recalibration(folder: Path) -> None:
    """Tests of `recalibrate` that do not depend on the backend."""
    tests: Any = import_file(HERE / "inheritance/test_recalibrate.py")
    # Each size of a batch, and each block, is one more program to compile.
    tests.BATCHES = (4, 1)
    tests.tiny_spec = partial(tiny_spec, depth=1)
    tests.test_the_first_layer_gets_what_numpy_finds_in_all_images_at_once()
    tests.test_a_second_time_changes_nothing_and_only_statistics_change()
    tests.test_labels_tensors_frozen_layers_and_nested_models_make_no_difference()


def maps_of_classes(folder: Path) -> None:
    """A class is seen where it was seen under TensorFlow."""
    files = sorted(folder.glob("*.cam.npy"))
    assert files
    for file in files:
        name = file.name.removesuffix(".cam.npy")
        model, _, _ = written(folder, name)
        found = class_maps(model, random_images(3, *model.input_shape[1:]), np.arange(3)).maps
        np.testing.assert_allclose(found, np.load(file), atol=1e-3)


def augmentation(folder: Path) -> None:
    """Augmented images are the same to the bit."""
    files = sorted(folder.glob("*.augmented.npz"))
    assert files
    for file in files:
        for found, expected in zip(
            augmented(file.name.removesuffix(".augmented.npz")), np.load(file).values(), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def augmented(engine: str) -> tuple[np.ndarray, np.ndarray]:
    """A batch of images and labels after all that an engine does."""
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype("uint8")
    options = Augmentation(operations=2, magnitude=8, mixup=0.4, cutmix=0.6, engine=engine)  # pyright: ignore[reportArgumentType]
    return Augmenter(options, 16, 8)(images, np.eye(8, dtype="float32"), (1, 2, 3))


def scored(model: keras.Model) -> dict[str, float]:
    """All scores of a network that is not trained."""
    return {name: score(model, random_images(4, 6, 6, 3), 5) for name, score in SCORES.items()}


def scores(folder: Path) -> None:
    """A network scores what it scored under TensorFlow."""
    with without_draws():
        model: Any = keras.saving.load_model(folder / "scored.keras")
    expected = json.loads((folder / "scores.json").read_text())
    found = scored(model)
    assert set(found) == set(expected)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, err_msg=name)


def rates(folder: Path) -> None:
    """Tests of rates for each variable that do not depend on the backend."""
    tests = import_file(HERE / "training/test_layerwise.py")
    for name, options in (("sgd", {"use_ema": True, "ema_momentum": 0.5}), ("adamw", {})):
        tests.test_each_variable_moves_as_under_an_optimizer_of_its_own(name, options)


CHECKS: dict[str, Callable[[Path], None]] = {
    "same outputs": same_outputs,
    "growth": growth,
    "features": features,
    "training": training,
    "channels first": channels_first,
    "recalibration": recalibration,
    "class maps": maps_of_classes,
    "augmentation": augmentation,
    "scores": scores,
    "rates": rates,
}


def run(folder: Path, *names: str) -> dict[str, str]:
    """What failed, by check; empty where all is well."""
    found = {}
    for name in names:
        found[name] = ""
        try:
            CHECKS[name](folder)
        except Exception:
            found[name] = traceback.format_exc()
    return found


if __name__ == "__main__":
    failed = run(Path(sys.argv[1]), *sys.argv[2:])
    print(json.dumps({"backend": keras.backend.backend(), "failed": failed}))  # noqa: T201 - the report to the tests
