"""A loop of one's own in PyTorch: is dropout on, and what happens in its steps?

In PyTorch `model.train()` turns dropout on. A Keras model asks for `training=True` in the call: a loop that relies on
`train()` trains without dropout, and without a word. `tt.compare_with_fit` runs one step of both and says so. The
mended loop is recorded like a `fit`: every sample, what dropout let through, and the gradients. Run it by

    KERAS_BACKEND=torch python examples/custom_loop_torch.py
"""

import time
from pathlib import Path

import keras
import numpy as np
import torch
from sklearn.datasets import load_digits

import truetap as tt

RUN = Path("runs") / time.strftime("loop-torch-%Y%m%d-%H%M%S")


def network():
    """Small, with dropout."""
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Dense(64, activation="sigmoid", name="hidden"),
        keras.layers.Dropout(0.5, name="dropout"),
        keras.layers.Dense(10, name="digit"),
    ]
    model = keras.Sequential([keras.Input((64,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    return model


def update(model, loss):
    """Gradients, and a step of the model's optimizer."""
    model.zero_grad()
    loss.backward()
    variables = model.trainable_variables
    with torch.no_grad():
        model.optimizer.apply([variable.value.grad for variable in variables], variables)


def careless(x, y):
    """A step with the mistake."""
    model.train()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    update(model, loss)
    return loss


pixels, digits = load_digits(return_X_y=True)
x, y = torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(digits)
model = network()

print("--- tt.compare_with_fit, of the loop as it was written")
agreement = tt.compare_with_fit(model, careless, (x[:64], y[:64]))
print(agreement)
assert [finding.rule for finding in agreement.findings] == ["training"]

print("\n--- recorded, with training=True")
taps = [tt.Outputs(), tt.Activations("dropout", reduce="zeros"), tt.Gradients("*kernel", reduce="norm")]
recorder = tt.Recorder(RUN, taps)
batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=64, shuffle=True)
returned = []
with recorder:
    for epoch in range(5):
        for inputs, labels in batches:
            with recorder.step(model, epoch=epoch) as step:
                losses = torch.nn.functional.cross_entropy(model(inputs, training=True), labels, reduction="none")
                update(model, losses.mean())
                step.log(y_true=labels, loss=losses)
            returned.append(losses.mean().item())

run = tt.open(RUN)
run.identify((x, y))
print(run.sql("select epoch, count(distinct sample_id), avg(loss) from samples group by epoch order by epoch"))
for path in run.gradients.paths:
    norm = run.gradients(path).statistics["norm"]
    print(f"gradient of {path}: {norm[0]:.3f} in the first step, {norm[-1]:.3f} in the last")

zeros = run.activations("dropout").statistics["zeros"]
recorded = np.ravel(run.sql("select avg(loss) from samples group by step order by step").fetchall())
assert np.allclose(recorded, returned, rtol=1e-4)
assert 0.45 < zeros.mean() < 0.55
print(f"\nDropout set {zeros.mean():.1%} of the hidden units to 0, in the very steps that trained.")
