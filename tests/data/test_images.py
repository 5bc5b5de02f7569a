"""Behaviour of `keras_effnet.data.images` on images which the tests write themselves."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_effnet.data.folders import read_folder
from keras_effnet.data.images import Images, enlarge_gray, load_digits
from keras_effnet.data.resizing import resize_image
from keras_effnet.data.splits import at_most
from keras_effnet.errors import DataError

WHITE = 255


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def folder_with(root: Path, file_name: str, image: Image.Image, **options: object) -> Path:
    """A folder of two classes: class "a" holds `image`, class "b" a plain blue one."""
    save(root / "a" / file_name, image, **options)
    save(root / "b" / "blue.png", Image.new("RGB", (8, 8), "blue"))
    return root


def load_folder(root: str | Path, resolution: int) -> tuple[Images, list[str]]:
    """The images of a folder as squares, and the paths of the files that were skipped."""
    source = read_folder(Path(root), Path(root).parent / ".cache").train
    squares = [resize_image(source.read(index, resolution), resolution) for index in range(len(source))]
    images = Images(np.stack(squares), source.labels.astype(np.int32), source.class_names)
    return images, [each.name for each in source.skipped]


def first_image(root: Path, resolution: int = 8) -> np.ndarray:
    images, skipped = load_folder(root, resolution)
    assert skipped == []
    return images.images[0]


def numbered(per_class: tuple[int, ...]) -> Images:
    """Images whose first pixel tells which one it is."""
    labels = np.concatenate([np.full(n, label, np.int32) for label, n in enumerate(per_class)])
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    return Images(images, labels, tuple("abcdef"[: len(per_class)]))


class TestImages:
    def test_wrong_shape_is_refused(self) -> None:
        with pytest.raises(DataError, match=r"shape \(n, resolution.*Received: uint8 of shape \(2, 4, 5, 3\)"):
            Images(np.zeros((2, 4, 5, 3), np.uint8), np.zeros(2, np.int32), ("a",))

    def test_float_images_are_refused(self) -> None:
        with pytest.raises(DataError, match="Received: float64"):
            Images(np.zeros((2, 4, 4, 3)), np.zeros(2, np.int32), ("a",))

    def test_labels_must_be_as_many_as_images(self) -> None:
        with pytest.raises(DataError, match=r"2 images.*Received: int32 of shape \(3,\)"):
            Images(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int32), ("a",))

    @pytest.mark.parametrize("label", [-1, 2])
    def test_a_label_without_a_class_name_is_refused(self, label: int) -> None:
        with pytest.raises(DataError, match=r"0\.\.1"):
            Images(np.zeros((1, 4, 4, 3), np.uint8), np.array([label], np.int32), ("a", "b"))

    def test_take_keeps_images_and_labels_together(self) -> None:
        taken = numbered((2, 2)).take(np.array([3, 0]))
        assert taken.images[:, 0, 0, 0].tolist() == [3, 0]
        assert taken.labels.tolist() == [1, 0]
        assert taken.class_names == ("a", "b")


class TestDigits:
    def test_all_digits_arrive_in_their_full_range(self) -> None:
        digits = load_digits(8)
        assert digits.images.shape == (1797, 8, 8, 3)
        assert digits.class_names == tuple("0123456789")
        assert np.bincount(digits.labels).min() > 170
        assert (digits.images.min(), digits.images.max()) == (0, 255)

    def test_channels_are_equal_and_enlarging_keeps_the_ink(self) -> None:
        small, large = load_digits(8), load_digits(32)
        assert (large.images == large.images[..., :1]).all()
        assert abs(float(small.images.mean()) - float(large.images.mean())) < 1

    @pytest.mark.parametrize("resolution", [0, -1, 5000, 8.0, True])
    def test_an_impossible_resolution_is_refused(self, resolution: int) -> None:
        with pytest.raises(DataError, match=r"1\.\.4096\. Received: "):
            load_digits(resolution)

    def test_enlarging_keeps_each_corner_in_its_place(self) -> None:
        gray = np.array([[[0, 60], [120, 240]]], np.uint8)
        large = enlarge_gray(gray, 16)[0, :, :, 0]
        assert [large[0, 0], large[0, -1], large[-1, 0], large[-1, -1]] == [0, 60, 120, 240]


class TestFolder:
    def test_classes_are_sorted_and_hidden_entries_ignored(self, tmp_path: Path) -> None:
        for name, colour in (("zebra", "red"), ("ant", "lime"), (".git", "blue")):
            save(tmp_path / name / "1.png", Image.new("RGB", (5, 9), colour))
        (tmp_path / "ant" / ".DS_Store").write_bytes(b"junk")
        images, skipped = load_folder(str(tmp_path), 6)
        assert skipped == []
        assert images.class_names == ("ant", "zebra")
        assert images.labels.tolist() == [0, 1]
        assert images.images.shape == (2, 6, 6, 3)
        assert images.images[:, 0, 0].tolist() == [[0, 255, 0], [255, 0, 0]]

    def test_exif_rotation_is_applied(self, tmp_path: Path) -> None:
        lying = Image.new("RGB", (8, 8), "black")
        lying.paste("white", (0, 0, 8, 4))  # the upper half is white
        exif = Image.Exif()
        exif[0x0112] = 6  # "rotate by 90 degrees clockwise to show": the upper half becomes the right one
        image = first_image(folder_with(tmp_path, "a.png", lying, exif=exif))
        assert image[:, 4:].min() == WHITE
        assert image[:, :4].max() == 0

    def test_sixteen_bit_gray_is_scaled_not_clipped(self, tmp_path: Path) -> None:
        gray = np.repeat(np.linspace(0, 65535, 8), 8).astype(np.uint16).reshape(8, 8)
        image = first_image(folder_with(tmp_path, "a.png", Image.fromarray(gray)))
        np.testing.assert_allclose(image[:, 0, 0], np.linspace(0, 255, 8), atol=1)

    @pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1e6)])
    def test_float_gray_is_stretched_to_the_full_range(self, tmp_path: Path, low: float, high: float) -> None:
        gray = np.linspace(low, high, 64, dtype=np.float32).reshape(8, 8)
        image = first_image(folder_with(tmp_path, "a.tiff", Image.fromarray(gray)))
        assert (image.min(), image.max()) == (0, 255)

    def test_a_flat_float_image_is_no_division_by_zero(self, tmp_path: Path) -> None:
        flat = Image.fromarray(np.full((8, 8), 7.0, np.float32))
        assert first_image(folder_with(tmp_path, "a.tiff", flat)).max() == 0

    def test_a_float_image_with_nan_is_skipped(self, tmp_path: Path) -> None:
        folder_with(tmp_path, "a.png", Image.new("L", (8, 8)))
        bad = save(tmp_path / "a" / "nan.tiff", Image.fromarray(np.full((8, 8), np.nan, np.float32)))
        assert load_folder(tmp_path, 8)[1] == [str(bad)]

    def test_transparency_is_laid_on_white(self, tmp_path: Path) -> None:
        layer = Image.new("RGBA", (8, 8), (200, 0, 0, 0))  # red below full transparency
        layer.paste((0, 0, 250, 255), (0, 0, 8, 4))
        image = first_image(folder_with(tmp_path, "a.png", layer))
        assert image[0, 0].tolist() == [0, 0, 250]
        assert image[-1, -1].tolist() == [WHITE] * 3

    def test_a_palette_gives_its_colours(self, tmp_path: Path) -> None:
        palette = Image.new("RGB", (8, 8), (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
        image = first_image(folder_with(tmp_path, "a.gif", palette))
        assert image[3, 3].tolist() == [10, 200, 30]

    def test_a_transparent_palette_entry_is_laid_on_white(self, tmp_path: Path) -> None:
        palette = Image.new("P", (8, 8), 0)
        palette.putpalette([1, 2, 3, 4, 5, 6])
        image = first_image(folder_with(tmp_path, "a.png", palette, transparency=0))
        assert image[3, 3].tolist() == [WHITE] * 3

    @pytest.mark.parametrize(("mode", "value"), [("1", 1), ("L", 255), ("LA", (255, 255)), ("CMYK", (0, 0, 0, 0))])
    def test_other_modes_become_rgb(self, tmp_path: Path, mode: str, value: int | tuple[int, ...]) -> None:
        name = "a.tiff" if mode == "CMYK" else "a.png"
        image = first_image(folder_with(tmp_path, name, Image.new(mode, (8, 8), value)))
        assert image.shape == (8, 8, 3)
        assert image.min() == WHITE

    def test_broken_files_are_skipped_named_and_logged_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder_with(tmp_path, "good.png", Image.effect_noise((64, 64), 90))
        whole = (tmp_path / "a" / "good.png").read_bytes()
        broken = {"half.png": whole[: len(whole) // 2], "empty.jpg": b"", "notes.txt": b"no image"}
        for name, content in broken.items():
            (tmp_path / "a" / name).write_bytes(content)
        with caplog.at_level(logging.WARNING):
            images, skipped = load_folder(tmp_path, 8)
        assert len(images) == 2
        assert [Path(name).name for name in skipped] == ["empty.jpg", "half.png", "notes.txt"]
        assert len(caplog.records) == 1
        assert "Skipped 3 files: " in caplog.text
        assert "half.png" in caplog.text

    def test_whole_folders_log_nothing(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        load_folder(folder_with(tmp_path, "a.png", Image.new("L", (8, 8))), 8)
        assert caplog.records == []

    @pytest.mark.parametrize("position", ["a", "b"])
    def test_a_class_of_broken_files_only_is_an_error(self, tmp_path: Path, position: str) -> None:
        folder_with(tmp_path, "a.png", Image.new("L", (8, 8)))
        for file in (tmp_path / position).iterdir():
            file.write_bytes(b"broken")
        with pytest.raises(DataError, match=f"class '{position}' needs at least one readable.*Received: 1 files"):
            load_folder(tmp_path, 8)

    def test_a_class_without_files_is_an_error(self, tmp_path: Path) -> None:
        folder_with(tmp_path, "a.png", Image.new("L", (8, 8)))
        (tmp_path / "c").mkdir()
        with pytest.raises(DataError, match=r"class 'c' needs at least one readable.*Received: 0 files"):
            load_folder(tmp_path, 8)

    def test_an_empty_folder_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"at least two subfolders.*Received: 0 subfolders"):
            load_folder(tmp_path, 8)

    def test_images_outside_class_folders_are_an_error(self, tmp_path: Path) -> None:
        save(tmp_path / "loose.png", Image.new("L", (8, 8)))
        with pytest.raises(DataError, match="Received: 0 subfolders"):
            load_folder(tmp_path, 8)

    def test_a_single_class_is_an_error(self, tmp_path: Path) -> None:
        save(tmp_path / "only" / "1.png", Image.new("L", (8, 8)))
        with pytest.raises(DataError, match=r"Received: 1 subfolders \['only'\]"):
            load_folder(tmp_path, 8)

    def test_a_missing_path_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"Received: .*nowhere', which is missing"):
            load_folder(tmp_path / "nowhere", 8)

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        file = save(tmp_path / "1.png", Image.new("L", (8, 8)))
        with pytest.raises(DataError, match="which is a file"):
            load_folder(file, 8)


class TestFewLabels:
    def test_every_class_gives_its_share_or_all_it_has(self) -> None:
        images = numbered((9, 2, 6))
        chosen = at_most(images, 3, seed=0)
        assert np.bincount(chosen.labels).tolist() == [3, 2, 3]
        names = [chosen.name_of(index) for index in range(len(chosen))]
        assert names == sorted(names, key=lambda name: int(name.split()[1])), "in their order"
        assert len(set(names)) == 8

    def test_the_seed_decides_which(self) -> None:
        images = numbered((50, 50))
        taken = [at_most(images, 5, seed) for seed in (1, 1, 2)]
        chosen = [[source.name_of(index) for index in range(len(source))] for source in taken]
        assert chosen[0] == chosen[1] != chosen[2]
