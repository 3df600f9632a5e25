"""The pages of the rules: one for each, from the rules themselves, and all that they need is there."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import truetap as tt
from truetap.diagnosis.rules import RULES
from truetap.loss_checks.rules import RULES as LOSS_RULES

DOCS = Path(__file__).parents[1] / "docs"
NAMES = {rule.name for rule in RULES}
LOSSES = {rule.name for rule in LOSS_RULES}

sys.path.insert(0, str(DOCS))
pages: Any = importlib.import_module("rule_pages")
programs: Any = importlib.import_module("rule_programs")
examples: Any = importlib.import_module("loss_examples")


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """What was found when the pictures were made."""
    found: dict[str, Any] = json.loads((DOCS / "rule_runs" / "findings.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages by name; one of a rule that is gone lay there before."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "gone.md").write_text("old")
    pages.write(folder)
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_each_rule_has_its_training_its_picture_and_its_finding(kept: dict[str, Any]) -> None:
    assert set(pages.TRAININGS) == set(pages.QUANTITIES) == set(kept["trainings"]) == NAMES
    assert {path.stem for path in (DOCS / "rule_runs").glob("*.svg")} == NAMES
    assert set(examples.EXAMPLES) == set(kept["losses"]) == LOSSES
    for kind in kept.values():
        assert all(found["finding"]["rule"] == rule for rule, found in kind.items())
    by_name = {rule.name: rule for rule in RULES}
    wrong = [
        name for name, found in kept["trainings"].items()
        if found["finding"]["severity"] not in pages._severities(by_name[name])
    ]  # fmt: skip
    assert not wrong


def test_pictures_are_small_and_take_the_colour_of_the_text() -> None:
    for path in (DOCS / "rule_runs").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert len(text) <= 15_000, path.name
        assert 'fill="currentColor"' in text
        assert "<script" not in text


def test_a_page_for_each_rule_and_none_for_those_that_are_gone(written: dict[str, str]) -> None:
    assert set(written) == NAMES | {"index", "check_loss"}
    for rule in RULES:
        page = written[rule.name]
        assert str(type(rule).__doc__).strip().splitlines()[0][:30] in page
        assert "<svg" in page
        assert f"def {rule.name}(mended):" in page
        assert f"(rule-{rule.name.replace('_', '-')})=" in page
        assert f"]({rule.name}.md)" in written["index"]
    for rule in LOSS_RULES:
        assert f"(check-{rule.name.replace('_', '-')})=" in written["check_loss"]
        assert f"(#check-{rule.name.replace('_', '-')})" in written["index"]


def test_links_between_pages_lead_to_pages(written: dict[str, str]) -> None:
    targets = {target for text in written.values() for target in re.findall(r"\]\((\w+)\.md\)", text)}
    assert targets <= set(written)


@pytest.mark.parametrize("rule", sorted(NAMES))
def test_a_program_has_what_it_names(rule: str) -> None:
    """And no name of a helper that it doesn't use: the first lines of a program are read first."""
    text = programs.of_training(rule)
    compile(text, rule, "exec")
    tops = re.findall(r"^(?:def|class) (\w+)|^(\w+) = ", text, re.MULTILINE)
    for name in {one or other for one, other in tops} - {"model", "recorder"}:
        assert len(re.findall(rf"\b{name}\b", text)) > 1, name


@pytest.mark.parametrize("rule", sorted(LOSSES - {"does_not_trace"}))  # which is of TensorFlow alone
def test_a_loss_is_said_to_be_what_its_page_says(rule: str, kept: dict[str, Any]) -> None:
    loss, y_true, y_pred, *weight = examples.EXAMPLES[rule]
    (finding,) = tt.check_loss(loss, y_true, y_pred, sample_weight=weight[0] if weight else None)
    page = kept["losses"][rule]["finding"]
    assert (finding.rule, str(finding.severity)) == (page["rule"], page["severity"])
    assert set(finding.numbers) == set(page["numbers"])
    source = programs.of_loss(examples, rule)
    assert getattr(loss, "__name__", type(loss).__name__) in source
