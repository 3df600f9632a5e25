"""What the store's tests share: batches whose contents follow from their number, and plain reads."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import columns
from truetap.store import RunWriter

ROOT = Path(__file__).parents[2]
Array = npt.NDArray[Any]


def arrays(number: int, rows: int = 8, shape: tuple[int, ...] = (3, 4)) -> dict[str, Array]:
    """The columns of batch `number`: known to the test without asking the store."""
    rng = np.random.default_rng(number)
    return {
        "sample_id": np.arange(rows) + number * rows,
        "loss": rng.random(rows),
        "y_pred": rng.standard_normal((rows, *shape)).astype(np.float32),
    }


def batch(number: int, rows: int = 8, shape: tuple[int, ...] = (3, 4)) -> pa.RecordBatch:
    return columns.record_batch(arrays(number, rows, shape).items())


def assert_is(found: pa.RecordBatch, expected: dict[str, Array]) -> None:
    assert found.schema.names == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(columns.decode(found.column(name)), values)


def write_run(path: Path, batches: int = 5, rows: int = 8, **options: Any) -> None:
    """A run whose table "samples" has one commit per batch."""
    with RunWriter(path, **options) as run:
        for number in range(batches):
            run.write("samples", batch(number, rows))
            run.flush()


def segments(path: Path, table: str = "samples") -> list[Path]:
    return sorted((path / table / "worker-00000").glob("*.arrow"))


def committed_ends(segment: Path) -> list[int]:
    """Ends of the commits of a segment, from the bytes of its log, the seal included."""
    log = segment.with_suffix(".log").read_bytes()
    return [int.from_bytes(log[at : at + 8], "little") for at in range(8, len(log) - 23, 24)]


def run_python(code: str, *args: object) -> str:
    """Run code in a fresh interpreter and give back what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
