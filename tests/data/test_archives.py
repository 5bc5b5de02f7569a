"""Birdsnap and FGVC Aircraft, from files of the layout that their authors published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from data_files import values, write_image

from keras_effnet.data.archives import read_aircraft, read_birdsnap
from keras_effnet.data.paper import PAPER_SETS, PaperSet
from keras_effnet.data.sets import load_data
from keras_effnet.errors import DataError

BIRDS = replace(PAPER_SETS["birdsnap"], train=4, test=2, classes=2)
PLANES = replace(PAPER_SETS["aircraft"], train=3, test=2, classes=2)


def write_birdsnap(root: Path, images: str = "download/images") -> Path:
    """As get_birdsnap.py leaves it: species.txt, images.txt and test_images.txt, tab-separated with headers."""
    root.mkdir(parents=True)
    (root / "species.txt").write_text(
        "id\tcommon\tscientific\tdir\n1\tCooper's Hawk\tAccipiter cooperii\tCoopers_Hawk\n"
        "2\tBlue Jay\tCyanocitta cristata\tBlue_Jay\n"
    )
    paths = [f"{folder}/{number}.jpg" for folder in ("Coopers_Hawk", "Blue_Jay") for number in (11, 22, 33)]
    rows = [
        f"http://farm1.example/{number}.jpg\t{number:032x}\t{path}\t{1 if number < 3 else 2}\t1\t2\t3\t4\tnull\tnull"
        for number, path in enumerate(paths)
    ]
    header = "url\tmd5\tpath\tspecies_id\tbb_x1\tbb_y1\tbb_x2\tbb_y2\tback_x\tback_y"
    (root / "images.txt").write_text("\n".join([header, *rows]) + "\n")
    (root / "test_images.txt").write_text("\n".join(["path", paths[1], paths[4]]) + "\n")
    for number, path in enumerate(paths):
        write_image(root / images / path, 10 * number)
    return root


def write_aircraft(root: Path) -> Path:
    """fgvc-aircraft-2013b: the lists in data/, each line an image's number and its variant."""
    data = root / "data"
    data.mkdir(parents=True)
    (data / "variants.txt").write_text("707-320\nF/A-18\n")
    lines = {
        "trainval": ["0000010 F/A-18", "0000020 707-320", "0000030 F/A-18"],
        "test": ["0000040 F/A-18", "0000050 707-320"],
    }
    for part, content in lines.items():
        (data / f"images_variant_{part}.txt").write_text("\n".join(content) + "\n")
        for line in content:
            write_image(data / "images" / f"{line.split()[0]}.jpg", int(line.split()[0]), (60, 80))
    return root


@pytest.mark.parametrize("images", ["download/images", "images"])
@pytest.mark.parametrize("named", [".", ".."])
def test_birdsnap(tmp_path: Path, images: str, named: str) -> None:
    root = write_birdsnap(tmp_path / "birdsnap", images)
    splits = read_birdsnap(root / named, tmp_path, BIRDS)
    assert splits.test is not None
    assert splits.train.class_names == ("Cooper's Hawk", "Blue Jay")
    assert (values(splits.train), splits.train.labels.tolist()) == ([0, 20, 30, 50], [0, 0, 1, 1])
    assert (values(splits.test), splits.test.labels.tolist()) == ([10, 40], [0, 1])


def test_images_that_flickr_lost_are_skipped_not_a_mismatch(tmp_path: Path) -> None:
    root = write_birdsnap(tmp_path / "birdsnap")
    lost = root / "download" / "images" / "Blue_Jay" / "11.jpg"
    lost.unlink()
    train = read_birdsnap(root, tmp_path, BIRDS).train
    assert values(train) == [0, 20, 50]
    assert [each.name for each in train.skipped] == [str(lost)]


@pytest.mark.parametrize("named", [".", "data", ".."])
def test_aircraft(tmp_path: Path, named: str) -> None:
    root = write_aircraft(tmp_path / "fgvc-aircraft-2013b")
    splits = read_aircraft(root / named, tmp_path, PLANES)
    assert splits.test is not None
    assert splits.train.class_names == ("707-320", "F/A-18")
    assert (values(splits.train), splits.train.labels.tolist()) == ([10, 20, 30], [1, 0, 1])
    assert (values(splits.test), splits.test.labels.tolist()) == ([40, 50], [1, 0])
    assert splits.train.read(0).shape == (60, 60, 3), "without the 20 rows that name the photographer"


@pytest.mark.parametrize(
    ("name", "write", "recipe"), [("birdsnap", write_birdsnap, BIRDS), ("aircraft", write_aircraft, PLANES)]
)
def test_load_data_finds_them_and_compares_with_table_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: object, recipe: PaperSet
) -> None:
    write(tmp_path / {"birdsnap": "birdsnap", "aircraft": "fgvc-aircraft-2013b"}[name])  # pyright: ignore
    real = PAPER_SETS[name]
    with pytest.raises(DataError, match=rf"must have {real.train:,} training images.*Received: {recipe.train} "):
        load_data(name, data_dir=tmp_path, cache=tmp_path / "cache")
    monkeypatch.setitem(PAPER_SETS, name, recipe)
    splits = load_data(name, data_dir=tmp_path, cache=tmp_path / "cache")
    assert splits.test is not None
    assert len(splits.train) + len(splits.validation) == recipe.train
    assert len(splits.test) == recipe.test


@pytest.mark.parametrize(
    ("name", "where"), [("birdsnap", "thomasberg.org.*get_birdsnap.py"), ("aircraft", "robots.ox.ac.uk.*unpack")]
)
def test_where_they_are_missing_it_is_said_where_to_get_them(tmp_path: Path, name: str, where: str) -> None:
    with pytest.raises(DataError, match=f"archive is missing.*{where}.*data_dir"):
        load_data(name, data_dir=tmp_path, cache=tmp_path)


def test_lists_without_images_are_an_error(tmp_path: Path) -> None:
    root = write_birdsnap(tmp_path / "birdsnap", "elsewhere")
    with pytest.raises(DataError, match="no images in download/images or images"):
        read_birdsnap(root, tmp_path, BIRDS)
    root = write_aircraft(tmp_path / "fgvc-aircraft-2013b")
    (root / "data" / "images").rename(root / "elsewhere")
    with pytest.raises(DataError, match="no readable images"):
        read_aircraft(root, tmp_path, PLANES)


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("images.txt", "url\tmd5\tx.jpg\t3\t1\t2\t3\t4\tnull\tnull", "must list the species"),
        ("images.txt", "broken", "must have path, species_id.*line 8"),
    ],
)
def test_broken_lists_of_birdsnap(tmp_path: Path, file: str, line: str, message: str) -> None:
    root = write_birdsnap(tmp_path / "birdsnap")
    with (root / file).open("a") as table:
        table.write(line + "\n")
    with pytest.raises(DataError, match=message):
        read_birdsnap(root, tmp_path, BIRDS)


def test_broken_lists_of_aircraft(tmp_path: Path) -> None:
    root = write_aircraft(tmp_path / "fgvc-aircraft-2013b")
    with (root / "data" / "images_variant_test.txt").open("a") as table:
        table.write("0000060 Concorde\n")
    with pytest.raises(DataError, match="Received: '0000060 Concorde' in line 3"):
        read_aircraft(root, tmp_path, PLANES)
    (root / "data" / "images_variant_test.txt").unlink()
    with pytest.raises(DataError, match="a list of the archive cannot be read"):
        read_aircraft(root, tmp_path, PLANES)
