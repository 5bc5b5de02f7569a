"""tensorflow-datasets: the six recipes on its mocks, real sets written to disk, and what is said without a network."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import values
from support import import_example

from keras_effnet.data import tfds as module
from keras_effnet.data.packed_images import PackedImages, is_packed, write_pack
from keras_effnet.data.paper import PAPER_SETS, check_sizes
from keras_effnet.data.sets import load_data
from keras_effnet.errors import DataError, MissingExtraError

RECIPES = {name: recipe for name, recipe in PAPER_SETS.items() if recipe.tfds}


def png(value: int) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (6, 5), (value, value, value)).save(file, "png")
    return file.getvalue()


def write_set(data_dir: Path, name: str, version: str = "1.0.0", **splits: int) -> None:
    """A prepared set as tensorflow-datasets writes it; an image's value is 10 times its number plus its label."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    def examples(count: int) -> Any:
        labels = np.arange(count) % 2
        images = np.zeros((count, 5, 6, 3), np.uint8) + (10 * np.arange(count) + labels)[:, None, None, None]
        return tf.data.Dataset.from_tensor_slices({"image": images.astype(np.uint8), "label": labels})

    builder = tfds.dataset_builders.TfDataBuilder(
        name=name,
        version=version,
        data_dir=str(data_dir),
        split_datasets={split: examples(count) for split, count in splits.items()},
        features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(5, 6, 3)), "label": tfds.features.ClassLabel(names=["even", "odd"])}
        ),
    )
    builder.download_and_prepare()


class TestTable6:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", RECIPES)
    def test_each_recipe_runs_on_a_mock(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        import tensorflow_datasets as tfds

        monkeypatch.setattr(module, "_is_reachable", lambda url: True)
        with tfds.testing.mock_data(num_examples=60):
            splits = load_data(name, data_dir=tmp_path / "none", validation=0.3, cache=tmp_path)
            wanted = tfds.decode.PartialDecoding({"image": True, "label": True})
            examples = list(tfds.as_numpy(tfds.load(RECIPES[name].tfds, split="test", decoders=wanted)))
        assert splits.test is not None
        assert len(splits.train) + len(splits.validation) == len(splits.test) == 60
        assert len(splits.train.class_names) == RECIPES[name].classes
        assert splits.test.labels.tolist() == [int(example["label"]) for example in examples]
        assert [splits.test.read(index).shape for index in range(60)] == [one["image"].shape for one in examples]
        if "cifar" in name:  # the others' images went through JPEG
            np.testing.assert_array_equal(splits.test.read(7), examples[7]["image"])

    @pytest.mark.slow
    @pytest.mark.parametrize("name", RECIPES)
    def test_the_splits_are_those_of_the_builder(self, name: str, tmp_path: Path) -> None:
        """The builder's own source names each split that a recipe asks for."""
        import inspect

        import tensorflow_datasets as tfds

        recipe = RECIPES[name]
        builder: Any = tfds.builder(recipe.tfds, data_dir=tmp_path)
        source = inspect.getsource(type(builder)._split_generators)
        for split in (*recipe.train_split.split("+"), recipe.test_split):
            assert f"Split.{split.upper()}" in source or f'"{split}"' in source or f"'{split}'" in source

    def test_sizes_are_those_of_the_paper_but_for_one(self) -> None:
        """Typed from the paper again, in its order: training images, images to test on, classes."""
        table = """
        CIFAR-10 50000 10000 10 / CIFAR-100 50000 10000 100 / Birdsnap 47386 2443 500 / Stanford Cars 8144 8041 196 /
        Flowers 2040 6149 102 / FGVC Aircraft 6667 3333 100 / Oxford-IIIT Pets 3680 3369 37 / Food-101 75750 25250 101
        """
        rows = [row.split() for row in table.split("/")]
        found = [
            [*recipe.title.split(), *map(str, (recipe.train, recipe.printed_test or recipe.test, recipe.classes))]
            for recipe in PAPER_SETS.values()
        ]
        assert found == rows
        assert [name for name, recipe in PAPER_SETS.items() if recipe.printed_test] == ["oxford_iiit_pet"]

    @pytest.mark.parametrize("name", PAPER_SETS)
    def test_any_other_size_is_an_error_with_both_numbers(self, name: str) -> None:
        recipe = PAPER_SETS[name]
        sizes = {"train": recipe.train, "test": recipe.test, "classes": recipe.classes}
        check_sizes(recipe, **sizes)
        for part, wanted in sizes.items():
            with pytest.raises(DataError, match=rf"must have {wanted:,} .*Received: {wanted - 1:,} "):
                check_sizes(recipe, **{**sizes, part: wanted - 1})

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:Even though:UserWarning")  # that tf.data's functions stay graphs
    def test_the_example_runs_dry(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        import tensorflow as tf

        example = import_example("paper_sets")
        monkeypatch.setattr(example, "MOCKED", 40)
        monkeypatch.setattr("sys.argv", ["x"])
        example.main()
        listed = capsys.readouterr().out
        assert all(name in listed and f"{recipe.train:,}" in listed for name, recipe in PAPER_SETS.items())
        monkeypatch.setattr("sys.argv", ["x", "food101", "--mock"])
        tf.config.run_functions_eagerly(True)  # a graph for so few batches would take three times as long
        try:
            example.main()
        finally:
            tf.config.run_functions_eagerly(False)
        assert re.search(r"accuracy on the test part: [01]\.\d", capsys.readouterr().out)

    @pytest.mark.slow
    def test_a_copy_of_another_size_is_refused(self, tmp_path: Path) -> None:
        write_set(tmp_path, "cifar10", "3.0.2", train=4, test=2)
        with pytest.raises(DataError, match=r"CIFAR-10 must have 50,000 training images.*Received: 4 training"):
            load_data("cifar10", data_dir=tmp_path, cache=tmp_path)


class TestAnySet:
    @pytest.mark.slow
    def test_images_arrive_with_their_labels_and_are_packed_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_set(tmp_path, "parity", train=8, validation=4, test=6)
        splits = load_data("tfds:parity", data_dir=tmp_path, cache=tmp_path / "cache")
        assert splits.test is not None
        for source, count in ((splits.train, 8), (splits.validation, 4), (splits.test, 6)):
            shown = values(source)
            assert sorted(shown) == [10 * number + number % 2 for number in range(count)]
            assert [value % 10 for value in shown] == source.labels.tolist()
            assert source.class_names == ("even", "odd")
        monkeypatch.setattr(module, "_examples", None)  # nothing is read again
        again = load_data("tfds:parity", data_dir=tmp_path, cache=tmp_path / "cache")
        assert values(again.train) == values(splits.train)
        assert again.train.fingerprint() == splits.train.fingerprint() != splits.test.fingerprint()

    @pytest.mark.slow
    def test_a_set_without_a_train_split_is_an_error(self, tmp_path: Path) -> None:
        write_set(tmp_path, "parity", test=4)
        with pytest.raises(DataError, match=r"split named train.*Received: 'parity' with \['test'\]"):
            load_data("tfds:parity", data_dir=tmp_path, cache=tmp_path)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("tfds:mnits", r"has no set of this name\. Did you mean 'mnist'.*Received: 'mnits'"),
            ("tfds:cifar10/nope", "not this configuration.*Received: 'cifar10/nope'"),
            ("tfds:c4", "one image and one class.*Received: 'c4'"),
            ("cifar11", "Did you mean 'cifar10' or 'cifar100'.*Received: 'cifar11'"),
            ("nothing-like-it", "Write tfds:NAME"),
        ],
    )
    def test_a_wrong_name_is_a_short_error(self, tmp_path: Path, name: str, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load_data(name, data_dir=tmp_path, cache=tmp_path)
        assert len(str(caught.value)) < 300

    def test_without_the_library_it_is_said_how_to_get_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", None)
        with pytest.raises(MissingExtraError, match=r"extra \[tfds\].*pip install .*tensorflow-datasets"):
            load_data("cifar10", data_dir=tmp_path, cache=tmp_path)


class TestNetwork:
    def test_a_server_that_refuses_ends_in_one_sentence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[str, int]] = []

        def refuse(address: tuple[str, int], timeout: float) -> None:
            asked.append(address)
            raise OSError("no route")

        monkeypatch.setattr(socket, "create_connection", refuse)
        monkeypatch.setattr(module, "getproxies", dict)
        with pytest.raises(DataError, match=r"does not answer: connect this machine.*or copy that folder") as caught:
            load_data("cifar10", data_dir=tmp_path, cache=tmp_path)
        assert asked == [("www.cs.toronto.edu", 443)]
        assert len(str(caught.value)) < 450

    def test_a_name_server_that_never_answers_is_waited_for_no_longer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        never = threading.Event()

        def wait(address: tuple[str, int], timeout: float) -> contextlib.AbstractContextManager:
            never.wait(60)
            return contextlib.nullcontext()

        monkeypatch.setattr(socket, "create_connection", wait)
        monkeypatch.setattr(module, "PATIENCE", 0.05)
        assert not module._is_reachable("https://example.org/x")
        never.set()

    def test_a_proxy_is_asked_in_place_of_the_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[str, int]] = []
        server = socket.create_server(("127.0.0.1", 0))
        port = server.getsockname()[1]
        original = socket.create_connection
        monkeypatch.setattr(
            socket, "create_connection", lambda address, **more: (asked.append(address), original(address, **more))[1]
        )
        monkeypatch.setattr(module, "getproxies", lambda: {"https": f"http://127.0.0.1:{port}"})
        monkeypatch.setattr(module, "proxy_bypass", lambda host: host == "inside.example")
        with server:
            assert module._is_reachable("https://example.org/x")
        assert asked == [("127.0.0.1", port)]
        monkeypatch.setattr(socket, "create_connection", lambda address, **more: asked.append(address) or server)
        module._is_reachable("http://inside.example/x")
        assert asked[1:] == [("inside.example", 80)]

    def test_a_download_that_fails_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import tensorflow_datasets as tfds

        def fail(self: object) -> None:
            raise RuntimeError("connection lost\nand forty lines more")

        monkeypatch.setattr(module, "_is_reachable", lambda url: True)
        monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
        with pytest.raises(DataError, match=r"cannot download or prepare cifar10: connection lost\. Try again"):
            load_data("cifar10", data_dir=tmp_path, cache=tmp_path)


class TestPacks:
    def test_images_are_found_again_and_broken_ones_left_out(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        examples = [(png(10), 0), (png(20)[:40], 1), (png(30), 1), (b"", 0), (png(40), 0)]
        write_pack(tmp_path / "new" / "pack", examples, ["a", "b"], 5)
        source = PackedImages(tmp_path / "new" / "pack")
        assert values(source) == [10, 30, 40]
        assert source.labels.tolist() == [0, 1, 0]
        assert [each.name for each in source.skipped] == ["pack number 1", "pack number 3"]
        assert source.skipped[1].reason == "no image of a format that Pillow reads"
        assert "Skipped 2 files: pack number 1 (" in caplog.text
        part = source.take([2, 0])
        assert (values(part), part.labels.tolist()) == ([40, 10], [0, 0])
        assert part.name_of(0) == source.name_of(2)
        assert len({part.fingerprint(), source.fingerprint(), source.take([0, 2]).fingerprint()}) == 3

    def test_a_pack_that_was_cut_off_is_none(self, tmp_path: Path) -> None:
        def until_killed() -> Any:
            yield png(1), 0
            raise KeyboardInterrupt

        path = tmp_path / "pack"
        with pytest.raises(KeyboardInterrupt):
            write_pack(path, until_killed(), ["a"])
        assert not is_packed(path)
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(DataError, match="missing or incomplete"):
            PackedImages(path)

    def test_any_lost_byte_makes_it_none(self, tmp_path: Path) -> None:
        path = tmp_path / "pack"
        for name in ("pack.images", "pack.npz"):
            write_pack(path, [(png(1), 0), (png(2), 0)], ["a"])
            assert is_packed(path)
            assert is_packed(path, 2)
            assert not is_packed(path, 3), "made of fewer examples than there are"
            file = tmp_path / name
            file.write_bytes(file.read_bytes()[:-1])
            assert not is_packed(path)

    def test_a_folder_that_cannot_be_written_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(DataError, match=r"cannot be packed.*Received: "):
            write_pack(tmp_path / "file" / "pack", [(png(1), 0)], ["a"])

    def test_a_image_that_breaks_later_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "pack"
        write_pack(path, [(png(1), 0), (png(2), 0)], ["a"])
        data = tmp_path / "pack.images"
        data.write_bytes(bytes(data.stat().st_size))
        with pytest.raises(DataError, match=r"packed image.*Received: pack number 1"):
            PackedImages(path).read(1)
