"""Text classification: how good is it on text that it has not seen?

Sentences from the documentation of three libraries, split at random into training and validation. Documentation repeats
itself, so much of validation was trained on, and the accuracy that `fit` reports is too good. Every recorded sample has
a fingerprint of its input: `run.overlap` finds what is in both, and `evaluate(by=)` tells the accuracy of both kinds.
Run it by

    KERAS_BACKEND=jax python examples/text_classification.py
"""

import re
import time
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import scipy.signal
import scipy.stats

import truetap as tt

RUN = Path("runs") / time.strftime("text-%Y%m%d-%H%M%S")
LIBRARIES = {"numpy": [np, np.linalg, np.fft], "scipy": [scipy.stats, scipy.signal], "keras": [keras.ops, keras.layers]}
WORDS, LENGTH = 3000, 20


def sentences(modules):
    """1,500 sentences of docstrings, words in small letters."""
    documented = [thing for module in modules for thing in vars(module).values() if callable(thing)]
    text = "\n\n".join(thing.__doc__ or "" for thing in documented)
    found = [re.findall(r"[a-z]+", each.lower()) for each in re.split(r"[.:]\s|\n\s*\n", text)]
    found = [" ".join(words) for words in found if len(words) >= 5]
    return np.random.default_rng(13).choice(found, 1500, replace=False).tolist()


def encoded(texts):
    """Numbers of words by frequency, from 2; 1 for rare words, 0 for padding; shape (n, LENGTH)."""
    counted = Counter(word for text in texts for word in text.split())
    number = {word: at for at, (word, _) in enumerate(counted.most_common(WORDS - 2), 2)}
    tokens = np.zeros((len(texts), LENGTH), "int32")
    for row, text in zip(tokens, texts, strict=True):
        words = text.split()[:LENGTH]
        row[: len(words)] = [number.get(word, 1) for word in words]
    return tokens


by_library = [sentences(modules) for modules in LIBRARIES.values()]
texts = np.array([text for each in by_library for text in each])
x, y = encoded(texts), np.repeat(np.arange(3), 1500)
mixed = np.random.default_rng(14).permutation(len(x))
train, val = mixed[:3500], mixed[3500:]

keras.utils.set_random_seed(15)
layers = [
    keras.layers.Embedding(WORDS, 32, mask_zero=True),
    keras.layers.GlobalAveragePooling1D(),
    keras.layers.Dropout(0.3),
    keras.layers.Dense(3, activation="softmax"),
]
model = keras.Sequential([keras.Input((LENGTH,), dtype="int32"), *layers])
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
options = {"epochs": 5, "verbose": 0, "callbacks": [tt.Recorder(RUN)]}
history = model.fit(x[train], y[train], validation_data=(x[val], y[val]), **options).history
print(f"fit says: {history['val_accuracy'][-1]:.1%} of {len(val):,} sentences held out are right.")

run = tt.open(RUN)
print("\n--- run.identify: which sentence a recorded sample is")
print(run.identify((x, y), ids=[f"{text[:60]} ({row})" for row, text in enumerate(texts)]))

print("\n--- run.overlap: sentences of training and of validation that are the same to the model")
both = run.overlap("train", "val")
print(both.select(["sample_id", "train", "val"]).slice(0, 5).to_pandas().to_string(index=False))
conflicts = sum(both["conflicting"].to_pylist())
print(f"{len(both)} in all; {conflicts} of them come from two libraries, and can't be right for both.")

samples = run.samples("val", -1)
seen = np.isin(samples.fingerprints, both["fingerprint"])
trained_on = {row.tobytes() for row in x[train]}
assert seen.sum() == sum(row.tobytes() in trained_on for row in x[val])

print("\n--- samples.evaluate: the accuracy of both kinds")
parts = samples.evaluate(by={"trained on": seen, "new": ~seen}).slices
for name, part in parts.items():
    print(f"{name:>10}: {part.num_samples:>4} sentences, {part.metrics['accuracy']:.1%} right")
assert parts["new"].metrics["accuracy"] < history["val_accuracy"][-1] - 0.02
