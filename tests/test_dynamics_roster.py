"""Which row belongs to which sample."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from truetap.dynamics.roster import Roster


@pytest.mark.parametrize("names", [np.arange(40) * 2**55 - 2**59, np.asarray([f"file-{i}" for i in range(40)], object)])
def test_rows_are_those_of_a_dict(names: object) -> None:
    names = np.asarray(names)
    rng = np.random.default_rng(0)
    roster = Roster()
    known: dict[tuple[object, int], int] = {}
    for _ in range(6):
        chosen = rng.integers(0, 40, 15)
        labels = (chosen % 3) + (rng.random(15) < 0.2)
        rows = roster.rows(pa.array(names[chosen]), labels)
        for name, label, row in zip(names[chosen], labels, rows, strict=True):
            assert known.setdefault((name, int(label)), int(row)) == row
    assert len(set(known.values())) == len(known) == len(roster)
    for (name, label), row in known.items():
        assert roster.ids[row].as_py() == name
        assert roster.labels[row] == label
    several = {name for name, _ in known if sum(other == name for other, _ in known) > 1}
    assert roster.relabelled == len(several)


def test_nobody() -> None:
    assert len(Roster()) == 0
    assert Roster().ids.to_pylist() == []
