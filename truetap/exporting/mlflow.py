"""A run in MLflow: metrics, params, tags, findings and rankings as tables, the report as an artifact.

Metrics of epochs have Keras' names (`loss`, `val_loss`) and the epoch as their step; those of steps are
`step/train/loss`, counted over the run; statistics of layers `activations/conv/mean`. MLflow has no histograms: these
stay behind. All have the time at which the run began, which is also that of the MLflow run.

Names may hold letters, digits and `_ - . : /` and spaces: anything else becomes `_`, and names that would fall together
end in `-2`, `-3`. NaN stays NaN; databases keep an infinity as ±1.8e308, the largest number they have.

Each export makes a new MLflow run, unless `run_id` says which. An export into the same run again adds what is new: a
database keeps equal points once. Its status says whether the record had ended.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS, MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE

from truetap.errors import StoreError
from truetap.exporting.chosen import Chosen
from truetap.exporting.distributions import Distributions
from truetap.exporting.facts_told import facts_told
from truetap.exporting.naming import Distinct, valid_text
from truetap.exporting.page import report_page
from truetap.exporting.ranked import Listed, listed
from truetap.exporting.series import Curve, begun, by_epoch, by_step
from truetap.rules import Report
from truetap.store.files import files_of
from truetap.store.layout import MANIFEST

__all__ = ["write"]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|databricks$")  # two letters or more: "C:/" is a path
_REFUSED = re.compile(r"[^\w\-. :/]")
_MOST_NAME, _MOST_VALUE, _MOST_METRICS, _MOST_OTHERS = 250, 6000, 1000, 100
_OURS = "truetap.run"


def write(
    chosen: Chosen, path: str, *, experiment: str = "truetap", run_id: str | None = None, report: bool | None = None
) -> list[str]:
    """Writes into MLflow; see the head of this module.

    Args:
        chosen: What is meant.
        path: The tracking URI; or a folder, in which `mlflow.db` and artifacts are made; or a database file "….db".
        experiment: The experiment's name; it is made where there is none.
        run_id: The MLflow run to write into; None for a new one.
        report: Whether to log `report.html`; None: if the package for its charts is installed.

    Raises:
        StoreError: There is no such run, or MLflow refuses.
    """
    uri, artifacts = _place(path)
    try:
        client = MlflowClient(tracking_uri=uri)
        known = run_id is not None
        target = run_id if run_id is not None else _new_run(client, chosen, experiment, artifacts)
        try:
            ours = not known or client.get_run(target).data.tags.get(_OURS) == _name(chosen)
            files = _log(client, target, chosen, report)
        except BaseException:
            if not known:
                client.set_terminated(target, "FAILED")
            raise
        if ours and chosen.moment.reader.complete:
            client.set_terminated(target, "FINISHED", _ended(chosen))
    except MlflowException as error:
        raise StoreError(
            f"MLflow can't take the run. Received: {path!r}{'' if run_id is None else f', run_id={run_id!r}'}. "
            f"It says: {error.message}"
        ) from error
    return [f"runs:/{target}", *(f"runs:/{target}/{file}" for file in files)]


# --- where it goes ------------------------------------------------------------------------------------


def _place(path: str) -> tuple[str, str | None]:
    """The tracking URI, and where artifacts of a new experiment go; None for where MLflow puts them."""
    if _URI.match(path):
        return path, None
    target = Path(path).absolute()
    database = target if target.suffix == ".db" else target / "mlflow.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{database.as_posix()}", (database.parent / "mlartifacts").as_uri()


def _new_run(client: MlflowClient, chosen: Chosen, experiment: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(experiment)
    number = client.create_experiment(experiment, artifacts) if found is None else found.experiment_id
    tags = {MLFLOW_RUN_NAME: _name(chosen), _OURS: _name(chosen)}
    made = client.create_run(number, start_time=_milliseconds(begun(chosen)), tags=tags)
    return str(made.info.run_id)


def _name(chosen: Chosen) -> str:
    return valid_text(Path(chosen.run.path).absolute().name)


def _ended(chosen: Chosen) -> int:
    """When the record ended: when its manifest was written last."""
    return _milliseconds(max(begun(chosen), _written(chosen)))


def _written(chosen: Chosen) -> float:
    place = chosen.moment.reader.path
    return files_of(place).written(place / MANIFEST)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


# --- what goes there ----------------------------------------------------------------------------------


def _log(client: MlflowClient, run_id: str, chosen: Chosen, page: bool | None) -> list[str]:
    names = Distinct(_allowed, _MOST_NAME)
    found = facts_told(chosen)
    params = [Param(names(name), valid_text(str(value))[:_MOST_VALUE]) for name, value in found.items()]
    for some in _groups(params, _MOST_OTHERS):
        client.log_batch(run_id, params=some)
    for several in _groups(_metrics(chosen), _MOST_METRICS):
        client.log_batch(run_id, metrics=several)
    diagnosis = chosen.run.diagnose()
    tables = list(listed(chosen, diagnosis))
    client.log_batch(run_id, tags=_tags(client, run_id, chosen, diagnosis, tables))
    files = ["diagnosis.json"]
    client.log_dict(run_id, diagnosis.to_dict(), "diagnosis.json")
    for table in tables:
        files.append(_file(table))
        client.log_text(run_id, json.dumps({"columns": list(table.columns), "data": table.rows}), files[-1])
    with report_page(chosen, page, diagnosis) as html:
        if html is not None:
            client.log_artifact(run_id, str(html))
            files.append(html.name)
    return files


def _metrics(chosen: Chosen) -> Iterator[Metric]:
    time = _milliseconds(begun(chosen))
    names = Distinct(_allowed, _MOST_NAME)
    for name, curve in _curves(chosen):
        allowed = names(name)
        for at, value in zip(curve.at.tolist(), curve.values.tolist(), strict=True):
            yield Metric(allowed, value, time, at)


def _curves(chosen: Chosen) -> Iterator[tuple[str, Curve]]:
    for curve in by_epoch(chosen):
        yield curve.name if curve.phase == "train" else f"{curve.phase}/{curve.name}", curve
    for curve in by_step(chosen):
        yield f"step/{curve.phase}/{curve.name}", curve
    for each in Distributions(chosen):
        if isinstance(each, Curve):
            yield each.name if each.phase == "train" else f"{each.phase}/{each.name}", each


def _tags(
    client: MlflowClient, run_id: str, chosen: Chosen, diagnosis: Report, tables: Iterable[Listed]
) -> list[RunTag]:
    earlier = json.loads(client.get_run(run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, "[]"))
    shown = [*earlier, *({"path": _file(table), "type": "table"} for table in tables)]
    told = {
        "truetap.findings": diagnosis.count,
        "truetap.complete": "yes" if chosen.moment.reader.complete else "no",
        MLFLOW_RUN_NOTE: f"Recorded by truetap in {valid_text(chosen.run.path)}. Diagnosis: {diagnosis.count}.",
        MLFLOW_LOGGED_ARTIFACTS: json.dumps([each for at, each in enumerate(shown) if each not in shown[:at]]),
    }
    return [RunTag(name, value) for name, value in told.items()]


def _file(table: Listed) -> str:
    return f"{_REFUSED.sub('_', table.name).replace('/', '_')}.json"


def _allowed(name: str) -> str:
    """The nearest name that MLflow takes: it is a path, too, and must be the shortest way to say it."""
    clean = _REFUSED.sub("_", valid_text(name))
    parts = [part if part.strip(".") else "_" * max(1, len(part)) for part in clean.split("/")]
    return posixpath.normpath("/".join(parts))


def _groups(items: Iterable[Any], size: int) -> Iterator[Sequence[Any]]:
    remaining = iter(items)
    while group := list(islice(remaining, size)):
        yield group
