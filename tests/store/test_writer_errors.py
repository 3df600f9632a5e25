"""Paths, names and file systems that refuse, and what RunWriter says about it."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from truetap.errors import RunExistsError, StoreError
from truetap.store import RunReader, RunWriter

from .helpers import arrays, assert_is, batch, write_run


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A full disk, as far as a process can tell without one: no file may grow beyond a size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Not as root, whom no permission stops."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    created = RunReader(tmp_path / "run").created
    with pytest.raises(RunExistsError) as caught:
        RunWriter(tmp_path / "run")
    assert str(caught.value) == (
        f"There is a run at {str(tmp_path / 'run')!r} already, created {created}; it is left as it is. "
        "Record to another path, read this one with tt.open(...), or delete the folder first."
    )


def test_a_run_with_a_broken_manifest_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RunExistsError, match=r"already, whose manifest can't be read; it is left"):
        RunWriter(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == "{"


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(RunExistsError, match=r"holds other files, such as 'photo.jpg', and no run"):
        RunWriter(tmp_path)
    assert os.listdir(tmp_path) == ["photo.jpg"]


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "a" / "b" / "c"):
        RunWriter(str(path)).close()
        assert RunReader(path).tables == ()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"A run needs a folder. Received: '.*file', which is a file"):
        RunWriter(tmp_path / "file")
    with pytest.raises(StoreError, match=r"Could not create the folder '.*run': Not a directory"):
        RunWriter(tmp_path / "file" / "run")


def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with as_nobody(), pytest.raises(StoreError, match=r"Could not create the folder .*: Permission denied"):
        RunWriter(tmp_path / "run")
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("url", ["nowhere://bucket/run", "no+where://b", "nowhere:/b/x"])
def test_urls_that_lead_nowhere_are_refused(url: str) -> None:
    for opened in (RunWriter, RunReader):
        with pytest.raises(StoreError, match=r"fsspec can't reach this URL|A URL has two slashes") as caught:
            opened(url)
        assert repr(url) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "/etc",
        "../up",
        "a..b",
        "a\0b",
        "a\n",
        "manifest.json",
        ".x",
        "x" * 121,
        "C:",
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with RunWriter(tmp_path / "run") as run:
        with pytest.raises(StoreError, match=r"A table can't have this name. Received: ") as caught:
            run.write(name, batch(0))
        assert repr(name) in str(caught.value)
    assert os.listdir(tmp_path / "run") == ["manifest.json"]
    assert RunReader(tmp_path / "run").complete


@pytest.mark.parametrize("metadata", [{"x": float("nan")}, {"x": np.float32(1)}, {"x": {1, 2}}, [1]])
def test_metadata_that_is_no_json_is_refused(tmp_path: Path, metadata: Any) -> None:
    with pytest.raises(StoreError, match=r"Metadata must be "):
        RunWriter(tmp_path / "run", metadata=metadata)
    assert not (tmp_path / "run").exists()


def test_dictionary_columns_are_refused_when_given(tmp_path: Path) -> None:
    plain = pa.array(["a", "b"])
    coded = plain.dictionary_encode()
    with RunWriter(tmp_path / "run") as run:
        run.write("t", pa.record_batch({"x": plain}))
        for column in (coded, pa.StructArray.from_arrays([coded], ["inner"])):
            with pytest.raises(StoreError, match=r"column 'x' of type .*dictionary.*dictionary_decode"):
                run.write("t", pa.record_batch({"x": column}))
    assert RunReader(tmp_path / "run").complete
    assert RunReader(tmp_path / "run").num_rows("t") == 2


def test_a_full_disk_costs_only_what_was_not_committed(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run")
    run.write("samples", batch(0))
    run.flush()
    big = batch(1, rows=40_000)  # 2.5 MB
    with files_of_at_most(1 << 20), pytest.raises(StoreError) as caught:
        run.write("samples", big)
    assert isinstance(caught.value.__cause__, OSError)
    message = str(caught.value)
    assert "samples/worker-00000/seg-000000.arrow': File too large" in message
    assert "The 8 rows committed to it before stay readable" in message
    reader = RunReader(tmp_path / "run")
    assert_is(reader.batches("samples", check=True)[0], arrays(0))
    assert reader.num_rows("samples") == 8

    run.write("samples", big)  # there is room again: it goes on in another file
    run.close()
    reader = RunReader(tmp_path / "run")
    assert not reader.complete  # rows were lost, whatever close was told
    first, second = reader.batches("samples", check=True)
    assert_is(first, arrays(0))
    assert_is(second, arrays(1, rows=40_000))
    assert [problem.damage for problem in reader.verify()] == [False]


def test_a_disk_that_fills_while_closing(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run", gather_bytes=1 << 30)
    run.write("a", batch(0, rows=40_000))
    run.write("b", batch(1))
    with files_of_at_most(1 << 20), pytest.raises(StoreError, match=r"a/worker.*File too large"):
        run.close()
    reader = RunReader(tmp_path / "run")
    assert not reader.complete
    assert reader.num_rows("a") == 0
    assert_is(reader.batches("b")[0], arrays(1))


def test_the_first_error_is_the_one_that_passes(tmp_path: Path) -> None:
    def fail() -> None:
        with RunWriter(tmp_path / "run", gather_bytes=1 << 30) as run:
            run.write("a", batch(0, rows=40_000))
            raise KeyError("mine")

    with files_of_at_most(1 << 20), pytest.raises(KeyError, match="mine") as caught:
        fail()
    assert "Closing the run failed too: Could not write" in caught.value.__notes__[0]


def test_ctrl_c_in_the_middle_of_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunWriter(tmp_path / "run")
    run.write("t", batch(0))
    run.flush()

    def interrupt(*args: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("zlib.crc32", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run.write("t", batch(1, rows=40_000))
    run.write("t", batch(2))
    run.close()
    reader = RunReader(tmp_path / "run")
    assert not reader.complete
    first, second = reader.batches("t", check=True)
    assert_is(first, arrays(0))
    assert_is(second, arrays(2))
