"""Shuffled data: which digits does the network get wrong, and is the confusion matrix true?

A pipeline that shuffles gives another order in every pass. So predictions from one pass do not fit labels from the
next, and the accuracy computed from both is chance. `tt.check_alignment` says so; `tt.collect` reads label, prediction
and name of each sample in one pass. Run it by

    KERAS_BACKEND=tensorflow python examples/shuffled_data.py
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import truetap as tt


class ShuffledDigits(keras.utils.PyDataset):
    """Digits in batches, in another order in each pass."""

    def __init__(self, x, y, names):
        super().__init__()
        self.x, self.y, self.names = x, y, names
        self.random = np.random.default_rng(16)
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self.x) // 32)

    def rows(self, index):
        return self.order[index * 32 : index * 32 + 32]

    def __getitem__(self, index):
        rows = self.rows(index)
        return self.x[rows], self.y[rows]

    def batch_ids(self, index):
        """What the samples of a batch are called: truetap asks for this, Keras doesn't."""
        return self.names[self.rows(index)]

    def on_epoch_end(self):
        self.order = self.random.permutation(len(self.x))


keras.utils.set_random_seed(17)
pixels, digits = load_digits(return_X_y=True)
x, rows = (pixels / 16).astype("float32"), np.arange(len(digits))
train, test = (ShuffledDigits(x[part], digits[part], rows[part]) for part in (slice(1200), slice(1200, None)))

layers = [keras.layers.Dense(32, activation="relu", name="hidden"), keras.layers.Dense(10, activation="softmax")]
model = keras.Sequential([keras.Input((64,)), *layers])
model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(train, epochs=8, shuffle=False, verbose=0)
said = model.evaluate(test, verbose=0, return_dict=True)["accuracy"]
print(f"model.evaluate: {said:.1%} of 597 digits are right.")

print("\n--- the usual way: predictions from one pass, labels from another")
predicted = model.predict(test, verbose=0).argmax(axis=1)
true = np.concatenate([test[index][1] for index in range(len(test))])
print(f"{np.mean(predicted == true):.1%} are equal.")
alignment = tt.check_alignment(test)
print(alignment)
assert np.mean(predicted == true) < 0.3
assert not alignment

print("\n--- tt.collect: one pass")
samples = tt.collect(model, test, verbose=0)
right = samples.true_labels == samples.pred_labels
print(f"{right.mean():.1%} are right.")
assert np.isclose(right.mean(), said)
assert (samples.y_true == digits[samples.ids]).all()

print("\n--- samples.evaluate, of digits drawn with a thin and with a thick pen")
ink = x[samples.ids].mean(axis=1)
evaluation = samples.evaluate(by={"thin": ink < np.median(ink), "thick": ink >= np.median(ink)})
for name, part in evaluation.slices.items():
    print(f"{name:>5}: {part.metrics['accuracy']:.1%} of {part.num_samples} right")
print(evaluation.confusion.astype(int))

print("\n--- samples.hardest(5): rows of the data set to look at")
hardest = samples.hardest(5)
for name, label, guess, loss in zip(hardest.ids, hardest.true_labels, hardest.pred_labels, hardest.loss, strict=True):
    print(f"row {name}: a {label}, taken for a {guess}, loss {loss:.1f}")
assert (hardest.loss[0] == samples.loss).any()
