"""Transfer learning: is the frozen backbone really frozen, and what does fine-tuning move?

A backbone learns to tell the digits 0 to 4, and is then put below a new head for 5 to 9. Freezing its convolutions
looks like freezing it, and is not: the normalisation behind them goes on learning. The record of the weights says so.
Then the whole backbone is frozen, and at last fine-tuned. Run it by

    KERAS_BACKEND=tensorflow python examples/transfer_learning.py
"""

import time
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

import truetap as tt

RUNS = Path("runs") / time.strftime("transfer-%Y%m%d-%H%M%S")
layers = keras.layers


def new_backbone():
    """Two convolutions, normalised."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv_1"),
            layers.BatchNormalization(name="norm_1"),
            layers.ReLU(),
            layers.Conv2D(32, 3, padding="same", use_bias=False, name="conv_2"),
            layers.BatchNormalization(name="norm_2"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
        ],
        name="backbone",
    )


def train(name, model, rate, epochs):
    """Trains what is trainable; returns the record of the backbone's weights, each epoch, and of every update."""
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    taps = [tt.Outputs(), tt.Weights("backbone/*"), tt.Updates("*/kernel", reduce="ratio", every=5)]
    recorder = tt.Recorder(RUNS / name, taps)
    model.fit(*new_task, validation_data=held_out, epochs=epochs, verbose=0, callbacks=[recorder])
    return tt.open(RUNS / name)


def say_what_moved(run):
    """Prints how far each weight of the backbone is from the pretrained one; returns those that moved."""
    moved = []
    for path in run.weights.paths:
        now, then = run.weights(path).values[-1], pretrained[path]
        distance = np.linalg.norm(now - then) / np.linalg.norm(then)
        print(f"  {path:<32} {f'moved by {distance:.2%}' if distance else 'as it was'}")
        moved += [path] if distance else []
    return moved


keras.utils.set_random_seed(4)
pixels, digits = load_digits(return_X_y=True)
x = (pixels / 16).astype("float32").reshape(-1, 8, 8, 1)
low, high = digits < 5, digits >= 5
new_task = (x[high][:600], digits[high][:600] - 5)
held_out = (x[high][600:], digits[high][600:] - 5)

base = new_backbone()
teacher = keras.Sequential([base, layers.Dense(5, activation="softmax")])
teacher.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
teacher.fit(x[low], digits[low], epochs=8, verbose=0)
pretrained = {weight.path: keras.ops.convert_to_numpy(weight.value) for weight in base.weights}
weights = base.get_weights()
student = keras.Sequential([base, layers.Dense(5, activation="softmax", name="head")])

print("--- the convolutions are frozen, and the normalisation is forgotten")
for layer in base.layers:
    layer.trainable = not isinstance(layer, layers.Conv2D)
moved = say_what_moved(train("half-frozen", student, 0.01, epochs=4))
assert len(moved) == 8
assert all("norm" in path for path in moved)

print("\n--- the backbone is frozen")
base.set_weights(weights)
base.trainable = False
frozen = train("frozen", student, 0.01, epochs=4)
assert say_what_moved(frozen) == []

print("\n--- all of it is fine-tuned")
base.trainable = True
tuned = train("fine-tuned", student, 0.001, epochs=4)
assert len(say_what_moved(tuned)) == 10

print("\n--- run.updates: the change of a step over the weight, at first and at last")
for name, run in (("frozen", frozen), ("fine-tuned", tuned)):
    for path in run.updates.paths:
        ratio = run.updates(path).statistics["ratio"]
        print(f"  {name:>10}: {path:<24} {ratio[0]:.1e}  {ratio[-1]:.1e}")
assert frozen.updates.paths == ("head/kernel",)

accuracies = [run.samples("val", -1).evaluate().metrics["accuracy"] for run in (frozen, tuned)]
print(f"\nDigits held out: {accuracies[0]:.1%} are right with the frozen backbone, {accuracies[1]:.1%} fine-tuned.")
