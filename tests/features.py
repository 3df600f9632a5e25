"""The features of truetap and what a run of tests says of each; `features.toml` has the list.

A feature is "yes" where each test that is named for it ran and passed. It is "refused" where truetap or Keras refuses
it by design, and the tests that hold the refusal passed. All else is "fails" or "not tested".
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["Feature", "Outcome", "Refusal", "Result", "features", "outcome"]

LIST = Path(__file__).with_name("features.toml")


@dataclass(frozen=True)
class Refusal:
    """Why a feature can't be had on a backend; tests of that, or none where the feature's own hold it."""

    reason: str
    tests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feature:
    """One line of the table; tests are `file.py::function` or `file.py::function[case]` in tests/backends."""

    group: str
    name: str
    tests: tuple[str, ...]
    refused: Mapping[str, Refusal] = field(default_factory=dict)

    def tests_on(self, backend: str) -> tuple[str, ...]:
        refusal = self.refused.get(backend)
        return refusal.tests if refusal and refusal.tests else self.tests


@dataclass(frozen=True)
class Result:
    """What became of one test; the reason is that of a skip."""

    status: Literal["passed", "failed", "skipped"]
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a run says of a feature."""

    says: Literal["yes", "refused", "fails", "not tested"]
    reason: str = ""
    failed: tuple[str, ...] = ()


def features() -> list[Feature]:
    """The features in the order of the table."""
    return [_feature(entry) for entry in tomllib.loads(LIST.read_text(encoding="utf-8"))["feature"]]


def _feature(entry: dict[str, Any]) -> Feature:
    refused = {
        backend: Refusal(said["reason"], tuple(said.get("tests", ())))
        for backend, said in entry.get("refused", {}).items()
    }
    return Feature(entry["group"], entry["name"], tuple(entry["tests"]), refused)


def matches(test: str, name: str) -> bool:
    """Whether a test is the one, or a case of the one, that is named."""
    return test == name or test.startswith(f"{name}[")


def outcome(feature: Feature, backend: str, results: Mapping[str, Result], broken: frozenset[str]) -> Outcome:
    """What the results of a run say of a feature.

    Args:
        feature: The feature.
        backend: The backend that the tests ran on.
        results: By test, as `file.py::function[case]`.
        broken: Files that could not be collected.
    """
    named = feature.tests_on(backend)
    found = {name: {test: each for test, each in results.items() if matches(test, name)} for name in named}
    failed = [test for each in found.values() for test, result in each.items() if result.status == "failed"]
    failed += [name for name in named if name.split("::")[0] in broken]
    if failed:
        return Outcome("fails", failed=tuple(dict.fromkeys(failed)))
    if not all(found.values()):
        return Outcome("not tested")
    skipped = [result.reason for each in found.values() for result in each.values() if result.status == "skipped"]
    if skipped:
        return Outcome("not tested", skipped[0])
    refusal = feature.refused.get(backend)
    return Outcome("refused", refusal.reason) if refusal else Outcome("yes")
