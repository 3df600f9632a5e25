"""Two outputs, one of which does not learn: is it the model or the labels?

A network tells the class of a digit and how much ink it has. The ink comes from a file that is one row ahead, as when a
header line was counted as a row. `fit` shows a loss that stays high; `run.diagnose` reads in the record of a short
training which labels don't belong to their inputs, and by how many rows they are off. With these moved, it finds
nothing, and each output is evaluated by what fits it. Run it by

    KERAS_BACKEND=torch python examples/multi_output.py
"""

import time
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

import truetap as tt

RUNS = Path("runs") / time.strftime("multi-output-%Y%m%d-%H%M%S")


def network():
    """Two heads on one hidden layer."""
    keras.utils.set_random_seed(2)
    pixels = keras.Input((64,), name="pixels")
    hidden = keras.layers.Dense(64, activation="relu", name="hidden")(pixels)
    digit = keras.layers.Dense(10, activation="softmax", name="digit")(hidden)
    ink = keras.layers.Dense(1, name="ink")(hidden)
    model = keras.Model(pixels, {"digit": digit, "ink": ink})
    model.compile(keras.optimizers.Adam(0.004), {"digit": "sparse_categorical_crossentropy", "ink": "mse"})
    return model


def train(name, x, y):
    """Ten epochs on 1,500 digits, validated on the others, with all that the rules need recorded."""
    parts = (slice(1500), slice(1500, None))
    train, val = [(x[part], {output: labels[part] for output, labels in y.items()}) for part in parts]
    recorder = tt.Recorder(RUNS / name, taps="diagnose")
    network().fit(*train, validation_data=val, epochs=10, verbose=0, callbacks=[recorder])
    return tt.open(RUNS / name)


pixels, digits = load_digits(return_X_y=True)
x = (pixels / 16).astype("float32")
ink = x.sum(axis=1, keepdims=True)
ink = (ink - ink.mean()) / ink.std()
mistaken = np.roll(ink, -1, axis=0)  # each row has the ink of the next

print("--- run.diagnose(), with the labels as they were read")
report = train("as-read", x, {"digit": digits, "ink": mistaken}).diagnose()
print(report)
found = report.findings[0]
assert (found.rule, found.output, found.numbers["lag"]) == ("misaligned_labels", "ink", -1)

y = {"digit": digits, "ink": np.roll(mistaken, -int(found.numbers["lag"]), axis=0)}
run = train("moved", x, y)
print(f"\n--- with the labels of {found.output!r} moved by a row")
print(run.diagnose())
assert run.diagnose().ok

print("\n--- what each output says of the 297 validation digits, after the last epoch")
run.identify((x, y))
samples = run.samples("val", -1)
evaluations = samples.evaluate()
accuracy, error = evaluations["digit"].metrics["accuracy"], evaluations["ink"].metrics["rmse"]
worst = min(evaluations["digit"].per_class, key=lambda each: each.f1)
print(f"digit: accuracy {accuracy:.1%}; worst is {worst.index}, of which {worst.recall:.0%} are found")
print(f"ink: off by {error:.2f} standard deviations (root mean square)")

print("\n--- run.sql: digits that are told right, and their ink is not")
query = """
    select sample_id, "y_true/digit" as digit, "loss/digit" as digit_loss, "loss/ink" as ink_loss
    from samples where phase = 'val' and epoch = 9 and "loss/digit" < 0.1
    order by ink_loss desc limit 5
"""
print(run.sql(query).df().to_string(index=False))

assert accuracy == np.mean(samples["digit"].pred_labels == digits[samples.ids]) > 0.85
assert np.isclose(error, np.sqrt(np.mean((samples["ink"].y_pred - ink[samples.ids]) ** 2)))
assert error < 0.5
