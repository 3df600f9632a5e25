"""Time series with gaps: what is the error on what was measured, and is it the same at any batch size?

Sensors are read for 15 to 36 steps, and each series is padded to 36. One sensor in five is failing: it is noisy, and
misses most readings (NaN). A plain loss is NaN at the first batch. `tt.losses.Masked` counts what was measured;
`tt.EpochLoss` gives the loss of a whole pass, where Keras' own number depends on how the series fall into batches. Run
it by

    KERAS_BACKEND=jax python examples/time_series.py
"""

import time
from pathlib import Path

import keras
import numpy as np

import truetap as tt

RUN = Path("runs") / time.strftime("series-%Y%m%d-%H%M%S")
SERIES, STEPS = 250, 36


def sensors():
    """Noisy waves x, padded with 0, and the reading of the next step y; NaN where there is none."""
    random = np.random.default_rng(6)
    at = np.arange(STEPS + 1)
    speed, phase = random.uniform(0.2, 0.5, (SERIES, 1)), random.uniform(0, 6, (SERIES, 1))
    failing = random.random((SERIES, 1)) < 0.2
    waves = 2 + np.sin(speed * at + phase) + random.normal(0, np.where(failing, 0.5, 0.05), (SERIES, STEPS + 1))
    padding = np.arange(STEPS) >= random.integers(15, STEPS + 1, (SERIES, 1))
    x, y = np.where(padding, 0, waves[:, :-1]), waves[:, 1:].copy()
    y[padding | (random.random(y.shape) < np.where(failing, 0.8, 0.05))] = np.nan
    return x[..., None].astype("float32"), y[..., None].astype("float32")


def network(loss):
    """A forecast after each step."""
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Masking(0.0), keras.layers.GRU(16, return_sequences=True), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((STEPS, 1)), *layers])
    model.compile(keras.optimizers.Adam(0.01), loss)
    return model


x, y = sensors()
print("--- tt.lint, of a mean squared error")
report = tt.lint(network("mse"), (x, y))
print(report)
assert "nan_in_data" in [each.rule for each in report.wrong]

print("\n--- trained with tt.losses.Masked")
model = network(tt.losses.Masked("mse", mask_value=float("nan")))
assert tt.lint(model, (x, y)).ok
recorder, whole = tt.Recorder(RUN), tt.EpochLoss()
model.fit(x[:200], y[:200], epochs=4, batch_size=16, verbose=0, callbacks=[recorder, whole])
print("epoch_loss of the epochs:", [round(value, 4) for value in tt.open(RUN).epochs()["epoch_loss"].to_pylist()])

print("\n--- the same 50 series evaluated one by one and in batches of 25")
seen = {}
for size in (1, 25):
    keras_loss = model.evaluate(x[200:], y[200:], batch_size=size, verbose=0, callbacks=[recorder, whole])
    seen[size] = keras_loss, whole.results["epoch_loss"]
    print(f"batches of {size:>2}: Keras says {seen[size][0]:.6f}, tt.EpochLoss {seen[size][1]:.6f}")

samples = tt.open(RUN).samples("test", -1)
measured = np.isfinite(samples.y_true)
error = np.mean((samples.y_pred - samples.y_true)[measured] ** 2)
print(f"By hand, over the {measured.sum():,} readings that there are: {error:.6f}")
assert np.allclose([seen[1][1], seen[25][1]], error, rtol=1e-4)
assert abs(seen[1][0] - error) > 0.05 * error
