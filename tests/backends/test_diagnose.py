"""`taps="diagnose"`, `run.diagnose()` and `tt.Watch` on real training."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import truetap as tt
from truetap.diagnosis.evidence import Evidence
from truetap.rules.finding import Finding, Severity

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 3))).argmax(1)


def made(**options: Any) -> Any:
    keras.utils.set_random_seed(2)
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(16, activation="relu"), layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], **options)
    return model


def fitted(path: Path, *callbacks: Any, model: Any = None, **arguments: Any) -> Any:
    recorder = tt.Recorder(path, taps="diagnose")
    options = {"epochs": 3, "batch_size": 16, "verbose": 0, "validation_data": (X[200:], Y[200:])} | arguments
    found = (made() if model is None else model).fit(X[:200], Y[:200], callbacks=[recorder, *callbacks], **options)
    recorder.finish()
    return found


class Steps:
    """Speaks from the tenth step on; one place each."""

    name, needs, after = "steps", ("curve",), ()

    def check(self, evidence: Evidence) -> Iterable[Finding]:
        assert evidence.curve is not None
        yield Finding(self.name, Severity.WARNING, f"{len(evidence.curve)} steps.", "Why.", "Do.")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tt.Run:
    path = tmp_path_factory.mktemp("run") / "r"
    fitted(path, epochs=12)
    return tt.open(path)


def test_a_sound_training_is_let_be(run: tt.Run) -> None:
    report = run.diagnose(made())
    assert report.ok, str(report)
    assert not [why for why in report.skipped.values() if why.startswith("failed")]


def test_all_the_evidence_of_rules_is_there(run: tt.Run) -> None:
    evidence = Evidence(run)
    absent = [name for name in vars(Evidence) if not name.startswith("_") and _is_none(evidence, name)]
    assert sorted(absent) == ["batch", "loss_reports", "step_error"]


def _is_none(evidence: Evidence, name: str) -> bool:
    value = getattr(evidence, name)
    return not callable(value) and value is None


def test_evidence_is_that_of_the_run(run: tt.Run) -> None:
    evidence = Evidence(run)
    curve, history = evidence.curve, evidence.history
    assert curve is not None
    assert history is not None
    sizes = curve.samples
    expected = [
        np.average(curve.loss[curve.epochs == epoch], weights=sizes[curve.epochs == epoch]) for epoch in range(12)
    ]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    assert evidence.outputs is not None
    (output,) = evidence.outputs
    assert output.meant == "classes"
    assert (len(output.first), output.last.epoch, len(output.val_last or ())) == (200, 11, 40)
    assert output.last.accuracy == pytest.approx(history["accuracy"][-1], abs=1e-6)
    assert {each.shape for each in (evidence.inputs or {}).values()} == {(200, 4)}


def test_without_its_taps_a_rule_says_what_is_missing(tmp_path: Path) -> None:
    made().fit(X, Y, verbose=0, callbacks=[tt.Recorder(tmp_path / "r")])
    report = tt.open(tmp_path / "r").diagnose()
    assert "no gradients were recorded (taps='diagnose' has them)" in report.skipped.values()
    assert report.checked


def test_training_is_not_changed_by_these_taps(tmp_path: Path) -> None:
    plain, recorded = made(), made()
    options = {"epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0}
    plain.fit(X, Y, **options)
    recorded.fit(X, Y, callbacks=[tt.Recorder(tmp_path / "r", taps="diagnose")], **options)
    for one, other in zip(plain.get_weights(), recorded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


class Bare(keras.Model):  # type: ignore[misc]
    """No layer, one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.w = self.add_weight(shape=(4, 1), name="w")

    def call(self, x: Any) -> Any:
        return keras.ops.matmul(x, self.w)


def test_what_a_model_does_not_have_is_passed_over(tmp_path: Path) -> None:
    model = Bare()
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], verbose=0, callbacks=[tt.Recorder(tmp_path / "r", taps="diagnose")])
    run = tt.open(tmp_path / "r")
    assert "activations" not in run.tables
    assert run.gradients.paths == ("w",)
    run.diagnose(model)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch has no steps_per_execution")
def test_several_steps_an_execution(tmp_path: Path) -> None:
    fitted(tmp_path / "r", model=made(steps_per_execution=4))
    run = tt.open(tmp_path / "r")
    assert ("updates" in run.tables) == (keras.backend.backend() == "jax")
    assert run.diagnose().checked


def test_taps_that_are_no_taps() -> None:
    with pytest.raises(
        tt.TapError, match=r"taps= takes taps, such as tt\.Outputs\(\), or 'diagnose'\. Received: taps='diagnosis'"
    ):
        tt.Recorder("nowhere", taps="diagnosis")  # type: ignore[arg-type]


# --- Watch ---------------------------------------------------------------------------------------------


def test_watch_warns_once(tmp_path: Path) -> None:
    watch = tt.Watch([Steps()])
    with pytest.warns(tt.DiagnosisWarning, match=r"After epoch 0: warning: steps: 13 steps\.") as told:
        fitted(tmp_path / "r", watch)
    assert len([each for each in told if each.category is tt.DiagnosisWarning]) == 1
    assert [finding.seen for finding in watch.findings] == ["13 steps."]
    assert watch.report is not None
    assert watch.report.findings[0].seen == "39 steps."


def test_watch_stops(tmp_path: Path) -> None:
    with pytest.warns(tt.DiagnosisWarning):
        history = fitted(tmp_path / "r", tt.Watch([Steps()], on="stop"), epochs=9)
    assert len(history.epoch) == 1


@pytest.mark.parametrize(("answer", "epochs"), [(None, 5), (True, 2)])
def test_watch_calls(tmp_path: Path, answer: Any, epochs: int) -> None:
    told: list[Finding] = []

    def tell(finding: Finding) -> Any:
        told.append(finding)
        return answer

    history = fitted(tmp_path / "r", tt.Watch([Steps()], on=tell, every=2), epochs=5)
    assert [finding.seen for finding in told] == ["26 steps."]
    assert len(history.epoch) == epochs


def test_watch_tells_again_in_another_fit(tmp_path: Path) -> None:
    watch, model = tt.Watch([Steps()], on=lambda finding: None), made()
    for name in ("one", "two"):
        fitted(tmp_path / name, watch, model=model)
    assert [finding.seen for finding in watch.findings] == ["13 steps.", "13 steps."]


def test_watch_lets_a_sound_training_be(tmp_path: Path) -> None:
    watch = tt.Watch()
    fitted(tmp_path / "r", watch, epochs=8)
    assert not watch.findings, watch.findings
    assert watch.report is not None


def test_watch_needs_a_recorder_before_it(tmp_path: Path) -> None:
    with pytest.raises(tt.TapError, match=r"Watch reads what a tt\.Recorder has recorded, and there is none"):
        made().fit(X, Y, verbose=0, callbacks=[tt.Watch()])
    with pytest.raises(tt.TapError, match=r"Watch comes before the recorder"):
        made().fit(X, Y, verbose=0, callbacks=[tt.Watch(), tt.Recorder(tmp_path / "r")])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"on": "shout"}, r"on= is 'warn', 'stop' or a function of a finding\. Received: on='shout'"),
        ({"every": 0}, r"every= is a number of epochs from 1\. Received: every=0"),
    ],
)
def test_watch_refuses_what_cannot_be(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(tt.DiagnosisError, match=words):
        tt.Watch(**arguments)
