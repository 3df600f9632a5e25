"""Outputs of layers, and the gradients that reach them, for every way in which layers are put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.models import Subclassed, host, subclassed
from tests.backends.recorded import rows, statistic
from truetap.store import RunReader

Array = npt.NDArray[Any]

RNG = np.random.default_rng(17)
N, T = 8, 5
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=(N, 2)).astype("float32")
SEQUENCES = RNG.normal(size=(N, T, 3)).astype("float32")
CLOSE: dict[str, Any] = {"rtol": 3e-5, "atol": 3e-6}


def record(model: Any, path: Path, *taps: Any, x: Any = X, y: Any = Y, batch_size: int = N) -> Callable[[str], Array]:
    """Trains an epoch, by default one step; returns what reads the values of a table."""
    if not model.compiled:
        model.compile(keras.optimizers.SGD(0.1), "mse")
    recorder = tt.Recorder(path, [tt.Outputs(), *taps])
    model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=[recorder])
    return lambda table: np.asarray(rows(path, "samples" if table == "samples" else table)["values"])


def y_pred(path: Path) -> Array:
    return np.asarray(rows(path, "samples")["y_pred"])


def upstream(predicted: Array, y: Array = Y) -> Array:
    """The gradient of the mean squared error at the outputs."""
    return 2 * (predicted - y) / predicted.size


# --- how models are made ---------------------------------------------------------------------------------------------


def parts() -> list[Any]:
    return [
        layers.Dense(3, name="first"),
        layers.ReLU(name="relu"),
        layers.Dense(2, name="head"),
    ]


def functional() -> Any:
    x = inputs = keras.Input((4,))
    for layer in parts():
        x = layer(x)
    return keras.Model(inputs, x)


def sequential() -> Any:
    return keras.Sequential([keras.Input((4,)), *parts()])


class Chain(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.body = parts()[:2]
        self.head = parts()[2]

    def call(self, x: Any) -> Any:
        for layer in self.body:
            x = layer(x)
        return self.head(x)


def of_a_class() -> Any:
    model = Chain()
    model(X)
    return model


def nested() -> Any:
    """The first two layers in a model of their own."""
    first, relu, head = parts()
    body = keras.Sequential([keras.Input((4,)), first, relu], name="body")
    inputs = keras.Input((4,))
    return keras.Model(inputs, head(body(inputs)))


@pytest.mark.parametrize("make", [functional, sequential, of_a_class, nested])
def test_all_layers(tmp_path: Path, make: Callable[[], Any]) -> None:
    model = make()
    w1, b1, w2, b2 = (host(value) for value in model.get_weights())
    found = record(model, tmp_path / "run", tt.Activations("*"), tt.ActivationGradients("*"), tt.Gradients("*"))
    before = X @ w1 + b1
    hidden = np.maximum(before, 0)
    predicted = hidden @ w2 + b2
    up = upstream(predicted)
    at_hidden = up @ w2.T
    inner = "body." if make is nested else ""
    expected = {f"{inner}first": before, f"{inner}relu": hidden, "head": predicted}
    reached = {f"{inner}first": at_hidden * (before > 0), f"{inner}relu": at_hidden, "head": up}
    gradients = {f"{inner}first.kernel": X.T @ reached[f"{inner}first"], "head.kernel": hidden.T @ up}
    if make is nested:
        expected, reached = expected | {"body": hidden}, reached | {"body": at_hidden}
    tables = RunReader(tmp_path / "run").tables
    for kind, values in (("activations", expected), ("activation_gradients", reached)):
        assert {name.removeprefix(f"{kind}.") for name in tables if name.startswith(f"{kind}.")} == values.keys()
        for name, value in values.items():
            np.testing.assert_allclose(found(f"{kind}.{name}"), value, err_msg=f"{kind} of {name}", **CLOSE)
    for name, value in gradients.items():
        np.testing.assert_allclose(found(f"gradients.{name}")[0], value, **CLOSE)
    np.testing.assert_array_equal(found("activations.head"), y_pred(tmp_path / "run"))


def test_a_layer_that_is_called_twice(tmp_path: Path) -> None:
    shared = layers.Dense(4, name="shared")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2, name="head")(shared(shared(inputs))))
    w, b, w2, b2 = (host(value) for value in model.get_weights())
    taps = [tt.Activations("shared"), tt.ActivationGradients("shared"), tt.Gradients("shared/kernel")]
    found = record(model, tmp_path / "run", *taps, tt.Activations("shared", reduce="mean"))
    once = X @ w + b
    twice = once @ w + b
    at_twice = upstream(twice @ w2 + b2) @ w2.T
    at_once = at_twice @ w.T
    np.testing.assert_allclose(found("activations.shared"), once, **CLOSE)
    np.testing.assert_allclose(found("activations.shared#1"), twice, **CLOSE)
    np.testing.assert_allclose(found("activation_gradients.shared"), at_once, **CLOSE)
    np.testing.assert_allclose(found("activation_gradients.shared#1"), at_twice, **CLOSE)
    np.testing.assert_allclose(found("gradients.shared.kernel")[0], X.T @ at_once + once.T @ at_twice, **CLOSE)
    means = rows(tmp_path / "run", "activations")
    assert statistic(means, "shared", "mean", 0) == pytest.approx(once.mean(), rel=1e-4, abs=1e-6)
    assert statistic(means, "shared#1", "mean", 0) == pytest.approx(twice.mean(), rel=1e-4, abs=1e-6)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_subclassed_model_with_an_idle_layer(tmp_path: Path) -> None:
    model = subclassed(Subclassed)
    with pytest.warns(tt.RecordingWarning, match=r"did not run in this step: idle"):
        record(model, tmp_path / "run", tt.Activations("*"), y=Y[:, :1])
    tables = {name for name in RunReader(tmp_path / "run").tables if name.startswith("activations.")}
    assert tables == {"activations.shared", "activations.shared#1", "activations.head"}


def test_a_layer_that_no_gradient_reaches(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.Rescaling(2.0, name="scaled")(inputs)))
    w, b = (host(value) for value in model.get_weights())
    with pytest.warns(tt.RecordingWarning, match="No gradient reaches .* scaled: no trainable weight lies before"):
        found = record(model, tmp_path / "run", tt.ActivationGradients("scaled"), tt.ActivationGradients("head"))
    np.testing.assert_allclose(found("activation_gradients.head"), upstream(2 * X @ w + b), **CLOSE)
    assert "activation_gradients.scaled" not in RunReader(tmp_path / "run").tables


class Halves(layers.Layer):  # type: ignore[misc]
    """Two outputs."""

    def call(self, x: Any) -> Any:
        return x[:, :2], 2 * x[:, 2:]


class Named(layers.Layer):  # type: ignore[misc]
    """Outputs with names."""

    def call(self, x: Any) -> Any:
        return {"same": x, "double": 2 * x}


def test_layers_with_several_outputs_and_inputs(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    left, right = Halves(name="halves")(layers.Dense(4, name="first")(inputs))
    both = Named(name="named")(left)
    joined = layers.Concatenate(name="joined")([left, right, both["double"]])
    model = keras.Model(inputs, layers.Dense(2, name="head")(joined))
    w1, b1, w, b = (host(value) for value in model.get_weights())
    taps = [tt.Activations(["halves", "named", "joined"]), tt.ActivationGradients("halves")]
    found = record(model, tmp_path / "run", *taps)
    first = X @ w1 + b1
    whole = np.concatenate([first[:, :2], 2 * first[:, 2:], 2 * first[:, :2]], 1)
    np.testing.assert_allclose(found("activations.halves.0"), first[:, :2], **CLOSE)
    np.testing.assert_allclose(found("activations.halves.1"), 2 * first[:, 2:], **CLOSE)
    np.testing.assert_allclose(found("activations.named.same"), first[:, :2], **CLOSE)
    np.testing.assert_allclose(found("activations.named.double"), 2 * first[:, :2], **CLOSE)
    np.testing.assert_allclose(found("activations.joined"), whole, **CLOSE)
    at_joined = upstream(whole @ w + b) @ w.T
    np.testing.assert_allclose(found("activation_gradients.halves.0"), at_joined[:, :2] + 2 * at_joined[:, 4:], **CLOSE)
    np.testing.assert_allclose(found("activation_gradients.halves.1"), at_joined[:, 2:4], **CLOSE)


# --- sequences -------------------------------------------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm(x: Array, kernel: Array, recurrent: Array, bias: Array) -> tuple[Array, Array]:
    """All hidden states, and the last cell state."""
    h = c = np.zeros((len(x), recurrent.shape[0]))
    states = []
    for t in range(x.shape[1]):
        i, f, new, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states, 1), c


def test_recurrent_layers(tmp_path: Path) -> None:
    inputs = keras.Input((T, 3))
    sequence, last, _ = layers.LSTM(2, return_sequences=True, return_state=True, name="lstm")(inputs)
    both = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both")(sequence)
    each = layers.TimeDistributed(layers.Dense(2), name="each")(both)
    added = layers.Add(name="added")([layers.GlobalAveragePooling1D(name="mean")(each), last])
    model = keras.Model(inputs, layers.Dense(2, name="head")(added))
    weights = [host(value).astype(np.float64) for value in model.get_weights()]
    found = record(model, tmp_path / "run", tt.Activations("*"), x=SEQUENCES)
    hidden, state = lstm(SEQUENCES, *weights[:3])
    forward = lstm(hidden, *weights[3:6])[0]
    backward = lstm(hidden[:, ::-1], *weights[6:9])[0][:, ::-1]
    joined = np.concatenate([forward, backward], -1)
    dense = joined @ weights[9] + weights[10]
    for name, value in {
        "lstm.0": hidden,
        "lstm.1": hidden[:, -1],
        "lstm.2": state,
        "both": joined,
        "each": dense,
        "mean": dense.mean(1),
        "added": dense.mean(1) + hidden[:, -1],
    }.items():
        np.testing.assert_allclose(found(f"activations.{name}"), value, err_msg=name, **CLOSE)
    assert not [name for name in RunReader(tmp_path / "run").tables if "cell" in name]


@pytest.mark.parametrize("selected", ["lstm/lstm_cell", "lstm_cell", "each/inside"])
def test_what_runs_in_a_loop_is_refused_in_words(tmp_path: Path, selected: str) -> None:
    inputs = keras.Input((T, 3))
    x = layers.LSTM(2, return_sequences=True, name="lstm")(inputs)
    model = keras.Model(inputs, layers.TimeDistributed(layers.Dense(2, name="inside"), name="each")(x))
    loop = "each" if "each" in selected else "lstm"
    with pytest.raises(tt.LayerError, match=rf"inside a loop over time steps of '{loop}'.*Expected: .*select '{loop}'"):
        record(model, tmp_path / "run", tt.Activations(selected), x=SEQUENCES, y=np.zeros((N, T, 2), np.float32))
    assert not hasattr(model.train_function, "session")


def test_attention(tmp_path: Path) -> None:
    inputs = keras.Input((T, 3))
    attention = layers.MultiHeadAttention(2, 4, name="attention")
    model = keras.Model(inputs, layers.GlobalAveragePooling1D(name="mean")(attention(inputs, inputs)))
    taps = [tt.Activations(["attention", "attention/query", "attention/value"]), tt.ActivationGradients("attention")]
    named = {variable.path.rpartition("attention/")[2]: host(variable.value) for variable in model.variables}
    y = RNG.normal(size=(N, 3)).astype("float32")
    taps.append(tt.Activations("attention", reduce="max"))
    found = record(model, tmp_path / "run", *taps, x=SEQUENCES, y=y)
    assert set(rows(tmp_path / "run", "activations")["path"]) == {"attention"}  # not those inside it

    def projected(name: str) -> Array:
        return np.asarray(np.einsum("btd,dhk->bthk", SEQUENCES, named[f"{name}/kernel"]) + named[f"{name}/bias"])

    query, key, value = (projected(name) for name in ("query", "key", "value"))
    scores = np.einsum("bqhk,bthk->bhqt", query, key) / 2.0
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = np.einsum("bhqt,bthk->bqhk", scores / scores.sum(-1, keepdims=True), value)
    out = np.einsum("bqhk,hkd->bqd", mixed, named["attention_output/kernel"]) + named["attention_output/bias"]
    np.testing.assert_allclose(found("activations.attention.query"), query, **CLOSE)
    np.testing.assert_allclose(found("activations.attention.value"), value, **CLOSE)
    np.testing.assert_allclose(found("activations.attention"), out, **CLOSE)
    at_out = np.repeat(upstream(out.mean(1), y)[:, None] / T, T, axis=1)
    np.testing.assert_allclose(found("activation_gradients.attention"), at_out, **CLOSE)


# --- weights ---------------------------------------------------------------------------------------------------------


def test_gradients_of_an_embedding_are_dense(tmp_path: Path) -> None:
    """TensorFlow hands the optimizer slices."""
    words = RNG.integers(0, 6, (N, T))
    inputs = keras.Input((T,), dtype="int32")
    x = layers.Embedding(9, 2, name="words")(inputs)
    model = keras.Model(inputs, layers.GlobalAveragePooling1D(name="mean")(x))
    table = host(model.get_weights()[0])
    taps = [tt.Gradients("words/*"), tt.Gradients("words/*", reduce=["norm", "zeros"])]
    found = record(model, tmp_path / "run", *taps, x=words)
    up = upstream(table[words].mean(1)) / T
    expected = np.zeros_like(table)
    for row in range(N):
        for word in words[row]:
            expected[word] += up[row]
    np.testing.assert_allclose(found("gradients.words.embeddings")[0], expected, **CLOSE)
    reduced = rows(tmp_path / "run", "gradients")
    assert statistic(reduced, "words/embeddings", "norm", 0) == pytest.approx(np.sqrt((expected**2).sum()), rel=1e-5)
    assert statistic(reduced, "words/embeddings", "zeros", 0) == pytest.approx((expected == 0).mean())


def frozen() -> Any:
    model = functional()
    model.get_layer("first").trainable = False
    return model


def test_frozen_layers(tmp_path: Path) -> None:
    model = frozen()
    kernel = host(model.get_weights()[0])
    taps = [
        tt.Gradients("*"),
        tt.Activations("first"),
        tt.Weights("first/kernel", every=1),
        tt.Updates("*", reduce=None),
    ]
    found = record(model, tmp_path / "run", *taps, batch_size=4)
    tables = RunReader(tmp_path / "run").tables
    assert {name for name in tables if name.startswith("gradients.")} == {
        "gradients.head.kernel",
        "gradients.head.bias",
    }
    assert {name for name in tables if name.startswith("updates.")} == {"updates.head.kernel", "updates.head.bias"}
    np.testing.assert_array_equal(found("weights.first.kernel"), [kernel, kernel])
    np.testing.assert_allclose(found("activations.first"), X @ kernel, **CLOSE)


def test_updates_by_their_ratio_alone_or_by_a_reducer(tmp_path: Path) -> None:
    taps = [
        tt.Updates("head/kernel", reduce="ratio"),
        tt.Updates("head/bias", reduce=tt.reducers.Max()),
        tt.Weights("head/kernel", every=1),
    ]
    found = record(functional(), tmp_path / "run", *taps, batch_size=4)
    then, now = found("weights.head.kernel")[:2]
    run = tt.open(tmp_path / "run")
    assert list(run.updates("head/kernel").statistics) == ["ratio"]
    ratio = run.updates("head/kernel").statistics["ratio"]
    assert ratio[1] == pytest.approx(np.linalg.norm(now - then) / np.linalg.norm(then), rel=1e-4)
    with pytest.raises(tt.TapError, match="There is no reducer 'ratio'"):
        record(functional(), tmp_path / "other", tt.Weights("head/kernel", reduce=["norm", "ratio"]))


def test_the_gradient_of_a_frozen_weight_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tt.LayerError, match=r"No trainable weight .* matches select\('first/kernel'\).*head/kernel"):
        record(frozen(), tmp_path / "run", tt.Gradients("first/kernel"))


def test_an_unknown_layer_is_an_error_that_lists_near_names(tmp_path: Path) -> None:
    model = functional()
    with pytest.raises(tt.LayerError, match=r"No layer .* matches select\('frist'\).*first"):
        record(model, tmp_path / "run", tt.Activations("frist"))
    assert not hasattr(model.train_function, "session")


# --- what differs between phases -------------------------------------------------------------------------------------


def test_dropout_and_normalisation_act_as_in_their_phase(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((4,)), layers.BatchNormalization(name="norm"), layers.Dropout(0.5, name="drop"), layers.Dense(2)]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    taps = [tt.Activations("*", phases=("train", "val"))]
    recorder = tt.Recorder(tmp_path / "run", taps)
    model.fit(X, Y, batch_size=N, validation_data=(X, Y), shuffle=False, verbose=0, callbacks=[recorder])
    norm, drop = model.get_layer("norm"), rows(tmp_path / "run", "activations.drop")
    values = rows(tmp_path / "run", "activations.norm")
    train, val = np.asarray(values["values"])[:N], np.asarray(values["values"])[N:]
    assert values["phase"] == ["train"] * N + ["val"] * N
    np.testing.assert_allclose(train, (X - X.mean(0)) / np.sqrt(X.var(0) + norm.epsilon), rtol=1e-4, atol=1e-4)
    mean, variance, offset = (host(v.value) for v in (norm.moving_mean, norm.moving_variance, norm.beta))
    expected = (X - mean) / np.sqrt(variance + norm.epsilon) * host(norm.gamma.value) + offset
    np.testing.assert_allclose(val, expected, rtol=1e-4, atol=1e-4)
    dropped = np.asarray(drop["values"])[:N]
    assert 0 < (dropped == 0).sum() < dropped.size
    np.testing.assert_allclose(dropped[dropped != 0], 2 * train[dropped != 0], rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(drop["values"])[N:], val)


class Scales(layers.Layer):  # type: ignore[misc]
    """An output that has no row per sample."""

    def call(self, x: Any) -> Any:
        return ops.mean(x, axis=0)


def test_values_without_a_row_per_sample_are_said(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(inputs - Scales(name="scales")(inputs)))
    with pytest.warns(tt.RecordingWarning, match=r"'scales' have no row per sample \(shape \(4,\)\).*reduce='mean'"):
        record(model, tmp_path / "run", tt.Activations("scales"), tt.Activations("scales", reduce="max"))
    found = statistic(rows(tmp_path / "run", "activations"), "scales", "max", 0)
    assert found == pytest.approx(X.mean(0).max(), rel=1e-5)
