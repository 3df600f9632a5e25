"""A loop of one's own in TensorFlow: why doesn't it learn what `fit` learns, and what happens in its steps?

A squared error written by hand takes labels of shape (n,) and outputs of shape (n, 1), and compares every label with
every output: the loop trains, and learns the mean. `tt.compare_with_fit` runs one step of both and says so. The mended
loop, compiled by `tf.function`, is recorded like a `fit`: every sample, and the gradients. Run it by

    KERAS_BACKEND=tensorflow python examples/custom_loop_tensorflow.py
"""

import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_diabetes

import truetap as tt

RUN = Path("runs") / time.strftime("loop-tensorflow-%Y%m%d-%H%M%S")


def network():
    """A small regression."""
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(16, activation="relu", name="hidden"), keras.layers.Dense(1, name="progress")]
    model = keras.Sequential([keras.Input((10,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


x, y = load_diabetes(return_X_y=True)
x, y = (x / x.std(axis=0)).astype("float32"), ((y - y.mean()) / y.std()).astype("float32")
model = network()


def careless(x, y):
    """A step with the mistake."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(y - model(x, training=True)))
    variables = model.trainable_variables
    model.optimizer.apply(tape.gradient(loss, variables), variables)
    return loss


print("--- tt.compare_with_fit, of the loop as it was written")
agreement = tt.compare_with_fit(model, careless, (x[:32], y[:32]))
print(agreement)
assert [finding.rule for finding in agreement.findings] == ["broadcast"]

recorder = tt.Recorder(RUN, [tt.Outputs(), tt.Gradients("*kernel", reduce="norm")])


@tf.function
def train(x, y):
    """A step that is right, and recorded."""
    with recorder.step(model) as step:
        with tf.GradientTape() as tape:
            losses = tf.square(y - model(x, training=True)[:, 0])
            loss = tf.reduce_mean(losses)
        variables = model.trainable_variables
        model.optimizer.apply(tape.gradient(loss, variables), variables)
        step.log(y_true=y[:, None], loss=losses, total_loss=loss)
    return loss


print("\n--- recorded, with the shapes mended")
batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=1).batch(32)
returned = []
with recorder:
    for _ in range(5):
        returned += [float(train(*batch)) for batch in batches]
        recorder.begin_epoch()

run = tt.open(RUN)
run.identify((x, y))
print(run.sql("select epoch, count(distinct sample_id), avg(loss) from samples group by epoch order by epoch"))
for path in run.gradients.paths:
    norm = run.gradients(path).statistics["norm"]
    print(f"gradient of {path}: {norm[0]:.3f} in the first step, {norm[-1]:.3f} in the last")
print("\nThe patient who was hardest, in each epoch:")
print(run.history(run.hardest(1)["sample_id"][0].as_py()).select(["epoch", "loss", "y_true", "y_pred"]).to_pandas())

recorded = run.sql("select avg(loss) from samples group by step order by step").fetchall()
assert np.allclose(np.ravel(recorded), returned, rtol=1e-4)
print(f"\nThe mean of the recorded losses is what the loop returned, in each of its {len(returned)} steps.")
