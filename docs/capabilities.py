"""Writes docs/capabilities.md, feature by backend and version of Keras, from what runs of the tests said.

Each file of docs/capabilities/ is one run, written by the plugin tests/capabilities.py; nothing is added by hand:

    KERAS_BACKEND=jax python -m pytest -p tests.capabilities --capabilities=docs/capabilities tests/backends
    python -m docs.capabilities
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.features import Feature, Result, features, outcome

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
    results: dict[str, Result]

    @property
    def keras(self) -> str:
        return self.versions["keras"]


def read(folder: Path) -> list[Run]:
    """All runs of a folder, the oldest Keras first."""
    runs = []
    for path in folder.glob("*.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        results = {test: Result(*each) for test, each in told["results"].items()}
        runs.append(Run(told["backend"], told["versions"], results))
    return sorted(runs, key=lambda run: (list(BACKENDS).index(run.backend), _number(run.keras)))


def page(runs: list[Run]) -> str:
    """The whole page."""
    reasons: list[str] = []
    parts = [HEAD, _table(["run on", "versions"], [_run_on(runs, backend) for backend in BACKENDS])]
    for group in dict.fromkeys(feature.group for feature in features()):
        lines = [
            [feature.name, *(_cell(_of(runs, backend), feature, reasons) for backend in BACKENDS)]
            for feature in features()
            if feature.group == group
        ]
        parts.append(f"## {group}\n\n" + _table(["", *BACKENDS.values()], lines))
    parts.append("## Reasons\n\n" + "".join(f"{number}. {why}\n" for number, why in enumerate(reasons, 1)))
    parts.append("## What failed\n\n" + (_failures(runs) or "Nothing.\n"))
    parts.append("## The runs\n\n" + _table(["backend", "versions", "passed", "failed", "skipped"], _counts(runs)))
    return "\n".join(parts)


def _of(runs: list[Run], backend: str) -> list[Run]:
    return [run for run in runs if run.backend == backend]


def _cell(runs: list[Run], feature: Feature, reasons: list[str]) -> str:
    """What all runs on one backend say of a feature; where they differ, each with its versions."""
    said: dict[str, list[str]] = {}
    for run in runs:
        found = outcome(feature, run.backend, run.results)
        text: str = found.says
        if text == "refused":
            if found.reason not in reasons:
                reasons.append(found.reason)
            text = f"refused ({reasons.index(found.reason) + 1})"
        said.setdefault(text, []).append(run.keras)
    if len(said) == 1:
        return next(iter(said))
    return "; ".join(f"{text}: {', '.join(versions)}" for text, versions in said.items())


def _failures(runs: list[Run]) -> str:
    return "".join(
        f"- {BACKENDS[run.backend]}, Keras {run.keras}, Python {run.versions['python']}: `{test}`\n"
        for run in runs
        for test, result in run.results.items()
        if result.status == "failed"
    )


def _run_on(runs: list[Run], backend: str) -> list[str]:
    versions = [f"{run.keras}" for run in _of(runs, backend)]
    return [BACKENDS[backend], "Keras " + ", ".join(dict.fromkeys(versions))]


def _counts(runs: list[Run]) -> list[list[str]]:
    lines = []
    for run in runs:
        versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
        found = [result.status for result in run.results.values()]
        counts = [str(found.count(status)) for status in ("passed", "failed", "skipped")]
        lines.append([BACKENDS[run.backend], versions, *counts])
    return lines


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n" for row in rows)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


if __name__ == "__main__":
    (HERE / "capabilities.md").write_text(page(read(HERE / "capabilities")), encoding="utf-8")
