"""Links, pipes and devices inside a run: readers refuse them, writers write nothing and remove nothing through them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import truetap as tt
from truetap.errors import StoreError
from truetap.store import RunReader, RunWriter

from .helpers import batch, run_python
from .recorded import sample_batch


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Samples in Parquet, and raw values in Arrow."""
    with RunWriter(tmp_path / "run") as writer:
        for step in range(5):
            writer.write("samples", sample_batch(step))
        writer.write("activations.a", batch(0))
        writer.close(compact=True)
    return tmp_path / "run"


def outside(run: Path, name: str) -> Path:
    """Moves a file or folder of the run out of it, and puts a link in its place."""
    there = run.parent / "outside" / name
    there.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(run / name, there)
    (run / name).symlink_to(there)
    return there


PLACES = (
    "manifest.json",
    "activations.a",
    "activations.a/worker-00000",
    "activations.a/worker-00000/seg-000000.arrow",
    "activations.a/worker-00000/seg-000000.log",
    "samples",
    "samples/phase=train",
    "samples/phase=train/epoch=0",
    "samples/phase=train/epoch=0/part-000000.parquet",
)


def read(run: Path) -> None:
    reader = RunReader(run)
    for table in reader.tables:
        for found in reader.batches(table):
            assert len(found)


@pytest.mark.parametrize("name", PLACES)
def test_a_link_out_of_the_run_is_not_followed(run: Path, name: str) -> None:
    read(run)
    outside(run, name)
    expected = "folder" if (run / name).is_dir() else "plain file"
    with pytest.raises(StoreError, match=rf"Received: a symbolic link. Expected: a {expected}.*cp -rL"):
        read(run)
    if name.startswith("samples/"):
        (problem,) = (problem for problem in RunReader(run).verify() if problem.damage)
        assert "Received: a symbolic link" in problem.what
        with pytest.raises(StoreError, match=r"Received: a symbolic link"):
            tt.open(run).sql("select count(*) from samples")
    elif name != "manifest.json":
        with pytest.raises(StoreError, match=r"Received: a symbolic link"):
            RunReader(run).verify()


def test_the_run_itself_may_be_reached_by_links(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    read(tmp_path / "link")
    assert RunReader(tmp_path / "link").verify() == []
    with RunWriter(tmp_path / "link", append=True) as writer:
        writer.write("activations.a", batch(1))
    assert RunReader(run).num_rows("activations.a") == 16


@pytest.mark.parametrize("name", ["manifest.json", *PLACES[3:5], PLACES[-1]])
def test_a_pipe_lets_nobody_wait(run: Path, name: str) -> None:
    (run / name).unlink()
    os.mkfifo(run / name)
    code = """
import sys
from pathlib import Path
from tests.store.test_links import read
from truetap.errors import StoreError
try:
    from truetap.store import RunReader
    print(*(problem.what for problem in RunReader(sys.argv[1]).verify()))
    read(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""
    assert "Received: a pipe. Expected: a plain file." in run_python(code, run)


@pytest.mark.parametrize(
    "name", ["samples", "samples/phase=train", "samples/phase=train/epoch=0", "activations.a", PLACES[2]]
)
def test_nothing_is_removed_or_written_through_a_link(run: Path, name: str) -> None:
    there = outside(run, name)
    folder = there if there.name.startswith(("epoch", "worker")) else there / "phase=train" / "epoch=7"
    folder.mkdir(parents=True, exist_ok=True)
    mine = [folder / "part-000042.parquet", folder / "seg-000042.arrow", folder / "seg-000042.log"]
    for path in mine:
        path.write_text("mine")
    before = _files(there)
    with pytest.raises(StoreError, match=r"Received: a symbolic link"):
        go_on(run)
    assert _files(there) == before


def go_on(run: Path) -> None:
    with RunWriter(run, append=True) as writer:
        writer.write("activations.a", batch(1))
        writer.write("samples", sample_batch(6))
        writer.close(compact=True)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_lock_empties_no_file_that_it_leads_to(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (run / ".writer").symlink_to(tmp_path / "mine")
    with pytest.raises(StoreError, match=r"Could not write .*\.writer'"):
        RunWriter(run, append=True)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_manifest_is_not_written_through_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (run / f".manifest.json.{os.getpid()}").symlink_to(tmp_path / "mine")
    with RunWriter(run, append=True) as writer:
        writer.update_metadata({"seed": 1})
    assert (tmp_path / "mine").read_text() == "mine"
    assert RunReader(run).metadata == {"seed": 1}
    assert not (run / "manifest.json").is_symlink()


def test_links_under_names_that_are_not_ours_are_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (run / "samples" / "notes").symlink_to(tmp_path / "mine")
    (run / "notes.txt").symlink_to(tmp_path / "mine")
    read(run)
    assert RunReader(run).verify() == []
