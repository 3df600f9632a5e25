"""What is recorded of `fit`, against the same training written out in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

import truetap as tt
from tests.backends.recorded import rows, statistic, step

Array = npt.NDArray[Any]

RNG = np.random.default_rng(7)
N, BATCH, EPOCHS, RATE = 22, 8, 3, 0.1  # batches of 8, 8 and 6
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=(N, 2)).astype("float32")
CLOSE: dict[str, Any] = {"rtol": 2e-5, "atol": 2e-6}


def batches() -> list[tuple[Array, Array]]:
    return [(X[i : i + BATCH], Y[i : i + BATCH]) for _ in range(EPOCHS) for i in range(0, N, BATCH)]


class Linear:
    """y = x w + b, mean squared error, gradient descent; in float64."""

    def __init__(self, w: Array, b: Array) -> None:
        self.w, self.b = w.astype(np.float64), b.astype(np.float64)

    def step(self, x: Array, y: Array) -> dict[str, Array]:
        pred = x @ self.w + self.b
        upstream = 2 * (pred - y) / y.size
        found = {
            "y_pred": pred,
            "loss": np.mean((pred - y) ** 2, axis=1),
            "grad_w": x.T @ upstream,
            "grad_b": upstream.sum(0),
            "upstream": upstream,
            "w": self.w.copy(),
        }
        self.w = self.w - RATE * found["grad_w"]
        self.b = self.b - RATE * found["grad_b"]
        return found


class TwoLayers:
    """A ReLU layer before the linear one."""

    def __init__(self, w1: Array, b1: Array, w2: Array, b2: Array) -> None:
        self.w1, self.b1 = w1.astype(np.float64), b1.astype(np.float64)
        self.head = Linear(w2, b2)

    def step(self, x: Array, y: Array) -> dict[str, Array]:
        before = x @ self.w1 + self.b1
        hidden = np.maximum(before, 0)
        w2 = self.head.w
        found = self.head.step(hidden, y)
        at_hidden = found["upstream"] @ w2.T
        at_before = at_hidden * (before > 0)
        found |= {"hidden": hidden, "at_hidden": at_hidden, "grad_w1": x.T @ at_before, "w1": self.w1.copy()}
        self.w1 = self.w1 - RATE * found["grad_w1"]
        self.b1 = self.b1 - RATE * at_before.sum(0)
        return found


def fit(model: Any, path: Path, taps: list[Any]) -> Any:
    model.compile(keras.optimizers.SGD(RATE), "mse")
    recorder = tt.Recorder(path, taps)
    return model.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[recorder])


def test_linear(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])
    by_hand = Linear(*(np.array(v) for v in model.get_weights()))
    history = fit(model, tmp_path / "run", [tt.Outputs(), tt.Gradients(), tt.Updates(reduce=None)])
    samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
    kernels, biases = rows(tmp_path / "run", "gradients.head.kernel"), rows(tmp_path / "run", "gradients.head.bias")
    updates = rows(tmp_path / "run", "updates.head.kernel")
    assert scalars["step"] == list(range(9))
    assert scalars["epoch"] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert scalars["batch"] == [0, 1, 2] * 3
    assert scalars["samples"] == [8, 8, 6] * 3
    means: dict[int, list[tuple[float, int]]] = {}
    for number, (x, y) in enumerate(batches()):
        expected = by_hand.step(x, y)
        np.testing.assert_array_equal(step(samples, number, "y_true"), y)
        np.testing.assert_allclose(step(samples, number, "y_pred"), expected["y_pred"], **CLOSE)
        np.testing.assert_allclose(step(samples, number, "loss"), expected["loss"], **CLOSE)
        np.testing.assert_allclose(step(kernels, number, "values")[0], expected["grad_w"], **CLOSE)
        np.testing.assert_allclose(step(biases, number, "values")[0], expected["grad_b"], **CLOSE)
        np.testing.assert_allclose(step(updates, number, "values")[0], -RATE * expected["grad_w"], **CLOSE)
        assert scalars["loss"][number] == pytest.approx(expected["loss"].mean(), rel=1e-5)
        means.setdefault(number // 3, []).append((float(expected["loss"].mean()), len(x)))
        so_far = means[number // 3]
        running = sum(mean * size for mean, size in so_far) / sum(size for _, size in so_far)
        assert scalars["running/loss"][number] == pytest.approx(running, rel=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], by_hand.w, **CLOSE)
    epochs = [sum(m * n for m, n in each) / sum(n for _, n in each) for each in means.values()]
    np.testing.assert_allclose(history.history["loss"], epochs, rtol=1e-5)


def test_two_layers(tmp_path: Path) -> None:
    layers = [keras.layers.Dense(5, activation="relu", name="hidden"), keras.layers.Dense(2, name="head")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    by_hand = TwoLayers(*(np.array(v) for v in model.get_weights()))
    reduced = ["mean", "std", "min", "max", "l1", "norm", "zeros", "nonfinite"]
    taps = [
        tt.Outputs(),
        tt.Activations("hidden"),
        tt.Activations("hidden", every=2, reduce=reduced),
        tt.Activations("hidden", reduce="mean", axis=0),
        tt.Activations("hidden", reduce=["mean", "std"], over="epoch"),
        tt.Activations("hidden", reduce="max", over="run"),
        tt.ActivationGradients("hidden"),
        tt.ActivationGradients("hidden", reduce="norm"),
        tt.Gradients("hidden/kernel", every=4, reduce="norm"),
        tt.Updates("hidden/kernel", every=2),
        tt.Weights("hidden/kernel"),
    ]
    fit(model, tmp_path / "run", taps)
    run = tmp_path / "run"
    samples, raw, upstream = (rows(run, t) for t in ("samples", "activations.hidden", "activation_gradients.hidden"))
    activations, at_hidden = rows(run, "activations"), rows(run, "activation_gradients")
    gradients, updates = rows(run, "gradients"), rows(run, "updates")
    weights = rows(run, "weights.hidden.kernel")
    assert sorted(set(gradients["step"])) == [0, 4, 8]
    assert sorted(set(updates["step"])) == [0, 2, 4, 6, 8]
    assert weights["step"] == [2, 5, 8]
    seen: list[Array] = []
    for number, (x, y) in enumerate(batches()):
        expected = by_hand.step(x, y)
        hidden = expected["hidden"]
        np.testing.assert_allclose(step(samples, number, "y_pred"), expected["y_pred"], **CLOSE)
        np.testing.assert_allclose(step(raw, number, "values"), hidden, **CLOSE)
        assert step(raw, number, "fingerprint").tolist() == step(samples, number, "fingerprint").tolist()
        np.testing.assert_allclose(step(upstream, number, "values"), expected["at_hidden"], **CLOSE)
        norm = np.sqrt((expected["at_hidden"] ** 2).sum())
        assert statistic(at_hidden, "hidden", "norm", number) == pytest.approx(norm, rel=1e-5)
        own = [i for i, s in enumerate(activations["step"]) if s == number and activations["shape"][i] == [5]]
        assert len(own) == 1
        np.testing.assert_allclose(activations["values"][own[0]], hidden.mean(0), **CLOSE)
        update = -RATE * expected["grad_w1"]
        if number % 2 == 0:
            numbers = {
                "std": hidden.std(),
                "min": hidden.min(),
                "max": hidden.max(),
                "l1": np.abs(hidden).sum(),
                "norm": np.sqrt((hidden**2).sum()),
                "zeros": (hidden == 0).mean(),
                "nonfinite": 0,
            }
            for name, value in numbers.items():
                assert statistic(activations, "hidden", name, number) == pytest.approx(value, rel=1e-5), name
            assert statistic(updates, "hidden/kernel", "norm", number) == pytest.approx(
                np.sqrt((update**2).sum()), rel=1e-4
            )
            ratio = np.sqrt((update**2).sum()) / np.sqrt((expected["w1"] ** 2).sum())
            assert statistic(updates, "hidden/kernel", "ratio", number) == pytest.approx(ratio, rel=1e-4)
        if number % 4 == 0:
            value = np.sqrt((expected["grad_w1"] ** 2).sum())
            assert statistic(gradients, "hidden/kernel", "norm", number) == pytest.approx(value, rel=1e-5)
        seen.append(hidden)
        if number % 3 == 2:
            whole = np.concatenate(seen[-3:])
            assert statistic(activations, "hidden", "mean", number, "epoch") == pytest.approx(whole.mean(), rel=1e-5)
            assert statistic(activations, "hidden", "std", number, "epoch") == pytest.approx(whole.std(), rel=1e-5)
            np.testing.assert_allclose(step(weights, number, "values")[0], by_hand.w1, **CLOSE)
    assert statistic(activations, "hidden", "max", 8, "run") == pytest.approx(np.concatenate(seen).max(), rel=1e-5)
