"""`collect(…, engine="ray")` on a real cluster of this machine: the rows of a single process, whoever dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

import truetap as tt
from tests.engines.models import classifier, die, once, rows, same, write_parquet
from truetap.engines import Ray
from truetap.errors import DataEndedEarly, DataError, IdError, ModelError, RunExistsError, TruetapError
from truetap.errors import UnlabelledDataError as Unlabelled
from truetap.store import RunReader

ray = pytest.importorskip("ray")
Array = npt.NDArray[Any]

# Ray 2.60 sets options of its own that it has deprecated.
pytestmark = pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning")

ONE = Ray(num_actors=1, num_cpus=0.5, unit_rows=64)
TWO = Ray(num_actors=2, num_cpus=0.5, unit_rows=64)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, object_store_memory=300 << 20, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def model() -> Any:
    return classifier()


class KilledOnce:
    """Ids from a column; the process that first meets a certain row dies of it."""

    def __init__(self, marker: Path, row: int) -> None:
        self.marker, self.row = marker, row

    def __call__(self, element: Any) -> Array:
        if self.row in element["number"]:
            once(self.marker, die)
        return np.asarray(element["number"])


def numbered(path: Path, count: int) -> Path:
    """Shards are dicts for nobody: Parquet files with a column of row numbers."""
    import pyarrow.parquet as pq

    x, y = rows(count)
    folder = write_parquet(path, x, y, per_file=count // 2)
    start = 0
    for file in sorted(folder.iterdir()):
        table = pq.read_table(file)
        pq.write_table(table.append_column("number", [np.arange(start, start + len(table))]), file)
        start += len(table)
    return folder


def test_a_killed_actor_loses_and_doubles_nothing(tmp_path: Path, model: Any) -> None:
    folder = numbered(tmp_path / "data", 1000)
    alone = tt.collect(model, folder, ids=KilledOnce(tmp_path, -1), to=tmp_path / "alone")
    killed = KilledOnce(tmp_path / "killed", 501)  # in the middle of a unit
    together = tt.collect(model, folder, ids=killed, to=tmp_path / "run", engine=TWO)
    assert killed.marker.exists()
    same(together, alone)
    same(tt.open(tmp_path / "run").samples(), alone)
    assert together.about == alone.about
    reader = RunReader(tmp_path / "run")
    assert reader.complete
    assert reader.verify() == []
    engine: Any = reader.metadata["engine"]
    assert engine["lost_actors"] == 1
    assert engine["costs"]["rows"] == 1000


def test_an_interrupted_collect_goes_on_where_units_are_missing(tmp_path: Path, model: Any) -> None:
    (tmp_path / "marker").touch()
    folder = numbered(tmp_path / "data", 1000)
    ids = FailsWhile(tmp_path / "marker")
    with pytest.raises(ValueError, match="a failure at row 700"):
        tt.collect(model, folder, ids=ids, to=tmp_path / "run", engine=ONE)
    before = {each.name: each.stat().st_ino for each in (tmp_path / "run" / "samples").iterdir()}
    assert 0 < len(before) < 16
    assert not RunReader(tmp_path / "run").complete
    (tmp_path / "marker").unlink()
    with pytest.raises(RunExistsError, match="another settings"):
        tt.collect(model, folder, ids=ids, to=tmp_path / "run", engine=ONE, batch_size=8)
    with pytest.raises(RunExistsError, match="another model"):
        tt.collect(classifier(seed=1), folder, ids=ids, to=tmp_path / "run", engine=ONE)
    samples = tt.collect(classifier, folder, ids=ids, to=tmp_path / "run", engine=ONE)  # a function that makes it
    same(samples, tt.collect(model, folder, ids=ids))
    after = {each.name: each.stat().st_ino for each in (tmp_path / "run" / "samples").iterdir()}
    assert before.items() <= after.items()  # what was there wasn't written again
    with pytest.raises(RunExistsError, match="There is a run at"):
        tt.collect(model, folder, ids=ids, to=tmp_path / "run", engine=ONE)


class FailsWhile:
    """Ids from a column; row 700 is an error while a file exists."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __call__(self, element: Any) -> Array:
        if self.marker.exists() and 700 in element["number"]:
            raise ValueError("a failure at row 700")
        return np.asarray(element["number"])

    def __repr__(self) -> str:
        return "FailsWhile"


def test_arrays_give_the_same_rows_with_layers_and_inputs(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the workers stay where they are
    x, y = rows(210)
    data = (x, y, np.linspace(0, 1, 210).astype("float32"))
    more: dict[str, Any] = {"ids": [f"s{row}" for row in range(210)], "layers": "hidden", "inputs": True}
    alone = tt.collect(model, data, **more)
    together = tt.collect(model, data, **more, to="run", engine=ONE)
    same(together, alone)
    np.testing.assert_array_equal(together.inputs, alone.inputs)
    np.testing.assert_array_equal(together.sample_weight, alone.sample_weight)
    np.testing.assert_allclose(together.layers["hidden"], alone.layers["hidden"], rtol=1e-6)
    assert together.about == alone.about
    with pytest.raises(DataEndedEarly, match="after 7 of 9 batches") as ended:
        tt.collect(model, data, steps=9, to=tmp_path / "short", engine=ONE)
    assert ended.value.samples is not None
    assert len(ended.value.samples) == 210


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


def test_missing_labels_are_said_once(tmp_path: Path) -> None:
    x, _ = rows(200)
    y = np.where(np.arange(200) % 7 == 0, np.nan, 1.0).astype("float32")
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.warns(tt.DataWarning, match="Labels are missing") as said:
        samples = tt.collect(model, (x, y), to=tmp_path / "run", engine=ONE)
    assert len([each for each in said if issubclass(each.category, tt.DataWarning)]) == 1
    assert len(samples.notices) == len(samples.about.notices) == 1


class MapKilledOnce:
    """A step of a user's own dataset, whose process is killed once."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __call__(self, batch: dict[str, Array]) -> dict[str, Array]:
        if 333 in batch["id"]:
            once(self.marker, die)
        x, y = rows(400)
        return {"x": x[batch["id"]], "label": y[batch["id"]], "id": batch["id"]}


def test_a_users_dataset_with_a_killed_reader(tmp_path: Path, model: Any) -> None:
    dataset = ray.data.range(400, override_num_blocks=8).map_batches(MapKilledOnce(tmp_path / "killed").__call__)
    samples = tt.collect(model, dataset, ids="id", to=tmp_path / "run", engine=ONE)
    assert (tmp_path / "killed").exists()
    alone = tt.collect(model, rows(400), ids=range(400), batch_size=50)
    order = np.argsort(samples.ids)
    assert samples.ids[order].tolist() == list(range(400))
    np.testing.assert_array_equal(samples.fingerprints[order], alone.fingerprints)
    np.testing.assert_array_equal(samples.y_true[order], alone.y_true)
    np.testing.assert_allclose(samples.y_pred[order], alone.y_pred, rtol=1e-5, atol=1e-6)
    assert samples.about.source == "ray.data.Dataset"


class MapFails:
    """A step of a user's own dataset that fails at its last block while a file exists."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __call__(self, batch: dict[str, Array]) -> dict[str, Array]:
        if 399 in batch["id"]:
            while self.marker.exists() and len(list((self.marker.parent / "run" / "samples").iterdir())) < 3:
                time.sleep(0.05)
            if self.marker.exists():
                raise ValueError("a failure at row 399")
        x, y = rows(400)
        return {"x": x[batch["id"]], "label": y[batch["id"]], "id": batch["id"]}


def test_a_users_dataset_goes_on_with_the_rows_that_are_missing(tmp_path: Path, model: Any) -> None:
    marker = tmp_path / "marker"
    marker.touch()

    def dataset(blocks: int) -> Any:
        return ray.data.range(400, override_num_blocks=blocks).map_batches(MapFails(marker).__call__)

    with pytest.raises(Exception, match="a failure at row 399"):
        tt.collect(model, dataset(8), ids="id", to=tmp_path / "run", engine=ONE)
    there = len(tt.open(tmp_path / "run").samples())
    assert 0 < there < 400
    with pytest.raises(RunExistsError, match="another settings"):  # the ids are one of them
        tt.collect(model, dataset(8), to=tmp_path / "run", engine=ONE)
    marker.unlink()
    samples = tt.collect(model, dataset(5), ids="id", to=tmp_path / "run", engine=ONE)  # other blocks, the same rows
    assert np.sort(samples.ids).tolist() == list(range(400))
    costs: Any = RunReader(tmp_path / "run").metadata["engine"]
    assert costs["costs"]["rows"] == 400 - there
    order = np.argsort(samples.ids)
    np.testing.assert_allclose(samples.y_pred[order], model.predict(rows(400)[0], verbose=0), rtol=1e-5, atol=1e-6)
    assert np.unique(samples.steps, return_counts=True)[1].max() <= 32  # no two batches have one number


class Dies:
    """Kills every process that meets it."""

    def __call__(self, element: Any) -> Array:
        die()
        raise AssertionError("it is dead")


def test_rows_that_kill_every_actor_are_said_in_the_end(tmp_path: Path, model: Any) -> None:
    engine = Ray(num_actors=1, num_cpus=0.5, unit_rows=64, max_losses=1)
    with pytest.raises(TruetapError, match=r"Unit 0 of the data lost its actor 1 times: The actor"):
        tt.collect(model, rows(100), ids=Dies(), to=tmp_path / "run", engine=engine)
    assert not (tmp_path / "run").exists()


REFUSED: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "generator": (iter([rows(4)]), {}, DataError, "gives its batches one after the other in one process"),
    "no labels": ((rows(4)[0],), {}, Unlabelled, "There are no labels in the arrays"),
    "ids of another number": (rows(4), {"ids": [1, 2]}, IdError, "2 ids for 4 samples"),
    "too many actors": (
        rows(4),
        {"engine": Ray(num_actors=2, num_cpus=1)},
        TruetapError,
        r"2 actors of 1 CPUs .* on a cluster of 2 CPUs .* at least 1 CPU left over",
    ),
    "another cluster": (rows(4), {"engine": Ray(address="auto")}, TruetapError, "is connected to Ray already"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_starts(what: str, tmp_path: Path, model: Any) -> None:
    data, more, kind, message = REFUSED[what]
    started = time.monotonic()
    with pytest.raises(kind, match=message):
        tt.collect(model, data, **{"to": tmp_path / "run", "engine": ONE, **more})
    assert not (tmp_path / "run").exists()
    assert time.monotonic() - started < 5


def test_a_user_s_dataset_is_refused_what_it_has_no_order_for(tmp_path: Path, model: Any) -> None:
    dataset = ray.data.range(8)
    with pytest.raises(IdError, match="no order that a list of ids could follow"):
        tt.collect(model, dataset, ids=range(8), to=tmp_path / "run", engine=ONE)
    with pytest.raises(DataError, match=r"dataset.limit\(rows\)"):
        tt.collect(model, dataset, steps=2, to=tmp_path / "run", engine=ONE)


def unseeded() -> Any:
    return classifier(seed=int.from_bytes(os.urandom(2), "little"))


def test_different_models_and_missing_labels_leave_no_run(tmp_path: Path, model: Any) -> None:
    with pytest.raises(ModelError, match="gives another one each time"):
        tt.collect(unseeded, rows(40), to=tmp_path / "run", engine=TWO)
    lock = threading.Lock()
    with pytest.raises(ModelError, match=r"the function that makes it, can't be sent .* use"):
        tt.collect(lambda: lock and classifier(), rows(40), to=tmp_path / "run", engine=TWO)
    dataset = ray.data.range(8)
    with pytest.raises(Unlabelled, match=r"no labels in the ray.data.Dataset. Received: a dict with the keys \['id'\]"):
        tt.collect(model, dataset, to=tmp_path / "run", engine=ONE)
    assert not (tmp_path / "run").exists()


ALONE = """
import sys, truetap as tt
from tests.engines.models import classifier, rows
from truetap.engines import Ray
for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
    try:
        tt.collect(classifier(), rows(4), to=sys.argv[1], engine=Ray(address=address))
    except tt.TruetapError as error:
        print(error)
samples = tt.collect(classifier(), rows(40), to=sys.argv[1], engine=Ray(address="auto", num_actors=1, num_cpus=0.5))
print(len(samples), "samples")
import ray
print("running:", ray.is_initialized())
"""


def test_a_cluster_is_reached_by_its_address(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ALONE, str(tmp_path / "run")]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=200)
    assert "Ray can't reach a cluster at '127.0.0.1:1' (ConnectionRefusedError" in done.stdout, done.stderr[-3000:]
    assert "Received: address='ray://127.0.0.1:1'. Expected: the call made on a machine of the cluster" in done.stdout
    assert "40 samples\nrunning: False" in done.stdout, done.stdout + done.stderr[-3000:]
