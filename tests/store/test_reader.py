"""RunReader on whole runs, live ones, and places where there is none."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from truetap import columns
from truetap.errors import StoreError
from truetap.store import RunReader, RunWriter

from .helpers import Array, arrays, assert_is, batch, run_python, write_run


def test_a_round_trip(tmp_path: Path) -> None:
    write_run(tmp_path / "run", batches=7, metadata={"seed": 1}, segment_bytes=2500)
    reader = RunReader(tmp_path / "run")
    assert reader.complete
    assert reader.metadata == {"seed": 1}
    assert reader.tables == ("samples",)
    assert reader.num_rows("samples") == 56
    assert reader.verify() == []
    assert reader.damage("samples") == ()
    for check in (False, True):
        found = reader.batches("samples", check=check)
        assert len(found) == 7
        assert found.num_rows == 56
        for number, one in enumerate(found):
            assert_is(one, arrays(number))


def test_batches_are_a_sequence(tmp_path: Path) -> None:
    write_run(tmp_path / "run", batches=7, segment_bytes=2500)
    found = RunReader(tmp_path / "run").batches("samples")
    assert_is(found[-1], arrays(6))
    assert_is(found[2], arrays(2))
    for one, number in zip(found[1:6:2], [1, 3, 5], strict=True):
        assert_is(one, arrays(number))
    for index in (7, -8):
        with pytest.raises(IndexError, match=f"There are 7 batches. Received: index {index}"):
            found[index]


def test_all_kinds_of_columns(tmp_path: Path) -> None:
    given: dict[str, Array] = {
        "bool": np.array([True, False]),
        "half": np.array([[1, 2], [3, 4]], np.float16),
        "names": np.array(["ä", ""], object),
        "wide": np.arange(8, dtype=np.int64).reshape(2, 2, 2),
        "none": np.zeros((2, 0), np.float32),
    }
    with RunWriter(tmp_path / "run") as run:
        run.write("t", columns.record_batch(given.items()))
        run.write("t", columns.record_batch(given.items()))
    (one,) = RunReader(tmp_path / "run").batches("t", check=True)
    for name, values in given.items():
        read = columns.decode(one.column(name))
        assert read.dtype == values.dtype
        np.testing.assert_array_equal(read, np.concatenate([values, values]))


def test_reading_copies_nothing_and_keeps_no_file_open(tmp_path: Path) -> None:
    write_run(tmp_path / "run", batches=30, segment_bytes=2500)
    before = len(os.listdir("/proc/self/fd"))
    found = RunReader(tmp_path / "run").batches("samples")
    allocated = pa.total_allocated_bytes()
    kept = list(found)
    assert len(kept) == 30
    assert pa.total_allocated_bytes() == allocated
    assert len(os.listdir("/proc/self/fd")) == before
    for number, one in enumerate(kept):
        values = columns.decode(one.column("y_pred"))
        np.testing.assert_array_equal(values, arrays(number)["y_pred"])
        assert not values.flags.writeable
        assert "seg-" in mapping_of(values)


def mapping_of(values: Array) -> str:
    """The line of /proc/self/maps that an array's memory lies in: the file it is mapped from."""
    address = values.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= address < end:
            return line
    raise AssertionError("not mapped at all")


def test_only_a_few_mappings_are_kept(tmp_path: Path) -> None:
    write_run(tmp_path / "run", batches=40, segment_bytes=1)

    def mapped() -> int:
        return sum(str(tmp_path) in line for line in Path("/proc/self/maps").read_text().splitlines())

    found = RunReader(tmp_path / "run").batches("samples")
    for _ in found:
        pass
    assert mapped() <= 6
    del found, _
    assert mapped() == 0


def test_reading_while_the_run_is_written(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run", segment_bytes=5000)
    assert RunReader(tmp_path / "run").tables == ()
    seen = []
    for number in range(20):
        run.write("samples", batch(number))
        if number % 3 == 2:
            seen.append(RunReader(tmp_path / "run").num_rows("samples") if number > 3 else None)
            run.flush()
            reader = RunReader(tmp_path / "run")
            assert not reader.complete
            assert reader.num_rows("samples") == 8 * (number + 1)
            found = reader.batches("samples", check=True)
            ids = np.concatenate([one.column("sample_id").to_numpy() for one in found])
            np.testing.assert_array_equal(ids, np.arange(8 * (number + 1)))
            assert [problem for problem in reader.verify() if problem.damage] == []
    assert seen == [None, 24, 48, 72, 96, 120]  # what was not flushed is not seen
    old = reader.batches("samples")
    run.close()
    assert old.num_rows == 144  # a sequence stays what it was
    assert RunReader(tmp_path / "run").num_rows("samples") == 160


def test_an_unknown_table(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    reader = RunReader(tmp_path / "run")
    for use in (reader.num_rows, reader.batches, reader.damage):
        with pytest.raises(StoreError, match=r"has no table 'sample'. Near names: 'samples'."):
            use("sample")


def test_no_run_there(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "mnist")
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    here = str(tmp_path)
    for path, words in [
        ("runs", f"There are runs below it: '{here}/runs/mnist'."),
        (".", f"There are runs below it: '{here}/runs/mnist'."),
        ("runs/mnits", "It doesn't exist. Near names: 'mnist'."),
        ("runs/mnist/samples", f"It is inside a run: open '{here}/runs/mnist'."),
        ("runs/mnist/manifest.json", f"It is inside a run: open '{here}/runs/mnist'."),
        ("file", "It is a file; a run is a folder."),
        ("empty", "It holds no 'manifest.json', and neither do its subfolders."),
        ("nowhere/run", f"The folder '{here}/nowhere' doesn't exist either."),
        ("run", "It doesn't exist. There are none."),
    ]:
        with pytest.raises(StoreError) as caught:
            RunReader(tmp_path / path)
        assert str(caught.value) == f"There is no run at {str(tmp_path / path)!r}. {words}"


def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    code = """
import resource, shutil, sys
import numpy as np
from truetap import columns
from truetap.store import RunWriter
values = np.random.default_rng(0).standard_normal((64, 16384)).astype(np.float32)  # 4 MB
small = values[:1]  # 64 KB
with RunWriter(sys.argv[1], segment_bytes=64 << 20) as run:
    for i in range(int(sys.argv[2])):
        run.write("big", columns.record_batch([("x", values)]))
        for _ in range(8):
            run.write("small", columns.record_batch([("x", small)]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    short = int(run_python(code, tmp_path / "short", 2))
    long = int(run_python(code, tmp_path / "long", 90))
    assert long < short * 1.1
    total = sum(file.stat().st_size for file in (tmp_path / "long").rglob("*.arrow"))
    assert total > 400e6

    # Reading it touches every page; what counts is that nothing but file pages is used.
    read = """
import sys
import pyarrow as pa
from truetap import columns
from truetap.store import RunReader
total = 0.0
for batch in RunReader(sys.argv[1]).batches("big"):
    total += float(columns.decode(batch.column("x"))[0, 0])
anonymous = [line for line in open("/proc/self/status") if line.startswith("RssAnon")][0].split()[1]
print(anonymous)
"""
    assert int(run_python(read, tmp_path / "long")) < int(run_python(read, tmp_path / "short")) * 1.1


def test_open_files_do_not_grow_with_the_run(tmp_path: Path) -> None:
    def handles() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = handles()
    counts = set()
    with RunWriter(tmp_path / "run", segment_bytes=3000) as run:
        for number in range(50):
            run.write("samples", batch(number))
            run.flush()
            counts.add(handles() - before)
    assert counts <= {1, 3}  # the lock; a segment and its log, or none between two segments
    assert handles() == before
