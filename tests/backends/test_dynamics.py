"""`run.dynamics` of real trainings, against a few lines of NumPy over `run.samples(epoch=e)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

import truetap as tt
from tests.backends.models import sequential

Array = npt.NDArray[Any]
Dense = keras.layers.Dense

RNG = np.random.default_rng(4)
N, EPOCHS = 42, 5  # batches of 16, 16 and 10 rows
X = RNG.normal(size=(N, 4)).astype("float32")
CLASSES = (X @ RNG.normal(size=(4, 3))).argmax(axis=1)
TWO = (X[:, 0] > 0).astype("int64")
SEVERAL = (X[:, :3] > 0).astype("float32")
NUMBERS = np.stack([X.sum(axis=1), X[:, 0]], axis=1)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))


def two(one: Array) -> Array:
    return np.concatenate([1 - one, one], axis=1)


@dataclass(frozen=True)
class Case:
    """A training, and how its scores become the logits of classes.

    Attributes:
        y: Labels as the loss gets them.
        labels: As class indices.
        units: Units of the last layer.
        activation: Its activation.
        loss: The loss.
        probabilities: Of the classes, from the scores.
        logits: Up to a constant in each row, from the scores.
    """

    y: Array
    labels: Array
    units: int
    activation: str | None
    loss: Any
    probabilities: Callable[[Array], Array]
    logits: Callable[[Array], Array]


CASES = {
    "sparse softmax": Case(
        CLASSES, CLASSES, 3, "softmax", "sparse_categorical_crossentropy", lambda scores: scores, np.log
    ),
    "one-hot logits": Case(
        np.eye(3, dtype="float32")[CLASSES],
        CLASSES,
        3,
        None,
        keras.losses.CategoricalCrossentropy(from_logits=True),
        softmax,
        lambda scores: scores,
    ),
    "one unit": Case(
        TWO[:, None],
        TWO,
        1,
        "sigmoid",
        "binary_crossentropy",
        two,
        lambda scores: np.log(two(scores.astype(np.float64))),
    ),
    "one logit": Case(
        TWO,
        TWO,
        1,
        None,
        keras.losses.BinaryCrossentropy(from_logits=True),
        lambda scores: two(sigmoid(scores)),
        lambda scores: np.concatenate([np.zeros_like(scores), scores], axis=1),
    ),
}


def recorded(path: Path, y: Any, units: int, activation: str | None, loss: Any, x: Any = X) -> Any:
    keras.utils.set_random_seed(3)
    model = sequential(Dense(8, activation="tanh"), Dense(units, activation=activation), loss=loss, optimizer="sgd")
    model.optimizer.learning_rate = 0.3
    model.fit(x, y, epochs=EPOCHS, batch_size=16, shuffle=True, verbose=0, callbacks=[tt.Recorder(path)])
    run = tt.open(path)
    run.identify((x, y))
    return run


def by_sample(run: Any, column: Callable[[Any], Any]) -> Array:
    """Values of each epoch in the order of the data: (epochs, N, ...)."""
    found = []
    for epoch in range(EPOCHS):
        samples = run.samples(epoch=epoch)
        found.append(np.asarray(column(samples))[np.argsort(samples.ids)])
    return np.stack(found).astype(np.float64)


def in_order(table: Any) -> dict[str, Array]:
    order = np.argsort(table["sample_id"].to_numpy())
    return {name: table[name].to_numpy()[order] for name in table.column_names}


@pytest.mark.parametrize("name", CASES)
def test_classes(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    run = recorded(tmp_path / "run", case.y, case.units, case.activation, case.loss)
    found = in_order(run.dynamics())
    scores = by_sample(run, lambda samples: samples.y_pred)
    rows, epochs = np.arange(N), range(EPOCHS)
    each = np.stack([case.probabilities(scores[e]) for e in epochs])
    logits = np.stack([case.logits(scores[e]) for e in epochs])
    own = each[:, rows, case.labels]
    right = each.argmax(axis=2) == case.labels
    others = np.where(np.eye(each.shape[2], dtype=bool)[case.labels], -np.inf, logits).max(axis=2)
    np.testing.assert_array_equal(found["label"], case.labels)
    np.testing.assert_allclose(found["confidence"], own.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["variability"], own.std(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["correctness"], right.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(found["forgetting"], (right[:-1] & ~right[1:]).sum(axis=0))
    first = np.where(right.any(axis=0), right.argmax(axis=0), np.nan)
    np.testing.assert_array_equal(found["first_learned"], first)
    np.testing.assert_allclose(found["aum"], (logits[:, rows, case.labels] - others).mean(axis=0), rtol=1e-4, atol=1e-5)
    one_hot = np.eye(each.shape[2])[case.labels]
    distance = np.sqrt(((each - one_hot) ** 2).sum(axis=2))
    np.testing.assert_allclose(found["el2n"], distance.mean(axis=0), rtol=1e-4, atol=1e-6)
    losses = by_sample(run, lambda samples: samples.loss)
    np.testing.assert_allclose(found["mean_loss"], losses.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["last_loss"], losses[-1], rtol=1e-6)
    np.testing.assert_array_equal(found["epochs"], EPOCHS)
    np.testing.assert_array_equal(found["visits"], EPOCHS)
    assert 0 < right.mean() < 1
    hardest = run.hardest(5)["sample_id"].to_numpy()
    np.testing.assert_array_equal(hardest, np.argsort(-losses.mean(axis=0), kind="stable")[:5])


def test_several_labels(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", SEVERAL, 3, "sigmoid", "binary_crossentropy")
    found = in_order(run.dynamics())
    scores = by_sample(run, lambda samples: samples.y_pred)
    own = np.where(SEVERAL == 1, scores, 1 - scores)
    right = (scores >= 0.5) == SEVERAL
    np.testing.assert_allclose(found["confidence"], own.mean(axis=(0, 2)), rtol=1e-5)
    np.testing.assert_allclose(found["variability"], own.mean(axis=2).std(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["correctness"], right.mean(axis=(0, 2)), rtol=1e-5)
    np.testing.assert_array_equal(found["forgetting"], (right[:-1] & ~right[1:]).sum(axis=(0, 2)))
    np.testing.assert_allclose(found["aum"], np.log(own / (1 - own)).mean(axis=(0, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["el2n"], np.sqrt(((scores - SEVERAL) ** 2).sum(axis=2)).mean(axis=0), rtol=1e-5)
    assert "label" not in found


def test_numbers(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", NUMBERS, 2, None, "mse")
    found = in_order(run.dynamics())
    residual = by_sample(run, lambda samples: samples.residual)
    np.testing.assert_allclose(found["mean_residual"], residual.mean(axis=(0, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["mean_absolute_residual"], np.abs(residual).mean(axis=(0, 2)), rtol=1e-5)
    np.testing.assert_allclose(found["variability"], np.abs(residual).mean(axis=2).std(axis=0), rtol=1e-4, atol=1e-6)
    signs = np.sign(residual.mean(axis=2))
    np.testing.assert_allclose(found["sign_consistency"], np.abs(signs.mean(axis=0)), rtol=1e-6)


def test_one_of_several_outputs_and_validation(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    kind = Dense(3, activation="softmax", name="kind")(inputs)
    size = Dense(1, name="size")(inputs)
    model = keras.Model(inputs, {"kind": kind, "size": size})
    model.compile("sgd", {"kind": "sparse_categorical_crossentropy", "size": "mse"})
    y = {"kind": CLASSES, "size": NUMBERS[:, 0]}
    recorder = tt.Recorder(tmp_path / "run")
    model.fit(X, y, validation_data=(X[:9], {name: each[:9] for name, each in y.items()}), epochs=2, verbose=0,
              callbacks=[recorder])  # fmt: skip
    run = tt.open(tmp_path / "run")
    with pytest.raises(tt.StructureError, match=r"output=None\. Expected: one of \['kind', 'size'\]"):
        run.dynamics()
    samples = [run.samples(epoch=epoch) for epoch in range(2)]
    own = [each["kind"].y_pred[np.arange(N), each["kind"].true_labels][np.argsort(each.ids)] for each in samples]
    np.testing.assert_allclose(in_order(run.dynamics(output="kind"))["confidence"], np.mean(own, axis=0), rtol=1e-5)
    losses = [np.asarray(each["kind"].loss)[np.argsort(each.ids)] for each in samples]
    np.testing.assert_allclose(in_order(run.dynamics(output="kind"))["mean_loss"], np.mean(losses, axis=0), rtol=1e-5)
    assert "mean_residual" in run.dynamics(output="size").column_names
    assert run.dynamics("val", output="kind").num_rows == 9


def test_a_collection_is_no_training(tmp_path: Path) -> None:
    model = sequential(Dense(3, activation="softmax"), loss="sparse_categorical_crossentropy")
    tt.collect(model, (X, CLASSES), to=tmp_path / "run", verbose=0)
    with pytest.raises(tt.StoreError, match=r"a run of tt\.collect, which is one pass\. Expected: a run of"):
        tt.open(tmp_path / "run").dynamics()
