"""tt.losses.Joint: one loss over all outputs, once, whatever their structure (problem D11)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.losses import close, gradient, slope, value
from tests.backends.models import X, collect, host
from tests.backends.recorded import rows

Array = npt.NDArray[Any]

RNG = np.random.default_rng(6)
N, B = len(X), 8
Z, A = RNG.normal(size=(N, 1)).astype("float32"), RNG.normal(size=(N, 2)).astype("float32")
WEIGHT = RNG.uniform(0.2, 3, N).astype("float32")


@keras.saving.register_keras_serializable("truetap-tests")  # type: ignore[untyped-decorator]
def by_name(y_true: Any, y_pred: Any) -> Any:
    return ops.abs(y_true["z"] - y_pred["z"])[:, 0] * ops.sum(ops.square(y_true["a"] - y_pred["a"]), axis=-1)


@keras.saving.register_keras_serializable("truetap-tests")  # type: ignore[untyped-decorator]
def by_place(y_true: Any, y_pred: Any) -> Any:
    return by_name(dict(zip("za", y_true, strict=True)), dict(zip("za", y_pred, strict=True)))


def heads(structure: str, loss: Any, **compiled: Any) -> Any:
    inputs = keras.Input((4,))
    z, a = layers.Dense(1, name="z")(inputs), layers.Dense(2, name="a")(inputs)
    model = keras.Model(inputs, {"z": z, "a": a} if structure == "dict" else [z, a])
    model.compile(**({"optimizer": keras.optimizers.SGD(0.01), "loss": loss} | compiled))
    return model


def labels(structure: str) -> Any:
    return {"a": A, "z": Z} if structure == "dict" else [Z, A]


def predicted(model: Any, at: slice = slice(None)) -> tuple[Array, Array]:
    found = keras.tree.map_structure(host, model(X[at]))
    return (found["z"], found["a"]) if isinstance(found, dict) else tuple(found)


def by_hand(z: Array, a: Array, at: slice = slice(None)) -> Array:
    values: Array = np.abs(Z[at] - z)[:, 0] * np.square(A[at] - a).sum(-1)
    return values


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("structure", ["dict", "list"])
def test_trained_recorded_saved(tmp_path: Path, structure: str, weighted: bool) -> None:
    model = heads(structure, tt.losses.Joint(by_name if structure == "dict" else by_place))
    data = {"x": X, "y": labels(structure), "sample_weight": WEIGHT if weighted else None, "batch_size": B}
    factor = WEIGHT if weighted else np.ones(N)
    expected = (by_hand(*predicted(model)) * factor)[:B].mean()
    recorder = tt.Recorder(tmp_path / "run")
    model.fit(**data, shuffle=False, verbose=0, callbacks=[recorder])
    samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
    assert scalars["loss"][0] == close(expected)
    each = by_hand(np.asarray(samples["y_pred/z"]), np.asarray(samples["y_pred/a"]))
    np.testing.assert_allclose(samples["loss"], each, rtol=1e-5)
    share = samples["weighted_loss"] if weighted else samples["loss"]
    np.testing.assert_allclose(share, each * factor, rtol=1e-5)
    np.testing.assert_allclose(scalars["loss"], [np.mean(share[i : i + B]) for i in range(0, N, B)], rtol=1e-5)

    after = model.evaluate(**data, verbose=0, return_dict=True)
    truth = by_hand(*predicted(model)) * factor
    assert after["loss"] == close(truth.mean())
    by_output = sorted(after[name] for name in after if name != "loss")
    assert by_output == [0, pytest.approx(after["loss"], rel=0.1)]  # TF averages it over batches, not samples
    collected = collect(model, (X, labels(structure), data["sample_weight"]))
    np.testing.assert_allclose(collected.weighted_loss if weighted else collected.loss, truth, rtol=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.evaluate(**data, verbose=0, return_dict=True)["loss"] == close(after["loss"])


def test_given_for_one_output_beside_others() -> None:
    joint = tt.losses.Joint(by_name)
    model = heads("dict", {"a": joint})
    whole = by_hand(*predicted(model)).mean()
    assert model.evaluate(X, labels("dict"), verbose=0, return_dict=True) == {"loss": close(whole)}
    np.testing.assert_allclose(collect(model, (X, labels("dict"))).loss, by_hand(*predicted(model)), rtol=1e-4)
    model.compile(loss={"z": "mse", "a": joint}, loss_weights={"z": 3.0, "a": 0.5})
    z = np.square(predicted(model)[0] - Z).mean()
    assert model.evaluate(X, labels("dict"), verbose=0, return_dict=True)["loss"] == close(3 * z + whole / 2)
    model.compile(loss=joint, loss_weights=0.5)
    assert model.evaluate(X, labels("dict"), verbose=0, return_dict=True)["loss"] == close(whole / 2)


def test_the_gradient_reaches_every_output() -> None:
    flat = np.concatenate([Z + 1, A + 2], axis=1)

    def total(outputs: Any) -> Any:
        return tt.losses.Joint(by_place)([Z, A], [outputs[:, :1], outputs[:, 1:]])

    found = gradient(total, flat)
    expected = slope(lambda v: float(by_hand(v[:, :1], v[:, 1:]).mean()), flat.astype(float))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert value(total, flat) == close(by_hand(Z + 1, A + 2).mean())


def test_what_it_asks_for() -> None:
    def weighted(y_true: Any, y_pred: Any, *, x: Any, sample_weight: Any) -> Any:
        return ops.abs(y_true["z"] - y_pred["z"])[:, 0] * sample_weight["z"] + sample_weight["a"] * x[:, 0]

    model = heads("dict", tt.losses.Joint(weighted))
    weights = {"z": WEIGHT, "a": WEIGHT[::-1].copy()}
    expected = np.mean(np.abs(Z - predicted(model)[0])[:, 0] * WEIGHT + WEIGHT[::-1] * X[:, 0])
    found = model.evaluate(X, labels("dict"), sample_weight=weights, batch_size=B, verbose=0, return_dict=True)
    assert found["loss"] == close(expected)


def test_called_for_each_output_in_a_loop_of_ones_own() -> None:
    z, a = Z + 1, A + 2
    joint = tt.losses.Joint(by_name)
    with tt.losses.given(y={"z": Z, "a": A}, y_pred={"z": z, "a": a}):
        found = [float(host(joint(*each))) for each in ((Z, z), (A, a))]
    assert sorted(found) == [0, close(by_hand(z, a).mean())]
    with (
        tt.losses.given(y={"z": Z, "a": A}, y_pred={"z": z, "a": a}),
        pytest.raises(tt.LossError, match="with an output that is none of those given to compute_loss"),
    ):
        joint(Z, z + 0)


def test_one_output() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(1)(inputs))
    model.compile(loss=tt.losses.Joint(lambda y_true, y_pred: ops.abs(y_true - y_pred)[:, 0]))
    expected = np.abs(host(model(X)) - Z).mean()
    assert model.evaluate(X, Z, verbose=0) == close(expected)
    np.testing.assert_allclose(np.mean(np.asarray(collect(model, (X, Z)).loss)), expected, rtol=1e-5)


def test_weights_that_differ_by_output() -> None:
    """There is no right number: only the samples whose weights agree have one."""
    model = heads("dict", tt.losses.Joint(by_name))
    weights = {"z": WEIGHT, "a": np.where(np.arange(N) == 3, 9, WEIGHT)}
    found = np.asarray(collect(model, (X, labels("dict"), weights)).loss)
    assert np.isnan(found).nonzero()[0].tolist() == [3]
    whole = model.evaluate(X, labels("dict"), sample_weight=weights, verbose=0, return_dict=True)
    assert np.isnan(whole["loss"])


class OwnStep(keras.Model):  # type: ignore[misc]
    """compute_loss called as Keras' guide has it, without x."""

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(y=y, y_pred=y_pred)


def test_without_x() -> None:
    inputs = keras.Input((4,))
    model = OwnStep(inputs, [layers.Dense(1, name="z")(inputs), layers.Dense(2, name="a")(inputs)])
    model.compile(loss=tt.losses.Joint(by_place))
    expected = by_hand(*predicted(model)).mean()
    assert model.test_on_batch(X, [Z, A], return_dict=True)["loss"] == close(expected)


def test_masks_are_for_those_who_ask() -> None:
    def masked(y_true: Any, y_pred: Any, *, mask: Any) -> Any:
        keep = ops.cast(mask["steps"], "float32")
        steps = ops.sum(ops.abs(y_true["steps"] - y_pred["steps"])[..., 0] * keep, axis=1)
        assert mask["end"] is None
        return steps + ops.abs(y_true["end"] - y_pred["end"])[:, 0]

    inputs = keras.Input((3, 1))
    steps = layers.Masking()(inputs)
    model = keras.Model(inputs, {"steps": steps, "end": layers.LSTM(1)(steps)})
    x = np.asarray([[1, 2, 0], [3, 0, 0]], "float32")[..., None]
    y = {"steps": np.ones((2, 3, 1), "float32"), "end": np.zeros((2, 1), "float32")}
    model.compile(loss=tt.losses.Joint(masked))
    expected = np.mean([1, 2]) + np.abs(host(model(x)["end"])).mean()
    assert model.evaluate(x, y, verbose=0, return_dict=True)["loss"] == close(expected)
    model.compile(loss=tt.losses.Joint(lambda y_true, y_pred: ops.abs(y_pred["end"])[:, 0]))
    with pytest.raises(tt.LossError, match=r"has a Keras mask, and the function of the loss .* doesn't ask for it"):
        model.test_on_batch(x, y)


def test_what_is_refused() -> None:
    joint = tt.losses.Joint(by_name)
    with pytest.raises(tt.LossError, match=r"was given for 2 of them. Give it once: compile\(loss=tt.losses.Joint"):
        heads("dict", {"z": joint, "a": joint}).test_on_batch(X, labels("dict"))
    weights = {"z": WEIGHT, "a": WEIGHT[:, None]}
    with pytest.raises(tt.LossError, match=r"outputs have sample weights of their own.*take sample_weight="):
        heads("dict", joint).test_on_batch(X, labels("dict"), sample_weight=weights)
    with pytest.raises(tt.LossError, match=r"called with one.*call it with the nested labels and outputs"):
        joint(Z, Z)
    with pytest.raises(tt.LossError, match=r"one over all outputs, and can't stand inside another"):
        tt.losses.Masked(joint)
    with pytest.raises(tt.LossError, match=r"reduces the batch itself"):
        tt.losses.Joint(lambda y_true, y_pred: ops.mean(y_pred[0]))([Z], [Z])
