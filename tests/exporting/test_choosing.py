"""Which rows are exported, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits

import truetap as tt
from tests.exporting import made
from truetap import columns
from truetap.errors import DamagedRunError, NotRecordedError, RunExistsError, StoreError
from truetap.exporting import FORMATS, export
from truetap.run import Run
from truetap.store import RunWriter


def test_tables_phase_and_epochs_are_chosen(written: made.Made, tmp_path: Path) -> None:
    export(written.run, tmp_path / "out", tables=["activations*", "samples"], phase="train", epoch=[-1])
    parts = sorted(str(file.parent.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.parquet"))
    assert set(parts) == {f"{table}/phase=train/epoch=1" for table in ("activations", "activations.conv", "samples")}


def test_a_table_without_an_epoch_gives_those_it_has(written: made.Made, tmp_path: Path) -> None:
    export(written.run, tmp_path / "out", phase="val", epoch=range(2))
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["samples", "scalars"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "parket"}, "no format 'parket' to export to. Near names: 'parquet'"),
        ({"tables": "sample"}, "no table 'sample'. Expected: names as in run.tables.*Near names: 'samples'"),
        ({"tables": ["x.*"]}, r"no table 'x.\*'"),
        ({"phase": "test"}, "No rows of that phase.*phase='test'. Expected: 'train', 'val'"),
        ({"epoch": 7}, "epoch of the run isn't recorded. Received: epoch 7. Expected: 0, 1"),
        ({"format": "numpy", "npz": "yes"}, "'npz' of numpy has another type. Received: npz='yes'. Expected: True or"),
        ({"format": "csv", "most_columns": -1}, "most_columns=-1. Expected: a whole number from 0"),
        ({"format": "tensorboard", "points": True}, "points=True. Expected: a whole number from 0"),
        ({"format": "mlflow", "run_id": 7}, r"run_id=7. Expected: str \| None"),
        ({"npz": True}, "Exporting to parquet has no option 'npz'. Known names: 'compression'"),
    ],
)
def test_what_there_is_not_is_refused_with_near_names(
    written: made.Made, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        export(written.run, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())


def test_a_target_that_exists_is_left_as_it_is(written: made.Made, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    export(written.run, target, tables="epochs")  # empty: fine
    before = {file: file.read_bytes() for file in target.rglob("*.parquet")}
    for name in ("parquet", "csv", "numpy", "tensorboard"):
        with pytest.raises(RunExistsError, match=r"an export replaces nothing. Received: .*out"):
            export(written.run, target, name, tables="epochs")
    (tmp_path / "one.csv").write_text("mine")
    with pytest.raises(RunExistsError, match=r"There is a file at the target already"):
        export(written.run, tmp_path / "one.csv", "csv", tables="epochs")
    assert before == {file: file.read_bytes() for file in target.rglob("*") if file.is_file()}
    assert (tmp_path / "one.csv").read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one.csv", "out"]


def test_a_target_that_cannot_be_written_is_said(written: made.Made, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"can't be written. Received: .*Expected: a place that can be written"):
        export(written.run, tmp_path / "file" / "out", tables="epochs")
    with pytest.raises(StoreError, match=r"This is written to this machine only.*Received: 's3://bucket/out'"):
        export(written.run, "s3://bucket/out", tables="epochs")


def test_a_run_that_is_being_written_exports_what_is_committed(tmp_path: Path) -> None:
    run = made.write(tmp_path / "run", complete=False)
    assert not run.run.complete
    export(run.run, tmp_path / "out", tables="samples")
    run.writer.close()
    found = pq.read_table(tmp_path / "out/samples/phase=val/epoch=1", partitioning=None)
    assert np.array_equal(found.column("loss"), run.rows["samples", "val", 1]["loss"])


def test_a_run_without_rows_is_refused(tmp_path: Path) -> None:
    RunWriter(tmp_path / "run").close()
    with pytest.raises(StoreError, match=r"nothing to export in .*run'. Received: tables \[\]"):
        export(tt.open(tmp_path / "run"), tmp_path / "out")


def test_damaged_rows_are_not_exported(tmp_path: Path) -> None:
    run = made.write(tmp_path / "run").run
    segment = next((tmp_path / "run" / "samples").rglob("*.arrow"))
    bytes_ = bytearray(segment.read_bytes())
    bytes_[len(bytes_) // 2] ^= 0xFF
    segment.write_bytes(bytes_)
    with pytest.raises(DamagedRunError):
        export(run, tmp_path / "out", "csv", tables="samples")
    segment.write_bytes(bytes_[:200])
    with pytest.raises(DamagedRunError, match=r"Rows of table 'samples' are damaged, and were not exported"):
        export(tt.open(tmp_path / "run"), tmp_path / "out")
    export(tt.open(tmp_path / "run"), tmp_path / "out", tables="scalars")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "run"]


def test_names_given_after_the_fact_stand_in_the_rows(recorded: Run, tmp_path: Path) -> None:
    """Names of a copy: the recorded run stays as it is for the other tests."""
    shutil.copytree(recorded.path, tmp_path / "run")
    run = tt.open(tmp_path / "run")
    x = (load_digits().images[:200] / 16).astype("float32")[..., None]
    run.identify(x, [f"digit-{row}" for row in range(200)])
    export(run, tmp_path / "samples.csv", "csv", tables="samples", phase="train", epoch=0)
    export(run, tmp_path / "out", tables=["samples", "activations.features"], phase="train")
    names = pd.read_csv(tmp_path / "samples.csv")["sample_id"].to_list()
    assert sorted(names) == sorted(f"digit-{row}" for row in range(200))
    rows = pq.read_table(tmp_path / "out/samples/phase=train/epoch=0", partitioning=None).column("sample_id")
    assert rows.to_pylist() == names
    raw = pq.read_table(tmp_path / "out/activations.features/phase=train/epoch=1", partitioning=None)
    assert {name.split("-")[0] for name in raw.column("sample_id").to_pylist()} == {"digit"}
    assert "names" not in [each.name for each in (tmp_path / "out").iterdir()]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_package_is_named_with_its_extra(written: made.Made, tmp_path: Path, name: str) -> None:
    """In a process whose import system has no such package."""
    program = f"""
import sys
class Gone:
    def find_spec(self, module, path=None, target=None):
        if module.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{module!r}}", name=module)
sys.meta_path.insert(0, Gone())
import truetap as tt
from truetap.exporting import export
try:
    export(tt.open({written.run.path!r}), {str(tmp_path / "out")!r}, {name!r})
except tt.TruetapError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert f"Exporting to {name} needs its package" in said
    assert said.strip().endswith(f"pip install 'truetap[{name}]'.")


def test_exporting_tables_imports_neither_keras_nor_a_client(written: made.Made, tmp_path: Path) -> None:
    program = f"""
import sys
import truetap as tt
from truetap.exporting import export
for name in ("parquet", "csv", "numpy"):
    export(tt.open({written.run.path!r}), {str(tmp_path)!r} + "/" + name, name)
print([each for each in ("keras", "tensorboard", "mlflow", "wandb", "torch", "jax") if each in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_every_format_says_what_it_does() -> None:
    assert list(FORMATS) == ["parquet", "csv", "numpy", "tensorboard", "mlflow", "wandb"]
    assert all(line.endswith(".") for line in FORMATS.values())


def test_a_table_without_phases_has_no_epochs(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as writer:
        writer.write("samples", columns.record_batch([("loss", np.arange(3.0))]))
    run = tt.open(tmp_path / "run")
    with pytest.raises(NotRecordedError, match=r"'samples' has no phases and epochs. Received: phase=None, epoch=1"):
        export(run, tmp_path / "out", tables="samples", epoch=1)
    export(run, tmp_path / "out", "numpy")
    assert np.load(tmp_path / "out/samples/loss.npy").tolist() == [0.0, 1.0, 2.0]
    export(run, tmp_path / "files")
    assert pq.read_table(tmp_path / "files/samples").column("loss").to_pylist() == [0.0, 1.0, 2.0]
