"""Regression on a table: why does it learn so little, and did the repair help?

One column of the table is in another unit than the others. `tt.lint` says so before training, and which column it is.
Two trainings are recorded, with the column as it is and scaled, and `run.compare` says what that changed: with
intervals that tell a difference from chance, and the patients whose loss changed most. Run it by

    KERAS_BACKEND=jax python examples/tabular_regression.py
"""

import time
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_diabetes

import truetap as tt

RUNS = Path("runs") / time.strftime("tabular-%Y%m%d-%H%M%S")
COLUMN = 3  # blood pressure, in pascal


def patients():
    """Ten measurements of 442 patients, and how far their diabetes went within a year; one column unscaled."""
    x, y = load_diabetes(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(x))
    x, y = x[rows] / x.std(axis=0), (y[rows] - y.mean()) / y.std()
    x[:, COLUMN] = 12_600 + 1_800 * x[:, COLUMN]
    return x.astype("float32"), y.astype("float32")


def network():
    """One hidden layer."""
    keras.utils.set_random_seed(1)
    hidden, last = keras.layers.Dense(32, activation="relu", name="hidden"), keras.layers.Dense(1, name="progress")
    model = keras.Sequential([keras.Input((10,)), hidden, last])
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return model


def train(name, x, y):
    """Trains on 300 patients, validates on the others, and records both; returns the run."""
    path = RUNS / name
    validation = (x[300:], y[300:])
    options = {"epochs": 20, "batch_size": 16, "verbose": 0, "callbacks": [tt.Recorder(path)]}
    network().fit(x[:300], y[:300], validation_data=validation, **options)
    run = tt.open(path)
    run.identify((x, y))  # by the inputs that it saw, a sample is named by its row
    return run


x, y = patients()
print("--- tt.lint, before training")
report = tt.lint(network(), (x[:300], y[:300]))
print(report)
(found,) = report.wrong
named = int(found.numbers["feature"])
assert (found.rule, named) == ("unscaled_inputs", COLUMN)

scaled = x.copy()
scaled[:, named] = (x[:, named] - x[:300, named].mean()) / x[:300, named].std()
assert tt.lint(network(), (scaled[:300], y[:300])).ok
print(f"\nWith column {named} scaled, tt.lint finds nothing.")

print("\n--- run.compare: what the repair changed on the same 142 patients")
before, after = train("unscaled", x, y), train("scaled", scaled, y)
comparison = before.compare(after)
print(comparison)

errors = [np.sqrt(np.mean(run.samples("val", -1).residual ** 2)) for run in (before, after)]
(rmse,) = (row for row in comparison.metrics.to_pylist() if row["metric"] == "rmse")
assert comparison.matched == 142
assert np.allclose([rmse["here"], rmse["there"]], errors, rtol=1e-5)
assert rmse["better"] == "there"
print(f"\nThe error on patients not trained on fell from {errors[0]:.2f} to {errors[1]:.2f} standard deviations.")
