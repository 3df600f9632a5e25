"""Writes docs/capabilities.md, feature by backend and version of Keras, from what runs of the tests said.

Each file of docs/capabilities/ is one run, written by the plugin tests/capabilities.py; nothing is added by hand:

    KERAS_BACKEND=jax python -m pytest -p tests.capabilities --capabilities=docs/capabilities/NAME.json tests/backends
    python docs/capabilities.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}

HEAD = """# Capabilities

Feature by backend and version of Keras, as the tests found it: `docs/capabilities.py` writes this page from the results
in `docs/capabilities/`, and `tests/features.toml` names the tests that each feature has to pass.

- **yes**: all of its tests passed, on every version of Keras below that was run on the backend.
- **refused**: it can't be had there; truetap, or Keras, says so in an error. The tests hold that error. The reasons are
  [below](#reasons).
- **fails**: a test failed, on the versions that are named; [which](#what-failed).
- **not tested**: no test of it runs on that backend.
"""


@dataclass(frozen=True)
class Run:
    """One run of the tests."""

    backend: str
    versions: dict[str, str]
    tests: dict[str, int]
    features: dict[tuple[str, str], dict[str, Any]]

    @property
    def keras(self) -> str:
        return self.versions["keras"]


def read(folder: Path) -> list[Run]:
    """All runs of a folder, the oldest Keras first."""
    runs = []
    for path in folder.glob("*.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        said = {(each["group"], each["name"]): each for each in told["features"]}
        runs.append(Run(told["backend"], told["versions"], told["tests"], said))
    return sorted(runs, key=lambda run: (list(BACKENDS).index(run.backend), _number(run.keras)))


def page(runs: list[Run]) -> str:
    """The whole page."""
    reasons: list[str] = []
    names = list(dict.fromkeys(name for run in runs for name in run.features))
    parts = [HEAD, _table(["run on", "versions"], [_run_on(runs, backend) for backend in BACKENDS])]
    for group in dict.fromkeys(group for group, _ in names):
        lines = []
        for name in (each for each in names if each[0] == group):
            lines.append([name[1], *(_cell(_of(runs, backend), name, reasons) for backend in BACKENDS)])
        parts.append(f"## {group}\n\n" + _table(["", *BACKENDS.values()], lines))
    if reasons:
        parts.append("## Reasons\n\n" + "\n".join(f"{number}. {why}" for number, why in enumerate(reasons, 1)) + "\n")
    parts.append("## What failed\n\n" + (_failures(runs) or "Nothing.\n"))
    parts.append("## The runs\n\n" + _table(["backend", "versions", "passed", "failed", "skipped"], _counts(runs)))
    return "\n".join(parts)


def _of(runs: list[Run], backend: str) -> list[Run]:
    return [run for run in runs if run.backend == backend]


def _cell(runs: list[Run], name: tuple[str, str], reasons: list[str]) -> str:
    """What all runs on one backend say of a feature; where they differ, each with its versions."""
    said: dict[str, list[str]] = {}
    for run in runs:
        entry = run.features.get(name, {"says": "not tested"})
        text = entry["says"]
        if text == "refused":
            if entry["reason"] not in reasons:
                reasons.append(entry["reason"])
            text = f"refused ({reasons.index(entry['reason']) + 1})"
        said.setdefault(text, []).append(run.keras)
    if len(said) == 1:
        return next(iter(said))
    return "; ".join(f"{text}: {', '.join(versions)}" for text, versions in said.items())


def _failures(runs: list[Run]) -> str:
    lines = []
    for run in runs:
        failed = [test for entry in run.features.values() for test in entry["failed"]]
        for test in dict.fromkeys(failed):
            lines.append(f"- {BACKENDS[run.backend]}, Keras {run.keras}, Python {run.versions['python']}: `{test}`\n")
    return "".join(lines)


def _run_on(runs: list[Run], backend: str) -> list[str]:
    versions = [f"{run.keras}" for run in _of(runs, backend)]
    return [BACKENDS[backend], "Keras " + ", ".join(dict.fromkeys(versions))]


def _counts(runs: list[Run]) -> list[list[str]]:
    lines = []
    for run in runs:
        versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
        lines.append(
            [BACKENDS[run.backend], versions, *(str(run.tests[status]) for status in ("passed", "failed", "skipped"))]
        )
    return lines


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n" for row in rows)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


if __name__ == "__main__":
    (HERE / "capabilities.md").write_text(page(read(HERE / "capabilities")), encoding="utf-8")
