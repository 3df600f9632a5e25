"""`check_loss` names what is wrong with a loss, and is silent about one that is right; the same on each backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import truetap as tt
from truetap.loss_checks.evidence import Evidence
from truetap.loss_checks.rules import RULES
from truetap.rules.finding import Finding, Severity

from .broken_losses import (
    BINARY,
    COLUMN,
    FLAT,
    HOLES,
    IMAGES,
    INDEX,
    MISSING,
    ONE_HOT,
    PADDED,
    REAL,
    SEQUENCE,
    SHARES,
    TABLE,
    Array,
    N,
)
from .sound_losses import KERAS, OWN, Sound

ON_JAX = keras.backend.backend() == "jax"  # compiles each loss several times: what shows nothing new is left out
WHOLE_BATCH = ("Dice", "Tversky", "Circle")
SOUND = {name: loss for name, loss in (KERAS | OWN).items() if name not in WHOLE_BATCH}


def one_of_each_rule() -> list[str]:
    """Names in the table: one of a rule, but all where the backend says what is wrong."""
    first = {case.rule: name for name, case in reversed(TABLE.items())}
    return [n for n, case in TABLE.items() if n == first[case.rule] or case.rule in ("no_gradient", "value_in_python")]


def without_variants() -> list[str]:
    """Names of right losses: of Keras' only the classes, each with one kind of data, and functions without a class."""
    classes = {name.lower() for name in KERAS if not name.islower()}
    return [n for n in SOUND if n not in KERAS or not (" " in n or n.replace("_", "") in classes)]


def rules_of(report: tt.LossReport, *kinds: str) -> list[str]:
    return [each.rule for each in report.findings if each.severity in (kinds or ("error", "warning"))]


# ------------------------------------------------------------------------------------ what is wrong
@pytest.mark.parametrize("name", one_of_each_rule() if ON_JAX else TABLE)
def test_broken(name: str) -> None:
    case = TABLE[name]
    report = tt.check_loss(case.loss, case.y_true, case.y_pred, sample_weight=case.sample_weight)
    assert rules_of(report) == [case.rule]
    (finding,) = report.wrong
    assert case.word in str(finding)
    assert not case.severity or finding.severity == case.severity


def test_every_rule_is_in_the_table() -> None:
    assert {case.rule for case in TABLE.values()} | {"does_not_trace"} == {rule.name for rule in RULES}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="on JAX nothing runs untraced, on torch all does")
def test_a_loss_that_runs_eagerly_only() -> None:
    def eager(y_true: Any, y_pred: Any) -> Any:
        if not hasattr(y_pred, "numpy"):
            raise RuntimeError("no numpy here")
        return ops.mean(ops.square(y_true - y_pred), axis=-1)

    report = tt.check_loss(eager, *REAL)
    assert rules_of(report) == ["does_not_trace"]
    assert "RuntimeError: no numpy here" in str(report)


# ------------------------------------------------------------------------------------ what is right
@pytest.mark.parametrize("name", without_variants() if ON_JAX else SOUND)
def test_sound(name: str) -> None:
    report = tt.check_loss(*SOUND[name])
    assert report.ok, report


def test_every_loss_of_keras_is_among_them() -> None:
    needs_q = "categorical_generalized_cross_entropy"  # as a function; its class is there
    names = {name for name in dir(keras.losses) if not name.startswith("_")}
    names -= {"Loss", "get", "serialize", "deserialize", needs_q}
    checked = [loss if not isinstance(loss, str) else getattr(keras.losses, loss, None) for loss, *_ in KERAS.values()]
    covered = {type(each) if isinstance(each, keras.losses.Loss) else each for each in checked}
    assert sorted(name for name in names if getattr(keras.losses, name) not in covered) == []


def by_scale(y_true: Any, y_pred: Any, *, x: Any) -> Any:
    return ops.mean(ops.abs(y_true - y_pred), axis=-1) * x["scale"][:, 0]


def weighs_inside(y_true: Any, y_pred: Any, *, sample_weight: Any) -> Any:
    values = ops.mean(ops.abs(y_true - y_pred), axis=-1)
    return values if sample_weight is None else values * sample_weight


SCALES = {"scale": np.linspace(1, 2, N, dtype="float32")[:, None]}
WEIGHTS = np.linspace(0.1, 1, N, dtype="float32")
TRUETAP: dict[str, tuple[Sound, dict[str, Any]]] = {
    "masked": ((tt.losses.Masked("mae", mask_value=-1.0), HOLES, REAL[1]), {}),
    "masked, weighted": ((tt.losses.Masked("mae", mask_value=-1.0), HOLES, REAL[1]), {"sample_weight": WEIGHTS}),
    "masked NaN": ((tt.losses.Masked("mse", mask_value=float("nan")), MISSING, REAL[1]), {}),
    "masked tags": ((tt.losses.Masked("sparse_categorical_crossentropy", mask_value=0), PADDED, SEQUENCE), {}),
    "classes": ((tt.losses.ClassWeighted("categorical_crossentropy", [1, 20, 1, 2]), ONE_HOT, SHARES), {}),
    "indices": ((tt.losses.ClassWeighted("sparse_categorical_crossentropy", [1, 2, 3, 4]), INDEX, SHARES), {}),
    "two classes": ((tt.losses.ClassWeighted("binary_crossentropy", {0: 1.0, 1: 5.0}), *BINARY), {}),
    "x": ((tt.losses.Contextual(by_scale), *REAL), {"x": SCALES}),
    "own weights": ((tt.losses.Contextual(weighs_inside), *REAL), {"sample_weight": WEIGHTS}),
}


@pytest.mark.parametrize("name", TRUETAP)
def test_losses_of_truetap(name: str) -> None:
    loss, more = TRUETAP[name]
    report = tt.check_loss(*loss, **more)
    assert report.ok, report


@pytest.mark.parametrize("name", WHOLE_BATCH)
def test_whole_batch_losses_of_keras_get_a_note(name: str) -> None:
    report = tt.check_loss(*KERAS[name])
    assert rules_of(report, "note") == ["batch_statistics"]
    assert "depends on the batch size" in report.findings[0].why
    report.raise_if_wrong()


# ---------------------------------------------------------------------------------- the numbers said
def test_numbers_of_a_broadcast() -> None:
    (finding,) = tt.check_loss(TABLE["implicit_broadcast-SquaredOfFlatLabels"].loss, *FLAT).findings
    y_true, y_pred = FLAT
    table = np.mean((y_true[None, :] - y_pred) ** 2)
    right = np.mean((y_true[:, None] - y_pred) ** 2)
    assert f"the loss is {table:.4g}, with the same labels reshaped to (8, 1) it is {right:.4g}" in finding.seen
    assert finding.where == "y_true"


def test_numbers_of_a_reduction() -> None:
    y_true, y_pred = REAL
    own = np.mean((y_true - y_pred) ** 2, axis=-1)
    best, worst = int(np.argmin(own)), int(np.argmax(own))
    (finding,) = tt.check_loss(TABLE["reduced_before_weights-mean_of_all"].loss, y_true, y_pred).findings
    # one value times eight weights, of which one is 1: Keras takes the mean of that
    got = f"{own.mean() / N:.4g}"
    assert f"With weight 1 on sample {best} and 0 on the others Keras gets {got}, with" in finding.seen
    assert f"with weight 1 on sample {worst} it gets {got} too;" in finding.seen
    assert finding.seen.endswith(f"alone, these samples have the losses {own[best]:.4g} and {own[worst]:.4g}.")


def test_weights_for_dice_over_the_batch() -> None:
    y_true, y_pred = IMAGES
    shared, sizes = np.sum(y_true * y_pred, axis=(1, 2, 3)), np.sum(y_true + y_pred, axis=(1, 2, 3))
    own, whole = 1 - 2 * shared / sizes, 1 - 2 * shared.sum() / sizes.sum()
    for name in ("Dice", "Tversky"):  # of the same formula, unless told otherwise
        assert rules_of(tt.check_loss(*KERAS[name]), "error", "warning", "note") == ["batch_statistics"]
        (finding,) = tt.check_loss(*KERAS[name], sample_weight=WEIGHTS).findings
        assert (finding.rule, finding.severity) == ("reduced_before_weights", Severity.ERROR)
        assert f"gets {whole / N:.4g} too; alone" in finding.seen
        assert f"the losses {own.min():.4g} and {own.max():.4g}." in finding.seen
        assert "Dice(axis=(1, 2, 3))" in finding.do
    assert tt.check_loss(*KERAS["Dice by sample"], sample_weight=WEIGHTS).findings == ()


def test_dice_that_is_a_mean_by_chance() -> None:
    y_true, y_pred = np.array([[1, 0], [1, 0]], "float32"), np.array([[1, 0], [0, 1]], "float32")
    (note,) = tt.check_loss("dice", y_true, y_pred).findings
    assert (note.rule, note.severity) == ("batch_statistics", Severity.NOTE)
    assert "has the loss 0.5; the mean of its samples, each alone, is by chance the same." in note.seen


def test_a_reduction_is_said_without_numbers_where_they_show_nothing() -> None:
    y_true = np.asarray([0, 1] * 4, "float32")[:, None]
    loss = TABLE["reduced_before_weights-mean_of_all"].loss
    (finding,) = tt.check_loss(loss, y_true, np.full((N, 1), 0.5, "float32")).findings
    assert (finding.rule, finding.seen) == ("reduced_before_weights", "It returns shape () for a batch of 8.")


def test_outputs_without_an_axis_of_features() -> None:
    report = tt.check_loss("mse", COLUMN[0][:, 0], COLUMN[1][:, 0])
    assert rules_of(report) == ["reduced_before_weights"]
    assert "shape (n, 1)" in report.findings[0].do


def test_numbers_of_a_mask() -> None:
    case = TABLE["mean_over_masked-masked_samples"]
    (finding,) = tt.check_loss(case.loss, case.y_true, case.y_pred).findings
    assert "with 4 of 8 equal elements masked the loss is 0.5 where their mean is 1" in finding.seen


def test_numbers_of_a_wrong_gradient() -> None:
    case = TABLE["wrong_gradient-own_gradient"]  # 3 instead of 2 (y_pred - y_true)
    (finding,) = tt.check_loss(case.loss, case.y_true, case.y_pred).findings
    words = finding.seen.rstrip(".").split()
    by_steps, by_gradient = float(words[words.index("differences") + 1].rstrip(",")), float(words[-1])
    assert by_steps != pytest.approx(by_gradient, rel=0.1)


def test_rank_note_for_a_function() -> None:
    def squared(y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_true - y_pred), axis=-1)

    report = tt.check_loss(squared, *FLAT)
    assert report.ok
    (note,) = report.findings
    y_true, y_pred = FLAT
    right, table = np.mean((y_true[:, None] - y_pred) ** 2), np.mean((y_true[None, :] - y_pred) ** 2)
    assert (note.rule, note.severity) == ("implicit_broadcast", Severity.NOTE)
    assert f"(loss {right:.4g}); called by hand it gives {table:.4g}" in note.seen


def test_same_words_for_a_function_and_a_loss() -> None:
    """D02: a function's ranks are aligned by Keras, those of a Loss are not."""
    loss = TABLE["implicit_broadcast-SquaredOfFlatLabels"].loss
    assert rules_of(tt.check_loss(loss, *FLAT)) == ["implicit_broadcast"]
    assert tt.check_loss(loss, *COLUMN).ok


# ------------------------------------------------------------------------------------------ report
def test_report() -> None:
    report = tt.check_loss(TABLE["no_gradient-rounded"].loss, *BINARY)
    assert not report
    assert (report.loss, report.backend) == ("rounded", keras.backend.backend())
    assert str(report).startswith(f"Loss 'rounded' on {report.backend}: 1 error; ")
    assert "it ends at round" in str(report)
    with pytest.raises(tt.LossError, match=r"'rounded' is not what it seems to be \(1 error\):\n- error: no_gradient"):
        report.raise_if_wrong()
    said = report.to_dict()
    assert said["findings"][0]["where"] == "round"
    assert said["findings"][0]["severity"] == "error"
    assert "no_gradient" in said["checked"]
    assert said["skipped"]["wrong_gradient"] == "explained by no_gradient"
    assert "<strong>no_gradient</strong>" in report._repr_html_()
    fine = tt.check_loss("mse", *REAL)
    assert fine
    assert fine.findings == ()
    assert "nothing found" in str(fine)


def test_html_is_escaped() -> None:
    def loss(y_true: Any, y_pred: Any) -> Any:
        raise ValueError("<script>")

    assert "&lt;script&gt;" in tt.check_loss(loss, *REAL)._repr_html_()


def test_ignore() -> None:
    case = TABLE["batch_statistics-dice_of_batch"]
    report = tt.check_loss(case.loss, case.y_true, case.y_pred, ignore=["batch_statistics"])
    assert report.ok
    assert report.skipped["batch_statistics"] == "ignored"
    with pytest.raises(tt.LossError, match=r"There is no rule 'batch_statistic'. Near names: 'batch_statistics'"):
        tt.check_loss("mse", *REAL, ignore=["batch_statistic"])


def test_rule_of_ones_own() -> None:
    class Negative:
        name = "negative"
        needs = ("values",)
        after = ("does_not_run",)

        def check(self, evidence: Evidence) -> Iterator[Finding]:
            if evidence.values is not None and evidence.values.min() < 0:
                yield Finding(self.name, Severity.NOTE, "It is negative.", "", "")

    report = tt.check_loss("cosine_similarity", *REAL, rules=[Negative()])
    assert report.checked == ("negative",)
    assert rules_of(report, "note") == ["negative"]


def test_a_random_loss_gets_a_note() -> None:
    seeds = keras.random.SeedGenerator(1)

    def noisy(y_true: Any, y_pred: Any) -> Any:
        noise = keras.random.normal(ops.shape(y_pred), seed=seeds)
        return ops.mean(ops.square(y_true - y_pred + noise), axis=-1)

    report = tt.check_loss(noisy, *REAL)
    assert report.ok, report
    assert "draws random numbers" in str(report)


# ------------------------------------------------------------------------------------- what is given
BAD_INPUT: dict[str, tuple[Any, Any, Any, str]] = {
    "name": ("mean_squared_eror", *REAL, "There is no loss 'mean_squared_eror'.*Near names: 'mean_squared_error'"),
    "several": (["mse", "mae"], *REAL, "one loss at a time. Received: 2 losses"),
    "no loss": (3, *REAL, "Received: 3 of type int"),
    "outputs": ("mse", {"a": REAL[0]}, {"a": REAL[1]}, "one output at a time. Received: y_true of type dict"),
    "length": ("mse", REAL[0], REAL[1][:3], r"all parts of one length. Received: y_true \(8, 3\), y_pred \(3, 3\)"),
    "one sample": ("mse", REAL[0][:1], REAL[1][:1], "at least 2 samples"),
    "swapped": ("sparse_categorical_crossentropy", SHARES, INDEX, r"loss\(y_true, y_pred\), labels first"),
    "text": ("mse", np.asarray(["a", "b"]), REAL[1][:2], "y_true must hold numbers. Received: dtype <U1"),
    "NaN": ("mse", REAL[0], MISSING, "y_pred holds NaN"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input(name: str) -> None:
    loss, y_true, y_pred, message = BAD_INPUT[name]
    with pytest.raises(tt.LossError, match=message):
        tt.check_loss(loss, y_true, y_pred)


def test_a_class_that_needs_arguments() -> None:
    class Needs(keras.losses.Loss):  # type: ignore[misc]
        def __init__(self, factor: float) -> None:
            super().__init__()

    with pytest.raises(tt.LossError, match=r"can't be made without arguments.*Give an instance"):
        tt.check_loss(Needs, *REAL)


def test_tensors_lists_and_other_dtypes() -> None:
    y_true, y_pred = (ops.convert_to_tensor(each) for each in REAL)
    assert tt.check_loss("mse", y_true, y_pred).ok
    assert tt.check_loss("mse", REAL[0].tolist(), REAL[1].astype("float64")).ok
    assert tt.check_loss("mse", REAL[0].astype("float64"), REAL[1].astype("float16")).ok
    assert tt.check_loss("mae", np.arange(N), COLUMN[1]).ok


def test_nothing_stays_behind() -> None:
    """The check hides the batch axis from code for a moment."""
    shape = keras.KerasTensor.shape
    tt.check_loss(TABLE["unknown_batch-divides_by_static_batch"].loss, *REAL)
    assert keras.KerasTensor.shape is shape
    assert keras.KerasTensor((7919, 3)).shape == (7919, 3)


def test_long_batches_are_cut() -> None:
    rows: list[int] = []

    def counted(y_true: Any, y_pred: Any) -> Any:
        rows.append(y_pred.shape[0] or 0)
        return ops.mean(ops.square(y_true - y_pred), axis=-1)

    many: Array = np.random.default_rng(0).normal(size=(1000, 3)).astype("float32")
    tt.check_loss(counted, many, many + 1, ignore=["unknown_batch"])
    assert max(rows) == 16
