"""Models of every kind: predictions are those of the model called by hand, and nothing of ours is left on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import truetap as tt

from .models import BACKEND, RNG, Array, N, Subclassed, X, Y, collect, host, loss_of, outputs_of, sequential, subclassed

# --- kinds of models ----------------------------------------------------------------------------------


def test_subclassed_model() -> None:
    model = subclassed()
    samples = collect(model, (X, Y), batch_size=8)
    np.testing.assert_allclose(samples.y_pred, outputs_of(model, X), rtol=1e-5, atol=1e-6)
    assert float(samples.loss.mean()) == pytest.approx(loss_of(model, X, Y), rel=1e-5)


@pytest.mark.parametrize("form", ["list", "tuple", "dict"])
def test_several_inputs(form: str) -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], keras.layers.Dense(1)(keras.layers.Subtract()([a, b])))
    model.compile(loss="mse")
    x: Any = {"list": [X, 2 * X], "tuple": (X, 2 * X), "dict": {"b": 2 * X, "a": X}}[form]
    samples = collect(model, (x, Y), batch_size=8, inputs=True)
    kernel, bias = (np.asarray(each) for each in model.get_weights())
    np.testing.assert_allclose(samples.y_pred, -X @ kernel + bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(samples.inputs["a" if form == "dict" else 0], X)


class Doubled(Subclassed):
    def predict_step(self, *args: Any) -> Any:
        outputs = super().predict_step(*args)
        return (outputs[0] * 2, outputs[1]) if BACKEND == "jax" else outputs * 2


def test_own_predict_step_is_what_predicts() -> None:
    model = subclassed(Doubled)
    samples = collect(model, (X, Y), batch_size=8)
    np.testing.assert_allclose(samples.y_pred, model.predict(X, verbose=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(samples.y_pred, 2 * outputs_of(model, X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(samples.loss, (2 * outputs_of(model, X)[:, 0] - Y) ** 2, rtol=1e-4, atol=1e-6)


class OwnTest(Subclassed):
    def test_step(self, *args: Any) -> Any:
        raise RuntimeError("collect asks for predictions, not for a test step")


def test_own_test_step_is_not_in_the_way() -> None:
    model = subclassed(OwnTest)
    samples = collect(model, (X, Y), batch_size=8)
    np.testing.assert_allclose(samples.loss, (outputs_of(model, X)[:, 0] - Y) ** 2, rtol=1e-4, atol=1e-6)


class OwnLoss(Subclassed):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> Any:  # type: ignore[no-untyped-def]
        return 7 * ops.mean(ops.abs(y - y_pred))


def test_own_compute_loss_is_said() -> None:
    model = subclassed(OwnLoss)
    with pytest.warns(tt.DataWarning, match="has its own compute_loss"):
        samples = collect(model, (X, Y))
    np.testing.assert_allclose(samples.loss, (outputs_of(model, X)[:, 0] - Y) ** 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("compiled", [{"run_eagerly": True}, {"jit_compile": True}, {"jit_compile": False}], ids=str)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch.compile's own
def test_compiled_as_the_user_said(compiled: dict[str, bool]) -> None:
    model = sequential(keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1), **compiled)
    samples = collect(model, (X, Y), batch_size=11)
    np.testing.assert_allclose(samples.y_pred, outputs_of(model, X), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(samples.loss, (samples.y_pred[:, 0] - Y) ** 2, rtol=1e-4, atol=1e-6)


def test_uncompiled_model_has_no_loss() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    samples = collect(model, (X, Y))
    assert samples.loss is None
    assert samples.weighted_loss is None
    np.testing.assert_allclose(samples.y_pred, outputs_of(model, X), rtol=1e-5, atol=1e-6)
    assert samples.evaluate()["mse"] == pytest.approx(((samples.y_pred[:, 0] - Y) ** 2).mean(), rel=1e-5)
    worst = np.argsort(-np.abs(samples.y_pred[:, 0] - Y))[:3]
    np.testing.assert_array_equal(samples.hardest(3).y_true[:, 0], Y[worst])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_precisions(policy: str) -> None:
    if (policy, BACKEND) == ("float64", "jax"):  # Keras can't: JAX has no float64 unless it is switched on
        with pytest.warns(UserWarning, match="float64.* is not available"):
            keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, dtype=policy)])
        return
    dense = keras.layers.Dense(3, dtype=policy)
    model = sequential(dense, keras.layers.Dense(1, dtype=policy))
    samples = collect(model, (X, Y), batch_size=8, layers=dense.name)
    expected = host(ops.cast(model(X, training=False), "float32"))
    np.testing.assert_allclose(samples.y_pred.astype("float32"), expected, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(samples.loss, (samples.y_pred[:, 0].astype("float32") - Y) ** 2, rtol=1e-3, atol=1e-5)
    assert float(samples.loss.mean()) == pytest.approx(loss_of(model, X, Y), rel=1e-2)
    assert samples.layers[dense.name].shape == (N, 3)
    assert samples.evaluate()["mse"] == pytest.approx(float(samples.loss.mean()), rel=1e-3)


def test_inference_mode_for_dropout_and_batch_normalization() -> None:
    layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.GaussianNoise(1.0)]
    model = sequential(*layers, keras.layers.Dense(1), optimizer="sgd")
    model.fit(3 * X + 1, Y, epochs=1, verbose=0)
    before = [host(weight) for weight in model.variables]
    samples = collect(model, (X, Y), batch_size=8)
    np.testing.assert_allclose(samples.y_pred, outputs_of(model, X), rtol=1e-5, atol=1e-5)
    for old, weight in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(host(weight), old)


# --- what is left behind ------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("truetap-tests")
class Counter(keras.layers.Layer):  # type: ignore[misc]
    """Counts its calls in a variable, and draws from a seed generator in any mode."""

    def build(self, shape: Any) -> None:
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")
        self.seeds = keras.random.SeedGenerator(7)

    def call(self, x: Any) -> Any:
        self.calls.assign(self.calls + 1)
        return x + 0 * keras.random.normal(ops.shape(x), seed=self.seeds)


def state(model: Any) -> list[Array]:
    return [host(variable) for variable in model.variables]


def test_state_moves_as_in_predict() -> None:
    def make() -> Any:
        return sequential(Counter(), keras.layers.Dense(1))

    collected, predicted = make(), make()
    start = state(collected)
    predicted.set_weights(collected.get_weights())
    collect(collected, (X, Y), batch_size=8)
    predicted.predict(X, batch_size=8, verbose=0)
    assert float(host(collected.layers[0].calls)) - float(start[0]) == 3
    np.testing.assert_array_equal(collected.get_weights()[0], predicted.get_weights()[0])
    np.testing.assert_array_equal(host(collected.layers[0].seeds.state), host(predicted.layers[0].seeds.state))
    np.testing.assert_array_equal(collected.layers[1].get_weights()[0], predicted.layers[1].get_weights()[0])


def attributes(model: Any) -> list[tuple[str, set[str]]]:
    return [(layer.name, set(vars(layer))) for layer in [model, *model._flatten_layers(include_self=False)]]


@pytest.mark.parametrize("ending", ["success", "error", "abandoned"])
def test_nothing_is_left_on_the_model(ending: str) -> None:
    model = sequential(keras.layers.Dense(3, name="first"), keras.layers.Dense(1))
    model.predict(X, verbose=0)  # what Keras itself leaves
    before, weights = attributes(model), state(model)
    training = getattr(model, "training", None)

    def batches() -> Iterator[Any]:
        yield X, Y
        yield X, Y
        if ending == "error":
            raise OSError("mid-pass")

    if ending == "error":
        with pytest.raises(OSError, match="mid-pass"):
            collect(model, batches(), layers="*")
    elif ending == "success":
        with pytest.warns(tt.DataWarning, match="starts over"):
            collect(model, batches(), layers="*")
    else:
        stream = tt.stream(model, batches(), layers="*")
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    assert attributes(model) == before
    assert getattr(model, "training", None) == training
    for old, new in zip(weights, state(model), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_failing_layer_leaves_nothing_behind() -> None:
    def fail(x: Any) -> Any:
        raise RuntimeError("inside the model")

    model = subclassed()
    before = attributes(model)
    vars(model.head)["call"] = fail
    with pytest.raises(RuntimeError, match="inside the model"):
        collect(model, (X, Y), layers="shared", verbose=0)
    assert vars(model.head)["call"] is fail  # the user's own patch is still there
    del vars(model.head)["call"]
    assert attributes(model) == before


def test_a_stream_sees_a_model_that_is_trained_between_its_batches() -> None:
    model = sequential(keras.layers.BatchNormalization(), keras.layers.Dense(1), optimizer="sgd")
    for batch in tt.stream(model, (X, Y), batch_size=8, ids=np.arange(N)):
        np.testing.assert_allclose(batch.y_pred, outputs_of(model, X[batch.ids]), rtol=1e-4, atol=1e-5)
        model.train_on_batch(9 * X, Y)
        trained = state(model.layers[0])
    for old, new in zip(trained, state(model.layers[0]), strict=True):
        np.testing.assert_array_equal(new, old)


def test_stateful_layers_go_on_as_in_predict() -> None:
    def make() -> Any:
        inputs = keras.Input(batch_shape=(5, 3, 4))
        model = keras.Model(inputs, keras.layers.LSTM(2, stateful=True)(inputs))
        model.compile(loss="mse")
        return model

    collected, predicted = make(), make()
    predicted.set_weights(collected.get_weights())
    x = RNG.normal(size=(10, 3, 4)).astype("float32")
    for _ in range(2):  # the second pass goes on from the state that the first one left
        samples = collect(collected, (x, np.zeros((10, 2))), batch_size=5)
        y_pred = predicted.predict(x, batch_size=5, verbose=0)
        np.testing.assert_allclose(samples.y_pred, y_pred, rtol=1e-5, atol=1e-6)


def test_collect_inside_a_callback_of_fit() -> None:
    found: list[float] = []

    class AtEnd(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            found.append(float(collect(self.model, (X, Y), batch_size=8).loss.mean()))

    model = sequential(keras.layers.Dropout(0.5), keras.layers.Dense(1), optimizer="sgd")
    history = model.fit(X, Y, epochs=3, validation_data=(X, Y), callbacks=[AtEnd()], verbose=0)
    np.testing.assert_allclose(found, history.history["val_loss"], rtol=1e-4)
