"""Units collected one by one, in any order and more than once: the run of a single process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import truetap as tt
from tests.engines.models import classifier, rows, same
from truetap.data.arrays import ArraySource
from truetap.engines.pieces import Piece, sliced
from truetap.engines.shared_run import SharedRun, units_done
from truetap.engines.units import Part, Task, cut
from truetap.engines.work import Settings, work_on
from truetap.errors import LayerError, UnlabelledDataError
from truetap.samples import Samples
from truetap.store import RunReader

STAMP = {"data": "d", "settings": "s"}


@pytest.fixture(scope="module")
def model() -> Any:
    return classifier()


def settings(run: SharedRun, data: Any, **more: Any) -> Settings:
    return Settings(run.aside, ArraySource(data, 16).facts, 16, stamp=STAMP, **more)


def test_units_in_any_order_give_the_run_of_a_single_process(tmp_path: Path, model: Any) -> None:
    data = rows(150)
    alone = tt.collect(model, data, batch_size=16, to=tmp_path / "alone", layers="hidden", inputs=True)
    run = SharedRun(tmp_path / "run", "ray", STAMP)
    same_for_all = settings(run, data, layers="hidden", inputs=True)
    units = cut([Part("", 150, 0)], 16, unit_rows=32)
    outcomes = []
    for number in (3, 1, 0, 4, 2, 1):  # one of them twice
        unit = units[number]
        piece = Piece(sliced(data, unit.start, unit.stop))
        outcomes.append(work_on(model, piece, Task(number, unit.first_step), same_for_all))
    assert [outcome.written for outcome in outcomes] == [True] * 5 + [False]
    assert outcomes[-1].about == outcomes[0].about == alone.about
    assert outcomes[-1].columns == outcomes[0].columns
    assert outcomes[0].seconds.keys() == {"read", "collect", "write", "publish"}
    found = Samples(RunReader(run.path).batches("samples"), outcomes[0].about)
    same(found, alone)
    np.testing.assert_array_equal(found.inputs, alone.inputs)
    np.testing.assert_allclose(found.layers["hidden"], alone.layers["hidden"], rtol=1e-6)
    run.finish()
    same(tt.open(run.path).samples(), alone)


@pytest.mark.parametrize(
    ("element", "more", "error"),
    [
        ((np.zeros((4, 16), "float32"),), {}, UnlabelledDataError),
        (rows(4), {"layers": "no such layer"}, LayerError),
    ],
)
def test_of_a_unit_that_fails_nothing_counts(
    tmp_path: Path, model: Any, element: Any, more: dict[str, Any], error: type[Exception]
) -> None:
    run = SharedRun(tmp_path / "run", "ray", STAMP)
    with pytest.raises(error):
        work_on(model, Piece(element), Task(0, 0), settings(run, rows(4), **more))
    assert units_done(run.path) == frozenset()
    assert list(run.aside.iterdir()) == []
    run.leave()
