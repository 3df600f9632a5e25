"""Runs in a store, read: the same rows as from a folder of this machine, and little more than was asked for."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import truetap as tt
from tests.store.helpers import ROOT, arrays, assert_is, write_run
from tests.store.recorded import assert_rows, part, sample_rows
from truetap import columns
from truetap.errors import DamagedRunError, StoreError
from truetap.store import Recording, Rows, RunReader, RunWriter

from .served import Store


def recorded(path: Path, steps: int, size: int = 8, *, compact: bool = True) -> None:
    with Recording(path, compact=compact) as recording:
        for step in range(steps):
            recording.put(lambda step=step: [Rows("samples", sample_rows(step, size), part(step))], 1000)
    assert recording.error is None


def put(store: Store, path: Path, name: str = "run") -> str:
    store.filesystem.put(str(path), f"{store.bucket}/{name}", recursive=True)
    return store.url(name)


@pytest.mark.parametrize("compact", [True, False])
def test_the_rows_are_those_that_were_recorded(store: Store, tmp_path: Path, compact: bool) -> None:
    recorded(tmp_path / "run", 20, compact=compact)
    url = put(store, tmp_path / "run")
    reader = RunReader(url)
    assert bool(reader.parquet("samples")) is compact
    assert_rows(reader, range(20))
    assert_rows(reader, range(5, 10), phase="train", epoch=1)
    assert reader.verify() == []
    assert reader.damage("samples") == ()
    sample = int(sample_rows(7)["sample_id"][3])
    wanted = [
        loss
        for step in range(20)
        for name, loss in zip(sample_rows(step)["sample_id"], sample_rows(step)["loss"], strict=True)
        if name == sample
    ]
    found = tt.open(url).history(sample)
    np.testing.assert_array_equal(found["loss"].to_numpy(), np.asarray(wanted, np.float32))


def test_sql_is_what_numpy_says(store: Store, tmp_path: Path) -> None:
    recorded(tmp_path / "run", 20)
    run = tt.open(put(store, tmp_path / "run"))
    found = run.sql(
        "select epoch, sum(loss::double) from samples where phase = 'train' group by 1 order by 1"
    ).fetchall()
    wanted = [
        sum(sample_rows(step)["loss"].astype(float).sum() for step in range(at * 5, at * 5 + 5)) for at in range(4)
    ]
    assert [epoch for epoch, _ in found] == [0, 1, 2, 3]
    np.testing.assert_allclose([total for _, total in found], wanted, rtol=1e-12)


def test_little_more_is_fetched_than_is_asked_for(store: Store, tmp_path: Path) -> None:
    recorded(tmp_path / "run", 40, 8000)
    url = put(store, tmp_path / "run")
    whole = sum(file.stat().st_size for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert whole > 3_000_000

    def sent(ask: object) -> int:
        before = store.gate.sent
        assert callable(ask)
        ask()
        return store.gate.sent - before

    run = tt.open(url)
    wanted = np.concatenate([sample_rows(step, 8000)["loss"] for step in range(10, 15)])

    def one_column() -> None:
        np.testing.assert_array_equal(run.samples(epoch=2).loss, wanted)

    assert sent(one_column) < 0.1 * whole  # an eighth of the epochs, of which the loss is a seventh
    sample = int(sample_rows(12, 8000)["sample_id"][0])
    assert sent(lambda: tt.open(url).history(sample)) < 0.35 * whole  # a group of rows of each of eight files
    total = "select sum(loss::double) from samples where epoch = 2"

    def by_sql() -> None:
        assert tt.open(url).sql(total).fetchall()[0][0] == pytest.approx(wanted.astype(float).sum())

    assert sent(by_sql) < 0.25 * whole


def test_of_arrow_segments_the_columns_that_are_asked_for_are_fetched(store: Store, tmp_path: Path) -> None:
    write_run(tmp_path / "run", 6, 4000)
    url = put(store, tmp_path / "run")
    whole = sum(file.stat().st_size for file in (tmp_path / "run").rglob("*.arrow"))
    batches = RunReader(url).batches("samples")
    before = store.gate.sent
    for number, one in enumerate(batches.select(["loss"])):
        np.testing.assert_array_equal(one.column("loss").to_numpy(), arrays(number, 4000)["loss"])
    assert store.gate.sent - before < 0.35 * whole
    before = store.gate.sent
    assert_is(batches[3], arrays(3, 4000))
    assert store.gate.sent - before < whole / 4


def test_columns_of_every_kind_are_fetched_alone(store: Store, tmp_path: Path) -> None:
    """Strings, lists, missing values and tensors, between columns that nobody asked for."""
    rng = np.random.default_rng(0)
    rows = 3000
    tensor = rng.standard_normal((rows, 4)).astype(np.float32)
    wanted = {
        "text": pa.array([f"row {number}" if number % 7 else None for number in range(rows)]),
        "list": pa.array([list(range(number % 5)) for number in range(rows)]),
        "tensor": columns.encode(tensor),
    }
    filling = {f"filling{at}": columns.encode(rng.standard_normal((rows, 40))) for at in range(3)}
    whole = pa.RecordBatch.from_pydict(dict(zip(filling, filling.values(), strict=True)) | wanted)
    whole = whole.select(["filling0", "text", "filling1", "list", "tensor", "filling2"])
    with RunWriter(tmp_path / "run") as run:
        run.write("table", whole)
    batches = RunReader(put(store, tmp_path / "run")).batches("table")
    for names in (["text"], ["list", "text"], ["tensor"], list(wanted), []):
        before = store.gate.sent
        found = batches.select(names)[0]
        assert store.gate.sent - before < 0.1 * whole.nbytes
        assert found.schema.names == names
        assert found.num_rows == rows
        for name in names:
            assert found.column(name).equals(wanted[name])


def test_nothing_but_the_run_is_in_reach_of_a_query(store: Store, tmp_path: Path) -> None:
    recorded(tmp_path / "run", 10)
    url = put(store, tmp_path / "run")
    other = put(store, tmp_path / "run", "other")
    store.filesystem.pipe_file(f"{store.bucket}/secret.csv", b"a\n1\n")
    (tmp_path / "local.csv").write_text("a\n1\n")
    run = tt.open(url)
    assert run.sql("select count(*) from samples").fetchall() == [(80,)]
    file = RunReader(other).parquet("samples")[0]
    refused = (
        f"read_csv('{tmp_path / 'local.csv'}')",
        f"read_csv('s3://{store.bucket}/secret.csv')",
        f"read_parquet('{file}')",
        "read_parquet('truetap://run/../other/samples/phase=train/epoch=0/part-000000.parquet')",
        "read_csv('truetap://run/samples/../../secret.csv')",
        "read_parquet('truetap://run/samples/phase=train/epoch=0/*.parquet')",
    )
    for source in refused:
        with pytest.raises((StoreError, duckdb.Error), match=r"disabled by configuration|No files found"):
            run.sql(f"select * from {source}").fetchall()
    assert run.sql("select * from read_text('truetap://run/manifest.json')").fetchall() == []
    with pytest.raises(StoreError, match="one query at a time"):
        run.sql(f"copy samples to 's3://{store.bucket}/out.csv'")


def test_damage_is_found(store: Store, tmp_path: Path) -> None:
    write_run(tmp_path / "run", 5)
    url = put(store, tmp_path / "run")
    segment = f"{store.bucket}/run/samples/worker-00000/seg-000000.arrow"
    data = bytearray(store.filesystem.cat_file(segment))
    data[len(data) // 2] ^= 1
    store.filesystem.pipe_file(segment, bytes(data))
    problems = RunReader(url).verify()
    assert len(problems) == 1
    assert problems[0].file == url + "/samples/worker-00000/seg-000000.arrow"
    assert "bytes up to" in problems[0].what
    store.filesystem.rm(segment)
    assert any(problem.damage for problem in RunReader(url).damage("samples"))


def test_words_for_someone_who_is_lost(store: Store, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    put(store, tmp_path / "run", "deep/mnist")
    with pytest.raises(StoreError, match=r"There are runs below it: 's3://bucket-\d+/deep/mnist'"):
        tt.open(store.url("deep"))
    with pytest.raises(StoreError, match=r"It doesn't exist. Near names: 'mnist'"):
        tt.open(store.url("deep/mnits"))
    with pytest.raises(StoreError, match=r"It is inside a run: open 's3://bucket-\d+/deep/mnist'"):
        tt.open(store.url("deep/mnist/samples"))
    with pytest.raises(StoreError, match="check the bucket and the path"):
        tt.open("s3://no-such-bucket/run")
    with pytest.raises(StoreError, match=r"has no table 'sample'"):
        RunReader(store.url("deep/mnist")).batches("sample")


def test_a_store_that_can_not_be_reached(store: Store, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    url = put(store, tmp_path / "run")
    opened = RunReader(url).batches("samples")
    store.gate.turn("shut")
    with pytest.raises(StoreError, match=r"the store can't be reached.*check the network and the endpoint"):
        tt.open(url)
    with pytest.raises(StoreError, match="the store can't be reached"):
        opened[0]
    store.gate.turn("open")
    assert_is(opened[0], arrays(0))


def test_what_is_not_installed_is_named() -> None:
    with pytest.raises(StoreError, match=r"What reads gs:// is not installed. .*gcsfs.* Expected: that package"):
        tt.open("gs://bucket/run")
    code = "import sys; sys.modules['s3fs'] = None; import truetap as tt; tt.open('s3://bucket/run')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert 'Expected: pip install "truetap[s3]".' in done.stderr
    with pytest.raises(StoreError, match="Protocol not known: nowhere"):
        tt.open("nowhere://bucket/run")
    with pytest.raises(StoreError, match="storage_options= are for stores"):
        tt.open("runs/mnist", storage_options={"key": "x"})


@pytest.mark.parametrize("end", [1, 7, 9, 300])
def test_logs_that_say_what_can_not_be(tmp_path: Path, end: int) -> None:
    """Commits that end before the schema, or in it."""
    import fsspec

    write_run(tmp_path / "run", 1)
    log = next((tmp_path / "run").rglob("*.log"))
    data = log.with_suffix(".arrow").read_bytes()
    body = struct.pack("<QQI", end, 8, zlib.crc32(data[:end]))
    log.write_bytes(b"TTAPLOG1" + body + zlib.crc32(body).to_bytes(4, "little"))
    fsspec.filesystem("memory").put(str(tmp_path / "run"), f"/hostile/{end}", recursive=True)
    with pytest.raises(DamagedRunError, match="holds no"):
        list(RunReader(f"memory://hostile/{end}").batches("samples"))


def test_other_filesystems(tmp_path: Path) -> None:
    import fsspec

    write_run(tmp_path / "run")
    fsspec.filesystem("memory").put(str(tmp_path / "run"), "/there/run", recursive=True)
    for url in ("memory://there/run", f"file://{tmp_path}/run"):
        for number, one in enumerate(RunReader(url).batches("samples")):
            assert_is(one, arrays(number))
