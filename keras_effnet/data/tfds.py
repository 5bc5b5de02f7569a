"""Image classification sets of tensorflow-datasets, packed once for random access."""

from __future__ import annotations

import difflib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from keras_effnet.data.packed_images import PackedImages, is_packed, write_pack
from keras_effnet.data.paper import PaperSet, check_sizes
from keras_effnet.data.splits import RawSplits
from keras_effnet.errors import DataError
from keras_effnet.extras import import_extra

PATIENCE = 5.0  # seconds to wait for a server; tfds itself would retry for minutes
PORTS = {"http": 80, "https": 443, "ftp": 21}


def read_tfds(
    name: str, data_dir: str | os.PathLike[str] | None, cache: Path, recipe: PaperSet | None = None
) -> RawSplits:
    """Loads a set of tensorflow-datasets, and downloads it first if necessary.

    Args:
        name: name of the set in tensorflow-datasets, such as "cifar10" or "cifar10_corrupted/brightness_1".
        data_dir: data folder of tensorflow-datasets; None uses its default, `~/tensorflow_datasets`.
        cache: folder for the packed images.
        recipe: the set's row of the paper's Table 6, which defines the splits and their sizes. None uses the splits
            train, validation and test, as far as they exist. Default: None.

    Returns:
        The splits.

    Raises:
        DataError: tensorflow-datasets is not installed, has no such set, or cannot download it; or the set has no
            images with labels, or other sizes than the recipe.
    """
    builder = _make_builder(name, data_dir)
    image, label = _features(builder)
    _prepare(builder)
    sizes = {split: info.num_examples for split, info in builder.info.splits.items()}
    names = tuple(builder.info.features[label].names)
    if recipe is not None:
        splits = {"train": recipe.train_split, "test": recipe.test_split}
        if sizes:  # mocks of tfds know none
            found = {part: sum(sizes.get(split, 0) for split in splits[part].split("+")) for part in splits}
            check_sizes(recipe, **found, classes=len(names))
    else:
        splits = {part: part for part in ("train", "validation", "test") if part in sizes}
        if "train" not in splits:
            raise DataError("a set must have a split named train.", received=f"{name!r} with {list(sizes)}")
    sources = {}
    for part, split in splits.items():
        path = cache / "packed" / "-".join((*builder.info.full_name.split("/"), split))
        total = sum(sizes.get(one, 0) for one in split.split("+")) or None
        if not is_packed(path, total):
            write_pack(path, _examples(builder, split, image, label), names, total)
        sources[part] = PackedImages(path)
    return RawSplits(**sources)


def _make_builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    tfds = import_extra("tensorflow_datasets", f"the set {name!r}")
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (ValueError, AttributeError, ImportError) as error:  # its DatasetNotFoundError is a ValueError
        # The message of tfds itself would list all of its some 450 names.
        plain, known = name.split("/")[0], tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(plain, known)
        why = "has no set of this name"
        if plain in known:
            why, near = "has this set, but not this configuration or version of it", []
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Look it up in its catalog."
        raise DataError(f"tensorflow-datasets {why}. {hint}", received=repr(name)) from error


def _features(builder: Any) -> tuple[str, str]:
    """The names of the features that are the image and its class."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    kinds = {name: type(feature) for name, feature in features.items()}
    # A set may also have other images and classes, such as masks and coarse classes.
    keys = builder.info.supervised_keys or tuple(kinds)
    images = [key for key in keys if kinds.get(key) is tfds.features.Image]
    labels = [key for key in keys if kinds.get(key) is tfds.features.ClassLabel]
    if len(images) != 1 or len(labels) != 1:
        raise DataError(
            "a set must have one image and one class per example.",
            received=f"{builder.name!r} with {', '.join(f'{name}: {kind.__name__}' for name, kind in kinds.items())}",
        )
    return images[0], labels[0]


def _prepare(builder: Any) -> None:
    if builder.is_prepared():
        return
    folder, urls = str(builder.data_dir), sorted(builder.url_infos)
    by_hand = bool(builder.MANUAL_DOWNLOAD_INSTRUCTIONS)  # the user must download it; if they did not, tfds says how
    if urls and not by_hand and not _is_reachable(urls[0]):
        raise DataError(
            f"{builder.name} is not in {folder!r}, and its download server does not answer: connect this machine to "
            "the network, or copy that folder from a machine where tensorflow-datasets has prepared it.",
            received=f"no answer from {urlsplit(urls[0]).hostname}",
        )
    try:
        builder.download_and_prepare()
    except Exception as error:  # downloads, archives and generators of examples may raise anything
        raise DataError(
            f"tensorflow-datasets cannot download or prepare {builder.name}: {str(error).splitlines()[0][:300]}. Try "
            f"again, or copy a prepared set to {folder!r}.",
            received=type(error).__name__,
        ) from error


def _is_reachable(url: str) -> bool:
    """Whether the server of a URL, or the proxy in front of it, accepts a connection within `PATIENCE` seconds."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy)
    answers: list[bool] = []

    def connect() -> None:
        port = parts.port or PORTS.get(parts.scheme, 443)
        with suppress(OSError), socket.create_connection((parts.hostname, port), timeout=PATIENCE):
            answers.append(True)

    # Resolving a host name has no timeout of its own.
    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(PATIENCE)
    return bool(answers)


def _examples(builder: Any, split: str, image: str, label: str) -> Iterator[tuple[bytes, int]]:
    import keras
    import tensorflow as tf
    import tensorflow_datasets as tfds

    if keras.backend.backend() != "tensorflow":
        with suppress(RuntimeError):  # TensorFlow is already initialised
            tf.config.set_visible_devices([], "GPU")  # or it would take the memory that the other backend needs
    decoders = tfds.decode.PartialDecoding({image: True, label: True}, {image: tfds.decode.SkipDecoding()})
    try:
        for example in tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False, decoders=decoders)):
            yield example[image], int(example[label])
    except tf.errors.OpError as error:
        raise DataError(
            f"the files of {builder.name} are broken: {error.message.splitlines()[0]}. Delete the folder and start "
            "again to download them again.",
            received=repr(str(builder.data_dir)),
        ) from error
