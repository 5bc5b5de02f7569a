"""The eight data sets that EfficientNet was moved to: what they are, and a head trained on one of them.

Command: python examples/paper_sets.py                             lists them
         python examples/paper_sets.py oxford_flowers102           fetches one, if need be, and trains on it
         python examples/paper_sets.py aircraft --data-dir DIR     one that must be fetched by hand
         python examples/paper_sets.py food101 --mock              a dry run with random images and no network
Time: of a dry run about 30 seconds on 2 cores.
Result: the sizes of its parts, and the accuracy on its test part. `keras-effnet finetune oxford_flowers102` does what
    this leaves out: it trains the whole network after its head, with the recipe of the paper's transfer setting.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import keras

from keras_effnet import build_model
from keras_effnet.data.augment import Augmentation
from keras_effnet.data.batches import Batches
from keras_effnet.data.paper import PAPER_SETS
from keras_effnet.data.sets import load_data

MOCKED = 256  # images of a dry run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", nargs="?", choices=PAPER_SETS, help="without one: lists them all")
    parser.add_argument("--data-dir", help="tensorflow-datasets' folder, or the one with an unpacked archive")
    parser.add_argument("--mock", action="store_true", help="random images in place of the real ones, smaller ones")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    if arguments.name is None:
        list_sets()
        return
    if arguments.mock and PAPER_SETS[arguments.name].tfds is None:
        parser.error(f"{arguments.name} does not come from tensorflow-datasets, which has the mocks")
    with ExitStack() as stack:
        cache = None
        if arguments.mock:
            import tensorflow_datasets as tfds

            cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(tfds.testing.mock_data(num_examples=MOCKED))
            stack.enter_context(mock.patch("socket.create_connection"))  # the server of the set "answers"
        train(arguments, cache)


def list_sets() -> None:
    """Table 6 of the paper, and where the images come from."""
    print(f"{'name':<19}{'':<18}{'train':>7}{'test':>8}{'classes':>9}  from")
    for name, recipe in PAPER_SETS.items():
        source = f"tensorflow-datasets, {recipe.tfds}" if recipe.tfds else "an archive in --data-dir"
        print(f"{name:<19}{recipe.title:<18}{recipe.train:>7,}{recipe.test:>8,}{recipe.classes:>9}  {source}")


def train(arguments: argparse.Namespace, cache: Path | None) -> None:
    """Trains a new classifier on frozen features, and tests it."""
    splits = load_data(arguments.name, data_dir=arguments.data_dir, cache=cache)
    parts = {"train on": splits.train, "choose by": splits.validation, "test on": splits.test}
    counts = ", ".join(f"{len(part):,} to {use}" for use, part in parts.items() if part is not None)
    print(f"{splits.name}: {counts}; {len(splits.train.class_names)} classes, {len(splits.skipped)} images skipped")

    side = 64 if arguments.mock else 224
    weights = None if arguments.mock else "imagenet"
    backbone = build_model(
        "efficientnet_b0", include_top=False, pooling="avg", input_shape=(side, side, 3), weights=weights
    )
    backbone.trainable = False
    inputs = keras.Input((side, side, 3))
    classifier = keras.layers.Dense(len(splits.train.class_names), activation="softmax")
    model = keras.Model(inputs, classifier(backbone(inputs, training=False)))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)

    sizes = {"resolution": side, "batch_size": arguments.batch_size}
    augmentation = Augmentation(crop=0.5, flip=True)
    batches = Batches(splits.train, shuffle=True, augmentation=augmentation, **sizes)
    model.fit(batches, validation_data=Batches(splits.validation, **sizes), epochs=arguments.epochs)
    if splits.test is not None:  # as each of the eight has one
        scores = model.evaluate(Batches(splits.test, **sizes), return_dict=True)
        print(f"accuracy on the test part: {scores['accuracy']:.3f}")


if __name__ == "__main__":
    main()
