"""Equal to what one would write by hand: `model(x, training=False)`, `model.evaluate`, scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from sklearn import datasets, metrics

import truetap as tt

Array = npt.NDArray[Any]


def digits() -> tuple[Array, Array]:
    """Scikit-learn's 1,797 real digits of 8 x 8 pixels; 100 of them, so that the last batch is partial."""
    bunch = datasets.load_digits()
    return (bunch.images[:100, ..., None] / 16).astype("float32"), bunch.target[:100].astype("int64")


@pytest.fixture(scope="module")
def trained() -> tuple[Any, Array, Array]:
    """A CNN with dropout and batch normalisation, trained for a moment."""
    keras.utils.set_random_seed(0)
    x, y = digits()
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(10, activation="softmax", name="head"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=2, batch_size=20, verbose=0)
    return model, x, y


def by_hand(model: Any, x: Array) -> Array:
    outputs = [model(x[start : start + 32], training=False) for start in range(0, len(x), 32)]
    return np.concatenate([keras.ops.convert_to_numpy(output) for output in outputs])


def test_predictions_are_those_of_a_loop_by_hand(trained: tuple[Any, Array, Array]) -> None:
    model, x, y = trained
    samples = tt.collect(model, (x, y))
    np.testing.assert_allclose(samples.y_pred, by_hand(model, x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(samples.y_true, y)


def test_losses_are_those_of_numpy(trained: tuple[Any, Array, Array]) -> None:
    model, x, y = trained
    samples = tt.collect(model, (x, y))
    assert samples.loss is not None
    expected = -np.log(by_hand(model, x)[np.arange(len(y)), y])
    np.testing.assert_allclose(samples.loss, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate_agrees_with_keras_and_scikit_learn(trained: tuple[Any, Array, Array], weighted: bool) -> None:
    model, x, y = trained
    weight = np.linspace(0, 2, len(y)).astype("float32") if weighted else None
    data = (x, y) if weight is None else (x, y, weight)
    samples = tt.collect(model, data)
    keras_says = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    evaluation = samples.evaluate(weighted=weighted)
    assert isinstance(evaluation, tt.Evaluation)
    assert evaluation.loss == pytest.approx(keras_says["loss"], rel=1e-5)
    assert samples.evaluate()["accuracy"] == pytest.approx(keras_says["accuracy"], rel=1e-6)  # Keras: unweighted
    scores = by_hand(model, x).astype("float64")
    scores /= scores.sum(axis=1, keepdims=True)
    chosen = scores.argmax(axis=1)
    assert evaluation["accuracy"] == pytest.approx(metrics.accuracy_score(y, chosen, sample_weight=weight))
    f1 = metrics.f1_score(y, chosen, average="macro", sample_weight=weight, zero_division=0)
    assert evaluation["f1_macro"] == pytest.approx(f1)
    area = metrics.roc_auc_score(y, scores, multi_class="ovr", sample_weight=weight)
    assert evaluation["roc_auc_macro"] == pytest.approx(area, rel=1e-5)
    assert evaluation.confusion is not None
    np.testing.assert_allclose(evaluation.confusion, metrics.confusion_matrix(y, chosen, sample_weight=weight))


def test_slices_are_evaluated_on_their_own_rows(trained: tuple[Any, Array, Array]) -> None:
    model, x, y = trained
    even = np.arange(len(y)) % 2 == 0
    whole = tt.collect(model, (x, y)).evaluate(by={"even": even, "half": np.where(even, "a", "b")})
    assert isinstance(whole, tt.Evaluation)
    chosen = by_hand(model, x).argmax(axis=1)
    assert set(whole.slices) == {"even", "half=a", "half=b"}
    for name, rows in (("even", even), ("half=a", even), ("half=b", ~even)):
        assert whole.slices[name]["accuracy"] == pytest.approx((chosen[rows] == y[rows]).mean())


def test_to_disk_gives_the_same_and_can_be_opened_again(trained: tuple[Any, Array, Array], tmp_path: Path) -> None:
    model, x, y = trained
    held = tt.collect(model, (x, y), layers="conv", inputs=True)
    written = tt.collect(model, (x, y), layers="conv", inputs=True, to=tmp_path / "run")
    opened = tt.open(tmp_path / "run").samples()
    for samples in (written, opened):
        for name in ("ids", "fingerprints", "y_true", "y_pred", "loss", "inputs", "true_labels", "pred_labels"):
            np.testing.assert_array_equal(getattr(samples, name), getattr(held, name), err_msg=name)
        np.testing.assert_array_equal(samples.layers["conv"], held.layers["conv"])
        assert str(samples.evaluate()) == str(held.evaluate())
        np.testing.assert_array_equal(samples.hardest(5).ids, held.hardest(5).ids)
    assert opened.about == written.about


def test_a_run_is_not_written_over(trained: tuple[Any, Array, Array], tmp_path: Path) -> None:
    model, x, y = trained
    tt.collect(model, (x, y), to=tmp_path / "run")
    with pytest.raises(tt.RunExistsError, match="run"):
        tt.collect(model, (x, y), to=tmp_path / "run")
    assert len(tt.open(tmp_path / "run").samples()) == len(y)


def test_hardest_are_the_highest_losses_worst_first(trained: tuple[Any, Array, Array]) -> None:
    model, x, y = trained
    losses = -np.log(by_hand(model, x)[np.arange(len(y)), y])
    worst = np.argsort(-losses)[:7]
    hardest = tt.collect(model, (x, y), ids=np.arange(len(y))).hardest(7)
    np.testing.assert_array_equal(hardest.ids, worst)
    np.testing.assert_array_equal(hardest.y_true, y[worst])


def test_layer_values_are_those_of_a_cut_model(trained: tuple[Any, Array, Array]) -> None:
    model, x, y = trained
    cut = keras.Model(model.inputs[0], model.get_layer("conv").output)
    samples = tt.collect(model, (x, y), layers="conv")
    np.testing.assert_allclose(samples.layers["conv"], by_hand(cut, x), rtol=1e-5, atol=1e-6)


def test_arrow_and_pandas_hold_the_same(trained: tuple[Any, Array, Array]) -> None:
    model, x, y = trained
    samples = tt.collect(model, (x, y), ids=[f"digit {i}" for i in range(len(y))])
    table = samples.to_arrow()
    assert table.num_rows == len(y)
    pred = np.concatenate([chunk.to_numpy_ndarray() for chunk in table.column("y_pred").chunks])
    np.testing.assert_array_equal(pred, samples.y_pred)
    frame = samples.to_pandas()
    assert frame["sample_id"].tolist() == [f"digit {i}" for i in range(len(y))]
    np.testing.assert_array_equal(frame["true_label"], y)
    np.testing.assert_array_equal(frame["pred_label"], by_hand(model, x).argmax(axis=1))


def test_the_model_is_as_it_was(trained: tuple[Any, Array, Array]) -> None:
    model, x, y = trained
    before = [weight.copy() for weight in model.get_weights()]
    training = getattr(model, "training", None)
    tt.collect(model, (x, y), layers="*")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert getattr(model, "training", None) == training
    assert all("call" not in vars(layer) for layer in [model, *model.layers])


def test_a_changed_model_is_traced_anew(trained: tuple[Any, Array, Array]) -> None:
    """Weights, layers, an activation or a loss that were replaced after a first call."""
    x = np.arange(12, dtype="float32").reshape(4, 3) / 10
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="ones", name="first")])
    model.compile(loss="mse")
    total = x.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tt.collect(model, (x, x[:, :2])).y_pred, np.tile(total, 2), rtol=1e-6)
    model.layers[0].set_weights([np.full((3, 2), 2.0), np.zeros(2)])
    np.testing.assert_allclose(tt.collect(model, (x, x[:, :2])).y_pred, np.tile(2 * total, 2), rtol=1e-6)
    model.add(keras.layers.Dense(1, kernel_initializer="ones"))
    np.testing.assert_allclose(tt.collect(model, (x, x[:, :1])).y_pred, 4 * total, rtol=1e-6)
    model.layers[0].activation = keras.activations.tanh
    bent = 2 * np.tanh(2 * total)
    np.testing.assert_allclose(tt.collect(model, (x, x[:, :1])).y_pred, bent, rtol=1e-5)
    model.compile(loss="mae")
    losses = tt.collect(model, (x, x[:, :1])).loss
    assert losses is not None
    np.testing.assert_allclose(losses, np.abs(bent - x[:, :1])[:, 0], rtol=1e-5)


def test_a_second_call_traces_nothing(trained: tuple[Any, Array, Array]) -> None:
    """Python side effects run when a step is traced: once per shape on TensorFlow and JAX, always on torch."""
    calls = []

    class Counting(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            calls.append(1)
            return x * 1.0

    _, x, y = trained
    model = keras.Sequential([keras.Input((8, 8, 1)), Counting(), keras.layers.Flatten(), keras.layers.Dense(10)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    tt.collect(model, (x, y))
    first = len(calls)
    tt.collect(model, (x, y))
    assert len(calls) == first or keras.backend.backend() == "torch"
