"""`tt.lint`: one real step, and nothing changed by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import pytest

import truetap as tt
from truetap.backends.tensors import to_host
from truetap.diagnosis.evidence import Evidence
from truetap.rules.finding import Finding

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 4)).astype("float32"), RNG.integers(0, 3, 300)
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Look:
    """A rule that only keeps what it is shown."""

    name, needs, after = "look", (), ()

    def __init__(self, *asked: str) -> None:
        self.asked = asked

    def check(self, evidence: Evidence) -> Iterable[Finding]:
        self.error, self.batch = evidence.step_error, evidence.batch
        self.found = {name: getattr(evidence, name) for name in self.asked}
        self.meant = {output.name: output.meant for output in evidence.outputs or ()}
        assert all(output.first is not None for output in evidence.outputs or ())  # read while the folder is there
        self.outputs = {output.name: output for output in evidence.outputs or ()}
        return ()


def model_of(*layers: Any, loss: Any = LOGITS, **options: Any) -> Any:
    made = keras.Sequential([keras.Input((4,)), *layers])
    made.compile("adam", loss, **options)
    return made


def dense() -> Any:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    hidden = [layers.Dense(8, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.5)]
    return model_of(*hidden, layers.Dense(3), metrics=["accuracy"])


def state_of(model: Any) -> list[Any]:
    every = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(to_host(each.value)) for each in every]


def test_nothing_is_changed() -> None:
    model = dense()
    model.fit(X, Y, batch_size=50, verbose=0)
    before, drawn = state_of(model), repr(np.random.get_state())
    own = vars(model).keys() - {"train_function"}
    tt.lint(model, (X, Y))
    for one, other in zip(before, state_of(model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert repr(np.random.get_state()) == drawn
    assert vars(model).keys() - {"train_function"} == own


def test_training_goes_on_as_if_it_had_not_been_looked_at() -> None:
    weights = []
    for looked_at in (False, True):
        model = dense()
        model.train_on_batch(X[:50], Y[:50])  # builds it, which on torch draws a random number
        if looked_at:
            tt.lint(model, (X, Y))
        model.fit(X, Y, batch_size=50, shuffle=False, epochs=2, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_everything_is_put_back_when_the_step_raises() -> None:
    class Raises(keras.losses.Loss):  # type: ignore[misc]
        def call(self, y_true: Any, y_pred: Any) -> Any:
            raise RuntimeError("of the loss")

    model = model_of(keras.layers.Dense(3), loss=Raises())
    before = model.get_weights()
    look = Look("gradients", "facts")
    report = tt.lint(model, (X, Y), rules=[look])
    assert "of the loss" in str(look.error)
    assert report.checked == ("look",)
    assert look.outputs[""].first.y_pred.shape == (256, 3)  # of a forward pass
    np.testing.assert_allclose(look.outputs[""].first.y_pred[0], X[0] @ before[0] + before[1], rtol=1e-5, atol=1e-6)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_step_is_that_of_training() -> None:
    model = dense()
    look = Look("gradients", "activations", "updates", "weights", "facts", "curve", "history")
    tt.lint(model, (X, Y), rules=[look])
    assert look.error is None
    gradients, facts = look.found["gradients"], look.found["facts"]
    assert set(gradients.paths) == {each.path for each in facts.model.weights.values() if each.trainable}
    dropped = [path for path in look.found["activations"].paths if path.startswith("dropout")]
    zeros = look.found["activations"].of_path(dropped[0], "near_zero")
    assert 0.3 < zeros[0] < 0.95  # dropout was on
    assert look.found["curve"] is None
    assert look.found["history"] is None


def test_rows_are_spread_over_arrays_that_are_sorted() -> None:
    order = np.argsort(Y, kind="stable")
    look = Look()
    tt.lint(dense(), (X[order], Y[order]), batch_size=30, rules=[look])
    assert look.batch is not None
    assert sorted(set(look.batch[1].tolist())) == [0, 1, 2]
    assert len(look.batch[1]) == 30


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        rows = slice(index * 20, index * 20 + 20)
        return X[rows], Y[rows], np.full(20, 2.0, "float32")


@pytest.mark.parametrize("data", [Batches(), [(X[:20], Y[:20]), (X[20:], Y[20:])], lambda: iter([(X[:20], Y[:20])])])
def test_of_batches_the_first_is_taken(data: Any) -> None:
    look = Look()
    tt.lint(dense(), data, rules=[look])
    assert look.batch is not None
    np.testing.assert_array_equal(look.batch[0], X[:20])
    weighted = isinstance(data, Batches)
    assert (look.outputs[""].first.weight is not None) == weighted


def test_a_model_that_was_never_run_is_built() -> None:
    model = keras.Sequential([keras.layers.Dense(3)])
    model.compile("adam", LOGITS)
    look = Look("gradients")
    tt.lint(model, (X, Y), rules=[look])
    assert model.built
    assert look.found["gradients"] is not None


def test_several_inputs_and_outputs() -> None:
    one, other = keras.Input((4,), name="one"), keras.Input((2,), name="other")
    shared = keras.layers.Concatenate()([one, other])
    outputs = {"kind": keras.layers.Dense(3, name="kind")(shared), "size": keras.layers.Dense(1, name="size")(shared)}
    model = keras.Model([one, other], outputs)
    model.compile("adam", {"kind": LOGITS, "size": "mse"})
    look = Look("inputs")
    x = {"one": X, "other": X[:, :2]}
    tt.lint(model, (x, {"kind": Y, "size": X[:, 0]}), rules=[look])
    assert look.error is None
    assert look.meant == {"kind": "classes", "size": "regression"}
    assert {path: each.shape for path, each in look.found["inputs"].items()} == {"one": (256, 4), "other": (256, 2)}


def test_what_cannot_be_linted_is_refused() -> None:
    with pytest.raises(tt.ModelError, match=r"takes a compiled Keras model\. Received: int"):
        tt.lint(3, (X, Y))
    with pytest.raises(tt.ModelError, match=r"isn't compiled.*model\.compile\(optimizer="):
        tt.lint(keras.Sequential([keras.layers.Dense(1)]), (X, Y))
    with pytest.raises(tt.DiagnosisError, match=r"There is no rule 'lok'\. .*'look'"):
        tt.lint(dense(), (X, Y), rules=[Look()], ignore=["lok"])
    with pytest.raises(tt.DataError):
        tt.lint(dense(), iter([]))


def test_a_sound_model_is_let_be() -> None:
    report = tt.lint(dense(), (X, Y))
    assert report.ok, str(report)
    assert "one batch says nothing of it; run.diagnose() does" in report.skipped.values()
