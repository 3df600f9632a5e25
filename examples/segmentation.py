"""Segmentation: nearly all pixels are right; are the scratches found, and which masks are misfiled?

Pictures of plates with thin scratches: one pixel in thirty is a scratch. Twelve masks are filed under another picture.
`tt.EpochMetric` measures what is found in whole epochs, from what the steps computed, for `EarlyStopping` to watch.
`tt.losses.ClassWeighted` weighs each pixel by its class, which `fit(class_weight=)` refuses for pictures. And
`run.hardest` ranks the pictures by their loss over all epochs: misfiled masks stand first. Run it by

    KERAS_BACKEND=jax python examples/segmentation.py
"""

import time
from pathlib import Path

import keras
import numpy as np

import truetap as tt

RUNS = Path("runs") / time.strftime("segmentation-%Y%m%d-%H%M%S")
SIZE, TRAINED, MISFILED = 24, 240, 12


def plates(count):
    """Noisy pictures with two scratches each, and the pixels of these."""
    random = np.random.default_rng(8)
    masks = np.zeros((count, SIZE, SIZE), "int32")
    along = np.linspace(0, 1, SIZE)
    for mask in masks:
        for _ in range(2):
            (y0, x0), (y1, x1) = random.uniform(2, SIZE - 2, (2, 2))
            mask[(y0 + (y1 - y0) * along).astype(int), (x0 + (x1 - x0) * along).astype(int)] = 1
    pictures = 0.25 * masks + random.normal(0.3, 0.15, masks.shape)
    return pictures[..., None].astype("float32"), masks


def network(loss):
    """Three convolutions; scores of both classes for each pixel."""
    keras.utils.set_random_seed(9)
    layers = [keras.layers.Conv2D(12, 3, padding="same", activation="relu") for _ in range(2)]
    last = keras.layers.Conv2D(2, 3, padding="same")
    model = keras.Sequential([keras.Input((SIZE, SIZE, 1)), *layers, last])
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def scratches(y_true, y_pred):
    """The share of scratched pixels that is found, and the pixels that are a scratch and found over those either."""
    true, said = y_true == 1, y_pred == 1
    return {"found": np.mean(said[true]), "overlap": np.sum(true & said) / np.sum(true | said)}


def train(name, loss):
    """Trains until no more scratches are found on held-out pictures; returns the run."""
    callbacks = [
        tt.Recorder(RUNS / name),
        tt.EpochMetric(scratches, of="labels"),
        keras.callbacks.EarlyStopping("val_found", mode="max", patience=3),
    ]
    held_out = (x[TRAINED:], y[TRAINED:])
    network(loss).fit(
        x[:TRAINED], y[:TRAINED], validation_data=held_out, epochs=8, batch_size=16, verbose=0, callbacks=callbacks
    )
    run = tt.open(RUNS / name)
    last = run.epochs().to_pylist()[-1]
    print(f"{name:>8}: {last['val_accuracy']:.1%} of pixels right, {last['val_found']:.1%} of scratched ones found")
    return run, last["val_found"]


x, y = plates(TRAINED + 60)
misfiled = np.random.default_rng(10).choice(TRAINED, MISFILED, replace=False)
y[misfiled] = y[np.roll(misfiled, 1)]

print("--- on 60 held-out pictures, after the last epoch")
crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
_, before = train("plain", crossentropy)
run, after = train("weighted", tt.losses.ClassWeighted(crossentropy, {0: 1.0, 1: 8.0}))
assert after > before + 0.2

samples = run.samples("val", -1)
assert np.isclose(after, scratches(samples.y_true, samples.y_pred.argmax(axis=-1))["found"])

print("\n--- run.hardest: pictures with the highest loss over all epochs")
run.identify((x, y))
hardest = run.hardest(MISFILED)
print(hardest.slice(0, 5).to_pandas().to_string(index=False))
found = np.isin(hardest["sample_id"], misfiled).sum()
print(f"\nOf {MISFILED} misfiled masks {found} are among the first {MISFILED} of {TRAINED}.")
assert found >= 10
