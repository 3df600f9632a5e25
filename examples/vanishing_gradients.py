"""Inside the layers: why does a deep network not learn, and where does the gradient stop?

Eight sigmoid layers on digits: the loss stays where it was. The record of the real training steps has what came out of
each layer, with its sample, and the gradient that reached each weight; `run.diagnose` names the cause. With ReLU the
same network learns, and the record says what is different. Run it by

    KERAS_BACKEND=jax python examples/vanishing_gradients.py
"""

import time
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

import truetap as tt

RUNS = Path("runs") / time.strftime("gradients-%Y%m%d-%H%M%S")


def network(activation):
    """Eight layers of 32 units, and the digit."""
    keras.utils.set_random_seed(18)
    layers = [keras.layers.Dense(32, activation=activation, name=f"layer_{number}") for number in range(1, 9)]
    model = keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10, activation="softmax", name="digit")])
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    return model


def train(activation):
    """Trains and records; returns the run, and the first layer's weights before the training."""
    model = network(activation)
    first = model.layers[0].get_weights()
    taps = [
        tt.Outputs(),
        tt.Activations("layer_*", every=10, reduce=["mean", "std"]),  # computed in the step: a few numbers leave it
        tt.Activations("layer_1", steps=[0]),  # the values themselves, of one step
        tt.Gradients("*kernel", every=10, reduce="norm"),
    ]
    model.fit(x, digits, epochs=6, verbose=0, callbacks=[tt.Recorder(RUNS / activation, taps)])
    return tt.open(RUNS / activation), first


def say(run):
    """Prints loss, and by layer the spread of its outputs and its gradient; returns loss and gradients at last."""
    losses = run.sql("select avg(loss) from samples group by epoch order by epoch").fetchall()
    print(f"loss {losses[0][0]:.2f} in the first epoch, {losses[-1][0]:.2f} in the last")
    gradients = []
    for path in run.activations.paths:
        std = run.activations(path).statistics["std"][-1]
        gradients.append(run.gradients(f"{path}/kernel").statistics["norm"][-1])
        print(f"  {path}: outputs vary by {std:.4f}, gradient {gradients[-1]:.1e}")
    return losses[-1][0], gradients


pixels, digits = load_digits(return_X_y=True)
x = (pixels / 16).astype("float32")

print("--- sigmoid")
run, (kernel, bias) = train("sigmoid")
loss, gradients = say(run)
report = run.diagnose()
print(report)
assert "vanishing_gradient" in [finding.rule for finding in report]
assert gradients[0] < 1e-3 * gradients[-1]
assert loss > 2  # of a guess it is log(10), 2.3

print("\n--- what came out of layer_1 in the first step, sample by sample")
run.identify((x, digits))
recorded = run.activations("layer_1", step=0)
by_hand = 1 / (1 + np.exp(-(x[recorded.ids] @ kernel + bias)))
assert np.allclose(recorded.values, by_hand, atol=1e-5)
print(f"{recorded.values.shape[0]} samples of {recorded.values.shape[1]} units: those of rows {recorded.ids[:4]}, …,")
print("as one gets them by hand from the inputs and the weights before the first update.")

print("\n--- relu")
run, _ = train("relu")
loss, gradients = say(run)
report = run.diagnose()
print(report)
assert "vanishing_gradient" not in [finding.rule for finding in report]
assert loss < 1
