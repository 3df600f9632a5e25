"""Writers that are killed, one after the other on one run: nothing that was confirmed is lost, and the next goes on."""

from pathlib import Path

import pytest

from truetap.store import Recording, RunReader

from .kills import Killer


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_writers(tmp_path: Path, seed: int) -> None:
    killer = Killer(tmp_path / "run", seed)
    for number in range(7):
        found = killer.kill(at_event=number % 2 == 0)
        assert (found.lost, found.unreadable) == (0, ""), found
    found = killer.end()
    assert (found.lost, found.unreadable, found.state) == (0, "", "closed")
    assert found.confirmed > 0


@pytest.mark.parametrize("event", [5, 6, 7, 8])
def test_killed_before_there_was_a_run(tmp_path: Path, event: int) -> None:
    """Between the first file and the first manifest: the folder can be taken, and nothing is left lying about."""
    killer = Killer(tmp_path / "run", seed=event)
    found = killer.kill(at_event=True, event=event)
    assert (found.confirmed, found.unreadable) == (0, "")
    assert killer.end().unreadable == ""
    assert not [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".manifest")]


def test_a_manifest_that_was_left_half_written_is_no_other_programs_file(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".manifest.json.4711").write_text('{"format"')
    Recording(folder).close()
    assert RunReader(folder).complete
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]
