"""Builders as Python objects, and which of several weight files suits an input."""

from __future__ import annotations

import copy
import inspect
import pickle

import keras
import pytest

from keras_effnet import applications
from keras_effnet.applications.own_arguments import mobile_resolution

PUBLISHED = (128, 160, 224)
BUILDERS = [name for name in applications.__all__ if not name.endswith("_spec")]


def test_there_are_builders() -> None:
    assert len(BUILDERS) == 33


@pytest.mark.parametrize("name", BUILDERS)
def test_pickle_copy_and_inspect_find_a_builder(name: str) -> None:
    builder = getattr(applications, name)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(builder, protocol)) is builder  # noqa: S301 - our own bytes
    assert copy.deepcopy(builder) is builder
    module = inspect.getmodule(builder)
    assert module is not None
    assert getattr(module, name) is builder
    assert builder.__module__ == module.__name__
    assert builder.__qualname__ == builder.__name__ == name
    assert "build_model(" in inspect.getsource(builder)


@pytest.mark.parametrize(
    "name", ["convnext", "densenet", "efficientnet", "efficientnet_v2", "mobilenet", "mobilenet_v2", "mobilenet_v3",
             "resnet", "resnet_v2"],
)  # fmt: skip
def test_a_module_has_the_builders_of_its_namesake(name: str) -> None:
    ours, theirs = getattr(applications, name), getattr(keras.applications, name)
    assert set(ours.__all__) <= set(dir(ours))
    for builder in set(BUILDERS) & set(vars(theirs)):
        assert getattr(ours, builder) is getattr(applications, builder)
    for function in ("preprocess_input", "decode_predictions"):
        found = getattr(ours, function)
        assert pickle.loads(pickle.dumps(found)) is found  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((160, 160, 3), 160), ((128, 160, 3), 224), ((100, 100, 3), 224), ((None, None, 3), 224), (None, 224)],
)
def test_the_input_chooses_among_the_published_resolutions(shape: tuple | None, expected: int) -> None:
    assert mobile_resolution(shape, None, None, PUBLISHED) == expected


def test_a_tensor_speaks_where_there_is_no_shape() -> None:
    assert mobile_resolution(None, keras.Input((128, 128, 3)), None, PUBLISHED) == 128


def test_weights_made_for_another_resolution_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    mobile_resolution((160, 160, 3), None, "imagenet", PUBLISHED)
    mobile_resolution((100, 100, 3), None, None, PUBLISHED)
    assert not caplog.records
    mobile_resolution((100, 100, 3), None, "imagenet", PUBLISHED)
    assert "100 x 100: those for 224 are used" in caplog.text
