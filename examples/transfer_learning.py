"""Transfer learning by hand, with nothing but `model.fit`: letters first, then real digits with five labels a class.

Command: python examples/transfer_learning.py
Time: about 3 minutes on 2 cores.
Result: accuracy on 359 handwritten digits, learned from 50, with frozen features and then with all of them trained.

`keras-effnet transfer` compares this with training from scratch, over several draws of labels. This
file shows the steps.
"""

from dataclasses import replace

import keras

from keras_effnet import Coefficients, Preprocessing, build_model, load_data, scale_spec
from keras_effnet.data.batches import Batches
from keras_effnet.data.glyphs import render_letters
from keras_effnet.scaling import limit_stride

RESOLUTION = 32

keras.utils.set_random_seed(0)

# EfficientNet-B0 is for 224 px. At 32 px it needs fewer strides, and training within minutes needs a narrow network.
small = scale_spec("efficientnet_b0", coefficients=Coefficients(depth=0.2, width=0.4))
spec = replace(
    limit_stride(small, total_stride=8),
    resolution=RESOLUTION,
    preprocessing=Preprocessing(scale=1 / 127.5, offset=-1.0),  # inside the model: it takes pixels from 0 to 255
)

letters = render_letters(8_000, RESOLUTION)
model = build_model(spec, classes=len(letters.class_names), name="letters")
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
model.fit(letters.images, letters.labels, batch_size=64, epochs=4)

# The same features under a new classifier.
data = load_data("digits", labels_per_class=5)
few = Batches(data.train, resolution=RESOLUTION, batch_size=10, shuffle=True)
held_out = Batches(data.test or data.validation, resolution=RESOLUTION, batch_size=256)
features = keras.Model(model.input, model.get_layer("avg_pool").output)
scores = keras.layers.Dense(len(data.train.class_names), activation="softmax", name="digits")(features.output)
digits = keras.Model(model.input, scores, name="digits_model")


def fit_and_score(what: str, rate: float, epochs: int) -> None:
    """Trains on the few labels and prints the accuracy on the test digits."""
    optimizer = keras.optimizers.Adam(rate)
    digits.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    digits.fit(few, epochs=epochs, verbose=0)
    accuracy = digits.evaluate(held_out, verbose=0)[1]
    print(f"{what}: {accuracy:.3f} of {len(held_out.source):,} digits, learned from {len(few.source)}")


# First the new classifier alone: a frozen BatchNormalization also keeps its statistics.
features.trainable = False
fit_and_score("features frozen", rate=1e-2, epochs=30)

# Then everything, at a tenth of that rate. The statistics stay frozen: 10 images are too few to measure them.
features.trainable = True
for layer in digits.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.trainable = False
fit_and_score("all trained", rate=1e-3, epochs=30)
