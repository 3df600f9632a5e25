"""Rules of optimisation and the course of training: what fires each, and what comes near and doesn't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.initializers import Constant, Orthogonal, RandomNormal
from keras.optimizers import SGD, Adam
from keras.optimizers.schedules import CosineDecay, ExponentialDecay

import truetap as tt
from truetap.diagnosis.course import Course, explained, least_constant
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.leaps import Leaps
from truetap.diagnosis.movement import Movement
from truetap.diagnosis.rules.clipping_too_tight import ClippingTooTight
from truetap.diagnosis.rules.collapsed_predictions import CollapsedPredictions
from truetap.diagnosis.rules.exploding_gradient import ExplodingGradient
from truetap.diagnosis.rules.gradient_not_finite import GradientNotFinite
from truetap.diagnosis.rules.learning_rate_too_high import LearningRateTooHigh
from truetap.diagnosis.rules.learning_rate_too_low import LearningRateTooLow
from truetap.diagnosis.rules.log_or_root_of_zero import LogOrRootOfZero
from truetap.diagnosis.rules.loss_not_falling import LossNotFalling
from truetap.diagnosis.rules.negative_learning_rate import NegativeLearningRate
from truetap.diagnosis.rules.overfitting import Overfitting
from truetap.diagnosis.rules.schedule_dies import ScheduleDies
from truetap.diagnosis.rules.too_few_epochs import TooFewEpochs
from truetap.rules.finding import Severity

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 4)).astype("float32")
Y = (X @ [[1.0], [-0.5], [0.3], [0.8]] + np.sin(2 * X[:, :1])).astype("float32")
CLASSES = (X @ RNG.normal(size=(4, 3))).argmax(1)
NOISE = RNG.normal(size=(240, 1)).astype("float32")
SERIES = RNG.normal(size=(64, 30, 2)).astype("float32")
ENTROPY = "sparse_categorical_crossentropy"

Make = Callable[[], tuple[Any, Any, dict[str, Any]]]


def net(optimizer: Any, loss: Any = "mse", out: Any = None, **hidden: Any) -> Any:
    keras.utils.set_random_seed(3)
    last = layers.Dense(1) if out is None else out
    model = keras.Sequential([keras.Input((4,)), layers.Dense(**({"units": 16, "activation": "relu"} | hidden)), last])
    model.compile(optimizer, loss)
    return model


def softmax(optimizer: Any, **hidden: Any) -> Any:
    return net(optimizer, ENTROPY, layers.Dense(3, activation="softmax"), **hidden)


def drawn(model: Any) -> Any:
    """The same first weights on every backend."""
    rng = np.random.default_rng(1)
    model.set_weights(
        [rng.normal(size=each.shape) / np.sqrt(len(each)) * (each.ndim > 1) for each in model.get_weights()]
    )
    return model


def recurrent(start: Any) -> Any:
    keras.utils.set_random_seed(3)
    rnn = layers.SimpleRNN(16, activation="tanh", recurrent_initializer=start)
    model = keras.Sequential([keras.Input((30, 2)), rnn, layers.Dense(1)])
    model.compile(SGD(0.01), "mse")
    return model


def fitted(path: Path, model: Any, y: Any = Y, rows: int = 200, callbacks: tuple[Any, ...] = (), **fit: Any) -> tt.Run:
    recorder = tt.Recorder(path, taps="diagnose")
    options = {"epochs": 2, "batch_size": 10, "verbose": 0, "validation_data": (X[rows:], y[rows:])} | fit
    model.fit(X[:rows], y[:rows], callbacks=[recorder, *callbacks], **options)
    recorder.finish()
    return tt.open(path)


def minus_squares(y_true: Any, y_pred: Any) -> Any:
    return -ops.mean(ops.square(y_true - y_pred), axis=-1)


def likelihood(y_true: Any, y_pred: Any) -> Any:
    """Below 0 where the fit is good, and of the right direction."""
    return ops.mean(8 * ops.square(y_true - y_pred), axis=-1) - 3.0


def root(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.sqrt(y_true - y_pred), axis=-1)


def nan_beside(y_true: Any, y_pred: Any) -> Any:
    squares = ops.mean(ops.square(y_true - y_pred), axis=-1)
    return squares + ops.stop_gradient(ops.log(-1.0 - 0 * squares))


# rule -> how it is fired, and what is said
FIRED: dict[str, tuple[Any, Make, Severity, str]] = {
    "diverged": (
        LearningRateTooHigh(),
        lambda: (net(SGD(30.0)), Y, {"epochs": 1}),
        Severity.ERROR,
        "is no number from step",
    ),
    "worse": (
        LearningRateTooHigh(),
        lambda: (softmax(Adam(5.0), activation="tanh"), CLASSES, {"epochs": 4}),
        Severity.ERROR,
        "worse than before any training",
    ),
    "thrown": (
        LearningRateTooHigh(),
        lambda: (drawn(softmax(Adam(0.3), activation="tanh")), CLASSES, {"epochs": 4, "shuffle": False}),
        Severity.WARNING,
        "was thrown up to",
    ),
    "crawling": (
        LearningRateTooLow(),
        lambda: (net(Adam(1e-6)), Y, {}),
        Severity.WARNING,
        "all 40 together could not move a kernel by more than",
    ),
    "clipnorm": (
        ClippingTooTight(),
        lambda: (net(SGD(0.05, clipnorm=1e-3)), Y, {}),
        Severity.WARNING,
        "clipnorm=0.001, and gradients have norms of",
    ),
    "clipvalue": (
        ClippingTooTight(),
        lambda: (net(SGD(0.05, clipvalue=1e-5)), Y, {}),
        Severity.WARNING,
        "clipvalue=1e-05, and gradients have norms of",
    ),
    "decayed": (
        ScheduleDies(),
        lambda: (net(SGD(ExponentialDecay(0.02, 1, 0.7))), Y, {}),
        Severity.WARNING,
        "The learning rate falls from 0.02 below a hundredth of it by step 13 of 40",
    ),
    "short": (
        TooFewEpochs(),
        lambda: (softmax(Adam(0.006)), CLASSES, {}),
        Severity.WARNING,
        "After 2 epochs of training the loss is",
    ),
    "by heart": (
        Overfitting(),
        lambda: (net(Adam(0.02), units=64), NOISE, {"rows": 40, "epochs": 15}),
        Severity.WARNING,
        "The held-out loss was best after epoch",
    ),
    "one answer": (
        CollapsedPredictions(),
        lambda: (softmax(SGD(0.05), bias_initializer=Constant(-50.0)), CLASSES, {}),
        Severity.WARNING,
        "the output is nearly the same for all 40 samples",
    ),
    "flat": (
        LossNotFalling(),
        lambda: (softmax(SGD(0.05), bias_initializer=Constant(-50.0)), CLASSES, {}),
        Severity.WARNING,
        "The loss begins at 1.",
    ),
    "lost weights": (
        GradientNotFinite(),
        lambda: (net(SGD(0.01), root), Y, {}),
        Severity.ERROR,
        "The loss is no finite number from step 0 on; the first recorded gradient that isn't finite is that of",
    ),
    "lost loss": (
        GradientNotFinite(),
        lambda: (net(SGD(0.01), nan_beside), Y, {}),
        Severity.ERROR,
        "The loss is no finite number from step 0 on; all weights are finite.",
    ),
}

SOUND: dict[str, Make] = {
    "a high rate that works": lambda: (softmax(SGD(0.5)), CLASSES, {"epochs": 5}),
    "Adam with clipnorm": lambda: (net(Adam(0.02, clipnorm=1e-3)), Y, {"epochs": 8}),
    "a cosine that ends at 0, clipped now and then": lambda: (
        net(SGD(CosineDecay(0.1, 160), clipnorm=1.0)),
        Y,
        {"epochs": 8},
    ),
    "a likelihood below zero": lambda: (net(Adam(0.02), likelihood), Y, {"epochs": 8}),
    "labels that noise governs": lambda: (net(Adam(0.003)), Y + 5 * NOISE, {"epochs": 5}),
}
RULES: list[Any] = [
    ClippingTooTight(),
    CollapsedPredictions(),
    ExplodingGradient(),
    GradientNotFinite(),
    LearningRateTooHigh(),
    LearningRateTooLow(),
    LossNotFalling(),
    NegativeLearningRate(),
    Overfitting(),
    ScheduleDies(),
    TooFewEpochs(),
]


@pytest.mark.parametrize("case", FIRED)
def test_a_rule_fires(case: str, tmp_path: Path) -> None:
    rule, make, severity, words = FIRED[case]
    model, y, arguments = make()
    report = fitted(tmp_path / "r", model, y, **arguments).diagnose(model, rules=[rule])
    assert [finding.rule for finding in report] == [rule.name], report.skipped
    (finding,) = report
    assert finding.severity is severity
    assert words in finding.seen
    assert finding.why
    assert finding.do
    assert 0 < finding.certainty < 1


@pytest.mark.parametrize("case", SOUND)
def test_what_comes_near_is_let_be(case: str, tmp_path: Path) -> None:
    model, y, arguments = SOUND[case]()
    report = fitted(tmp_path / "r", model, y, **arguments).diagnose(model, rules=RULES)
    assert report.ok, str(report)
    assert not [why for why in report.skipped.values() if why.startswith("failed")]


def test_best_weights_that_are_kept_make_overfitting_a_note(tmp_path: Path) -> None:
    model = net(Adam(0.02), units=64)
    keeps = keras.callbacks.EarlyStopping(patience=20, restore_best_weights=True)
    run = fitted(tmp_path / "r", model, NOISE, rows=40, epochs=15, callbacks=(keeps,))
    (finding,) = run.diagnose(model, rules=[Overfitting()])
    assert finding.severity is Severity.NOTE


def test_numbers_that_grew_until_they_overflowed_are_no_root_of_zero(tmp_path: Path) -> None:
    model = net(SGD(1.0, momentum=0.9), units=48)
    run = fitted(tmp_path / "r", model, Y)
    assert run.diagnose(model, rules=[LogOrRootOfZero()]).ok
    assert [finding.rule for finding in run.diagnose(model, rules=[LearningRateTooHigh()])] == [
        "learning_rate_too_high"
    ]


def test_fine_tuning_with_a_small_rate_is_let_be(tmp_path: Path) -> None:
    model = softmax(Adam(0.03))
    model.fit(X[:200], CLASSES[:200], epochs=8, verbose=0)
    model.compile(Adam(1e-6), ENTROPY)
    assert fitted(tmp_path / "r", model, CLASSES).diagnose(model, rules=RULES).ok


# --- in the single step of lint ---------------------------------------------------------------------


@pytest.mark.parametrize(("start", "fires"), [(RandomNormal(stddev=1.0, seed=0), True), (Orthogonal(seed=0), False)])
def test_a_gradient_explodes_through_time(start: Any, fires: bool) -> None:
    report = tt.lint(recurrent(start), (SERIES, SERIES[:, 0, :1]), rules=[ExplodingGradient()])
    assert bool(report) is not fires, str(report)
    for finding in report:
        assert [path.partition("_rnn")[0] for path in finding.layers] == ["simple"]
        assert "by its own size along its gradient would change the loss by" in finding.seen
        assert "orthogonal recurrent_initializer" in finding.do


@pytest.mark.parametrize(("deviation", "fires"), [(1.0, True), (0.35, False)])
def test_values_grow_through_depth(deviation: float, fires: bool) -> None:
    keras.utils.set_random_seed(3)
    start = RandomNormal(stddev=deviation, seed=0)
    hidden = [layers.Dense(16, activation="relu", kernel_initializer=start) for _ in range(8)]
    model = keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(1)])
    model.compile("sgd", "mse")
    report = tt.lint(model, (X, Y), rules=[ExplodingGradient()])
    assert bool(report) is not fires, str(report)
    for finding in report:
        assert "Values grow through" in finding.seen
        assert len(finding.layers) >= 4


@pytest.mark.parametrize(("rate", "fires"), [(1.0, True), (0.02, False)])
def test_one_step_shows_a_rate_that_is_far_too_high(rate: float, fires: bool) -> None:
    report = tt.lint(softmax(Adam(rate)), (X, CLASSES), rules=[LearningRateTooHigh()])
    assert bool(report) is not fires, str(report)
    for finding in report:
        assert f"The learning rate is {rate:g}." in finding.seen
        assert finding.numbers["first_ratio"] > 1.5


def test_a_loss_with_its_sign_turned_round_is_climbed() -> None:
    (finding,) = tt.lint(net("adam", minus_squares), (X, Y), rules=[NegativeLearningRate()])
    assert "Of the loss 'minus_squares': From 6 batches the loss rises" in finding.seen
    assert finding.where == "loss 'minus_squares'"


def test_lint_sees_a_negative_rate_and_an_only_loss_with_a_negative_weight() -> None:
    model = net(SGD(-0.01))
    (finding,) = tt.lint(model, (X, Y), rules=[NegativeLearningRate()])
    assert finding.numbers == {"learning_rate": pytest.approx(-0.01)}
    model.compile("sgd", "mse", loss_weights=[-1.0])
    (finding,) = tt.lint(model, (X, Y), rules=[NegativeLearningRate()])
    assert finding.seen == "The loss 'mean_squared_error' has the weight -1."


def test_without_the_model_outputs_that_go_away_from_labels_tell_the_sign(tmp_path: Path) -> None:
    run = fitted(tmp_path / "r", net(Adam(0.01), minus_squares))
    (finding,) = run.diagnose(rules=[NegativeLearningRate()])
    assert "the outputs' squared distance from the labels rises from" in finding.seen


# --- the numbers they rest on -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return Evidence(fitted(tmp_path_factory.mktemp("r") / "r", net(SGD(0.05))))


def test_what_was_learnt_is_measured_against_the_best_constant(regression: Evidence) -> None:
    (output,) = regression.outputs or ()
    losses = (output.last.y_true - output.last.y_pred) ** 2
    assert least_constant(output, output.last) == pytest.approx(Y[:200].var(), rel=1e-5)
    assert explained(output, output.last) == pytest.approx(1 - losses.mean() / Y[:200].var(), rel=1e-4)
    assert Course(regression).learnt() == explained(output, output.last)


def test_constants_of_classes_are_entropies(tmp_path: Path) -> None:
    (output,) = Evidence(fitted(tmp_path / "r", softmax(SGD(0.05)), CLASSES, epochs=1)).outputs or ()
    shares = np.bincount(CLASSES[:200]) / 200
    assert least_constant(output, output.first) == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-6)


def test_movement_is_that_of_kernels(regression: Evidence) -> None:
    movement = Movement(regression)
    model = net(SGD(0.05))
    kernels = {each.path: np.asarray(ops.convert_to_numpy(each)) for each in model.trainable_variables}
    assert [path.endswith("kernel") for path in movement.kernels] == [True, True]
    gradients = regression.gradients
    assert gradients is not None
    ratios, pulls = [], []
    first = regression.rows("", "train", 0)
    assert first is not None
    assert first.loss is not None
    losses = first.loss[first.steps == first.steps[0]]
    for path, value in zip(movement.kernels, [each for each in kernels.values() if each.ndim > 1], strict=True):
        norm = gradients.first("norm")[path]
        ratios.append(0.05 * norm / np.linalg.norm(value))  # plain SGD
        pulls.append(norm * np.linalg.norm(value) / max(losses.mean(), losses.std()))
    assert movement.first_ratio == pytest.approx(np.median(ratios), rel=1e-3)
    assert list(movement.pulls.values()) == pytest.approx(pulls, rel=1e-3)


def test_leaps_compare_steps_with_their_batches(regression: Evidence) -> None:
    (output,) = regression.outputs or ()
    rows, leaps = output.last, Leaps.of(regression)
    assert rows.loss is not None
    assert leaps is not None
    batches = [rows.loss[rows.steps == step].astype(np.float64) for step in np.unique(rows.steps)]
    means = np.array([each.mean() for each in batches])
    between = np.mean((means[1:] - means[:-1]) ** 2) / 2
    within = np.mean([each.var(ddof=1) / len(each) for each in batches])
    assert leaps.factor == pytest.approx(between / within, rel=1e-6)
    assert leaps.excess == pytest.approx(np.sqrt(max(0, between - within)), rel=1e-6)
    assert not leaps.significant
