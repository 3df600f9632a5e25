"""Labels and weights: what is asked for, and how much each sample counts."""

import keras
import numpy as np
from keras import layers
from keras.optimizers import Adam

from rule_trainings.made import amounts, blobs, yes_no

__all__ = [
    "class_imbalance",
    "conflicting_duplicates",
    "inverted_class_weights",
    "label_encoding",
    "labels_out_of_range",
    "labels_scaled",
    "misaligned_labels",
    "noisy_labels",
    "weights_are_labels",
    "zero_sample_weights",
]


def dense(features, units, activation, loss, rate=0.02):
    """A hidden layer and an output, compiled."""
    keras.utils.set_random_seed(3)
    hidden = layers.Dense(16, activation="relu", name="hidden")
    model = keras.Sequential([keras.Input((features,)), hidden, layers.Dense(units, activation=activation)])
    model.compile(Adam(rate), loss)
    return model


def label_encoding(mended):
    x, y = yes_no()
    y = y if mended else 2 * y - 1  # -1 and 1
    return dense(4, 1, "sigmoid", "binary_crossentropy"), (x, y), {"epochs": 6, "batch_size": 24}


def labels_out_of_range(mended):
    x, y = yes_no()
    y = y if mended else y + 1  # 1 and 2
    return dense(4, 1, "sigmoid", "binary_crossentropy"), (x, y), {"epochs": 6, "batch_size": 24}


def labels_scaled(mended):
    x, y = yes_no()
    y = y if mended else y / 255  # scaled as the pixels were
    return dense(4, 1, "sigmoid", "binary_crossentropy"), (x, y), {"epochs": 6, "batch_size": 24}


def misaligned_labels(mended):
    x, y = blobs()
    y = y if mended else np.random.default_rng(1).permutation(y)  # shuffled without the inputs
    options = {"epochs": 5, "batch_size": 24, "validation_data": blobs(120, seed=1)}
    return dense(6, 4, "softmax", "sparse_categorical_crossentropy"), (x, y), options


def conflicting_duplicates(mended):
    x, y = blobs(300)
    if not mended:  # thirty samples stand there twice, with two labels
        x, y = np.concatenate([x, x[:30]]), np.concatenate([y, (y[:30] + 1) % 4])
    return dense(6, 4, "softmax", "sparse_categorical_crossentropy"), (x, y), {"epochs": 5, "batch_size": 30}


def noisy_labels(mended):
    x, y = blobs(1200)
    rng = np.random.default_rng(1)
    wrong = rng.random(1200) < (0.0 if mended else 0.3)
    y = np.where(wrong, rng.integers(0, 4, 1200), y)
    return dense(6, 4, "softmax", "sparse_categorical_crossentropy"), (x, y), {"epochs": 4, "batch_size": 40}


def rare(rows=1200):
    """Three features and three classes, of which the last is one row in 25 and overlaps with the second."""
    rng = np.random.default_rng(3)
    y = rng.choice(3, rows, p=[0.48, 0.48, 0.04])
    x = rng.normal(size=(rows, 3)) + np.array([[-3, 0, 0], [1, 0, 0], [1, 1.4, 0]])[y]
    return x.astype("float32"), y


BALANCED = {0: 0.69, 1: 0.69, 2: 8.3}


def class_imbalance(mended):
    weight = BALANCED if mended else None
    model = dense(3, 3, "softmax", "sparse_categorical_crossentropy")
    return model, rare(), {"epochs": 5, "batch_size": 60, "class_weight": weight}


def inverted_class_weights(mended):
    weight = BALANCED if mended else {0: 1.44, 1: 1.44, 2: 0.12}  # rises with the share of the class
    model = dense(3, 3, "softmax", "sparse_categorical_crossentropy")
    return model, rare(), {"epochs": 5, "batch_size": 60, "class_weight": weight}


def weights_are_labels(mended):
    x, y = amounts()
    kind = (np.arange(240) % 4).astype("float32")  # labels of something else, in the place of the weights
    weight = np.random.default_rng(1).uniform(0.5, 1.5, 240) if mended else kind
    return dense(4, 1, None, "mse"), (x, y), {"epochs": 6, "batch_size": 24, "sample_weight": weight}


def zero_sample_weights(mended):
    x, y = blobs()
    days = np.linspace(0, 365, 240)
    weight = np.exp(-days / (365 if mended else 1))  # what is old is to count less, and counts nothing
    options = {"epochs": 5, "batch_size": 24, "sample_weight": weight}
    return dense(6, 4, "softmax", "sparse_categorical_crossentropy"), (x, y), options
