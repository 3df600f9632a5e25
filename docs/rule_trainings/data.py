"""The data: what comes in, in which order, and what is held out."""

import keras
import numpy as np
from keras import layers
from keras.optimizers import Adam

from rule_trainings.made import blobs, sentences

__all__ = [
    "axes_scrambled",
    "constant_features",
    "epochs_differ",
    "nan_in_data",
    "not_shuffled",
    "padding_counted",
    "train_validation_overlap",
    "unscaled_inputs",
    "validation_preprocessed_differently",
]


def classifier(*shape, hidden=16, rate=0.02, units=4):
    """A hidden layer before a softmax, compiled."""
    keras.utils.set_random_seed(3)
    parts = [keras.Input(shape), layers.Flatten(), layers.Dense(hidden, activation="relu", name="hidden")]
    model = keras.Sequential([*parts, layers.Dense(units, activation="softmax")])
    model.compile(Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def nan_in_data(mended):
    x, y = blobs()
    x[::20, 2] = np.nan  # a feature that is sometimes unknown
    if mended:
        x[:, 2] = np.nan_to_num(x[:, 2], nan=np.nanmean(x[:, 2]))
    return classifier(6), (x, y), {"epochs": 5, "batch_size": 24}


def constant_features(mended):
    pixels, y = blobs()
    pixels = (pixels - pixels.min()) / np.ptp(pixels) * 255
    x = pixels / 256 if mended else (pixels / 256).astype("uint8")  # whole numbers once more: nothing is left
    return classifier(6, rate=0.05), (x, y), {"epochs": 8, "batch_size": 24}


def unscaled_inputs(mended):
    x, y = blobs()
    x = x * 500 + 100
    if mended:
        x = (x - x.mean(axis=0)) / x.std(axis=0)
    return classifier(6), (x, y), {"epochs": 5, "batch_size": 24}


def pictures(rows=240, seed=0):
    """Blobs of light in three colours, colours last: (rows, 8, 8, 3), and whether they are in the lower half."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(1.5, 5.5, (rows, 2, 1, 1))
    light = np.exp(-((np.mgrid[:8, :8] - centre) ** 2).sum(axis=1) / 6)[..., None]
    colours = light * rng.uniform(0.5, 1, (rows, 1, 1, 3))
    return colours.astype("float32"), (centre[:, 0, 0, 0] > 3.5).astype("int64")


def axes_scrambled(mended):
    images, y = pictures()
    colours_first = images.transpose(0, 3, 1, 2)  # as some files have them
    x = colours_first.transpose(0, 2, 3, 1) if mended else colours_first.reshape(-1, 8, 8, 3)
    return classifier(8, 8, 3, units=2), (x, y), {"epochs": 6, "batch_size": 24}


def not_shuffled(mended):
    x, y = blobs(320)
    order = np.argsort(y, kind="stable")  # read folder by folder
    options = {"epochs": 5, "batch_size": 20, "shuffle": mended}
    return classifier(6), (x[order], y[order]), options


def padding_counted(mended):
    keras.utils.set_random_seed(3)
    words, tags = sentences()
    hidden = layers.Embedding(20, 6, mask_zero=mended, name="embedding")
    last = layers.Dense(3, activation="softmax", name="tag")
    model = keras.Sequential([keras.Input((10,), dtype="int32"), hidden, last])
    model.compile(Adam(0.05), "sparse_categorical_crossentropy")
    return model, (words, tags), {"epochs": 5, "batch_size": 24}


def validation_preprocessed_differently(mended):
    x, y = blobs()
    held_out, held_out_y = blobs(120, seed=1)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    held_out = (held_out - mean) / deviation if mended else held_out + 3  # the scaling is forgotten
    data = (x - mean) / deviation, y
    return classifier(6), data, {"epochs": 6, "batch_size": 24, "validation_data": (held_out, held_out_y)}


def train_validation_overlap(mended):
    x, y = blobs(spread=0.5)
    other, other_y = blobs(120, spread=0.5, seed=1)
    seen = 0 if mended else 60  # rows that stand in both
    held_out = np.concatenate([x[:seen], other[seen:]]), np.concatenate([y[:seen], other_y[seen:]])
    return classifier(6), (x, y), {"epochs": 5, "batch_size": 24, "validation_data": held_out}


def epochs_differ(mended):
    x, y = blobs()

    def batches():
        for batch in range(30 if mended else 13):  # 13: ends in the second epoch
            start = 24 * (batch % 10)
            yield x[start : start + 24], y[start : start + 24]

    return classifier(6), (batches(), None), {"epochs": 3, "steps_per_epoch": 10}
