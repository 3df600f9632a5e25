"""`EpochLoss` against NumPy: one number at any batch size, where Keras has several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from sklearn import metrics

import truetap as tt
from tests.backends.epoch_models import (
    CLASSES,
    CLOSE,
    SEQUENCES,
    STEP_WEIGHT,
    TAG_CLASSES,
    TAGS,
    VALID,
    WEIGHT,
    Array,
    X,
    Y,
    absolute,
    dense,
    entropy,
    fit,
    forward,
    heads,
    mean,
    sequences,
    square,
)
from tests.backends.models import BACKEND
from truetap.columns import record_batch
from truetap.epoch_values.elements import element_sums


def case(model: Any, x: Array, y: Any, expected: Any, weight: Any = None, differs: bool = False, **options: Any) -> Any:
    return model, x, y, weight, options, expected, differs


IGNORED = np.where(VALID, TAG_CLASSES, -1)
FEW = np.where(CLASSES == 2, -1, CLASSES)
BY_WEIGHTS: dict[str, Any] = {"reduction": "mean_with_sample_weight"}

# Each: a model, x, y, weights, options of EpochLoss, the value from y_pred, and whether Keras' own is another.
LOSSES: dict[str, Any] = {
    "plain": lambda: case(dense(), X, Y, lambda p: mean(square(p, Y))),
    "weighted samples": lambda: case(dense(), X, Y, lambda p: mean(square(p, Y), 1, WEIGHT), WEIGHT),
    "reduction by weights": lambda: case(
        dense(loss=keras.losses.MeanSquaredError(**BY_WEIGHTS)),
        X,
        Y,
        lambda p: mean(square(p, Y), 1, WEIGHT, "weights"),
        WEIGHT,
        differs=True,
    ),
    "reduction sum": lambda: case(
        dense(loss=keras.losses.MeanSquaredError(reduction="sum")),
        X,
        Y,
        lambda p: mean(square(p, Y), 1, WEIGHT),
        WEIGHT,
        differs=True,
    ),
    "masked": lambda: case(sequences(), SEQUENCES, TAGS, lambda p: mean(absolute(p, TAGS), VALID), differs=True),
    "masked, weighted samples": lambda: case(
        sequences(),
        SEQUENCES,
        TAGS,
        lambda p: mean(absolute(p, TAGS), VALID, WEIGHT[:, None]),
        WEIGHT[:, None],
        differs=True,
    ),
    "masked, weighted steps, by weights": lambda: case(
        sequences(),
        SEQUENCES,
        TAGS,
        lambda p: mean(absolute(p, TAGS), VALID, STEP_WEIGHT, "weights"),
        STEP_WEIGHT,
        normalize="weights",
        differs=True,
    ),
    "weighted steps": lambda: case(
        sequences(masked=False), SEQUENCES, TAGS, lambda p: mean(absolute(p, TAGS), 1, STEP_WEIGHT), STEP_WEIGHT
    ),
    "ignore_class of steps": lambda: case(
        sequences(3, False, "softmax", loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)),
        SEQUENCES,
        IGNORED,
        lambda p: mean(entropy(p, IGNORED), IGNORED >= 0),
        differs=True,
    ),
    "ignore_class, weighted": lambda: case(
        dense(3, "softmax", loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)),
        X,
        FEW,
        lambda p: mean(entropy(p, FEW), FEW >= 0, WEIGHT),
        WEIGHT,
        differs=True,
    ),
    "another loss": lambda: case(dense(), X, Y[:, 0], lambda p: mean(absolute(p, Y)), differs=True, loss="mae"),
    "a function as another loss": lambda: case(
        sequences(),
        SEQUENCES,
        TAGS,
        lambda p: mean(square(p, TAGS), VALID),
        loss=keras.losses.mean_squared_error,
        differs=True,
    ),
    "float16": lambda: case(
        keras_mixed(), X, Y, lambda p: mean(square(p, Y), 1, WEIGHT, "weights"), WEIGHT, True, normalize="weights"
    ),
}


def keras_mixed() -> Any:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, dtype="mixed_float16")])
    model.compile(loss="mse")
    return model


@pytest.mark.parametrize("name", LOSSES)
def test_loss_at_any_batch_size(name: str, tmp_path: Path) -> None:
    if BACKEND == "torch" and name == "masked, weighted samples":
        pytest.skip("Keras multiplies weights (n, 1) by a mask (n, T) in place, which torch refuses")
    keras.utils.set_random_seed(1)
    model, x, y, weight, options, expected, differs = LOSSES[name]()
    recorder = tt.Recorder(tmp_path / "run")
    found: list[float] = []
    reported = []
    sizes = {"masked": (1, 2, 4, 8), "reduction by weights": (1, 2, 4, 8), "ignore_class, weighted": (1, 4)}.get(
        name, (4,)
    )
    for batch_size in sizes:
        loss = tt.EpochLoss(**options)
        logs = model.evaluate(
            x, y, batch_size, verbose=0, sample_weight=weight, callbacks=[recorder, loss], return_dict=True
        )
        found += loss.results.values()
        reported.append(logs["loss"])
    wanted = expected(forward(model, x))
    tolerance = CLOSE if name != "float16" else {"rtol": 2e-3}  # y_pred has 11 bits
    np.testing.assert_allclose(found, [wanted] * len(sizes), **tolerance)
    assert max(found) - min(found) <= 1e-6 * wanted, "the batch size doesn't count"
    off = np.abs(np.asarray(reported) / wanted - 1)
    assert (off > 1e-3).any() == differs, f"Keras' own: {reported}, by hand {wanted}"
    if len(sizes) > 1:
        assert np.ptp(reported) > 1e-3 * wanted, "there it does"


@pytest.mark.parametrize("masked", [True, False])
def test_loss_of_several_outputs(masked: bool, tmp_path: Path) -> None:
    model = heads(masked, loss={"z": "mse", "a": "mse"}, loss_weights={"z": 0.5, "a": 3.0})
    y = {"z": TAGS, "a": TAGS[..., :1]}
    total, z, a = tt.EpochLoss(), tt.EpochLoss(output="z"), tt.EpochLoss("mae", output="a")
    callbacks = [tt.Recorder(tmp_path / "run"), total, z, a]
    model.evaluate(SEQUENCES, y, batch_size=4, verbose=0, callbacks=callbacks)
    pred = {name: forward(model, SEQUENCES, name) for name in "za"}
    of_z, of_a = mean(square(pred["z"], TAGS), VALID if masked else 1), mean(square(pred["a"], y["a"]))
    np.testing.assert_allclose(total.results["epoch_loss"], 0.5 * of_z + 3 * of_a, **CLOSE)
    np.testing.assert_allclose(z.results["z_epoch_loss"], of_z, **CLOSE)
    np.testing.assert_allclose(a.results["a_epoch_mae"], mean(absolute(pred["a"], y["a"])), **CLOSE)


def test_class_weight_in_fit(tmp_path: Path) -> None:
    model = dense(3, "softmax", loss="sparse_categorical_crossentropy", optimizer=keras.optimizers.SGD(0.0))
    pred = forward(model, X)
    by_class = {0: 1.0, 1: 20.0, 2: 0.5}
    callbacks = [tt.Recorder(tmp_path / "run"), tt.EpochLoss(), tt.EpochLoss(normalize="weights", name="by_weights")]
    history = model.fit(X, CLASSES, 4, verbose=0, class_weight=by_class, callbacks=callbacks).history
    weight = np.asarray([by_class[each] for each in CLASSES])
    np.testing.assert_allclose(history["epoch_loss"], mean(entropy(pred, CLASSES), 1, weight), **CLOSE)
    np.testing.assert_allclose(history["by_weights"], mean(entropy(pred, CLASSES), 1, weight, "weights"), **CLOSE)
    np.testing.assert_allclose(history["epoch_loss"], history["loss"], **CLOSE)


class Buckets(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of differing size and length, the shorter sequences padded with zeros."""

    rows = ((0, 4, 5), (7, 8, 1), (4, 7, 5), (8, 11, 5))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        first, end, length = self.rows[index]
        return SEQUENCES[first:end, :length], TAGS[first:end, :length]


def test_batches_of_differing_length(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((None, 2)), layers.Masking(), layers.Dense(2)])
    model.compile(loss="mae")
    loss, metric = tt.EpochLoss(), tt.EpochMetric(metrics.mean_absolute_error)
    model.evaluate(Buckets(), verbose=0, callbacks=[tt.Recorder(tmp_path / "run"), loss, metric])
    expected = mean(absolute(forward(model, SEQUENCES), TAGS), VALID)
    np.testing.assert_allclose([*loss.results.values(), *metric.results.values()], expected, **CLOSE)


BY_CLASS = {0: 1.0, 1: 20.0, 2: 0.5}
CLASS_WEIGHT = np.asarray([BY_CLASS[each] for each in CLASSES])
MARKED = np.where(VALID[..., None], TAGS, -1).astype("float32")


def class_weighted(**options: Any) -> Any:
    loss = tt.losses.ClassWeighted("sparse_categorical_crossentropy", BY_CLASS, **options)
    return dense(3, "softmax", loss=loss)


@pytest.mark.parametrize(
    ("make", "x", "y", "weight", "expected"),
    [
        (
            lambda: sequences(masked=False, loss=tt.losses.Masked("mae", mask_value=-1)),
            SEQUENCES,
            MARKED,
            None,
            lambda p: mean(absolute(p, TAGS), VALID),
        ),
        (
            lambda: sequences(loss=tt.losses.Masked("mae", mask_value=-1)),
            SEQUENCES,
            MARKED,
            STEP_WEIGHT,
            lambda p: mean(absolute(p, TAGS), VALID, STEP_WEIGHT),
        ),
        (class_weighted, X, CLASSES, WEIGHT, lambda p: mean(entropy(p, CLASSES), 1, CLASS_WEIGHT * WEIGHT)),
        (
            lambda: class_weighted(normalize="weights"),
            X,
            CLASSES,
            WEIGHT,
            lambda p: mean(entropy(p, CLASSES), 1, CLASS_WEIGHT * WEIGHT, "weights"),
        ),
        (
            lambda: class_weighted(normalize="weights"),
            X,
            CLASSES,
            None,
            lambda p: mean(entropy(p, CLASSES), 1, CLASS_WEIGHT, "weights"),
        ),
    ],
)
def test_losses_that_mask_and_weigh(make: Any, x: Any, y: Any, weight: Any, expected: Any, tmp_path: Path) -> None:
    model, loss = make(), tt.EpochLoss()
    callbacks = [tt.Recorder(tmp_path / "run"), loss]
    model.evaluate(x, y, batch_size=4, verbose=0, sample_weight=weight, callbacks=callbacks)
    np.testing.assert_allclose(loss.results["epoch_loss"], expected(forward(model, x)), **CLOSE)


def test_all_masked_is_no_number(tmp_path: Path) -> None:
    loss = tt.EpochLoss()
    sequences().evaluate(SEQUENCES * 0, TAGS, 4, verbose=0, callbacks=[tt.Recorder(tmp_path / "run"), loss])
    assert np.isnan(loss.results["epoch_loss"]), "Keras says 0, the best there is"


class NeedsMore(keras.losses.Loss):  # type: ignore[misc]
    """A loss that can't be had from y_true and y_pred once the step is over."""

    within = True

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if not self.within:
            raise RuntimeError("x is gone")
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


class Ends(keras.callbacks.Callback):  # type: ignore[misc]
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        NeedsMore.within = False


def test_a_loss_that_needs_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NeedsMore, "within", True)
    model = dense(loss=NeedsMore(name="needs_more"), optimizer=keras.optimizers.SGD(0.0))
    expected = mean(square(forward(model, X), Y))
    history = fit(tt.Recorder(tmp_path / "a"), Ends(), tt.EpochLoss(), model=model).history
    np.testing.assert_allclose(history["epoch_loss"], expected, **CLOSE)
    NeedsMore.within = True
    with pytest.raises(
        tt.LossError, match=r"'needs_more' can't be computed from y_true \(11, 1\) .* \(RuntimeError: x is gone\)\."
    ):
        fit(tt.Recorder(tmp_path / "b"), Ends(), tt.EpochLoss(), model=model, sample_weight=WEIGHT)


def test_losses_without_a_value_for_an_epoch(tmp_path: Path) -> None:
    batches = [record_batch([("y_true", np.zeros((2, T))), ("y_pred", np.ones((2, T, 3)))]) for T in (3, 4)]
    with pytest.raises(tt.LossError, match="Circle compares the samples of a batch with each other"):
        element_sums(batches, keras.losses.Circle(), "epoch 0")
    weighs = tt.losses.ClassWeighted("sparse_categorical_crossentropy", BY_CLASS, normalize="weights")
    with pytest.raises(
        tt.LossError, match=r"weighs a sample by the others of its batch, and epoch 0 can't be made one"
    ):
        element_sums(batches, weighs, "epoch 0")
    y = {"z": TAGS, "a": TAGS[..., :1]}
    callbacks = [tt.Recorder(tmp_path / "run"), tt.EpochLoss(output="a")]
    with pytest.raises(tt.LossError, match=r"The output 'a' is compiled without a loss\. Expected: EpochLoss\(loss"):
        heads(loss={"z": "mse"}).evaluate(SEQUENCES, y, verbose=0, callbacks=callbacks)


def test_no_loss_per_sample(tmp_path: Path) -> None:
    model = dense(loss=lambda y_true, y_pred: keras.ops.mean(keras.ops.square(y_true - y_pred)))
    with (
        pytest.warns(tt.RecordingWarning, match="reduces the batch itself"),
        pytest.raises(tt.LossError, match=r"There is no loss per sample in this run; .* EpochLoss\(loss\)"),
    ):
        fit(tt.Recorder(tmp_path / "run"), tt.EpochLoss(), model=model)
