"""A loss of one's own: is it right, and what does it compute inside?

A network forecasts a value and how uncertain it is, by a loss written by hand. The first version subtracts labels of
shape (n,) from outputs of shape (n, 1): it trains without an error, on every pair of samples. `tt.check_loss` says so
before. In the second, `tt.tap` lets the uncertainty of each sample out of the compiled loss, and the record shows
whether it is that which was put into the data. Run it by

    KERAS_BACKEND=torch python examples/custom_loss.py
"""

import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

import truetap as tt

RUN = Path("runs") / time.strftime("custom-loss-%Y%m%d-%H%M%S")


class Broken(keras.losses.Loss):
    """The negative log-likelihood of a normal distribution, with a mistake."""

    def call(self, y_true, y_pred):
        mean, log_deviation = y_pred[:, :1], y_pred[:, 1:]
        return ops.mean(log_deviation + 0.5 * ((y_true - mean) / ops.exp(log_deviation)) ** 2)


def likelihood(y_true, y_pred):
    """The same for each sample; labels of shape (n, 1)."""
    mean, log_deviation = y_pred[:, 0], tt.tap(y_pred[:, 1], "log_deviation")
    return log_deviation + 0.5 * ((y_true[:, 0] - mean) / ops.exp(log_deviation)) ** 2


random = np.random.default_rng(11)
x = random.uniform(-1, 1, (2000, 1)).astype("float32")
deviation = np.where(x < 0, 0.05, 0.4)  # the left half is measured well
y = (np.sin(3 * x) + random.normal(0, deviation)).astype("float32")

sketched = random.normal(size=(32, 2)).astype("float32")  # outputs, of no model yet
print("--- tt.check_loss of the first version")
report = tt.check_loss(Broken(), y[:32, 0], sketched)
print(report)
assert [each.rule for each in report.wrong] == ["implicit_broadcast"]

print("\n--- tt.check_loss of the second")
report = tt.check_loss(likelihood, y[:32], sketched)
print(report)
assert report.ok

keras.utils.set_random_seed(12)
layers = [keras.layers.Dense(32, activation="relu"), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(2)]
model = keras.Sequential([keras.Input((1,)), *layers])
model.compile(keras.optimizers.Adam(0.01), likelihood)
model.fit(x, y, epochs=12, batch_size=50, verbose=0, callbacks=[tt.Recorder(RUN)])

print("\n--- run.tapped: what the loss computed, by sample")
run = tt.open(RUN)
run.identify((x, y))
tapped = run.tapped("log_deviation", epoch=-1)
print(tapped)
left = x[tapped.ids, 0] < 0
told = np.exp(tapped.values)
for name, part, truth in (("left", left, 0.05), ("right", ~left, 0.4)):
    print(f"{name:>5} half: the data vary by {truth}, the loss worked with {np.median(told[part]):.3f}")
    assert abs(np.median(told[part]) / truth - 1) < 0.5

samples = run.samples(epoch=-1)
residual, log_deviation = samples.y_true[:, 0] - samples.y_pred[:, 0], samples.y_pred[:, 1]
by_hand = log_deviation + 0.5 * (residual / np.exp(log_deviation)) ** 2
assert np.allclose(samples.loss, by_hand, rtol=1e-3, atol=1e-3)
print(f"\nThe recorded loss of all {len(samples):,} samples is what the formula gives for the recorded outputs.")
