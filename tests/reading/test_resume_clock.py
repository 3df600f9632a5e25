"""Where a run goes on whose tables a killed process left at different steps."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from truetap import columns
from truetap.capture.resume import clock_of
from truetap.store import RunReader, RunWriter


def rows(phase: str, epoch: int, step: int, **more: Any) -> pa.RecordBatch:
    keys = {"phase": np.array([phase], object), "epoch": np.array([epoch], np.int32), "step": np.array([step])}
    return columns.record_batch({**keys, **more}.items())


def test_the_table_that_is_ahead_counts(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    writer.write("scalars", rows("train", 0, 3, loss=np.ones(1)))
    writer.write("scalars", rows("test", 1, 9, loss=np.ones(1)))
    writer.write("samples", rows("train", 1, 5, loss=np.ones(1)))
    writer.write("activations.a", rows("train", 1, 4, values=np.ones((1, 2))))
    nothing = pa.record_batch({"phase": ["train"], "epoch": pa.array([7], pa.int32()), "name": ["loss"]})
    writer.write("epochs", nothing)  # has no step: it tells of epochs that ended, which the others do too
    writer.flush()
    clock, trained = clock_of(RunReader(tmp_path / "run"))
    writer.close()
    assert clock.steps == {"train": 6, "test": 10}
    assert (clock.epoch, trained, clock.passes) == (1, 1, {"test": 2})


def test_rows_of_a_whole_epoch_have_no_step(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as writer:
        writer.write("scalars", rows("train", 0, 3, loss=np.ones(1)))
        batch = rows("train", 2, 0).set_column(2, "step", pa.nulls(1, pa.int64()))
        writer.write("activations", batch)
    clock, trained = clock_of(RunReader(tmp_path / "run"))
    assert clock.steps == {"train": 4}
    assert trained == 2


def test_an_empty_run_begins_at_the_beginning(tmp_path: Path) -> None:
    RunWriter(tmp_path / "run").close()
    clock, trained = clock_of(RunReader(tmp_path / "run"))
    assert (clock.steps, clock.epoch, trained) == ({}, 0, -1)
