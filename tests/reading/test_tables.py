"""Curves, overhead, SQL, checks, and runs in Parquet as in Arrow."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import truetap as tt
from tests.made_rows import put
from truetap.store import RunWriter

from .runs import CLASSES, SAMPLES, Made, about, begin, keys, make, sample_columns, steps, write_samples

ROOT = Path(__file__).parents[2]


def at(phase: str, epoch: int, step: int) -> dict[str, Any]:
    return {"phase": phase, "epoch": epoch, "step": step, "batch": step % 2}


@pytest.fixture(params=["arrow", "parquet", "both"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """The same run in Arrow segments, compacted, and compacted with a session after it."""
    made = begin(tmp_path / "run")
    with RunWriter(made.path, metadata=about()) as writer:
        write_samples(made, writer, 3 if request.param != "both" else 2)
        writer.close(compact=request.param != "arrow")
    if request.param == "both":
        with RunWriter(made.path, append=True) as writer:
            rng = np.random.default_rng(6)
            for phase in ("train", "val"):
                first = sum(row["phase"] == phase for row in made.rows)
                for row in steps(made, phase, 2, first, rng):
                    made.rows.append(row)
                    put(writer, "samples", sample_columns(row))
    parquet = sorted(path.suffix for path in (made.path / "samples").rglob("*.*") if path.suffix != ".log")
    assert set(parquet) == {"arrow": {".arrow"}, "parquet": {".parquet"}, "both": {".arrow", ".parquet"}}[request.param]
    return made


def test_samples_are_the_same_wherever_they_lie(made: Made) -> None:
    for phase in ("train", "val"):
        samples = made.run.samples(phase)
        for name, column in (("prints", samples.ids), ("loss", samples.loss), ("y_pred", samples.y_pred)):
            np.testing.assert_array_equal(column, made.of(name, phase))
    np.testing.assert_array_equal(made.run.samples(epoch=-1).steps, made.of("steps", epochs=[2]))
    worst = np.argsort(-made.of("loss"), kind="stable")[:5]
    np.testing.assert_array_equal(made.run.samples().hardest(5).steps, made.of("steps")[worst])
    assert made.run.samples().evaluate()["accuracy"] == pytest.approx(
        (made.of("y_pred").argmax(axis=1) == made.of("y_true")).mean()
    )


def test_history_is_the_same_wherever_it_lies(made: Made) -> None:
    run = made.run
    history = run.history(int(made.prints["train"][4]))
    own = made.of("which") == 4
    for name, column in (("epochs", "epoch"), ("steps", "step"), ("loss", "loss"), ("y_true", "y_true")):
        np.testing.assert_array_equal(history.column(column).to_numpy(), made.of(name)[own])
    np.testing.assert_array_equal(history.column("pred_label").to_numpy(), made.of("y_pred")[own].argmax(axis=1))
    assert history.schema.names[:6] == ["phase", "epoch", "step", "batch", "position", "loss"]
    with pytest.raises(tt.IdError, match="No recorded sample is called so"):
        run.history(12345)


def test_sql_is_the_same_wherever_it_lies(made: Made) -> None:
    run = made.run
    found = dict(run.sql("select epoch, avg(loss) from samples where phase = 'train' group by 1").fetchall())
    for epoch in range(3):
        assert found[epoch] == pytest.approx(made.of("loss", epochs=[epoch]).mean())
    kinds = dict(run.sql("select column_name, column_type from (describe samples)").fetchall())
    assert kinds == {
        "phase": "VARCHAR",
        "epoch": "INTEGER",
        "step": "BIGINT",
        "batch": "INTEGER",
        "position": "INTEGER",
        "sample_id": "BIGINT",
        "fingerprint": "BIGINT",
        "y_true": "BIGINT",
        "y_pred": f"FLOAT[{CLASSES}]",
        "loss": "FLOAT",
    }
    scores = run.sql("select y_pred from samples where phase = 'val' order by step, position").fetchall()
    np.testing.assert_allclose([score for (score,) in scores], made.of("y_pred", "val"))
    relation = run.sql("select loss from samples")
    assert len(relation.fetchall()) == len(relation.fetchall()) == 3 * (SAMPLES + 12)


def test_names_are_the_same_wherever_they_lie(made: Made) -> None:
    run = made.run
    run.identify(made.x["train"], ids=range(SAMPLES))
    np.testing.assert_array_equal(run.samples().ids, made.of("which"))
    found = run.sql("select sample_id from samples where phase = 'train' order by step, position").fetchall()
    assert [name for (name,) in found] == made.of("which").tolist()
    assert run.history(4).num_rows == 3


def test_only_queries_and_only_this_run(made: Made, tmp_path: Path) -> None:
    run = made.run
    (tmp_path / "other.csv").write_text("a\n1\n")
    for query in (
        f"copy samples to '{tmp_path / 'stolen.csv'}'",
        f"copy samples to '{made.path / 'more.parquet'}'",
        "create table x as select 1",
        "select 1; select 2",
        "set enable_external_access = true",
        "",
        "insert into samples select * from samples",
    ):
        with pytest.raises(tt.StoreError, match="one query at a time"):
            run.sql(query)
    for query in (f"select * from '{tmp_path / 'other.csv'}'", "select * from read_text('/etc/hostname')"):
        with pytest.raises(tt.StoreError, match="file system operations are disabled"):
            run.sql(query).fetchall()
    local = np.ones(3)
    with pytest.raises(tt.StoreError, match=r"Tables of this run: samples"):
        run.sql("select * from local").fetchall()
    assert local.sum() == 3
    with pytest.raises(tt.StoreError, match="syntax error"):
        run.sql("selec 1")
    assert sorted(path.name for path in made.path.iterdir()) == ["manifest.json", "samples"]


def test_queries_of_every_form(made: Made) -> None:
    run = made.run
    assert run.sql("with a as (select * from samples) select count(*) from a").fetchall() == [(96,)]
    assert run.sql("from samples select count(*)").fetchall() == [(96,)]
    pivot = "pivot samples on phase using avg(loss) group by epoch"
    if duckdb.__version__.startswith("1."):  # it makes two statements of it
        with pytest.raises(tt.StoreError, match=r"one query at a time\. Received: CREATE, SELECT"):
            run.sql(pivot)
    else:
        assert len(run.sql(pivot).fetchall()) == 3
    assert run.sql("show tables").fetchall() == [("samples",)]
    assert run.sql("explain select * from samples").fetchall()
    assert run.sql("select $a + $b", a=1, b=2).fetchall() == [(3,)]
    assert run.sql("select loss from samples").df().shape == (96, 1)
    assert run.sql("select epoch from samples").to_arrow_table().num_rows == 96


def test_curves(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as writer:
        for step in range(4):
            own = {
                "loss": np.asarray([4.0 - step]),
                "running/loss": np.asarray([np.mean([4.0 - s for s in range(step + 1)])]),
            }
            put(writer, "scalars", keys(at("train", step // 2, step), 1) | {"samples": np.asarray([8], np.int32)} | own)
        put(writer, "scalars", keys(at("val", 0, 0), 1) | {"samples": np.asarray([8], np.int32), "loss": np.ones(1)})
        for epoch in range(2):
            names = ["loss", "val_loss"] if epoch else ["loss"]
            columns = {
                "phase": np.asarray(["train"] * len(names), object),
                "epoch": np.full(len(names), epoch, np.int32),
                "name": np.asarray(names, object),
                "value": np.arange(len(names)) + epoch / 2,
            }
            put(writer, "epochs", columns)
            counts = {"steps": 2, "rows": 10, "bytes": 4000, "dropped": epoch, "queue_peak_bytes": 7 + epoch}
            seconds = {"seconds_in_training_thread": 0.5, "seconds_in_writer": 0.25, "seconds_waiting": 0.125}
            put(
                writer,
                "overhead",
                {"phase": np.asarray(["train"], object), "epoch": np.asarray([epoch], np.int32)}
                | {name: np.asarray([value]) for name, value in (counts | seconds).items()},
            )
    run = tt.open(tmp_path / "run")
    train = run.scalars("train")
    assert train.column("loss").to_pylist() == [4, 3, 2, 1]
    assert train.column("running/loss").to_pylist() == [4, 3.5, 3, 2.5]
    assert run.scalars().num_rows == 5
    assert run.scalars("val").column("running/loss").to_pylist() == [None]
    with pytest.raises(tt.StoreError, match="phase='test'"):
        run.scalars("test")
    assert run.epochs().to_pylist() == [
        {"phase": "train", "epoch": 0, "loss": 0.0, "val_loss": None},
        {"phase": "train", "epoch": 1, "loss": 0.5, "val_loss": 1.5},
    ]
    overhead = run.overhead()
    assert (overhead.steps, overhead.rows, overhead.bytes, overhead.dropped) == (4, 20, 8000, 1)
    assert (overhead.seconds_in_training_thread, overhead.queue_peak_bytes) == (1.0, 8)
    assert repr(overhead) == (
        "Recording: 20 rows, 8.0 kB of 4 steps; 1.00 s in the training thread (0.25 s waiting for the queue, which "
        "held 8 bytes at most), 0.50 s in the writer's; 1 batches dropped."
    )
    assert overhead.table.num_rows == 2
    assert run.sql('select max("running/loss") from scalars').fetchall() == [(4.0,)]
    assert run.phases == {"train": [0, 1], "val": [0]}


def test_checks(tmp_path: Path) -> None:
    made = make(tmp_path / "run")
    assert made.run.verify() == []
    segment = next((made.path / "samples").rglob("*.arrow"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    (problem,) = made.run.verify()
    assert problem.damage


def test_a_run_whose_process_was_killed(tmp_path: Path) -> None:
    """kill -9 after two steps were flushed: both are there, and can be asked about."""
    code = """
import os, signal, sys
import numpy as np
from tests.reading.runs import about, begin, sample_columns, steps
from truetap.store import Recording, Rows
made = begin(sys.argv[1])
recording = Recording(sys.argv[1], metadata=about())
for row in steps(made, "train", 0, 0, np.random.default_rng(0))[:2]:
    recording.put(lambda row=row: [Rows("samples", sample_columns(row), ("train", 0))], 1000)
recording.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL
    expected = steps(begin(tmp_path / "run"), "train", 0, 0, np.random.default_rng(0))[:2]
    run = tt.open(tmp_path / "run")
    np.testing.assert_array_equal(run.samples().loss, np.concatenate([row["loss"] for row in expected]))
    assert run.history(int(expected[1]["prints"][0])).column("step").to_pylist() == [1]
    assert run.sql("select count(*) from samples").fetchall() == [(16,)]
    assert run.verify() == []
    report = run.identify(begin(tmp_path / "run").x["train"], ids=range(100, 120))
    assert report.kept
    assert not tt.open(tmp_path / "run").complete
    assert tt.open(tmp_path / "run").samples().ids.min() >= 100


def test_reading_while_a_thread_writes(tmp_path: Path) -> None:
    """Every look is a whole number of steps, and none is older than the one before."""
    made = begin(tmp_path / "run")
    writer = RunWriter(made.path, metadata=about())
    rng = np.random.default_rng(0)
    rows = [row for epoch in range(20) for row in steps(made, "train", epoch, 3 * epoch, rng)]
    put(writer, "samples", sample_columns(rows[0]))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for row in rows[1:]:
                put(writer, "samples", sample_columns(row))
            writer.close(compact=True)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    run = made.run
    made.rows = rows
    loss = made.of("loss")
    ends = np.cumsum([len(row["loss"]) for row in rows])
    thread.start()
    seen = [0]
    while thread.is_alive() or seen[-1] < len(loss):
        samples = run.samples()
        np.testing.assert_array_equal(samples.loss, loss[: len(samples)])
        ((count, total),) = run.sql("select count(*), sum(loss) from samples").fetchall()
        assert total == pytest.approx(loss[:count].sum(), rel=1e-4)
        assert {len(samples), count} <= set(ends.tolist())
        seen += [len(samples), count]
    thread.join()
    assert not failed
    assert seen == sorted(seen)
    assert run.complete
