"""MLflow's own client over a real tracking database, against what was recorded."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run as MlflowRun
from mlflow.tracking import MlflowClient

from tests.exporting import made
from truetap.errors import DataWarning, StoreError, TruetapWarning
from truetap.exporting import export
from truetap.report import document
from truetap.run import Run

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),  # MLflow's own tables
    pytest.mark.filterwarnings("ignore:Labels are judged by predictions"),  # two epochs are few
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def client(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


@pytest.fixture(scope="module")
def exported(recorded: Run, folder: Path, client: MlflowClient) -> tuple[MlflowRun, tuple[str, ...]]:
    """The recorded run in a database of its own."""
    with pytest.warns(DataWarning, match=r"Labels are judged by predictions that are the same in several epochs"):
        uris = export(recorded, folder, "mlflow", experiment="digits")
    return client.get_run(uris[0].removeprefix("runs:/")), uris


def points(client: MlflowClient, run: MlflowRun, name: str) -> tuple[list[int], list[float]]:
    found = sorted(client.get_metric_history(run.info.run_id, name), key=lambda each: each.step)
    return [each.step for each in found], [each.value for each in found]


def test_metrics_by_epoch_and_by_step(recorded: Run, client: MlflowClient, exported: tuple[MlflowRun, Any]) -> None:
    run, _ = exported
    epochs = recorded.epochs()
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        assert points(client, run, name) == ([0, 1], epochs.column(name).to_pylist())
    scalars = recorded.scalars("train")
    assert points(client, run, "step/train/loss") == (scalars["step"].to_pylist(), scalars["loss"].to_pylist())
    assert points(client, run, "step/val/running/loss")[0] == recorded.scalars("val")["step"].to_pylist()
    norms = recorded.gradients("digit/kernel").statistics
    assert points(client, run, "gradients/digit/kernel/norm") == (norms.steps("norm").tolist(), norms["norm"].tolist())
    quantiles = recorded.activations("features").statistics["quantiles"]
    assert points(client, run, "activations/features/quantiles/0.9")[1] == quantiles[:, 1].tolist()
    begun = np.datetime64(recorded.reader.created.split("+")[0], "ms").astype(int)
    assert {each.timestamp for each in client.get_metric_history(run.info.run_id, "loss")} == {begun}


def test_facts_are_params_and_the_diagnosis_is_told(recorded: Run, client: MlflowClient, exported: Any) -> None:
    run, _ = exported
    assert run.data.params["fit/epochs"] == "2"
    assert run.data.params["fit/batch_size"] == "32"
    assert run.data.params["optimizer"] == "Adam"
    assert run.data.params["loss"] == "sparse_categorical_crossentropy"
    assert run.data.params["model/trainable_weights"] == str(64 * 12 + 12 + 12 * 10 + 10)
    assert run.data.tags["truetap.findings"] == recorded.diagnose().count
    assert run.data.tags["mlflow.runName"] == "digits"
    assert run.info.status == "FINISHED"
    assert run.info.start_time <= run.info.end_time
    assert client.get_experiment(run.info.experiment_id).name == "digits"


def test_findings_rankings_and_report_are_artifacts(recorded: Run, folder: Path, exported: Any) -> None:
    run, uris = exported
    names = ["diagnosis.json", "findings.json", "hardest_samples.json", "suspect_labels.json", "report.html"]
    assert list(uris) == [f"runs:/{run.info.run_id}", *(f"runs:/{run.info.run_id}/{name}" for name in names)]
    files = {path.name: path for path in (folder / "mlartifacts").rglob("*") if path.is_file()}
    assert sorted(files) == sorted(names)
    assert json.loads(files["diagnosis.json"].read_text()) == recorded.diagnose().to_dict()
    hardest = json.loads(files["hardest_samples.json"].read_text())
    losses = recorded.samples("train").loss
    assert losses is not None
    ids, inverse = np.unique(recorded.samples("train").ids, return_inverse=True)
    means = np.bincount(inverse, losses) / np.bincount(inverse)
    at = hardest["columns"].index("mean_loss")
    found = {row[hardest["columns"].index("sample_id")]: row[at] for row in hardest["data"]}
    assert len(found) == min(200, len(ids))
    assert [found[each] for each in ids.tolist()] == pytest.approx(means.tolist(), rel=1e-5)
    assert "digits" in files["report.html"].read_text()
    tables = json.loads(run.data.tags["mlflow.loggedArtifacts"])
    assert [each["path"] for each in tables] == names[1:4]


def test_mlflow_reads_the_tables_as_its_own(folder: Path, client: MlflowClient, exported: Any) -> None:
    run, _ = exported
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")  # which the client asks, too
    try:
        table = client.load_table(run.info.experiment_id, "hardest_samples.json", run_ids=[run.info.run_id])
    finally:
        mlflow.set_tracking_uri(before)
    assert len(table) > 100
    assert table["mean_loss"].is_monotonic_decreasing


def test_odd_names_and_numbers(written: made.Made, client: MlflowClient, folder: Path) -> None:
    uris = export(written.run, f"sqlite:///{folder}/mlflow.db", "mlflow", experiment="digits", report=False)
    run = client.get_run(uris[0].removeprefix("runs:/"))
    assert points(client, run, "step/train/loss")[1][0] == 1.0
    assert math.isnan(points(client, run, "step/train/loss")[1][1])
    assert points(client, run, "step/train/loss")[1][3] == sys.float_info.max  # what a database keeps of infinity
    rows = {name: written.column("activations", name) for name in ("path", "statistic", "value")}
    for path, name in (("a#b", "activations/a_b/mean"), ("a_b", "activations/a_b/mean-2")):
        expected = rows["value"][(rows["path"] == path) & (rows["statistic"] == "mean")].tolist()
        assert points(client, run, name)[1] == expected
    (odd,) = (name for name in run.data.metrics if name.startswith("step/val/running"))
    assert points(client, run, odd) == ([0, 1, 2, 3], [0.0, 0.25, 0.5, 0.75])
    assert not any(uri.endswith("report.html") for uri in uris)


def test_each_export_is_a_run_unless_one_is_named(tmp_path: Path) -> None:
    run = made.write(tmp_path / "run", complete=False)
    database = tmp_path / "store.db"
    client = MlflowClient(f"sqlite:///{database}")
    uri, *_ = export(run.run, database, "mlflow", report=False)
    first = uri.removeprefix("runs:/")
    assert client.get_run(first).info.status == "RUNNING"
    before = points(client, client.get_run(first), "step/val/loss_scale")
    run.writer.close()
    assert export(run.run, database, "mlflow", report=False, run_id=first)[0] == uri
    again = client.get_run(first)
    assert again.info.status == "FINISHED"
    assert again.data.tags["truetap.complete"] == "yes"
    assert points(client, again, "step/val/loss_scale") == before  # equal points are kept once
    assert len(json.loads(again.data.tags["mlflow.loggedArtifacts"])) == 4
    other, *_ = export(run.run, database, "mlflow", report=False)
    assert other != uri
    experiment = client.get_experiment_by_name("truetap")
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_a_run_of_the_users_own_stays_open(written: made.Made, tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{tmp_path}/store.db")
    experiment = client.create_experiment("mine", (tmp_path / "artifacts").as_uri())
    mine = client.create_run(experiment)
    client.log_metric(mine.info.run_id, "loss", 7.0, step=100)
    export(written.run, tmp_path / "store.db", "mlflow", run_id=mine.info.run_id, report=False)
    found = client.get_run(mine.info.run_id)
    assert found.info.status == "RUNNING"
    assert points(client, found, "loss") == ([0, 1, 100], [1.0, 0.5, 7.0])


def test_what_mlflow_refuses_is_said(written: made.Made, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"MLflow can't take the run. Received: .*run_id='nobody'. It says: .*nobody"):
        export(written.run, tmp_path, "mlflow", run_id="nobody")


def test_a_missing_report_is_said(written: made.Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)  # as if it were not installed
    with pytest.warns(TruetapWarning, match=r"no report, .*pip install 'truetap\[report\]'; or say report=False"):
        export(written.run, tmp_path, "mlflow")
    document._vega.cache_clear()
    with pytest.raises(StoreError, match=r"pip install 'truetap\[report\]'"):
        export(written.run, tmp_path, "mlflow", report=True)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("truetap").experiment_id])
    assert sorted(each.info.status for each in runs) == ["FAILED", "FINISHED"]
