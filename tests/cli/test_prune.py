"""`truetap prune`: what it says, and what a run is afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from truetap.store import RunReader, RunWriter

from .calling import inside

EPOCHS, ROWS = 4, 30


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with RunWriter(tmp_path / "run", gather_bytes=0, segment_bytes=1) as writer:
        for epoch in range(EPOCHS):
            rows = {
                "phase": ["train"] * ROWS,
                "epoch": pa.array([epoch] * ROWS, pa.int32()),
                "values": [[0.5] * 100] * ROWS,
            }
            writer.write("samples", pa.record_batch(rows))
            writer.write("scalars", pa.record_batch(rows | {"values": [0.5] * ROWS}))
    return tmp_path / "run"


def test_the_last_epochs(run: Path) -> None:
    would = inside("prune", run, "--keep-last", "1", "--dry-run")
    assert (would.returncode, would.stderr) == (0, "")
    assert would.stdout.startswith(f"{run}: would remove 3 files, ")
    assert RunReader(run).num_rows("samples") == EPOCHS * ROWS
    done = inside("prune", run, "--keep-last", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{run}: removed 3 files, ")
    assert "(90 of samples)" in done.stdout
    assert (RunReader(run).num_rows("samples"), RunReader(run).num_rows("scalars")) == (ROWS, EPOCHS * ROWS)
    assert "nothing has to go" in inside("prune", run, "--keep-last", "1").stdout


def test_bytes_and_json(run: Path) -> None:
    size = sum(path.stat().st_size for path in run.rglob("seg-*"))
    said = json.loads(inside("prune", run, "--max-bytes", f"{size / 2 / 1000}kB", "--json").stdout)
    assert said["kept_bytes"] == sum(path.stat().st_size for path in run.rglob("seg-*")) <= size / 2
    assert said["freed_bytes"] == size - said["kept_bytes"]
    assert said["rows_kept"] == {"samples": EPOCHS * ROWS - said["rows"]["samples"], "scalars": EPOCHS * ROWS}


def test_what_cant_be_had(run: Path, tmp_path: Path) -> None:
    done = inside("prune", run, "--max-bytes", "1")
    assert done.returncode == 1
    assert "names and the last curves are never removed" in done.stderr
    assert RunReader(run).num_rows("scalars") == ROWS
    assert inside("prune", tmp_path / "nothing", "--keep-last", "1").returncode == 2
    assert "What may stay?" in inside("prune", run).stderr
    assert "'ten' is no size" in inside("prune", run, "--max-bytes", "ten").stderr
