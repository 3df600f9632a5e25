"""Tables as Parquet, CSV and NumPy, read back by other readers, against what was put into the run."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from tests.exporting import made
from truetap.columns import decode
from truetap.errors import StoreError
from truetap.exporting import export
from truetap.run import Run

Array = npt.NDArray[Any]

TABLES = ["samples", "scalars", "inputs.x", "activations.conv", "gradients.k", "activations", "epochs"]


def alike(found: Any, expected: Array) -> bool:
    """Whether values are the same, NaN and what isn't recorded included."""
    return len(found) == len(expected) and all(_same(*pair) for pair in zip(found, expected, strict=True))


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None or isinstance(one, str):
        return bool(one is other or one == other)
    return np.array_equal(np.asarray(one, np.float64), np.asarray(other, np.float64), equal_nan=True)


# --- Parquet --------------------------------------------------------------------------------------------


def test_parquet_has_every_value_in_hive_folders(written: made.Made, tmp_path: Path) -> None:
    files = export(written.run, tmp_path / "out")
    assert sorted(files) == sorted(str(file) for file in (tmp_path / "out").rglob("*.parquet"))
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == sorted(TABLES)
    for (table, phase, epoch), rows in written.rows.items():
        if table == "epochs":
            continue
        found = [pq.read_table(file, partitioning=None) for file in sorted(_part(tmp_path, table, phase, epoch))]
        assert all({"phase", "epoch"}.isdisjoint(each.schema.names) for each in found)
        for name in set(rows) - {"phase", "epoch", "mask"}:
            values = [value for each in found for chunk in each.column(name).chunks for value in _values(chunk)]
            assert alike(values, rows[name]), (table, name)


def _part(folder: Path, table: str, phase: str, epoch: int) -> list[Path]:
    return list((folder / "out" / table / f"phase={phase}" / f"epoch={epoch}").glob("*.parquet"))


def _values(chunk: pa.Array) -> list[Any]:
    return list(decode(chunk)) if isinstance(chunk.type, pa.FixedShapeTensorType) else chunk.to_pylist()


def test_parquet_is_one_table_for_duckdb_and_pandas(written: made.Made, tmp_path: Path) -> None:
    export(written.run, tmp_path / "out", "parquet", compression="snappy")
    query = f"""select phase, epoch, count(*), max(loss) filter (isfinite(loss))
                from read_parquet('{tmp_path}/out/samples/**/*.parquet', hive_partitioning = true) group by 1, 2"""
    losses = {key[1:]: rows["loss"] for key, rows in written.rows.items() if key[0] == "samples"}
    assert {(row[0], int(row[1])): row[2:] for row in duckdb.sql(query).fetchall()} == {
        key: (len(values), np.float32(values[np.isfinite(values)].max())) for key, values in losses.items()
    }
    frame = pd.read_parquet(tmp_path / "out" / "samples", filters=[("phase", "==", "val")])
    assert np.array_equal(np.stack(frame["y_pred/kind"].to_list()), written.column("samples", "y_pred/kind", "val"))
    assert frame["sample_id"].to_list() == written.column("samples", "sample_id", "val").tolist()
    flat = pq.read_table(tmp_path / "out" / "epochs")
    assert flat.column("phase").to_pylist() == ["train"] * 6
    assert alike(flat.column("value").to_pylist(), written.column("epochs", "value"))


def test_parquet_keeps_shapes_that_change(written: made.Made, tmp_path: Path) -> None:
    export(written.run, tmp_path / "out", tables="samples")
    table = pq.read_table(tmp_path / "out/samples/phase=train/epoch=1", partitioning=None)
    column = table.column("mask").combine_chunks()
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    rows = [np.reshape(row["data"], row["shape"]) for row in storage.to_pylist()]
    padded = written.rows["samples", "train", 1]["mask"]
    assert [len(row) for row in rows] == [2] * made.BATCH + [3] * made.BATCH
    assert all(np.array_equal(row, whole[: len(row)]) for row, whole in zip(rows, padded, strict=True))


def test_parquet_refuses_an_unknown_compression(written: made.Made, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no such compression. Received: compression='rar'"):
        export(written.run, tmp_path / "out", compression="rar")
    assert not any(tmp_path.iterdir())


# --- CSV ------------------------------------------------------------------------------------------------


def test_csv_has_every_value_a_column_for_each_number(written: made.Made, tmp_path: Path) -> None:
    files = export(written.run, tmp_path / "out", "csv")
    assert [Path(file).name for file in files] == sorted(f"{table}.csv" for table in TABLES)
    lines = _read(tmp_path / "out" / "samples.csv")
    expected = {phase: written.column("samples", "loss", phase) for phase in ("train", "val")}
    for phase, losses in expected.items():
        mine = [line for line in lines if line["phase"] == phase]
        assert [line["sample_id"] for line in mine] == written.column("samples", "sample_id", phase).tolist()
        assert [int(line["fingerprint"]) for line in mine] == written.column("samples", "fingerprint", phase).tolist()
        assert np.array_equal(np.asarray([line["loss"] for line in mine], np.float32), losses, equal_nan=True)
        pred = [[line[f"y_pred/kind.{place}"] for place in range(3)] for line in mine]
        assert np.array_equal(np.asarray(pred, np.float32), written.column("samples", "y_pred/kind", phase))
        padded = written.column("samples", "mask", phase)
        masks = [json.loads(line["mask"]) for line in mine]
        assert all(mask == whole[: len(mask)].tolist() for mask, whole in zip(masks, padded, strict=True))
    images = _read(tmp_path / "out" / "inputs.x.csv")
    assert np.array_equal(
        np.asarray([[line[f"values.{a}.{b}.0"] for a in range(6) for b in range(6)] for line in images], np.float32),
        written.column("inputs.x", "values").reshape(-1, 36),
    )
    assert (tmp_path / "out" / "samples.csv").read_bytes().count(b"nan") == np.isnan(
        np.concatenate([*expected.values()])
    ).sum()


def test_csv_leaves_empty_what_was_not_recorded(written: made.Made, tmp_path: Path) -> None:
    path = tmp_path / "scalars.csv"
    assert export(written.run, path, "csv", tables="scalars", phase="train") == (str(path),)
    frame = pd.read_csv(path)
    assert frame["loss_scale"].isna().tolist() == [False, True, False, True]
    assert [line["skipped"] for line in _read(path)] == [""] * 4
    assert np.array_equal(frame["loss"], written.column("scalars", "loss"), equal_nan=True)
    assert np.array_equal(frame[f"running/{made.HOSTILE}"], written.column("scalars", f"running/{made.HOSTILE}"))


def test_csv_of_statistics_has_lists_as_json(written: made.Made, tmp_path: Path) -> None:
    path = tmp_path / "activations.csv"
    export(written.run, path, "csv", tables=["activations"])
    found = [json.loads(line["values"]) if line["values"] else None for line in _read(path)]
    assert alike(found, written.column("activations", "values"))
    values = [float(line["value"]) if line["value"] else None for line in _read(path)]
    assert alike(values, written.column("activations", "value"))


def test_csv_refuses_tensors_that_are_too_wide_before_it_writes(written: made.Made, tmp_path: Path) -> None:
    message = r"'values' of table 'inputs.x' is too wide for CSV. Received: tensors of shape \(6, 6, 1\), 36 numbers"
    with pytest.raises(StoreError, match=message):
        export(written.run, tmp_path / "out", "csv", most_columns=35)
    with pytest.raises(StoreError, match=r"A CSV file holds one table. Received: .*out.csv"):
        export(written.run, tmp_path / "out.csv", "csv")
    assert not any(tmp_path.iterdir())


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# --- NumPy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("npz", [False, True])
def test_numpy_has_every_array(written: made.Made, tmp_path: Path, npz: bool) -> None:
    files = export(written.run, tmp_path / "out", "numpy", npz=npz)
    assert {Path(file).suffix for file in files} == {".npz" if npz else ".npy"}
    out = tmp_path / "out"
    for (table, phase, epoch), rows in written.rows.items():
        if "sample_id" in rows:
            for name in set(rows) - {"phase", "epoch"}:
                found = _array(out / table / phase / f"epoch-{epoch}", name, npz)
                # padded to the longest of the part, which has three in both epochs
                assert alike(found, rows[name]), (table, name)
                if rows[name].dtype != object:
                    assert found.dtype == rows[name].dtype
    shapes = _array(out / "samples/train/epoch-0", "mask.shape", npz)
    assert shapes.tolist() == [[2]] * made.BATCH + [[3]] * made.BATCH
    for name in ("loss", "epoch", "step", "samples"):
        assert alike(_array(out / "scalars/val", name, npz), written.column("scalars", name, "val"))
    scale = _array(out / "scalars/train", "loss_scale", npz)
    assert np.array_equal(scale, [2.0, np.nan, 2.0, np.nan], equal_nan=True)
    assert np.array_equal(
        _array(out / "gradients.k/train", "values", npz), written.column("gradients.k", "values"), equal_nan=True
    )


def _array(folder: Path, name: str, npz: bool) -> Array:
    if npz:
        with np.load(folder.with_name(f"{folder.name}.npz")) as archive:
            assert "skipped" not in archive  # nothing of it was recorded
            return np.asarray(archive[name])
    assert not (folder / "skipped.npy").exists()
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))


def test_numpy_has_statistics_by_path(written: made.Made, tmp_path: Path) -> None:
    export(written.run, tmp_path / "out", "numpy", tables="activations")
    rows = {name: written.column("activations", name) for name in ("path", "statistic", "value", "values", "step")}
    for path, name in set(zip(rows["path"], rows["statistic"], strict=True)):
        folder = tmp_path / "out/activations/train" / path
        at = np.flatnonzero((rows["path"] == path) & (rows["statistic"] == name))
        values = [rows["value"][row] if rows["values"][row] is None else rows["values"][row] for row in at]
        assert np.array_equal(np.load(folder / f"{name}.npy"), np.asarray(values, np.float64))
        assert np.load(folder / f"{name}.steps.npy").tolist() == rows["step"][at].tolist()
        assert np.load(folder / f"{name}.epochs.npy").tolist() == [0, 0, 1, 1]


def test_numpy_writes_names_that_no_file_can_have(written: made.Made, tmp_path: Path) -> None:
    files = export(written.run, tmp_path / "out", "numpy", tables="scalars")
    running = [Path(file) for file in files if "running" in file and "val" in file]
    assert len(running) == 1
    assert running[0].resolve().is_relative_to(tmp_path)
    assert not set('<>"\n\t\x1b').intersection(running[0].name)
    assert np.load(running[0]).tolist() == [0.0, 0.25, 0.5, 0.75]


# --- a recorded run -------------------------------------------------------------------------------------


def test_all_formats_of_a_recorded_run_say_the_same(recorded: Run, tmp_path: Path) -> None:
    for name in ("parquet", "csv", "numpy"):
        export(recorded, tmp_path / name, name, tables="samples", phase="val", epoch=-1)
    parquet = pq.read_table(tmp_path / "parquet/samples/phase=val/epoch=1", partitioning=None)
    lines = _read(tmp_path / "csv/samples.csv")
    folder = tmp_path / "numpy/samples/val/epoch-1"
    assert parquet.num_rows == len(lines) == 100
    pred = np.load(folder / "y_pred.npy")
    assert np.array_equal(decode(parquet.column("y_pred").combine_chunks()), pred)
    written = [[line[f"y_pred.{place}"] for place in range(10)] for line in lines]
    assert np.array_equal(np.asarray(written, np.float32), pred)
    true, loss = np.load(folder / "y_true.npy").reshape(-1), np.load(folder / "loss.npy")
    assert [int(line.get("y_true", line.get("y_true.0", ""))) for line in lines] == true.tolist()
    assert loss == pytest.approx(-np.log(pred[np.arange(100), true]), rel=1e-4)
    assert math.isfinite(loss.mean())
