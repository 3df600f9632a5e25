"""`collect(…, engine="ray")` on a real cluster of this machine: files, images, datasets, interruptions, refusals.

That it gives the rows of a single process on every backend is in tests/backends/test_collect_on_ray.py.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse

import truetap as tt
from tests.engines.killing import FailsWhile, die, first_here, quiet
from tests.engines.models import classifier, rows, same, write_parquet
from truetap.about import About
from truetap.engines import Call, Ray
from truetap.engines.ray.collecting import _Collection
from truetap.engines.ray.jobs import open_job
from truetap.engines.shared_run import SharedRun
from truetap.engines.work import Outcome
from truetap.errors import DataEndedEarly, DataError, IdError, ModelError, RunExistsError, StructureError, TruetapError
from truetap.errors import UnlabelledDataError as Unlabelled
from truetap.store import RunReader

ray = pytest.importorskip("ray")
pytestmark = quiet
Array = npt.NDArray[Any]

ONE = Ray(num_actors=1, num_cpus=0.5, unit_rows=64)


@pytest.fixture(scope="module")
def model() -> Any:
    return classifier()


def numbered(count: int) -> tuple[Array, Array]:
    x, y = rows(count)
    x[:, 0] = np.arange(count)
    return x, y


def test_an_interrupted_collect_goes_on_where_units_are_missing(tmp_path: Path, model: Any) -> None:
    (tmp_path / "marker").touch()
    folder = write_parquet(tmp_path / "data", *numbered(1000), per_file=500)
    ids = FailsWhile(tmp_path / "marker", 700)
    with pytest.raises(ValueError, match="a failure at row 700") as failed:
        tt.collect(model, folder, ids=ids, to=tmp_path / "run", engine=ONE)
    before = {each.name: each.stat().st_ino for each in (tmp_path / "run" / "samples").iterdir()}
    assert 0 < len(before) < 16
    assert failed.value.__notes__[-1].startswith(f"{len(before)} units of work are in")
    assert not RunReader(tmp_path / "run").complete
    (tmp_path / "marker").unlink()
    with pytest.raises(RunExistsError, match="another settings"):
        tt.collect(model, folder, ids=ids, to=tmp_path / "run", engine=ONE, batch_size=8)
    samples = tt.collect(classifier, folder, ids=ids, to=tmp_path / "run", engine=ONE)  # a function that makes it
    same(samples, tt.collect(model, folder, ids=ids))
    after = {each.name: each.stat().st_ino for each in (tmp_path / "run" / "samples").iterdir()}
    assert before.items() <= after.items()  # what was there wasn't written again
    costs: Any = RunReader(tmp_path / "run").metadata["engine"]
    assert costs["costs"]["units"] == len(after) - len(before)
    with pytest.raises(RunExistsError, match="There is a run at"):
        tt.collect(model, folder, ids=ids, to=tmp_path / "run", engine=ONE)


def test_what_one_process_says_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the workers stay where they are
    x, _ = rows(200)
    y = [float("nan") if row % 7 == 0 else 1.0 for row in range(200)]
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    with (
        pytest.warns(tt.DataWarning, match="Labels are missing") as said,
        pytest.raises(DataEndedEarly, match="after 7 of 9 batches") as ended,
    ):
        tt.collect(model, (x, y), steps=9, to="run", engine=ONE)
    assert len([each for each in said if issubclass(each.category, tt.DataWarning)]) == 1
    assert ended.value.samples is not None
    np.testing.assert_array_equal(ended.value.samples.y_true[:, 0], np.asarray(y))
    assert len(ended.value.samples.notices) == 1


def test_images_keep_their_paths_classes_and_notices(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for number in range(90):
        folder = tmp_path / "images" / str(1 + 4 * (number % 3))  # "1", "5" and "9"
        folder.mkdir(parents=True, exist_ok=True)
        image.fromarray(rng.integers(0, 256, (4, 5, 3)).astype("uint8")).save(folder / f"{number}.png")
    keras.utils.set_random_seed(0)
    scores = [keras.Input((4, 5, 3)), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential(scores)
    model.compile(loss=tt.losses.Masked("sparse_categorical_crossentropy", mask_value=-1))
    alone = tt.collect(model, tmp_path / "images", to=tmp_path / "alone")
    together = tt.collect(model, tmp_path / "images", to=tmp_path / "run", engine=Ray(1, 0.5, unit_rows=32))
    same(together, alone)
    assert together.ids[0] == str(tmp_path / "images" / "1" / "0.png")
    assert together.class_names == ("1", "5", "9")
    assert together.about == alone.about


@dataclass(frozen=True)
class Mapped:
    """A step of a user's own dataset: killed once at row 120; an error at the last row while a file exists."""

    folder: Path

    def __call__(self, batch: dict[str, Array]) -> dict[str, Array]:
        if 120 in batch["id"] and first_here(self.folder / "killed"):
            die()
        if 399 in batch["id"] and (self.folder / "marker").exists():
            while len(list((self.folder / "run" / "samples").iterdir())) < 3:
                time.sleep(0.05)
            raise ValueError("a failure at row 399")
        x, y = rows(400)
        return {"x": x[batch["id"]], "label": y[batch["id"]], "id": batch["id"]}


def test_a_users_dataset_outlives_a_reader_and_goes_on_with_the_rows_that_are_missing(
    tmp_path: Path, model: Any
) -> None:
    (tmp_path / "marker").touch()

    def dataset(blocks: int) -> Any:
        return ray.data.range(400, override_num_blocks=blocks).map_batches(Mapped(tmp_path).__call__)

    with pytest.raises(ray.exceptions.RayTaskError, match="a failure at row 399"):
        tt.collect(model, dataset(8), ids="id", to=tmp_path / "run", engine=ONE)
    assert (tmp_path / "killed").exists()
    there = len(tt.open(tmp_path / "run").samples())
    assert 0 < there < 400
    with pytest.raises(RunExistsError, match="another settings"):  # the ids are one of them
        tt.collect(model, dataset(8), to=tmp_path / "run", engine=ONE)
    (tmp_path / "marker").unlink()
    samples = tt.collect(model, dataset(5), ids="id", to=tmp_path / "run", engine=ONE)  # other blocks, the same rows
    assert samples.about.source == "ray.data.Dataset"
    costs: Any = RunReader(tmp_path / "run").metadata["engine"]
    assert costs["costs"]["rows"] == 400 - there
    order = np.argsort(samples.ids)
    assert samples.ids[order].tolist() == list(range(400))
    x, y = rows(400)
    np.testing.assert_array_equal(samples.fingerprints[order], tt.collect(model, (x, y)).fingerprints)
    np.testing.assert_array_equal(samples.y_true[order], y)
    np.testing.assert_allclose(samples.y_pred[order], model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    assert np.unique(samples.steps, return_counts=True)[1].max() <= 32  # no two batches have one number


REFUSED: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "generator": (iter([rows(4)]), {}, DataError, "gives its batches one after the other in one process"),
    "no labels": ((rows(4)[0],), {}, Unlabelled, "There are no labels in the arrays"),
    "ids of another number": (rows(4), {"ids": [1, 2]}, IdError, "2 ids for 4 samples"),
    "sparse": ((scipy.sparse.eye(4), np.zeros(4)), {}, DataError, "Ragged and sparse arrays are not divided"),
    "another cluster": (rows(4), {"engine": Ray(address="auto")}, TruetapError, "is connected to Ray already"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_starts(what: str, tmp_path: Path, model: Any) -> None:
    data, more, kind, message = REFUSED[what]
    with pytest.raises(kind, match=message):
        tt.collect(model, data, **{"to": tmp_path / "run", "engine": ONE, **more})
    assert not (tmp_path / "run").exists()


def test_a_users_dataset_is_refused_what_it_has_no_order_for(tmp_path: Path, model: Any) -> None:
    dataset = ray.data.range(8)
    with pytest.raises(IdError, match="no order that a list of ids could follow"):
        tt.collect(model, dataset, ids=range(8), to=tmp_path / "run", engine=ONE)
    with pytest.raises(DataError, match=r"dataset.limit\(rows\)"):
        tt.collect(model, dataset, steps=2, to=tmp_path / "run", engine=ONE)


def test_what_cannot_be_sent_leaves_no_run(tmp_path: Path) -> None:
    lock = threading.Lock()
    with pytest.raises(ModelError, match=r"the function that makes it, can't be sent .* use"):
        tt.collect(lambda: lock and classifier(), rows(40), to=tmp_path / "run", engine=ONE)
    assert not (tmp_path / "run").exists()


def test_units_that_do_not_fit_together_are_refused_and_notices_outlive_the_driver(tmp_path: Path, model: Any) -> None:
    about = replace(tt.collect(model, rows(4)).about, notices=())
    run = SharedRun(tmp_path / "run", "ray", {})
    call = Call(rows(4), run.path)
    under_way = _Collection(run, open_job(call, model, None), call, pool=None)  # type: ignore[arg-type]
    columns = ("sample_id", "y_true", "loss")
    under_way._take(Outcome(1, 4, True, about, columns, "i", {}))
    with pytest.warns(tt.DataWarning, match="^3 of them$"):
        under_way._take(Outcome(2, 4, True, replace(about, notices=("3 of them",)), columns, "i", {}))
    under_way._take(Outcome(3, 4, True, replace(about, notices=("5 of them",)), columns, "i", {}))
    kept: Any = run.metadata["collect"]
    assert About.from_json(kept).notices == ("3 of them",)
    with pytest.raises(StructureError, match=r"Unit 4 .* Received: \['sample_weight'\] more, \['loss'\] less"):
        under_way._take(Outcome(4, 4, True, about, ("sample_id", "y_true", "sample_weight"), "i", {}))
    with pytest.raises(IdError, match=r"Received: both, the second kind in unit 5 of the arrays"):
        under_way._take(Outcome(5, 4, True, about, columns, "O", {}))
    run.leave()
