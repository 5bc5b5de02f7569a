"""Which of several weight files suits an input."""

from __future__ import annotations

import keras
import pytest

from keras_effnet.applications.builders import mobile_resolution

PUBLISHED = (128, 160, 224)


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
