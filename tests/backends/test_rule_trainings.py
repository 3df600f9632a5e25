"""The programs on the pages of the rules: each makes its rule speak and no other, and once mended none does.

All are run once: on torch, which is quickest at it, but for the few that torch itself refuses. That rules say the same
on each backend is for test_rules_*.py.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

import truetap as tt
from truetap.diagnosis.rules import RULES

DOCS = Path(__file__).parents[2] / "docs"

sys.path.insert(0, str(DOCS))
programs: Any = importlib.import_module("rule_programs")
NOT_ON_TORCH: tuple[str, ...] = importlib.import_module("rule_pictures").ON_TENSORFLOW
HERE = {"torch": sorted({rule.name for rule in RULES} - set(NOT_ON_TORCH)), "tensorflow": list(NOT_ON_TORCH)}


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """What the pages show."""
    found: dict[str, Any] = json.loads((DOCS / "rule_runs" / "findings.json").read_text(encoding="utf-8"))
    return found["trainings"]  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore")  # Keras' and ours, about what is broken on purpose
@pytest.mark.parametrize("rule", HERE.get(keras.backend.backend(), []))
def test_a_program_does_what_its_page_says(
    rule: str, kept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"program_{rule}.py").write_text(programs.of_training(rule), encoding="utf-8")
    program: Any = importlib.import_module(f"program_{rule}")

    report = tt.open(f"runs/{rule}").diagnose(program.model)
    said = [each for each in report if each.rule == rule]
    assert said, report.skipped.get(rule)
    assert {each.rule for each in report.wrong} <= {rule}, str(report)
    page = kept[rule]["finding"]
    assert (str(said[0].severity), set(said[0].numbers)) == (page["severity"], set(page["numbers"]))

    model, data, options = getattr(program, rule)(mended=True)
    recorder = tt.Recorder("runs/mended", taps="diagnose")
    model.fit(*data, verbose=0, callbacks=[recorder, *options.pop("callbacks", [])], **options)
    recorder.finish()
    mended = tt.open("runs/mended").diagnose(model)
    assert mended.ok, str(mended)
    assert rule in mended.checked
    assert rule not in {each.rule for each in mended}
