"""Images from Hugging Face `datasets`: written into a folder for `finetune`, and read where they lie by `model.fit`.

Command: python examples/hugging_face_datasets.py
Time: about 45 seconds on 2 cores.
Result: the number of images in the folder, the accuracy of `finetune` on images held out of it, and the accuracy of a
    model that `fit` has trained on the same data set without a folder: 200, 0.650 of
    20 images, 0.625 of 40. (One run; the last digits vary by machine.)

The data set is made here, of drawn flowers, so that nothing is downloaded. With `load_dataset("food101")` in its place
the rest is the same. Needs the library: pip install datasets
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import keras
import numpy as np
from draw_flowers import draw_folder

from keras_effnet import FinetuneJob, FinetuneOptions, Recipe, build_model, scale_spec
from keras_effnet.data.batches import Batches
from keras_effnet.data.source import Source
from keras_effnet.scaling import limit_stride

SIDE, IMAGES, EPOCHS = 32, 40, 12
# Small, with cells enough in an image of 32 px, and for pixels from 0 to 255.
SPEC = limit_stride(scale_spec("mobilenet_v3_small_minimalistic", phi=-6), 8)


class DatasetImages(Source):
    """A data set with a column of images and one of labels, as batches are made of it."""

    def __init__(self, dataset: Any, image: str = "image", label: str = "label") -> None:
        self.dataset, self.image = dataset, image
        self.labels = np.asarray(dataset[label], np.int32)
        self.class_names = tuple(dataset.features[label].names)

    def read(self, index: int, size: int | None = None) -> np.ndarray:
        return np.asarray(self.dataset[int(index)][self.image].convert("RGB"))

    def name_of(self, index: int) -> str:
        return f"row {index}"

    def fingerprint(self) -> str:
        return self.dataset._fingerprint

    def take(self, indices: Sequence[int] | np.ndarray) -> Source:
        return DatasetImages(self.dataset.select(indices), self.image)


def write_folder(dataset: Any, folder: Path, image: str = "image", label: str = "label") -> None:
    """Writes the images of a data set as they are, without decoding them, into a sub-folder for each class."""
    names = dataset.features[label].names
    for number, row in enumerate(dataset.cast_column(image, datasets.Image(decode=False))):
        place = folder / names[row[label]]
        place.mkdir(parents=True, exist_ok=True)
        suffix = Path(row[image]["path"] or "").suffix
        content = row[image]["bytes"] or Path(row[image]["path"]).read_bytes()
        (place / f"{number:06}{suffix}").write_bytes(content)


def finetuned(folder: Path, output: Path) -> float:
    """Accuracy of a small network on images that `finetune` held out; weights="imagenet" would start a large one."""
    # Random weights: all layers learn from the first epoch on, and the statistics with them.
    recipe = Recipe(head_epochs=0, epochs=EPOCHS, rate=0.05, batch_size=8, batchnorm="trained")
    options = FinetuneOptions(folder, SPEC, weights="random", resolution=SIDE, recipe=recipe)
    metrics: Any = FinetuneJob(options, output).run()
    return metrics["evaluation"]["accuracy"]


def fitted(train: Any, test: Any) -> float:
    """The same with `fit`: batches come straight from the data set."""
    model = build_model(SPEC, classes=5, input_shape=(SIDE, SIDE, 3))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # with Keras' 0.99 the statistics would not settle in so few steps
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    shape: dict[str, Any] = {"resolution": SIDE, "batch_size": 8}
    model.fit(Batches(DatasetImages(train), shuffle=True, **shape), epochs=EPOCHS, verbose=0)
    return model.evaluate(Batches(DatasetImages(test), **shape), verbose=0)[1]


def main() -> None:
    keras.utils.set_random_seed(0)
    with TemporaryDirectory() as name:
        here = Path(name)
        draw_folder(here / "drawn", IMAGES)
        every = datasets.load_dataset("imagefolder", data_dir=str(here / "drawn"), split="train", cache_dir=str(here))
        write_folder(every, here / "flowers")
        print(f"images in the folder: {sum(path.is_file() for path in (here / 'flowers').rglob('*'))}")
        print(f"finetune: {finetuned(here / 'flowers', here / 'run'):.3f}")
        halves = every.train_test_split(0.2, seed=0)
        print(f"fit: {fitted(halves['train'], halves['test']):.3f}")


if __name__ == "__main__":
    main()
