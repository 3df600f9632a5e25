"""A plugin of pytest that writes what became of the tests that features name, for docs/capabilities.py:

    KERAS_BACKEND=jax python -m pytest -p tests.capabilities --capabilities=FOLDER tests/backends

With the option, only the tests that features.toml names for this backend are run, and a file in FOLDER that is named by
the backend and the versions has their results; those that it has of other tests are kept.
"""

from __future__ import annotations

import importlib
import json
import platform
from pathlib import Path

import keras
import pytest

from tests.features import Result, features, matches

__all__ = ["pytest_addoption", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--capabilities", metavar="FOLDER", help="run the tests of features, and write their results here")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--capabilities")
    if folder:
        config.pluginmanager.register(_Capabilities(Path(folder)), "truetap capabilities")


class _Capabilities:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._backend = keras.backend.backend()
        self._named = {name for feature in features() for name in feature.tests_on(self._backend)}
        self._results: dict[str, Result] = {}

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        files = {name.split("::")[0] for name in self._named}
        other = collection_path.name.startswith("test_") and collection_path.name not in files
        return True if other else None

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept = [item for item in items if any(matches(_name(item.nodeid), name) for name in self._named)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:  # of a file: all that it should have shown
            file = _name(report.nodeid)
            self._results |= {name: Result("failed") for name in self._named if name.startswith(f"{file}::")}

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
        versions = {
            "keras": keras.__version__,
            self._backend: importlib.import_module(self._backend).__version__,
            "python": platform.python_version(),
        }
        path = self._folder / f"{self._backend}-keras-{versions['keras']}-python-{versions['python']}.json"
        told = {"backend": self._backend, "versions": versions, "results": {}}
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else told
        kept = before["results"] if before["versions"] == versions else {}
        told["results"] = dict(sorted((kept | {test: list(each) for test, each in self._results.items()}).items()))
        self._folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _name(nodeid: str) -> str:
    return nodeid.rpartition("tests/backends/")[2]
