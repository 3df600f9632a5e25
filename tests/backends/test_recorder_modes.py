"""Every mode of Keras: each batch is recorded once, in order, with the values of the real step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers

import truetap as tt
from tests.backends.models import BACKEND, host
from tests.backends.recorded import rows, step

Array = npt.NDArray[Any]

RNG = np.random.default_rng(13)
N, BATCH, RATE = 38, 4, 0.1  # ten batches, the last of 2
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=(N, 2)).astype("float32")
CLOSE: dict[str, Any] = {"rtol": 2e-5, "atol": 2e-6}
FIT: dict[str, Any] = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
TAPS = [tt.Outputs(), tt.Activations("hidden", reduce="mean"), tt.Gradients("head/kernel")]


def linear(**compiled: Any) -> Any:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="head")])
    model.compile(**({"loss": "mse", "optimizer": keras.optimizers.SGD(RATE)} | compiled))
    return model


def deep(**compiled: Any) -> Any:
    keras.utils.set_random_seed(6)
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation="tanh", name="hidden"), layers.Dense(2, name="head")]
    )
    model.compile(**({"loss": "mse", "optimizer": keras.optimizers.SGD(RATE)} | compiled))
    return model


class Descent:
    """y = x w + b, mean squared error; gradients before, and weights after, what is done to them."""

    def __init__(self, model: Any, change: Callable[[list[Array]], list[Array]] = lambda gradients: gradients) -> None:
        self.w, self.b = (host(value).astype(np.float64) for value in model.get_weights())
        self._change = change

    def step(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Predictions before the update, and the gradient of the kernel."""
        y_pred = x @ self.w + self.b
        upstream = 2 * (y_pred - y) / y.size
        gradients = [x.T @ upstream, upstream.sum(0)]
        updates = self._change(gradients)
        self.w, self.b = self.w - RATE * updates[0], self.b - RATE * updates[1]
        return y_pred, gradients[0]


def batches(x: Array = X, y: Array = Y, size: int = BATCH) -> list[tuple[Array, Array]]:
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


def assert_linear(run: Path, by_hand: Descent, expected: list[tuple[Array, Array]], first: int = 0) -> None:
    """What the steps from `first` on recorded is what the formula gives."""
    samples, gradients = rows(run, "samples", "train"), rows(run, "gradients.head.kernel")
    for number, (x, y) in enumerate(expected, first):
        y_pred, gradient = by_hand.step(x, y)
        np.testing.assert_array_equal(step(samples, number, "y_true"), y)
        np.testing.assert_allclose(step(samples, number, "y_pred"), y_pred, **CLOSE)
        np.testing.assert_allclose(step(samples, number, "loss"), ((y_pred - y) ** 2).mean(1), **CLOSE)
        np.testing.assert_allclose(step(gradients, number, "values")[0], gradient, **CLOSE)


LINEAR = [tt.Outputs(), tt.Gradients("head/kernel")]

# --- how the step is run ---------------------------------------------------------------------------------------------

MODES: dict[str, list[dict[str, Any]]] = {
    "tensorflow": [{"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}],
    "jax": [{"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}],
    "torch": [{"jit_compile": False}, {"run_eagerly": True}],
}


@pytest.mark.parametrize("compiled", MODES[BACKEND], ids=str)
def test_compiled_or_not(tmp_path: Path, compiled: dict[str, Any]) -> None:
    model = linear(**compiled)
    by_hand = Descent(model)
    model.fit(X, Y, **FIT, callbacks=[tt.Recorder(tmp_path / "run", LINEAR)])
    assert_linear(tmp_path / "run", by_hand, batches())


@pytest.mark.skipif(BACKEND == "torch", reason="Keras raises for steps_per_execution > 1 on torch")
@pytest.mark.parametrize("compiled", MODES[BACKEND] if BACKEND != "torch" else [{}], ids=str)
def test_steps_per_execution(tmp_path: Path, compiled: dict[str, Any]) -> None:
    taps = [*TAPS, tt.Inputs(samples=6), tt.Activations("hidden", reduce=["max"], every=3, phases=("train", "test"))]
    taps += [tt.ActivationGradients("hidden"), tt.Weights("head/kernel")]
    for steps in (1, 4):
        model = deep(steps_per_execution=steps, **compiled)
        recorder = tt.Recorder(tmp_path / str(steps), taps)
        model.fit(X, Y, epochs=2, validation_data=(X[:18], Y[:18]), callbacks=[recorder], **FIT)
        model.evaluate(X, Y, batch_size=BATCH, verbose=0, callbacks=[recorder])
        predicted = model.predict(X, batch_size=BATCH, verbose=0, callbacks=[recorder])
        found = rows(tmp_path / str(steps), "samples", "predict")
        np.testing.assert_allclose(found["y_pred"], predicted, **CLOSE)
    single, several = tmp_path / "1", tmp_path / "4"
    tables = ["samples", "scalars", "activations", "gradients.head.kernel", "inputs.x", "activation_gradients.hidden"]
    for table in [*tables, "weights.head.kernel"]:
        one, other = rows(single, table), rows(several, table)
        assert one.keys() == other.keys()
        for name, values in one.items():
            if name.startswith("running/"):
                continue
            if any(isinstance(value, float | np.ndarray) for value in values):
                assert [value is None for value in values] == [value is None for value in other[name]]
                pairs = [(a, b) for a, b in zip(values, other[name], strict=True) if a is not None]
                for a, b in pairs:
                    np.testing.assert_allclose(b, a, err_msg=f"{table}.{name}", **CLOSE)
            else:
                assert other[name] == values, f"{table}.{name}"
    scalars = rows(several, "scalars")
    for phase, count in (("train", 20), ("val", 10), ("test", 10), ("predict", 10)):
        assert rows(several, "scalars", phase)["step"] == list(range(count))
    assert [size for size, phase in zip(scalars["samples"], scalars["phase"], strict=True) if phase == "train"] == (
        [4] * 9 + [2]
    ) * 2


@pytest.mark.skipif(BACKEND != "torch", reason="only torch has no steps_per_execution")
def test_steps_per_execution_on_torch_is_keras_own_error(tmp_path: Path) -> None:
    model = linear(steps_per_execution=4)
    with pytest.raises(ValueError, match="steps_per_execution"):
        model.fit(X, Y, **FIT, callbacks=[tt.Recorder(tmp_path / "run")])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="elsewhere each step of an execution returns to the host")
def test_updates_inside_an_execution_are_refused(tmp_path: Path) -> None:
    with pytest.raises(tt.TapError, match=r"steps_per_execution=4.*Expected: every='epoch'"):
        linear(steps_per_execution=4).fit(X, Y, **FIT, callbacks=[tt.Recorder(tmp_path / "run", tt.Updates())])


# --- optimizers ------------------------------------------------------------------------------------------------------


def clipped(gradients: list[Array]) -> list[Array]:
    return [np.clip(gradient, -0.1, 0.1) for gradient in gradients]


def to_norm(gradients: list[Array]) -> list[Array]:
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    return [gradient * min(1, 0.2 / norm) for gradient in gradients]


class Accumulated:
    """The mean of three gradients at every third step."""

    def __init__(self) -> None:
        self._kept: list[list[Array]] = []

    def __call__(self, gradients: list[Array]) -> list[Array]:
        self._kept.append(gradients)
        if len(self._kept) < 3:
            return [0 * gradient for gradient in gradients]
        means = [sum(parts) / 3 for parts in zip(*self._kept, strict=True)]
        self._kept.clear()
        return means


OPTIMIZERS: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {
    "clipvalue": ({"clipvalue": 0.1}, lambda: clipped),
    "global_clipnorm": ({"global_clipnorm": 0.2}, lambda: to_norm),
    "gradient accumulation": ({"gradient_accumulation_steps": 3}, Accumulated),
    "loss_scale_factor": ({"loss_scale_factor": 64.0}, lambda: lambda gradients: gradients),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_are_those_before_clipping(tmp_path: Path, name: str) -> None:
    options, change = OPTIMIZERS[name]
    model = linear(optimizer=keras.optimizers.SGD(RATE, **options))
    by_hand = Descent(model, change())
    model.fit(X, Y, epochs=2, **FIT, callbacks=[tt.Recorder(tmp_path / "run", LINEAR)])
    assert_linear(tmp_path / "run", by_hand, batches() * 2)
    np.testing.assert_allclose(host(model.get_weights()[0]), by_hand.w, **CLOSE)
    scales = rows(tmp_path / "run", "scalars")["loss_scale"]
    assert scales == [64.0 if "scale" in name else None] * 20


def test_moving_average_of_weights(tmp_path: Path) -> None:
    """With use_ema the model's weights are changed at the end only: what is recorded are the real steps."""
    model = linear(optimizer=keras.optimizers.SGD(RATE, use_ema=True, ema_momentum=0.5))
    by_hand = Descent(model)
    taps = [*LINEAR, tt.Weights("head/kernel", every=1)]
    model.fit(X, Y, **FIT, callbacks=[tt.Recorder(tmp_path / "run", taps)])
    average, weights = by_hand.w, rows(tmp_path / "run", "weights.head.kernel")
    for number, (x, y) in enumerate(batches()):
        by_hand.step(x, y)
        average = 0.5 * average + 0.5 * by_hand.w if number else by_hand.w  # as Keras begins
        np.testing.assert_allclose(step(weights, number, "values")[0], by_hand.w, **CLOSE)
    assert average is not None
    np.testing.assert_allclose(host(model.get_weights()[0]), average, rtol=1e-4, atol=1e-5)


def test_learning_rate_of_a_schedule(tmp_path: Path) -> None:
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([2, 5], [0.5, 0.25, 0.125])
    model = linear(optimizer=keras.optimizers.SGD(schedule))
    model.fit(X, Y, **FIT, callbacks=[tt.Recorder(tmp_path / "run")])
    assert rows(tmp_path / "run", "scalars")["learning_rate"] == [0.5] * 3 + [0.25] * 3 + [0.125] * 4


def mixed(optimizer: Any) -> Any:
    keras.utils.set_random_seed(8)
    head = layers.Dense(2, name="head", dtype="mixed_float16")
    model = keras.Sequential([keras.Input((4,)), head, layers.Activation("linear", dtype="float32")])
    model.compile(optimizer, "mse", jit_compile=BACKEND == "jax")
    return model


def test_mixed_precision(tmp_path: Path) -> None:
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(RATE), initial_scale=1024.0)
    model = mixed(optimizer)
    by_hand = Descent(model)
    taps = [*LINEAR, tt.ActivationGradients("head"), tt.Gradients("head/bias", reduce="norm")]
    model.fit(X, Y, **FIT, callbacks=[tt.Recorder(tmp_path / "run", taps)])
    gradients, scalars = rows(tmp_path / "run", "gradients.head.kernel"), rows(tmp_path / "run", "scalars")
    upstream = rows(tmp_path / "run", "activation_gradients.head")
    assert scalars["loss_scale"] == [1024.0] * 10
    assert scalars["skipped"] == [False] * 10
    for number, (x, y) in enumerate(batches()):
        y_pred, gradient = by_hand.step(x, y)
        found = step(gradients, number, "values")[0]
        np.testing.assert_allclose(found, gradient, rtol=5e-3, atol=2e-3)
        np.testing.assert_allclose(step(upstream, number, "values"), 2 * (y_pred - y) / y.size, rtol=5e-3, atol=2e-3)


def test_an_overflow_is_marked(tmp_path: Path) -> None:
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-9), initial_scale=2.0)
    model = mixed(optimizer)
    y = Y.copy()
    y[8:12] = 1e6  # the third batch overflows float16
    taps = [tt.Outputs(), tt.Weights("head/kernel", every=1), tt.Gradients("head/kernel", reduce="nonfinite")]
    before = host(model.get_weights()[0])
    model.fit(X, y, **FIT, callbacks=[tt.Recorder(tmp_path / "run", taps)])
    scalars, weights = rows(tmp_path / "run", "scalars"), rows(tmp_path / "run", "weights.head.kernel")
    assert scalars["skipped"] == [number == 2 for number in range(10)]
    assert scalars["loss_scale"] == [2.0] * 3 + [1.0] * 7
    values = [before, *weights["values"]]
    assert [bool((a == b).all()) for a, b in pairwise(values)][2] is True
    assert rows(tmp_path / "run", "gradients")["value"][2] > 0


# --- own steps -------------------------------------------------------------------------------------------------------


class TensorFlowStep(keras.Model):  # type: ignore[misc]
    """As in Keras' guide."""

    def train_step(self, data: Any) -> Any:
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


class TorchStep(keras.Model):  # type: ignore[misc]
    """As in Keras' guide."""

    def train_step(self, data: Any) -> Any:
        import torch

        x, y = data
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        loss.backward()
        weights = list(self.trainable_weights)
        with torch.no_grad():
            self.optimizer.apply([weight.value.grad for weight in weights], weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


class JaxStep(keras.Model):  # type: ignore[misc]
    """As in Keras' guide."""

    def compute_loss_and_updates(self, trained: Any, others: Any, x: Any, y: Any, training: bool = False) -> Any:
        y_pred, others = self.stateless_call(trained, others, x, training=training)
        loss = self.compute_loss(x, y, y_pred)
        return loss, (y_pred, others)

    def train_step(self, state: Any, data: Any) -> Any:
        import jax

        trained, others, of_optimizer, of_metrics = state
        x, y = data
        function = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
        (loss, (y_pred, others)), gradients = function(trained, others, x, y, training=True)
        trained, of_optimizer = self.optimizer.stateless_apply(of_optimizer, gradients, trained)
        updated, logs = [], {}
        for metric in self.metrics:
            size = len(metric.variables)
            own, of_metrics = of_metrics[:size], of_metrics[size:]
            args = (loss,) if metric.name == "loss" else (y, y_pred)
            own = metric.stateless_update_state(own, *args)
            logs[metric.name] = metric.stateless_result(own)
            updated += own
        return logs, (trained, others, of_optimizer, updated)


STEPS: dict[str, Any] = {"tensorflow": TensorFlowStep, "jax": JaxStep, "torch": TorchStep}


def test_a_train_step_as_in_the_guides(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = STEPS[BACKEND](inputs, layers.Dense(2, name="head")(inputs))
    model.compile(keras.optimizers.SGD(RATE), "mse")
    by_hand = Descent(model)
    taps = [*LINEAR, tt.Activations("head")]
    model.fit(X, Y, epochs=2, **FIT, callbacks=[tt.Recorder(tmp_path / "run", taps)])
    assert_linear(tmp_path / "run", by_hand, batches() * 2)
    head, samples = rows(tmp_path / "run", "activations.head"), rows(tmp_path / "run", "samples")
    np.testing.assert_array_equal(head["values"], samples["y_pred"])


# --- several calls ---------------------------------------------------------------------------------------------------


def test_epochs_are_counted_on(tmp_path: Path) -> None:
    model = linear()
    by_hand, recorder = Descent(model), tt.Recorder(tmp_path / "run", LINEAR)
    model.fit(X, Y, epochs=2, **FIT, callbacks=[recorder])
    model.fit(X, Y, epochs=4, initial_epoch=2, **FIT, callbacks=[recorder])  # Keras counts on
    model.fit(X[:8], Y[:8], epochs=1, **FIT, callbacks=[recorder])  # Keras begins anew
    scalars = rows(tmp_path / "run", "scalars")
    assert scalars["epoch"] == [epoch for epoch in range(4) for _ in range(10)] + [4, 4]
    assert scalars["step"] == list(range(42))
    assert scalars["batch"] == [*list(range(10)) * 4, 0, 1]
    assert_linear(tmp_path / "run", by_hand, [*batches() * 4, *batches()[:2]])
    assert rows(tmp_path / "run", "epochs")["epoch"] == [0, 1, 2, 3, 4]


def test_initial_epoch_of_a_first_fit(tmp_path: Path) -> None:
    linear().fit(X, Y, epochs=7, initial_epoch=5, **FIT, callbacks=[tt.Recorder(tmp_path / "run")])
    assert sorted(set(rows(tmp_path / "run", "samples")["epoch"])) == [5, 6]


def test_early_stopping_and_a_stop_within_an_epoch(tmp_path: Path) -> None:
    class Stops(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                self.model.stop_training = True

    recorder = tt.Recorder(tmp_path / "run")
    stopping = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
    model = linear()
    model.fit(X, Y, epochs=9, **FIT, callbacks=[recorder, stopping])
    assert rows(tmp_path / "run", "scalars")["step"] == list(range(20))
    model.fit(X, Y, epochs=9, **FIT, callbacks=[Stops(), recorder])
    assert rows(tmp_path / "run", "scalars")["step"] == list(range(24))


def test_compiled_anew_between_fits(tmp_path: Path) -> None:
    model, recorder = linear(), tt.Recorder(tmp_path / "run")
    model.fit(X, Y, **FIT, callbacks=[recorder])
    model.compile(keras.optimizers.SGD(RATE), "mae")
    model.fit(X, Y, **FIT, callbacks=[recorder])
    found = {name: np.asarray(values) for name, values in rows(tmp_path / "run", "samples").items()}
    error = found["y_pred"] - found["y_true"]
    expected = np.where(found["epoch"] == 0, (error**2).mean(-1), np.abs(error).mean(-1))
    np.testing.assert_allclose(found["loss"], expected, **CLOSE)


def test_validation_split(tmp_path: Path) -> None:
    model = linear()
    history = model.fit(X, Y, validation_split=0.25, **FIT, callbacks=[tt.Recorder(tmp_path / "run")])
    cut = int(N * 0.75)
    np.testing.assert_array_equal(rows(tmp_path / "run", "samples", "train")["y_true"], Y[:cut])
    validation = rows(tmp_path / "run", "samples", "val")
    np.testing.assert_array_equal(validation["y_true"], Y[cut:])
    error = np.asarray(validation["y_pred"]) - Y[cut:]
    assert history.history["val_loss"][0] == pytest.approx((error**2).mean(), rel=1e-5)


def test_evaluate_and_predict(tmp_path: Path) -> None:
    model, recorder = linear(), tt.Recorder(tmp_path / "run", [tt.Outputs(), tt.Activations("head", phases="predict")])
    w, b = (host(value) for value in model.get_weights())
    model.evaluate(X, Y, batch_size=BATCH, verbose=0, callbacks=[recorder])
    for _ in range(2):
        model.predict(X, batch_size=BATCH, verbose=0, callbacks=[recorder])
    test, predicted = (rows(tmp_path / "run", "samples", phase) for phase in ("test", "predict"))
    assert test["step"] == [i // BATCH for i in range(N)]
    np.testing.assert_allclose(test["y_pred"], X @ w + b, **CLOSE)
    np.testing.assert_array_equal(test["y_true"], Y)
    assert predicted["epoch"] == [0] * N + [1] * N
    assert predicted["fingerprint"] == test["fingerprint"] * 2
    np.testing.assert_allclose(predicted["y_pred"], np.concatenate([X @ w + b] * 2), **CLOSE)
    np.testing.assert_array_equal(rows(tmp_path / "run", "activations.head")["values"], predicted["y_pred"])


class Evaluates(keras.callbacks.Callback):  # type: ignore[misc]
    """Evaluates and predicts at the end of an epoch, with or without the recorder."""

    def __init__(self, *callbacks: Any) -> None:
        super().__init__()
        self._callbacks = list(callbacks)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        options = {"batch_size": 19, "verbose": 0, "callbacks": self._callbacks}
        self.model.evaluate(X, Y, **options)
        self.model.predict(X, **options)


@pytest.mark.parametrize("recorded", [False, True])
def test_evaluate_in_a_callback(tmp_path: Path, recorded: bool) -> None:
    model, recorder = linear(), tt.Recorder(tmp_path / "run", LINEAR)
    by_hand = Descent(model)
    inside = Evaluates(recorder) if recorded else Evaluates()
    model.fit(X, Y, epochs=2, validation_data=(X[:8], Y[:8]), **FIT, callbacks=[inside, recorder])
    assert_linear(tmp_path / "run", by_hand, batches() * 2)
    phases = rows(tmp_path / "run", "scalars")["phase"]
    counts = {phase: phases.count(phase) for phase in ("train", "val", "test", "predict")}
    assert counts == {"train": 20, "val": 4, "test": 4 * recorded, "predict": 4 * recorded}


def test_train_on_batch(tmp_path: Path) -> None:
    model, recorder = linear(), tt.Recorder(tmp_path / "run", LINEAR)
    by_hand = Descent(model)
    with recorder.attach(model):
        for x, y in batches():
            model.train_on_batch(x, y)
        model.test_on_batch(X[:6], Y[:6])
        predicted = model.predict_on_batch(X[:5])
        recorder.begin_epoch()
        model.train_on_batch(X, Y)
    model.train_on_batch(X, Y)  # not recorded
    assert_linear(tmp_path / "run", by_hand, [*batches(), (X, Y)])
    scalars = rows(tmp_path / "run", "scalars")
    assert rows(tmp_path / "run", "scalars", "train")["epoch"] == [0] * 10 + [1]
    assert {phase: scalars["phase"].count(phase) for phase in ("train", "test", "predict")} == {
        "train": 11,
        "test": 1,
        "predict": 1,
    }
    np.testing.assert_allclose(rows(tmp_path / "run", "samples", "predict")["y_pred"], host(predicted), **CLOSE)


def test_two_recorders_are_refused(tmp_path: Path) -> None:
    model = linear()
    recorders = [tt.Recorder(tmp_path / name, LINEAR) for name in ("one", "two")]
    with pytest.raises(tt.ModelError, match=r"Two recorders can't tap the same fit. Expected: one Recorder"):
        model.fit(X, Y, **FIT, callbacks=recorders)
    assert not hasattr(model.train_function, "session")
    by_hand = Descent(model)
    model.fit(X, Y, **FIT, callbacks=[recorders[0]])
    assert_linear(tmp_path / "one", by_hand, batches())


# --- data ------------------------------------------------------------------------------------------------------------


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        return batches()[index]


def generated() -> Iterator[Any]:
    yield from batches()


def dataset() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)


def loader() -> Any:
    import torch

    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)), BATCH)


SOURCES: dict[str, Callable[[], Any]] = {
    "tf.data": dataset,
    "generator": generated,
    "PyDataset": Batches,
    "DataLoader": loader,
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources(tmp_path: Path, name: str) -> None:
    model = linear()
    by_hand, make = Descent(model), SOURCES[name]
    validation = dataset() if BACKEND == "tensorflow" else Batches()
    recorder = tt.Recorder(tmp_path / "run", LINEAR)
    model.fit(make(), validation_data=validation, steps_per_epoch=10, shuffle=False, verbose=0, callbacks=[recorder])
    assert_linear(tmp_path / "run", by_hand, batches())
    found = rows(tmp_path / "run", "samples", "val")
    np.testing.assert_array_equal(found["y_true"], Y)
    np.testing.assert_allclose(found["y_pred"], X @ by_hand.w + by_hand.b, **CLOSE)


def test_buffers_that_are_filled_again(tmp_path: Path) -> None:
    """A generator may hand out the same arrays each time, with other values in them."""

    def refilled() -> Iterator[Any]:
        x, y = np.empty((BATCH, 4), np.float32), np.empty((BATCH, 2), np.float32)
        for batch in batches()[:9]:
            x[:], y[:] = batch
            yield x, y

    model, recorder = linear(), tt.Recorder(tmp_path / "run", [tt.Outputs(), tt.Inputs()], flush_seconds=60)
    with recorder.attach(model):
        for x, y in refilled():
            model.train_on_batch(x, y)
    samples = rows(tmp_path / "run", "samples")
    np.testing.assert_array_equal(samples["y_true"], Y[:36])
    np.testing.assert_array_equal(rows(tmp_path / "run", "inputs.x")["values"], X[:36])
    assert len(set(samples["fingerprint"])) == 36


def test_dicts(tmp_path: Path) -> None:
    inputs = {"b": keras.Input((2,), name="b"), "a": keras.Input((2,), name="a")}
    joined = layers.Concatenate(name="joined")([inputs["b"], inputs["a"]])
    heads = {"y": layers.Dense(2, name="y")(joined), "half": layers.Rescaling(0.5, name="half")(inputs["a"])}
    model = keras.Model(inputs, heads)
    model.compile(keras.optimizers.SGD(RATE), {"y": "mse"})
    x = {"a": X[:, 2:], "b": X[:, :2]}
    w, b = (host(value) for value in model.get_weights())
    taps = [tt.Outputs(), tt.Inputs(), tt.Activations("joined")]
    model.fit(x, {"y": Y, "half": Y}, **FIT, callbacks=[tt.Recorder(tmp_path / "run", taps)])
    samples = rows(tmp_path / "run", "samples")
    np.testing.assert_allclose(step(samples, 0, "y_pred/y"), X[:4] @ w + b, **CLOSE)
    np.testing.assert_allclose(samples["y_pred/half"], X[:, 2:] / 2, **CLOSE)
    np.testing.assert_array_equal(samples["y_true/y"], Y)
    np.testing.assert_array_equal(rows(tmp_path / "run", "inputs.a")["values"], X[:, 2:])
    np.testing.assert_array_equal(rows(tmp_path / "run", "inputs.b")["values"], X[:, :2])
    np.testing.assert_array_equal(rows(tmp_path / "run", "activations.joined")["values"], X)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="strings go into a model on TensorFlow alone")
def test_strings(tmp_path: Path) -> None:
    words = np.asarray(["up", "down", "left", "right"], object)
    lookup = layers.StringLookup(vocabulary=words, num_oov_indices=0, output_mode="one_hot", name="lookup")
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, layers.Dense(2, name="head")(lookup(inputs)))
    model.compile(keras.optimizers.SGD(RATE), "mse")
    index = RNG.integers(0, 4, N)
    by_hand = Descent(model)
    data = __import__("tensorflow").data.Dataset.from_tensor_slices((words[index][:, None].astype(str), Y)).batch(BATCH)
    taps = [*LINEAR, tt.Inputs(), tt.Activations("lookup")]
    model.fit(data, shuffle=False, verbose=0, callbacks=[tt.Recorder(tmp_path / "run", taps)])
    assert rows(tmp_path / "run", "inputs.x")["values"] == words[index].tolist()
    one_hot = np.eye(4, dtype=np.float32)[index]
    assert_linear(tmp_path / "run", by_hand, batches(one_hot))
    np.testing.assert_array_equal(rows(tmp_path / "run", "activations.lookup")["values"], one_hot)
    samples = rows(tmp_path / "run", "samples")
    names = dict(zip(samples["fingerprint"], index, strict=True))
    assert len(names) == 4  # the same word has the same fingerprint, and no other
    assert [names[value] for value in samples["fingerprint"]] == index.tolist()


# --- models that their first batch builds ----------------------------------------------------------------------------


class Unbuilt(keras.Model):  # type: ignore[misc]
    """Layers in attributes and in a list, none of them built."""

    def __init__(self) -> None:
        super().__init__()
        self.head = layers.Dense(2, name="head")
        self.scales = [layers.Rescaling(1.0, name="scale")]

    def call(self, x: Any) -> Any:
        return self.head(self.scales[0](x))


UNBUILT: dict[str, Callable[[], Any]] = {
    "subclassed": Unbuilt,
    "Sequential": lambda: keras.Sequential([layers.Rescaling(1.0, name="scale"), layers.Dense(2, name="head")]),
}


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("name", UNBUILT)
def test_models_built_by_their_first_batch(tmp_path: Path, name: str, run_eagerly: bool) -> None:
    model = UNBUILT[name]()
    model.compile(keras.optimizers.SGD(RATE, momentum=0.5), "mse", run_eagerly=run_eagerly)
    taps = [*LINEAR, tt.Activations("*", samples=6), tt.Weights("*", every=1), tt.OptimizerState("*momentum*")]
    model.fit(X, Y, **FIT, callbacks=[tt.Recorder(tmp_path / "run", taps)])
    samples, kernels = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "weights.head.kernel")
    biases, gradients = rows(tmp_path / "run", "weights.head.bias"), rows(tmp_path / "run", "gradients.head.kernel")
    velocity = np.zeros((4, 2))
    for number in range(1, 10):  # the weights before a step are those after the step before
        w, b = kernels["values"][number - 1], biases["values"][number - 1]
        x, y = batches()[number]
        y_pred = x @ w + b
        np.testing.assert_allclose(step(samples, number, "y_pred"), y_pred, **CLOSE)
        np.testing.assert_allclose(step(gradients, number, "values")[0], x.T @ (2 * (y_pred - y) / y.size), **CLOSE)
    for gradient in gradients["values"]:
        velocity = 0.5 * velocity - RATE * gradient
    run = tt.open(tmp_path / "run")
    name = next(path for path in run.optimizer_state if "kernel" in path)
    np.testing.assert_allclose(
        run.reader.batches(_table(run, name))[0].column("values").to_numpy_ndarray()[0], velocity, **CLOSE
    )
    np.testing.assert_array_equal(rows(tmp_path / "run", "activations.scale")["values"], X[:6])
    np.testing.assert_array_equal(rows(tmp_path / "run", "activations.head")["values"], samples["y_pred"][:6])


def _table(run: Any, path: str) -> str:
    tensors = run.metadata["tensors"]
    return next(str(table) for table, of in tensors.items() if of == {"kind": "optimizer_state", "path": path})


def test_nested_models(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    inner = keras.Model(inputs, layers.Dense(3, activation="relu", name="dense")(inputs), name="inner")
    outer = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2, name="head")])
    outer.compile(keras.optimizers.SGD(RATE), "mse")
    w1, b1, w2, b2 = (host(value) for value in outer.get_weights())
    taps = [
        tt.Outputs(),
        tt.Activations("inner/dense"),
        tt.Activations("inner", phases="train"),
        tt.Gradients("*kernel"),
    ]
    outer.fit(X[:4], Y[:4], **FIT, callbacks=[tt.Recorder(tmp_path / "run", taps)])
    hidden = np.maximum(X[:4] @ w1 + b1, 0)
    y_pred = hidden @ w2 + b2
    upstream = 2 * (y_pred - Y[:4]) / y_pred.size
    run = tmp_path / "run"
    np.testing.assert_allclose(rows(run, "samples")["y_pred"], y_pred, **CLOSE)
    for table in ("activations.inner.dense", "activations.inner"):
        np.testing.assert_allclose(rows(run, table)["values"], hidden, **CLOSE)
    np.testing.assert_allclose(rows(run, "gradients.head.kernel")["values"][0], hidden.T @ upstream, **CLOSE)
    inside = X[:4].T @ (upstream @ w2.T * (hidden > 0))
    np.testing.assert_allclose(rows(run, "gradients.inner.dense.kernel")["values"][0], inside, **CLOSE)
