"""What differs in how two runs were trained, and in what rules found."""

from __future__ import annotations

from dataclasses import replace

from truetap.comparison.findings import compare_findings
from truetap.comparison.settings import Setting, Trained, compare_settings
from truetap.facts.types import CallbackFacts, Facts, FitFacts, LayerFacts, LossFacts, ModelFacts, OptimizerFacts
from truetap.rules import Finding, Report, Severity


def dense(path: str, units: int, activation: str = "relu") -> LayerFacts:
    return LayerFacts(path, "Dense", activation=activation, units=units)


def facts(*layers: LayerFacts, name: str = "sequential", fit: FitFacts | None = None) -> Facts:
    model = ModelFacts(
        name,
        "sequential",
        layers,
        losses=(LossFacts("", "mean_squared_error"),),
        optimizer=OptimizerFacts("Adam", settings={"beta_1": 0.9}),
    )
    return Facts(model, fit)


def differ(here: Facts, there: Facts) -> list[Setting]:
    return list(compare_settings(Trained(here, "jax"), Trained(there, "jax")))


def test_names_that_keras_counted_are_no_difference() -> None:
    here = facts(dense("dense", 8), dense("dense_1", 1))
    there = facts(dense("dense_7", 8), dense("dense_8", 1), name="sequential_4")
    assert differ(here, there) == []


def test_names_that_a_person_gave_are_one() -> None:
    assert differ(facts(dense("head", 8)), facts(dense("tail", 8))) == [
        Setting("layers/head", "Dense, 8 units, relu", None),
        Setting("layers/tail", None, "Dense, 8 units, relu"),
    ]


def test_a_layer_between_is_the_only_difference() -> None:
    here = facts(dense("dense", 64), dense("dense_1", 32), dense("dense_2", 10))
    dropout = LayerFacts("dropout", "Dropout", rate=0.5)
    there = facts(dense("dense_3", 64), dense("dense_4", 32), dropout, dense("dense_5", 10))
    assert differ(here, there) == [Setting("layers/dropout", None, "Dropout, rate 0.5")]


def test_a_layer_that_changed_is_said_by_what_changed() -> None:
    here = facts(dense("dense", 64), dense("dense_1", 10))
    there = facts(dense("dense", 32, "tanh"), dense("dense_1", 10))
    assert differ(here, there) == [
        Setting("layers/dense/activation", "relu", "tanh"),
        Setting("layers/dense/units", 64, 32),
    ]


def test_class_names_as_keras_writes_them() -> None:
    kinds = {"Conv2D": "conv2d", "LSTM": "lstm", "BatchNormalization": "batch_normalization"}
    kinds |= {"Conv2DTranspose": "conv2d_transpose", "MaxPooling2D": "max_pooling2d"}
    for kind, name in kinds.items():
        assert differ(facts(LayerFacts(name, kind)), facts(LayerFacts(f"{name}_12", kind))) == []


def test_optimizer_loss_and_fit() -> None:
    here = facts(fit=FitFacts(epochs=5, class_weight={"0": 1.0, "1": 3.0}, callbacks=(CallbackFacts("EarlyStopping"),)))
    there = facts(fit=FitFacts(epochs=9))
    optimizer = OptimizerFacts("Adam", schedule="CosineDecay", settings={"beta_1": 0.8, "clipnorm": 1.0})
    there = replace(
        there,
        model=replace(there.model, optimizer=optimizer, losses=(LossFacts("", "huber", reduction="sum"),)),
    )
    found = differ(here, there)
    assert Setting("fit/class_weight", {"0": 1.0, "1": 3.0}, None) in found
    assert {each for each in found if each.what != "fit/class_weight"} == {
        Setting("optimizer/schedule", None, "CosineDecay"),
        Setting("optimizer/beta_1", 0.9, 0.8),
        Setting("optimizer/clipnorm", None, 1.0),
        Setting("loss/name", "mean_squared_error", "huber"),
        Setting("loss/reduction", None, "sum"),
        Setting("fit/epochs", 5, 9),
        Setting("fit/callbacks/EarlyStopping", "present", None),
    }


def test_a_run_without_facts() -> None:
    assert compare_settings(Trained(None, "jax"), Trained(facts(), "torch")) == (Setting("backend", "jax", "torch"),)


def finding(rule: str, *layers: str) -> Finding:
    return Finding(rule, Severity.WARNING, "seen", "why", "do", layers=layers)


def report(*findings: Finding, checked: tuple[str, ...], skipped: dict[str, str] | None = None) -> Report:
    return Report("run", "jax", findings, checked, skipped or {})


def test_findings_new_gone_and_in_both() -> None:
    rules = ("dead_relu", "overfitting", "noisy_labels")
    here = report(finding("dead_relu", "dense"), finding("overfitting"), checked=rules)
    there = report(finding("dead_relu", "dense_4"), finding("noisy_labels"), checked=rules)
    found = compare_findings(here, there)
    assert [each.rule for each in found.new] == ["noisy_labels"]
    assert [each.rule for each in found.gone] == ["overfitting"]
    assert [(one.layers, other.layers) for one, other in found.both] == [(("dense",), ("dense_4",))]


def test_findings_of_one_layer_meet_before_those_of_another() -> None:
    here = report(finding("dead_relu", "a"), finding("dead_relu", "b"), checked=("dead_relu",))
    there = report(finding("dead_relu", "b"), checked=("dead_relu",))
    found = compare_findings(here, there)
    assert [each.layers for each in found.gone] == [("a",)]
    assert [(one.layers, other.layers) for one, other in found.both] == [(("b",), ("b",))]


def test_what_a_rule_could_not_look_at_is_neither_new_nor_gone() -> None:
    here = report(finding("dead_relu"), checked=("dead_relu",), skipped={"overfitting": "needs validation"})
    there = report(finding("overfitting"), checked=("overfitting",), skipped={"dead_relu": "needs activations"})
    found = compare_findings(here, there)
    assert (found.new, found.gone, found.both) == ((), (), ())
    assert [(each.rule, why) for each, why in found.only_here] == [("dead_relu", "needs activations")]
    assert [(each.rule, why) for each, why in found.only_there] == [("overfitting", "needs validation")]
    assert found.to_dict()["only_here"][0]["not_run_there"] == "needs activations"
