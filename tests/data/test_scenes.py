"""Behaviour of `keras_effnet.data.scenes`, which is compared with Pillow's resizing and with scenes of one part."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import product

import numpy as np
import pytest
from PIL import Image

from keras_effnet.data.batches import Batches
from keras_effnet.data.scene_layout import CLASS_NAMES, CONTEXTS, SHAPES, TEXTURES, compose_scene
from keras_effnet.data.scene_parts import Canvas, Figure, Ground, Ring, Wave, Wire
from keras_effnet.data.scenes import COUNTS, Scenes, draw_scene, to_pixels
from keras_effnet.data.sets import load_data
from keras_effnet.errors import DataError

WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
DIGEST = "import numpy as np; from hashlib import sha256; from keras_effnet.data.scenes import Scenes; print({code})"


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return Scenes(720)


def gray(part: Figure | Ring | Wire, side: int) -> np.ndarray:
    """A white part on black."""
    return draw_scene([part], side)[0]


def test_each_split_of_the_set_has_scenes_of_its_own() -> None:
    splits = load_data("scenes")
    assert splits.test is not None
    sources = (splits.train, splits.validation, splits.test)
    assert tuple(map(len, sources)) == tuple(COUNTS.values())
    for source in sources:
        assert set(source.images_per_class.tolist()) == {len(source) // 72}
        assert source.labels[:100].tolist() == (np.arange(100) % 72).tolist()
    first = [source.read(0, 16) for source in sources]
    assert len({each.tobytes() for each in first}) == 3
    assert [source.name_of(5) for source in sources] == ["training scene 5", "validation scene 5", "test scene 5"]
    assert len({source.fingerprint() for source in sources}) == 3


def test_fewer_labels_and_folds_have_an_end() -> None:
    few = load_data("scenes", labels_per_class=2).train
    assert len(few) == 144
    assert not few.endless
    np.testing.assert_array_equal(few.targets([0, 143]).argmax(axis=1), few.labels[[0, 143]])


def test_a_scene_is_a_function_of_its_number_and_seed_alone(scenes: Scenes) -> None:
    before = np.random.get_state()[1]
    one = scenes.read(31, 40)
    np.testing.assert_array_equal(one, Scenes(32).read(31, 40))
    np.testing.assert_array_equal(one, scenes.take([7, 31]).read(1, 40))
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    assert (one != Scenes(32, seed=1).read(31, 40)).mean() > 0.5
    assert (one != scenes.read(31 + 72, 40)).mean() > 0.5


def test_the_bits_are_the_same_in_threads_and_in_another_process(scenes: Scenes) -> None:
    numbers = range(24)
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda number: scenes.read(number, 33).tobytes(), numbers))
    assert drawn == [scenes.read(number, 33).tobytes() for number in numbers]
    code = "sha256(b''.join(Scenes(24).read(number, 33).tobytes() for number in range(24))).hexdigest()"
    other = subprocess.run(
        [sys.executable, "-c", DIGEST.format(code=code)], capture_output=True, text=True, check=True,
        env={"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert other.stdout.strip() == sha256(b"".join(drawn)).hexdigest()


def test_batches_never_show_a_training_scene_twice(scenes: Scenes) -> None:
    seen = []
    for epoch in (0, 1, 2):
        batches = Batches(Scenes(100), resolution=8, batch_size=40, shuffle=True, seed=3, epoch=epoch)
        for step in range(len(batches)):
            images, labels = batches[step]
            seen += [(image.tobytes(), int(label)) for image, label in zip(images, labels.argmax(axis=1), strict=True)]
    assert len({image for image, _ in seen}) == len(seen) == 360
    known = {Scenes(1).read(number, 8).astype(np.float32).tobytes(): number % 72 for number in range(400)}
    assert all(known[image] == label for image, label in seen)
    ended = Batches(scenes.take(range(100)), resolution=8, batch_size=50, shuffle=True)
    first = {image.tobytes() for step in (0, 1) for image in ended[step][0]}
    ended.epoch = 1
    assert first == {image.tobytes() for step in (0, 1) for image in ended[step][0]}


@pytest.mark.parametrize(("side", "most"), [(24, 16), (48, 10)])
def test_a_small_scene_is_a_large_one_resized(side: int, most: int) -> None:
    """Pillow averages eight times as many pixels under the same triangle."""
    apart = []
    for label in range(0, 72, 3):
        parts, _ = compose_scene(label, np.random.default_rng(label))
        large = Image.fromarray(to_pixels(draw_scene(parts, 8 * side)))
        resized = np.asarray(large.resize((side, side), Image.Resampling.BILINEAR)).astype(int)
        apart.append(np.abs(to_pixels(draw_scene(parts, side)).astype(int) - resized))
    assert np.mean(apart) < 1.2
    assert np.quantile(apart, 0.99) < most


def test_a_fine_texture_is_gone_at_a_low_resolution() -> None:
    fine = Figure(0.5, 0.5, 0.4, 4, False, 0.0, BLACK, WHITE, (Wave(50.0, 0.0, 0.1),))
    assert draw_scene([fine], 240)[0, 100:140, 100:140].std() > 0.25
    assert draw_scene([fine], 60)[0, 20:40, 20:40].std() < 0.02


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_has_its_area(shape: str) -> None:
    """Of a regular polygon in a circle; a star adds small triangles to it."""
    corners, star = SHAPES[shape]
    figure = Figure(0.47, 0.52, 0.3, corners, star, 0.4, WHITE)
    area = corners / 2 * 0.3**2 * np.sin(2 * np.pi / corners)
    if star:  # inner radius r: corners of the common polygon of twice as many sides lie at r / cos(pi / (2 n))
        inner = 0.3 * np.cos(np.pi / corners) / np.cos(np.pi / (2 * corners))
        area = corners * 2 / 2 * 0.3 * inner * np.sin(np.pi / (2 * corners)) * 2
    assert gray(figure, 200).mean() == pytest.approx(area, rel=0.01)
    assert gray(figure, 41).mean() == pytest.approx(area, rel=0.03)


def test_a_ring_and_a_wire_have_their_areas() -> None:
    ring = gray(Ring(0.4, 0.6, 0.2, 0.05, WHITE), 100)
    assert ring.mean() == pytest.approx(np.pi * (0.2**2 - 0.15**2), rel=0.01)
    assert ring[60, 40] == 0
    assert gray(Wire(0.5, 0.5, 0.0, 0.004, WHITE), 50).mean() == pytest.approx(0.004, rel=0.01)


def test_what_lies_beyond_the_edge_is_cut() -> None:
    assert gray(Figure(-0.5, 0.5, 0.1, 0, False, 0.0, WHITE), 20).max() == 0
    assert gray(Figure(0.0, 0.0, 0.5, 4, False, 0.0, WHITE), 40)[0, 0] == 1
    assert Canvas(1).image.shape == (3, 1, 1)


@pytest.mark.parametrize("label", range(0, 72, 5))
def test_a_class_is_what_is_in_its_scenes(label: int) -> None:
    shape, texture, context = list(product(SHAPES, TEXTURES, CONTEXTS))[label]
    assert CLASS_NAMES[label] == f"{texture} {shape} {context} ring"
    for seed in range(20):
        parts, noise = compose_scene(label, np.random.default_rng(seed))
        (ring,) = (part for part in parts if isinstance(part, Ring))
        figure = max((part for part in parts if isinstance(part, Figure)), key=lambda part: part.radius)
        assert (figure.corners, figure.star) == SHAPES[shape]
        assert len(figure.waves) == len(TEXTURES[texture])
        assert isinstance(parts[0], Ground)
        assert noise > 0
        across, up = ring.x - figure.x, figure.y - ring.y
        lies = "beside" if abs(across) > abs(up) else ("under" if up > 0 else "over")
        assert lies == context
        assert 0 < ring.x < 1
        assert 0 < ring.y < 1
        assert np.hypot(across, up) > figure.radius


def test_textures_have_one_contrast() -> None:
    contrasts = []
    for angles in (each for each in TEXTURES.values() if each):
        waves = tuple(Wave(15 * np.cos(np.radians(each)), 15 * np.sin(np.radians(each)), 0.3) for each in angles)
        contrasts.append(
            draw_scene([Figure(0.5, 0.5, 0.45, 0, False, 0.0, BLACK, WHITE, waves)], 256)[0, 80:176, 80:176].std()
        )
    assert len(contrasts) == 3
    np.testing.assert_allclose(contrasts, contrasts[0], rtol=0.05)


def test_an_image_without_a_size_has_256_pixels(scenes: Scenes) -> None:
    assert scenes.read(0).shape == (256, 256, 3)
    assert scenes.read(0, 1).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"count": 0}, "count"), ({"split": "train"}, "split"), ({"seed": -1}, "seed"), ({"count": 2.5}, "count")],
)
def test_values_outside_their_range(wrong: dict, message: str) -> None:
    with pytest.raises(DataError, match=f"`{message}`.*Received: "):
        Scenes(**{"count": 3} | wrong)


@pytest.mark.parametrize("size", [0, 4097])
def test_a_size_outside_its_range(scenes: Scenes, size: int) -> None:
    with pytest.raises(DataError, match=f"`size`.*Received: .*{size}"):
        scenes.read(0, size)
