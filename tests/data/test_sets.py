"""What `load_data` makes of the embedded data and of what has no splits of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import values, write_classes
from sklearn.datasets import load_digits as sklearn_digits

from keras_effnet.data.sets import DataSplits, default_cache, load_data
from keras_effnet.data.source import Source
from keras_effnet.errors import DataError


def sources_of(splits: DataSplits) -> list[Source]:
    return [source for source in (splits.train, splits.validation, splits.test) if source is not None]


def numbers(source: Source) -> list[int]:
    return [int(source.name_of(index).removeprefix("image ")) for index in range(len(source))]


def test_digits_are_those_of_scikit_learn_each_in_one_split() -> None:
    splits = load_data("digits")
    found = [number for source in sources_of(splits) for number in numbers(source)]
    assert sorted(found) == list(range(1797))
    images, labels = sklearn_digits(return_X_y=True)
    for source in sources_of(splits):
        np.testing.assert_array_equal(source.labels, labels[numbers(source)])
        gray = images[numbers(source)[0]].reshape(8, 8) * 255 / 16
        np.testing.assert_allclose(source.read(0)[..., 1], gray, atol=0.5)


def test_the_test_split_is_the_same_whatever_the_seed() -> None:
    one, two = load_data("digits", seed=1), load_data("digits", seed=2, validation=0.3, labels_per_class=2)
    assert one.test is not None
    assert two.test is not None
    assert one.test.fingerprint() == two.test.fingerprint()
    assert numbers(one.validation) != numbers(two.validation)
    assert numbers(load_data("digits", seed=1).validation) == numbers(one.validation)
    shares = np.bincount(one.test.labels) / np.bincount(sklearn_digits(return_X_y=True)[1])
    np.testing.assert_allclose(shares, 0.2, atol=0.004)


def test_few_labels_are_so_many_of_each_class() -> None:
    whole, few = load_data("digits"), load_data("digits", labels_per_class=7)
    assert np.bincount(few.train.labels).tolist() == [7] * 10
    assert set(numbers(few.train)) <= set(numbers(whole.train))
    assert numbers(few.validation) == numbers(whole.validation)


@pytest.mark.slow
def test_glyphs_differ_between_training_and_test() -> None:
    splits = load_data("glyphs", labels_per_class=3)
    assert splits.test is not None
    assert len(splits.train.class_names) == 40
    assert len(splits.train) == 120
    assert len(splits.test) == 1000
    assert not set(numbers(splits.test)) & set(numbers(splits.train)) | set(numbers(splits.validation)) & set(
        numbers(splits.test)
    )
    shown = {splits.train.read(index).tobytes() for index in range(120)}
    assert not shown & {splits.test.read(index).tobytes() for index in range(1000)}


@pytest.mark.parametrize(
    ("share", "held"), [(0.1, [1, 1, 0]), (0.34, [3, 1, 0]), (0.9, [9, 1, 0])], ids=["least", "third", "most"]
)
def test_every_class_is_on_both_sides_if_it_can_be(tmp_path: Path, share: float, held: list[int]) -> None:
    root = write_classes(tmp_path / "data", {"a": 10, "b": 2, "c": 1})
    splits = load_data(str(root), validation=share, cache=tmp_path)
    assert splits.test is None
    assert np.bincount(splits.validation.labels, minlength=3).tolist() == held
    assert sorted(values(splits.train) + values(splits.validation)) == list(range(13))


def test_each_image_is_in_one_fold_and_each_class_in_all() -> None:
    whole = load_data("digits", seed=3)
    images = sorted(numbers(whole.train) + numbers(whole.validation))
    held: list[int] = []
    for number in range(1, 5):
        splits = load_data("digits", seed=3, fold=(number, 4))
        assert splits.test is not None
        found = [number for source in sources_of(splits) for number in numbers(source)]
        assert sorted(found) == images, "nothing is in two splits, and nothing of the set's own test split in any"
        held += numbers(splits.test)
        shares = np.bincount(splits.test.labels) / np.bincount(sklearn_digits(return_X_y=True)[1][images])
        np.testing.assert_allclose(shares, 0.25, atol=0.006)
    assert sorted(held) == images
    first, again, other = (load_data("digits", seed=seed, fold=(1, 4)).test for seed in (3, 3, 4))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    few = load_data("digits", seed=3, fold=(1, 4), labels_per_class=2)
    assert few.test is not None
    assert few.test.fingerprint() == first.fingerprint()
    assert np.bincount(few.train.labels).tolist() == [2] * 10


def test_folds_tear_no_group_apart(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "data", {"a": 12, "b": 12})
    files = sorted(root.rglob("*.png"))
    rows = "".join(f"{path},{path.parent.name},{number % 6}\n" for number, path in enumerate(files))
    table = tmp_path / "data.csv"
    table.write_text(f"path,label,group\n{rows}")
    seen: list[str] = []
    for number in (1, 2, 3):
        splits = load_data(table, fold=(number, 3), validation=0.3, cache=tmp_path)
        groups = [set(source.groups or ()) for source in sources_of(splits)]
        assert all(groups)
        assert sum(map(len, groups)) == len(set.union(*groups)) == 6
        seen += groups[2]
    assert sorted(seen) == [f"group {number}" for number in range(6)]
    with pytest.raises(DataError, match=r"no more folds than groups: 6\. Received: folds=7 of 24 images"):
        load_data(table, fold=(1, 7), cache=tmp_path)


def test_folds_that_cannot_be(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "data", {"a": 3, "b": 2})
    with pytest.raises(DataError, match=r"images of the largest class: 3\. Received: folds=4 of 5 images"):
        load_data(root, fold=(1, 4), cache=tmp_path)
    for wrong in (3, (1,), (0, 3), (4, 3), (1, 1), (1.0, 3)):
        with pytest.raises(DataError, match=r"`folds?`.*Received: "):
            load_data(root, fold=wrong, cache=tmp_path)  # pyright: ignore[reportArgumentType]


def test_single_images_cannot_be_held_out(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "data", {"a": 1, "b": 1})
    with pytest.raises(DataError, match=r"no class has two.*Received: 2 images of 2 classes"):
        load_data(str(root), cache=tmp_path)


def test_what_was_skipped_is_listed_once(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "data", {"a": 4, "b": 4})
    (root / "a" / "001.png").write_bytes(b"")
    splits = load_data(str(root), cache=tmp_path)
    assert [each.name for each in splits.skipped] == [str(root / "a" / "001.png")]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"validation": 0}, "validation"),
        ({"validation": 1.0}, "validation"),
        ({"seed": -1}, "seed"),
        ({"labels_per_class": 0}, "labels_per_class"),
    ],
)
def test_values_outside_their_range(wrong: dict, message: str) -> None:
    with pytest.raises(DataError, match=f"`{message}`.*Received: "):
        load_data("digits", **wrong)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder or file.*Received: .*nowhere"):
        load_data(str(tmp_path / "nowhere"))


def test_the_cache_is_in_keras_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    root = write_classes(tmp_path / "data", {"a": 2, "b": 2})
    load_data(str(root))
    assert default_cache() == tmp_path / "keras_effnet"
    assert (tmp_path / "keras_effnet" / "images.jsonl").exists()
