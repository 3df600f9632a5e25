"""The list of features names tests that exist, and what a run says of a feature is what its tests say."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.features import Feature, Outcome, Refusal, Result, features, outcome

BACKENDS = Path(__file__).with_name("backends")
PASSED, FAILED = Result("passed"), Result("failed")


def test_every_test_that_is_named_exists() -> None:
    named = {name for each in features() for backend in ("", *each.refused) for name in each.tests_on(backend)}
    for file in {name.split("::")[0] for name in named}:
        tree = ast.parse((BACKENDS / file).read_text(encoding="utf-8"))
        there = {f"{file}::{node.name}" for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert {name.split("[")[0] for name in named if name.startswith(f"{file}::")} <= there


def test_names_are_there_once() -> None:
    names = [(each.group, each.name) for each in features()]
    assert len(names) == len(set(names))


FEATURE = Feature("group", "name", ("a.py::one", "a.py::two[x]"), {"jax": Refusal("why", ("b.py::no",))})


@pytest.mark.parametrize(
    ("backend", "results", "expected"),
    [
        ("torch", {"a.py::one[1]": PASSED, "a.py::one[2]": PASSED, "a.py::two[x]": PASSED}, Outcome("yes")),
        (
            "torch",
            {"a.py::one[1]": PASSED, "a.py::one[2]": FAILED, "a.py::two[x]": PASSED},
            Outcome("fails", failed=("a.py::one[2]",)),
        ),
        ("torch", {"a.py::one": PASSED, "a.py::two[y]": PASSED, "a.py::one_more": FAILED}, Outcome("not tested")),
        ("torch", {"a.py::one": PASSED, "a.py::two[x]": Result("skipped", "s")}, Outcome("not tested", "s")),
        ("jax", {"b.py::no": PASSED}, Outcome("refused", "why")),
        ("jax", {"b.py::no": FAILED}, Outcome("fails", failed=("b.py::no",))),
        ("jax", {"a.py::one": PASSED, "a.py::two[x]": PASSED}, Outcome("not tested")),
    ],
)
def test_outcomes(backend: str, results: dict[str, Result], expected: Outcome) -> None:
    assert outcome(FEATURE, backend, results, frozenset()) == expected


def test_a_file_that_cannot_be_collected_is_a_failure() -> None:
    expected = Outcome("fails", failed=("a.py::one", "a.py::two[x]"))
    assert outcome(FEATURE, "torch", {}, frozenset({"a.py"})) == expected
