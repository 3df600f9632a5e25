"""Files as data: the rows that `collect` gives are those of the arrays that were written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import truetap as tt
from tests.engines.models import classifier, rows, write_parquet
from truetap.engines.files import files_source, open_files
from truetap.engines.stamps import files_stamp
from truetap.engines.units import cut
from truetap.errors import DataError, LengthError, UnlabelledDataError

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def model() -> Any:
    return classifier()


def read_all(path: Any, batch_size: int = 8) -> list[Any]:
    source = files_source(path, batch_size)
    assert source is not None
    return list(source.draw(None))


def test_parquet_gives_the_rows_of_its_files_in_order_of_their_paths(tmp_path: Path, model: Any) -> None:
    x, y = rows(230)
    folder = write_parquet(tmp_path / "data", x, y, per_file=100)
    samples = tt.collect(model, folder)
    assert samples.ids.tolist() == list(range(230))
    np.testing.assert_array_equal(samples.y_true, y)
    np.testing.assert_allclose(samples.y_pred, model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    # batches of 32 begin anew with each file: 100 rows are 4 of them
    np.testing.assert_array_equal(samples.steps, [4 * (row // 100) + row % 100 // 32 for row in range(230)])
    assert samples.about.source == "Parquet files"
    np.testing.assert_array_equal(tt.ground_truth(folder), y)


def test_any_rows_of_a_parquet_file_can_be_read_alone(tmp_path: Path) -> None:
    x, y = rows(230)
    files = open_files(write_parquet(tmp_path / "data", x, y, per_file=230, group=37))
    assert files is not None
    units = cut(files.parts, 10, unit_rows=20)
    for unit in units[::-1]:
        [piece] = files.read([unit])
        np.testing.assert_array_equal(piece.element["x"], x[unit.start : unit.stop])
        np.testing.assert_array_equal(piece.element["label"], y[unit.start : unit.stop])
        assert piece.ids is not None
        assert list(piece.ids) == list(range(unit.start, unit.stop))


@pytest.mark.parametrize("group", [7, 20, 64, 1000])
def test_a_row_group_is_read_once_for_all_units_in_it(tmp_path: Path, group: int) -> None:
    x, y = rows(230)
    files = open_files(write_parquet(tmp_path / "data", x, y, per_file=150, group=group))
    assert files is not None
    units = cut(files.parts, 10, unit_rows=20)
    stretches = files.stretches(units)
    assert [unit for stretch in stretches for unit in stretch] == list(units)
    assert len(stretches) == {7: 12, 20: 12, 64: 4, 1000: 2}[group]
    for wanted in (stretches, files.stretches(units[3:4] + units[6:])):  # all, and what an interruption left
        for stretch in wanted:
            for unit, piece in zip(stretch, files.read(stretch), strict=True):
                np.testing.assert_array_equal(piece.element["x"], x[unit.first_row : unit.first_row + unit.rows])
                np.testing.assert_array_equal(piece.element["label"], y[unit.first_row : unit.first_row + unit.rows])


def test_ids_come_from_a_column(tmp_path: Path, model: Any) -> None:
    folder = write_parquet(tmp_path / "data", *rows(40), per_file=25)
    assert tt.collect(model, str(folder / "*.parquet"), ids="key").ids.tolist() == [f"key-{row}" for row in range(40)]
    names = [f"n{row}" for row in range(40)]
    assert tt.collect(model, folder, ids=names).ids.tolist() == names


def test_lists_and_tensors_in_parquet_are_axes(tmp_path: Path) -> None:
    image = np.arange(24, dtype="uint8").reshape(2, 3, 4)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(image)
    table = pa.table({"a": tensors, "b": [[1.0, 2.0], [3.0, 4.0]], "c": [[[1], [2]], [[3], [4]]], "label": [0, 1]})
    pq.write_table(table, tmp_path / "t.parquet")
    [batch] = read_all(tmp_path / "t.parquet")
    np.testing.assert_array_equal(batch.element["a"], image)
    np.testing.assert_array_equal(batch.element["b"], np.array([[1, 2], [3, 4]], "float32"))
    assert batch.element["c"].shape == (2, 2, 1)


def test_numpy_files_are_read_by_rows_and_shards_as_a_whole(tmp_path: Path, model: Any) -> None:
    x, y = rows(100)
    weight = np.linspace(0, 1, 100).astype("float32")
    folder, shards = tmp_path / "npy", tmp_path / "npz"
    folder.mkdir()
    shards.mkdir()
    for name, values in (("x", x), ("y", y), ("sample_weight", weight)):
        np.save(folder / f"{name}.npy", values)
    for number in range(3):
        part = slice(40 * number, 40 * number + 40)
        np.savez(shards / f"{number}.npz", x=x[part], y=y[part], sample_weight=weight[part])
    for path in (folder, shards, [shards / f"{number}.npz" for number in range(3)]):
        samples = tt.collect(model, path, batch_size=16)
        assert samples.ids.tolist() == list(range(100))
        np.testing.assert_array_equal(samples.y_true, y)
        np.testing.assert_array_equal(samples.sample_weight, weight)
        np.testing.assert_allclose(samples.y_pred, model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_images_are_called_by_their_paths_and_labelled_by_their_folders(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    pixels = {}
    for name in ("dogs/b.png", "cats/2.png", "cats/10.png", "dogs/deep/a.png"):
        pixels[name] = rng.integers(0, 256, (5, 6, 3)).astype("uint8")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels[name]).save(tmp_path / name)
    (tmp_path / "readme.txt").write_text("not an image")
    batches = read_all(tmp_path, batch_size=3)
    order = ["cats/10.png", "cats/2.png", "dogs/b.png", "dogs/deep/a.png"]
    assert [path for batch in batches for path in batch.ids] == [str(tmp_path / name) for name in order]
    np.testing.assert_array_equal(
        np.concatenate([batch.element[0] for batch in batches]), np.stack([pixels[name] for name in order])
    )
    assert np.concatenate([batch.element[1] for batch in batches]).tolist() == [0, 0, 1, 1]
    source = files_source(tmp_path, 3)
    assert source is not None
    assert source.facts.class_names == ("cats", "dogs")


def write_tables(folder: Path, *tables: dict[str, Any]) -> Path:
    for number, table in enumerate(tables):
        pq.write_table(pa.table(table), folder / f"{number}.parquet")
    return folder


def hive(folder: Path) -> Path:
    (folder / "year=2020").mkdir()
    return write_tables(folder / "year=2020", {"x": [1.0], "label": [0]}).parent


def npy(folder: Path, **arrays: Any) -> Path:
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return folder


def mixed(folder: Path) -> Path:
    np.savez(folder / "a.npz", x=np.zeros(2), y=np.zeros(2))
    return write_tables(folder, {"x": [1.0]})


def two_sizes(folder: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    (folder / "a").mkdir()
    for name, size in (("1.png", 4), ("2.png", 5)):
        image.fromarray(np.zeros((size, size, 3), "uint8")).save(folder / "a" / name)
    return folder


def loose(folder: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.zeros((4, 4, 3), "uint8")).save(folder / "1.png")
    return folder


def text(folder: Path) -> Path:
    (folder / "a.csv").write_text("1,2")
    return folder


def broken(folder: Path) -> Path:
    (folder / "a.parquet").write_bytes(b"PAR1 and no more")
    return folder


def test_a_column_that_nobody_needs_may_hold_nulls(tmp_path: Path, model: Any) -> None:
    x, y = rows(20)
    folder = write_parquet(tmp_path / "data", x, y, per_file=20)
    file = folder / "part-00.parquet"
    pq.write_table(pq.read_table(file).append_column("comment", pa.nulls(20, pa.string())), file)
    assert tt.collect(model, folder, ids="key").ids.tolist() == [f"key-{row}" for row in range(20)]
    assert len(list(tt.stream(model, folder, batch_size=10))) == 2
    with pytest.raises(DataError, match=r"Column 'comment' .* has 20 nulls"):
        tt.collect(model, folder, ids=lambda columns: columns["key"])  # a function may look at any


def test_what_is_still_being_written_is_no_data(tmp_path: Path, model: Any) -> None:
    folder = write_parquet(tmp_path / "data", *rows(20), per_file=20)
    for name in ("_temporary", ".staging"):
        (folder / name).mkdir()
        (folder / name / "half.parquet").write_bytes(b"PAR1 and no more")
    assert len(tt.collect(model, folder)) == 20


REFUSED: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "a url": (lambda _: "s3://bucket/x.parquet", DataError, r"ray.data.read_parquet\(url\)"),
    "no labels": (lambda p: write_tables(p, {"x": [1.0]}), UnlabelledDataError, "no labels in the Parquet files"),
    "nulls": (lambda p: write_tables(p, {"x": [1.0, None], "label": [0, 1]}), DataError, "'x' of .* has 1 nulls"),
    "ragged": (lambda p: write_tables(p, {"x": [[1.0], [1.0, 2.0]], "label": [0, 1]}), DataError, "have 1 to 2 values"),
    "other columns": (lambda p: write_tables(p, {"x": [1]}, {"z": [1]}), DataError, r"Received: \['z'\] in"),
    "hive": (hive, DataError, "values in the names of its folders"),
    "no y": (lambda p: npy(p, x=np.zeros(3)), UnlabelledDataError, "Expected: an array 'y'"),
    "lengths": (lambda p: npy(p, x=np.zeros(3), y=np.zeros(2)), LengthError, "x with 3, y with 2"),
    "mixed": (mixed, DataError, "all \\*.parquet, or all \\*.npz"),
    "two sizes": (two_sizes, DataError, r"\(4, 4, 3\) in .*\(5, 5, 3\) in"),
    "no class": (loose, UnlabelledDataError, "'1.png' outside any class"),
    "nothing": (text, DataError, "Received: files named .csv"),
    "broken": (broken, DataError, "can't be read"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_reason(what: str, tmp_path: Path) -> None:
    make, kind, message = REFUSED[what]
    with pytest.raises(kind, match=message):
        tt.ground_truth(make(tmp_path))


def test_what_is_no_file_is_left_to_others(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There are no files at 'no such/\*.parquet', seen from '/"):
        open_files("no such/*.parquet")
    assert open_files((np.zeros(2), np.zeros(2))) is None
    assert open_files([]) is None


def test_arguments_that_do_not_fit_files_are_refused(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, {"x": [1.0], "label": [0]})
    with pytest.raises(DataError, match=r"batch_size is a number of rows. Received: 0"):
        tt.ground_truth(folder, batch_size=0)
    with pytest.raises(DataError, match="args and kwargs are for a function that makes the data"):
        tt.ground_truth(str(folder), args=(1,))


@pytest.mark.parametrize("kind", ["parquet", "npy", "npz", "images"])
def test_files_that_were_written_again_are_other_data(kind: str, tmp_path: Path) -> None:
    if kind == "parquet":
        write_parquet(tmp_path / "data", *rows(20), per_file=10)
    elif kind == "images":
        image = pytest.importorskip("PIL.Image")
        for name in ("a/1.png", "b/2.png"):
            (tmp_path / "data" / name).parent.mkdir(parents=True)
            image.fromarray(np.zeros((4, 4, 3), "uint8")).save(tmp_path / "data" / name)
    else:
        (tmp_path / "data").mkdir()
        x, y = rows(20)
        if kind == "npy":
            npy(tmp_path / "data", x=x, y=y)
        else:
            np.savez(tmp_path / "data" / "a.npz", x=x, y=y)

    def stamp() -> str:
        files = open_files(tmp_path / "data")
        assert files is not None
        return files_stamp(files)

    before = stamp()
    assert stamp() == before
    files = [path for path in sorted((tmp_path / "data").rglob("*")) if path.is_file()]
    for number, path in enumerate(files, 1):
        os.utime(path, ns=(0, number))
        assert stamp() != before
        before = stamp()
