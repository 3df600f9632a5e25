"""A plugin of pytest that writes which features a run of tests proves, for docs/capabilities.py:

    KERAS_BACKEND=jax python -m pytest -p tests.capabilities --capabilities=FILE.json tests/backends

With the option, only the tests that features.toml names for this backend are run; without it, nothing changes.
"""

from __future__ import annotations

import importlib
import json
import platform
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.features import Result, features, matches, outcome

__all__ = ["pytest_addoption", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--capabilities", metavar="FILE", help="write which features the tests prove to this JSON file")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--capabilities")
    if path:
        config.pluginmanager.register(_Capabilities(Path(path)), "truetap capabilities")


class _Capabilities:
    def __init__(self, path: Path) -> None:
        import keras

        self._path, self._keras = path, keras
        self._backend = keras.backend.backend()
        self._results: dict[str, Result] = {}
        self._broken: set[str] = set()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        named = [name for feature in features() for name in feature.tests_on(self._backend)]
        kept = [item for item in items if any(matches(_name(item.nodeid), name) for name in named)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._broken.add(_name(report.nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = _name(report.nodeid)
        if report.failed or hasattr(report, "wasxfail"):
            self._results[test] = Result("failed")
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self._results[test] = Result("skipped", reason.removeprefix("Skipped: "))
        elif report.when == "call":
            self._results[test] = Result("passed")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput"):  # the process that started this one hears all results
            return
        said = [
            {"group": feature.group, "name": feature.name}
            | asdict(outcome(feature, self._backend, self._results, frozenset(self._broken)))
            for feature in features()
        ]
        versions = {
            "keras": self._keras.__version__,
            self._backend: importlib.import_module(self._backend).__version__,
            "python": platform.python_version(),
        }
        counts = {
            status: sum(result.status == status for result in self._results.values())
            for status in ("passed", "failed", "skipped")
        }
        told = {"backend": self._backend, "versions": versions, "tests": counts, "features": said}
        self._path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _name(nodeid: str) -> str:
    return nodeid.rpartition("tests/backends/")[2]
