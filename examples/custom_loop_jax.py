"""A loop of one's own in JAX: does it train what `fit` trains, and what happens in its steps?

The loop is stateless, as JAX wants it, and forgets the penalty on large weights that `fit` adds to the loss.
`tt.compare_with_fit` runs one step of both and says so. The mended loop, compiled by `jax.jit`, is recorded like a
`fit`: every sample, and the gradients. Run it by

    KERAS_BACKEND=jax python examples/custom_loop_jax.py
"""

import time
from pathlib import Path

import jax
import keras
import numpy as np
from sklearn.datasets import load_digits

import truetap as tt

RUN = Path("runs") / time.strftime("loop-jax-%Y%m%d-%H%M%S")
BATCH = 64


def network():
    """Small, with a penalty and dropout."""
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Dense(32, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01), name="hidden"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(10, activation="softmax", name="digit"),
    ]
    model = keras.Sequential([keras.Input((64,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    return model


def losses_of(trainable, others, x, y):
    """The loss of each sample, the penalties, and what the forward pass changed (the seed of dropout)."""
    y_pred, others, penalties = model.stateless_call(trainable, others, x, training=True, return_losses=True)
    return keras.losses.sparse_categorical_crossentropy(y, y_pred), penalties, others


def careless(state, batch):
    """A step with the mistake."""
    trainable, others, optimizer = state

    def loss(trainable):
        losses, _, new = losses_of(trainable, others, *batch)
        return losses.mean(), new

    (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
    trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
    return value, (trainable, others, optimizer)


@jax.jit
def train(state, x, y):
    """A step that is right, and recorded."""
    with recorder.step(model) as step:
        trainable, others, optimizer = state

        def loss(trainable):
            losses, penalties, new = losses_of(trainable, others, x, y)
            return losses.mean() + sum(penalties), (losses, new)

        (value, (losses, others)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
        trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
        step.log(y_true=y, loss=losses, total_loss=value)
    return value, (trainable, others, optimizer)


pixels, digits = load_digits(return_X_y=True)
x = (pixels / 16).astype("float32")
model = network()
recorder = tt.Recorder(RUN, [tt.Outputs(), tt.Gradients("*kernel", reduce="norm")])

print("--- tt.compare_with_fit, of the loop as it was written")
agreement = tt.compare_with_fit(model, careless, (x[:BATCH], digits[:BATCH]))
print(agreement)
assert [finding.rule for finding in agreement.findings] == ["regularisation"]

print("\n--- recorded, with the penalty")
groups = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
state = tuple([variable.value for variable in group] for group in groups)
random, returned = np.random.default_rng(4), []
with recorder:
    for _ in range(5):
        for rows in np.split(random.permutation(len(x))[:1792], 1792 // BATCH):
            value, state = train(state, x[rows], digits[rows])
            returned.append(float(value))
        recorder.begin_epoch()
for group, values in zip(groups, state, strict=True):
    for variable, value in zip(group, values, strict=True):
        variable.assign(value)

run = tt.open(RUN)
print(run.sql("select epoch, count(*), avg(loss) from samples group by epoch order by epoch"))
for path in run.gradients.paths:
    norm = run.gradients(path).statistics["norm"]
    print(f"gradient of {path}: {norm[0]:.3f} in the first step, {norm[-1]:.3f} in the last")

run.identify((x, digits))
data_loss = np.ravel(run.sql("select avg(loss) from samples group by step order by step").fetchall())
penalty = np.asarray(returned) - data_loss
print(f"\nOf the loss the penalty was {penalty[0]:.2f} in the first step, {penalty[-1]:.2f} in the last.")
assert np.allclose(run.scalars()["loss"].to_numpy(), returned, rtol=1e-5)
assert np.isclose(penalty[-1], 0.01 * np.sum(np.square(model.layers[0].get_weights()[0])), rtol=0.1)
