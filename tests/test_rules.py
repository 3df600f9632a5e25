"""The contract of rules: findings, the order in which rules run, what is told of those that can't, one's own rules."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

import truetap as tt
from truetap.rules.finding import Finding, Severity
from truetap.rules.registry import checked
from truetap.rules.running import run_rules


def said(rule: str, severity: Severity = Severity.WARNING, certainty: float = 0.5, **more: Any) -> Finding:
    return Finding(rule, severity, "Seen <b>.", "Why.", "Do.", certainty=certainty, **more)


class Evidence:
    there = 1
    missing = None

    def without(self, need: str) -> str:
        return f"no {need}"


class Rule:
    def __init__(self, name: str, *findings: Finding, needs: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> None:
        self.name, self.needs, self.after = name, needs, after
        self._findings = findings

    def check(self, evidence: Any) -> Iterable[Finding]:
        return self._findings


class Failing(Rule):
    def check(self, evidence: Any) -> Iterable[Finding]:
        raise ZeroDivisionError("by nothing")


def test_errors_come_first_and_the_surest_of_them() -> None:
    unsure, sure, note = said("a", certainty=0.2), said("b", certainty=0.9), said("c", Severity.NOTE, 1.0)
    worst = said("d", Severity.ERROR, 0.1)
    rules = [Rule("a", unsure), Rule("b", sure), Rule("c", note), Rule("d", worst)]
    assert run_rules(rules, Evidence()).findings == (worst, sure, unsure, note)


def test_a_rule_gives_way_to_what_explains_it_wherever_that_stands() -> None:
    symptom = Rule("symptom", said("symptom"), after=("cause",))
    answers = run_rules([symptom, Rule("cause", said("cause"))], Evidence())
    assert [finding.rule for finding in answers.findings] == ["cause"]
    assert answers.skipped == {"symptom": "explained by cause"}
    assert answers.checked == ("cause",)
    quiet = run_rules([symptom, Rule("cause", said("cause", Severity.NOTE))], Evidence())
    assert [finding.rule for finding in quiet.findings] == ["symptom", "cause"]


def test_a_last_resort_gives_way_to_anything() -> None:
    last = Rule("last", said("last"), after=("*",))
    assert [each.rule for each in run_rules([last, Rule("other")], Evidence()).findings] == ["last"]
    answers = run_rules([last, Rule("other", said("other"))], Evidence())
    assert answers.skipped == {"last": "explained by other"}


def test_two_rules_that_give_way_to_each_other_both_have_their_turn() -> None:
    one, other = Rule("one", after=("other",)), Rule("other", said("other"), after=("one",))
    assert [each.rule for each in run_rules([one, other], Evidence()).findings] == ["other"]


def test_a_rule_without_its_evidence_says_so() -> None:
    answers = run_rules([Rule("a", said("a"), needs=("there", "missing"))], Evidence())
    assert answers.skipped == {"a": "no missing"}
    assert not answers.findings


def test_a_rule_that_fails_takes_nothing_with_it() -> None:
    with pytest.warns(tt.DiagnosisWarning, match=r"The rule 'bad' failed: ZeroDivisionError: by nothing"):
        answers = run_rules([Failing("bad"), Rule("good", said("good"))], Evidence())
    assert [each.rule for each in answers.findings] == ["good"]
    assert answers.skipped == {"bad": "failed, ZeroDivisionError: by nothing"}


def test_names_that_are_wrong_are_errors_that_name_near_ones() -> None:
    rules = [Rule("overfitting")]
    assert run_rules(rules, Evidence(), ["overfitting"]).skipped == {"overfitting": "ignored"}
    with pytest.raises(tt.TruetapError, match=r"There is no rule 'overfiting'\. .*'overfitting'"):
        run_rules(rules, Evidence(), ["overfiting"])
    with pytest.raises(tt.TruetapError, match=r"Two rules are called 'overfitting'"):
        run_rules([*rules, *rules], Evidence())


def test_a_report_is_true_when_nothing_is_wrong_and_raises_else() -> None:
    note = said("a", Severity.NOTE)
    fine = tt.Report("Run 'r'", "jax", (note,), ("a",), {})
    assert fine
    fine.raise_if_wrong()
    bad = tt.Report("Run 'r'", "jax", (said("b", where="dense"), note), ("a", "b"), {"c": "no model"})
    assert not bad
    assert [each.rule for each in bad.wrong] == ["b"]
    assert (len(bad), [each.rule for each in bad]) == (2, ["b", "a"])
    with pytest.raises(
        tt.DiagnosisError, match=r"Run 'r' is not well \(1 warning, 1 note\):\n- warning: b \(at dense\)"
    ):
        bad.raise_if_wrong()
    assert str(bad).startswith("Run 'r' on jax: 1 warning, 1 note; 2 checks, 1 not run (see skipped).\n- warning: b")


def test_a_report_is_json_and_hostile_words_stay_words() -> None:
    finding = said("a", numbers={"loss": float("nan"), "rate": 0.5}, layers=("dense",), sample_ids=(2**60, "x"))
    report = tt.Report("Run '<i>'", "jax", (finding,), ("a",), {})
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["findings"][0]["numbers"] == {"loss": None, "rate": 0.5}
    assert plain["findings"][0]["sample_ids"] == [2**60, "x"]
    shown = report._repr_html_()
    assert "<i>" not in shown
    assert "Seen &lt;b&gt;." in shown


def test_rules_of_ones_own_are_registered_replaced_and_taken_away() -> None:
    @tt.rules.register
    class Mine:
        name, needs, after = "mine", (), ()

        def check(self, evidence: Any) -> Iterable[Finding]:
            yield said("mine")

    try:
        assert [each.name for each in tt.rules.registered()] == ["mine"]
        other = Rule("mine", said("mine"))
        tt.rules.register(other)
        assert tt.rules.registered() == (other,)
    finally:
        tt.rules.unregister("mine")
    assert tt.rules.registered() == ()
    with pytest.raises(tt.DiagnosisError, match=r"No rule 'mine' was registered"):
        tt.rules.unregister("mine")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (3, r"Received: 3 without \['name', 'needs', 'after', 'check'\]"),
        (
            Rule("a", needs="curve"),  # type: ignore[arg-type]
            r"needs of a rule is a tuple of strings\. Received: 'a' with needs='curve'",
        ),
        (Rule("a", after=(1,)), r"after of a rule is a tuple of strings"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_rule_is_refused(wrong: Any, words: str) -> None:
    with pytest.raises(tt.DiagnosisError, match=words):
        checked(wrong)


def test_the_rules_of_truetap_keep_the_contract() -> None:
    from truetap.diagnosis.evidence import Evidence as Real
    from truetap.diagnosis.rules import RULES

    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names) >= 30
    for rule in RULES:
        assert checked(rule) is rule
        assert type(rule).__module__.endswith(f".{rule.name}")
        assert set(rule.after) <= {*names, "*"}, rule.name
        assert all(hasattr(Real, need) for need in rule.needs), rule.name
        assert Real.without(object.__new__(Real), "x") == "there is no x"


def test_rules_come_from_installed_packages_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from truetap.rules import registry

    class Point:
        def load(self) -> Any:
            return Rule("theirs", said("theirs"))

    monkeypatch.setattr(registry, "_loaded", None)
    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()] if group == "truetap.rules" else [])
    assert [each.name for each in tt.rules.registered()] == ["theirs"]
    monkeypatch.setattr(registry, "_loaded", None)
