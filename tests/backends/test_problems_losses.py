"""Problems of losses (part D): each gives the right number, computed beside it in NumPy, or is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import truetap as tt
from tests.backends import problem_losses as written
from tests.backends.losses import close
from tests.backends.models import BACKEND, collect
from tests.backends.problem_losses import EIGHT, RNG, counts, evaluated, found, gives_back, masking
from truetap.rules.finding import Severity


def of_epoch(folder: Path, model: Any, *data: Any, batch_size: int) -> tuple[float, float]:
    """The loss of an `evaluate` as Keras reports it, and as `EpochLoss` does."""
    epoch, recorder = tt.EpochLoss(), tt.Recorder(folder / f"run{batch_size}")
    weights = data[2] if len(data) > 2 else None
    logs = model.evaluate(
        *data[:2],
        sample_weight=weights,
        batch_size=batch_size,
        verbose=0,
        return_dict=True,
        callbacks=[recorder, epoch],
    )
    return float(logs["loss"]), epoch.results["epoch_loss"]


# --- D01, D02: ranks ---------------------------------------------------------------------------------


def test_d01_predictions_minus_labels() -> None:
    model = gives_back()
    by_hand = model.predict(EIGHT[:, None], verbose=0) - EIGHT
    assert by_hand.shape == (8, 8)
    assert np.mean(by_hand**2) == 10.5
    samples = collect(model, (EIGHT[:, None], EIGHT))
    assert samples.residual.shape == (8, 1)
    np.testing.assert_array_equal(samples.residual, 0)
    assert samples.evaluate()["mse"] == 0


def test_d02_a_formula_as_function_and_as_loss() -> None:
    x = EIGHT[:, None]
    losses = {"built-in": "mse", "function": written.squared, "Loss": written.SquaredLoss()}
    reported = {name: evaluated(gives_back(loss=loss), x, EIGHT) for name, loss in losses.items()}
    assert reported == {"built-in": 0, "function": 0, "Loss": 10.5}
    assert found(losses["Loss"], EIGHT, x) == {"implicit_broadcast": Severity.ERROR}
    assert found(losses["function"], EIGHT, x) == {"implicit_broadcast": Severity.NOTE}
    assert found(losses["built-in"], EIGHT, x) == {}
    assert evaluated(gives_back(loss=tt.losses.Masked(losses["Loss"])), x, EIGHT) == 0


# --- D03, D04: weights -------------------------------------------------------------------------------


def test_d03_a_loss_that_returns_a_scalar() -> None:
    x, y, weight = np.zeros((2, 1), "float32"), np.array([[0.0], [2.0]], "float32"), np.array([1.0, 0.0])
    assert evaluated(gives_back(loss=written.squared), x, y, weight) == 0
    assert evaluated(gives_back(loss=written.of_the_guide), x, y, weight) == 1.0
    assert found(written.of_the_guide, y, x, sample_weight=weight) == {"reduced_before_weights": Severity.ERROR}
    with pytest.raises(tt.LossError, match="reduces the batch itself"):
        evaluated(gives_back(loss=tt.losses.Masked(written.of_the_guide)), x, y, weight)


def test_d03_dice_over_the_batch() -> None:
    y, x = np.array([[1, 0], [1, 0]], "float32"), np.array([[1, 0], [0, 1]], "float32")
    weight = np.array([1.0, 0.0])
    assert evaluated(gives_back((2,), keras.losses.Dice()), x, y, weight) == close(0.25)
    assert found(keras.losses.Dice(), y, x, sample_weight=weight) == {"reduced_before_weights": Severity.ERROR}
    per_sample = keras.losses.Dice(axis=1)
    assert evaluated(gives_back((2,), per_sample), x, y, weight) == close(0.0)
    assert found(per_sample, y, x, sample_weight=weight) == {}


def test_d04_both_ways_to_normalize(tmp_path: Path) -> None:
    model = gives_back(weighted_metrics=["mse"])
    x, y, weight = np.zeros((2, 1), "float32"), np.ones((2, 1), "float32"), np.array([0.0, 1.0])
    callbacks = [
        tt.Recorder(tmp_path / "run"),
        tt.EpochLoss(normalize="count", name="by_count"),
        tt.EpochLoss(normalize="weights", name="by_weights"),
    ]
    history = model.fit(x, y, sample_weight=weight, verbose=0, callbacks=callbacks).history
    assert (history["loss"], history["mse"]) == ([0.5], [1.0])
    assert (history["by_count"], history["by_weights"]) == ([0.5], [1.0])


def test_d04_a_weighted_mean_at_any_batch_size(tmp_path: Path) -> None:
    weight = np.array([0.1, 0.2, 0.1, 3.0, 0.5, 0.1, 2.0, 0.3])
    expected = (weight * EIGHT**2).sum() / weight.sum()
    model = gives_back(loss=keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"))
    keras_says = set()
    for size in (2, 4, 8):
        reported, epoch = of_epoch(tmp_path, model, 0 * EIGHT[:, None], EIGHT[:, None], weight, batch_size=size)
        assert epoch == close(expected)
        keras_says.add(round(reported, 3))
    assert len(keras_says) == 3


# --- D05, D06: masks of Keras ------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "keras_says"), [(1, 1.0), (2, 0.4), (4, 4 / 13)])
def test_d05_a_masked_loss_at_any_batch_size(tmp_path: Path, batch_size: int, keras_says: float) -> None:
    x = np.where(np.arange(4) < np.array([[1], [4], [4], [4]]), 1.0, 0.0)[..., None].astype("float32")
    y = x.copy()
    y[0, 0] += 4
    reported, epoch = of_epoch(tmp_path, masking(4), x, y, batch_size=batch_size)
    assert reported == close(keras_says)
    assert epoch == close(np.abs(y - x)[x != 0].sum() / (x != 0).sum())


PADDED = np.array([[[1.0], [1.0], [0.0]], [[3.0], [3.0], [0.0]]], "float32")
ONE_OFF = PADDED + np.array([[1.0], [0.0], [1.0]], "float32")  # the last step is padding


@pytest.mark.filterwarnings("ignore:Layer '.*was passed an input with a mask:UserWarning")  # Keras, of layers alone
@pytest.mark.parametrize("between", ["nothing", "arithmetic", "Add", "Flatten", "Reshape", "own layer"])
def test_d06_a_mask_that_is_lost_on_the_way(between: str) -> None:
    lost = between != "nothing" and (between, BACKEND) != ("Reshape", "jax")
    y = ONE_OFF[..., 0] if between == "Flatten" else ONE_OFF
    assert evaluated(masking(3, between), PADDED, y) == close(2 / 3 if lost else 0.5)
    samples = collect(masking(3, between), (PADDED, y))  # shows which mask the loss got: none
    assert (samples.mask is None) == lost
    remedy = tt.losses.Masked("mae", mask=written.where_x)
    assert evaluated(masking(3, between, remedy), PADDED, y) == close(0.5)


# --- D07, D08: labels that are missing ---------------------------------------------------------------


def test_d07_an_average_over_masked_elements() -> None:
    y = np.full((8, 4), -1.0, "float32")
    y[::2, 0] = 2.0  # 4 of 32 count
    x = np.full((8, 4), 0.5, "float32")
    assert evaluated(gives_back((4,), written.masked_by_hand), x, y) == close(1.5**2 * 4 / 32)
    assert found(written.masked_by_hand, y, x) == {"mean_over_masked": Severity.WARNING}
    assert evaluated(gives_back((4,), tt.losses.Masked("mse", mask_value=-1)), x, y) == close(1.5**2)


@pytest.mark.parametrize("loss", [written.nan_by_product, written.nan_by_where], ids=["product", "where"])
def test_d08_missing_labels_that_are_nan(loss: Any) -> None:
    x, y = RNG.normal(size=(2, 6, 3)).astype("float32")
    y[RNG.random((6, 3)) < 0.4] = np.nan
    assert found(loss, y, x) == {"not_finite": Severity.ERROR}
    spoiled = gives_back((3,), loss, optimizer=keras.optimizers.SGD(0.1))
    spoiled.fit(x, y, verbose=0)
    if loss is written.nan_by_where:  # its loss is a number; a product is one too where XLA makes it a choice
        assert np.isnan(spoiled.get_weights()[0]).any()

    with pytest.warns(tt.DataWarning, match=rf"Labels are missing: {np.isnan(y).sum()} of 18 values .*losses\.Masked"):
        tt.collect(gives_back((3,), "mse"), (x, y))

    masked = tt.losses.Masked("mse", mask_value=float("nan"))
    assert found(masked, y, x) == {}
    tt.collect(gives_back((3,), masked), (x, y))
    model = gives_back((3,), masked, optimizer=keras.optimizers.SGD(0.1))
    valid = np.isfinite(y)
    errors = np.where(valid, x - np.where(valid, y, 0), 0)
    reported = model.fit(x, y, verbose=0).history["loss"]
    assert reported == close([(errors**2).sum() / valid.sum()])
    stepped = np.eye(3) - 0.1 * 2 * x.T @ errors / valid.sum()
    np.testing.assert_allclose(model.get_weights()[0], stepped, rtol=1e-5, atol=1e-6)


# --- D09, D10, D11: what else a loss needs -----------------------------------------------------------


def test_d09_a_tensor_that_is_neither_label_nor_output() -> None:
    trials = np.array([[1], [50], [3], [20], [7], [2], [90], [5]], "float32")
    odds, y = RNG.normal(size=(8, 1)).astype("float32"), np.floor(0.6 * trials)
    log_p, log_q = -np.log1p(np.exp(-odds)), -np.log1p(np.exp(odds))
    expected = -(y * log_p + (trials - y) * log_q).mean()
    x = {"odds": odds, "trials": trials}

    def shuffled(loss: Any, batch_size: int) -> float:
        keras.utils.set_random_seed(3)
        return float(counts(loss).fit(x, y, batch_size=batch_size, verbose=0).history["loss"][0])

    closing = written.closing_over(trials)
    assert evaluated(counts(closing), x, y) == close(expected)
    assert shuffled(closing, 8) != close(expected)  # no error: other samples' trials
    assert found(closing, y, odds)["partial_batch"] is Severity.ERROR
    contextual = tt.losses.Contextual(written.binomial)
    assert [shuffled(contextual, size) for size in (2, 8)] == close([expected, expected])
    assert found(contextual, y, odds, x=x) == {}


def test_d10_a_loss_that_sees_the_weights() -> None:
    x, y = RNG.normal(size=(2, 8, 1)).astype("float32")
    weight = np.array([0.1, 2.0, 1.0, 3.0, 0.5, 0.1, 2.0, 0.3], "float32")
    w, error = weight[:, None], (y - x) ** 2
    expected = (w * error).sum() / (w * (y - (w * y).sum() / w.sum()) ** 2).sum()
    model = gives_back(loss=tt.losses.Contextual(written.one_minus_r2))
    assert evaluated(model, x, y, weight) == close(expected)
    samples = collect(model, (x, y, weight), batch_size=8)
    np.testing.assert_allclose(samples.weighted_loss, samples.loss)  # not applied twice
    assert samples.loss.mean() == close(expected)


def test_d11_one_loss_for_several_outputs() -> None:
    shapes = []

    def seen(y_true: Any, y_pred: Any) -> Any:
        shapes.append((y_true.shape[1:], y_pred.shape[1:]))
        return ops.mean(ops.square(y_true - y_pred), axis=-1)

    x = RNG.normal(size=(8, 3)).astype("float32")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, [inputs[:, :1], inputs[:, 1:]])
    length, direction = RNG.normal(size=(8, 1)).astype("float32"), RNG.normal(size=(8, 2)).astype("float32")
    model.compile(loss=[seen, seen])
    evaluated(model, x, [length, direction])
    assert set(shapes) == {((1,), (1,)), ((2,), (2,))}  # each output apart
    model.compile(loss=tt.losses.Joint(written.angle))
    expected = ((x[:, :1] * x[:, 1:] - length * direction) ** 2).sum(axis=-1)
    assert evaluated(model, x, [length, direction]) == close(expected.mean())
    np.testing.assert_allclose(collect(model, (x, [length, direction])).loss, expected, rtol=1e-5)
