"""`run.identify`: names for recorded samples, and what is said on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import truetap as tt
from tests.made_rows import put
from truetap.fingerprint import fingerprint
from truetap.store import RunWriter

from .runs import SAMPLES, Made, about, begin, make, sample_columns, steps, write_samples

KEYS = ("phase", "epoch", "step", "batch")
FILES = [f"img/{row}.png" for row in range(SAMPLES)]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path / "run")


def test_names_in_samples_history_and_sql(made: Made) -> None:
    run = made.run
    order = np.random.default_rng(9).permutation(SAMPLES)
    report = run.identify(made.x["train"][order], ids=[FILES[row] for row in order])
    assert (report.named, report.unknown) == ({"train": SAMPLES, "val": 0}, {"train": 0, "val": 12})
    assert (report.duplicates, report.leakage, report.kept) == ((), (), True)
    assert "train: 20 of 20 samples have a name" in repr(report)
    assert "val: 0 of 12 samples have a name, 12 are not in these data" in repr(report)
    for again in (run, tt.open(made.path)):
        assert again.samples(epoch=1).ids.tolist() == [FILES[row] for row in made.of("which", epochs=[1])]
        np.testing.assert_array_equal(again.samples().loss, made.of("loss"))
        history = again.history("img/7.png")
        assert history.column("epoch").to_pylist() == [0, 1, 2]
        assert history.column("sample_id").to_pylist() == ["img/7.png"] * 3
        expected = made.of("loss")[made.of("which") == 7]
        np.testing.assert_array_equal(history.column("loss").to_numpy(), expected)
        found = again.sql(
            "select epoch, loss from samples where sample_id = $id order by epoch", id="img/7.png"
        ).fetchall()
        np.testing.assert_allclose(found, list(enumerate(expected.tolist())))
        assert again.sql("select count(*), count(distinct sample_id) from samples").fetchall() == [(96, 32)]
        assert again.sql("select count(*) from names").fetchall() == [(SAMPLES,)]
        with pytest.raises(tt.IdError, match=r"Received: 'img/77\.png'.*Near names: 'img/7\.png'"):
            again.history("img/77.png")
    assert run.samples("val").ids[0] == f"fingerprint:{made.of('prints', 'val')[0]}"
    assert run.complete
    assert run.verify() == []


def test_names_of_the_rows_of_raw_values(tmp_path: Path) -> None:
    made = begin(tmp_path / "run")
    tensors = {"tensors": {"activations.conv": {"kind": "activations", "path": "conv"}}}
    with RunWriter(made.path, metadata=about() | tensors) as writer:
        for row in steps(made, "train", 0, 0, np.random.default_rng(0)):
            made.rows.append(row)
            put(writer, "samples", sample_columns(row))
            taken = {name: sample_columns(row)[name] for name in (*KEYS, "position", "sample_id", "fingerprint")}
            put(writer, "activations.conv", taken | {"values": row["y_pred"]})
    run = made.run
    run.identify(made.x["train"], ids=FILES)
    found = run.activations("conv")
    assert found.ids.tolist() == [FILES[row] for row in made.of("which")]
    np.testing.assert_array_equal(found.values, made.of("y_pred"))
    query = 'select sample_id from "activations.conv" order by step, position'
    assert [name for (name,) in run.sql(query).fetchall()] == found.ids.tolist()


def test_two_data_sets_after_each_other(made: Made) -> None:
    run = made.run
    run.identify(made.x["train"])
    with pytest.raises(tt.IdError, match=r"12 names stand for other samples already, such as \d+, \d+"):
        run.identify(made.x["val"])
    with pytest.raises(tt.IdError, match="all whole numbers or all strings"):
        run.identify(made.x["val"], ids=list("abcdefghijkl"))
    report = run.identify(made.x["val"], ids=range(100, 112))
    assert report.named == {"train": SAMPLES, "val": 12}
    assert run.samples("train", epoch=0).ids.tolist() == made.of("which", epochs=[0]).tolist()
    assert run.samples("val", epoch=0).ids.tolist() == (made.of("which", "val", [0]) + 100).tolist()
    assert run.sql("select count(*) from names").fetchall() == [(32,)]


def test_other_names_for_the_same_data(made: Made) -> None:
    run = made.run
    run.identify(made.x["train"])
    run.identify(made.x["train"], ids=FILES)
    assert run.samples(epoch=0).ids.tolist() == [FILES[row] for row in made.of("which", epochs=[0])]
    assert tt.open(made.path).sql("select count(*) from names").fetchall() == [(SAMPLES,)]


def test_leakage_between_train_and_validation(tmp_path: Path) -> None:
    made = begin(tmp_path / "run")
    made.x["val"][:3] = made.x["train"][[4, 5, 6]]
    made.prints["val"] = fingerprint(made.x["val"])
    with RunWriter(made.path, metadata=about()) as writer:
        write_samples(made, writer, epochs=1)
    report = made.run.identify(made.x["train"], ids=FILES)
    assert sorted(report.leakage) == FILES[4:7]
    assert report.named == {"train": SAMPLES, "val": 3}
    assert "3 samples were both trained and validated on: 'img/" in repr(report)


def test_identical_inputs_keep_their_names_apart(tmp_path: Path) -> None:
    """Rows 3 and 8 are the same: each epoch has both, in an order of its own."""
    made = begin(tmp_path / "run")
    made.x["train"][8] = made.x["train"][3]
    made.prints["train"] = fingerprint(made.x["train"])
    with RunWriter(made.path, metadata=about()) as writer:
        write_samples(made, writer, epochs=3)
    run = made.run
    report = run.identify(made.x["train"], ids=FILES)
    assert report.duplicates == (("img/3.png", "img/8.png"),)
    assert "1 inputs stand more than once in the data (2 samples" in repr(report)
    samples = run.samples()
    for epoch in range(3):
        assert sorted(samples.ids[samples.epochs == epoch]) == sorted(FILES)
    assert len(samples.seen.duplicates) == 0
    twins = samples.ids == "img/8.png"
    assert samples.loss is not None
    history = run.history("img/8.png")
    assert history.column("step").to_pylist() == samples.steps[twins].tolist()
    found = run.sql("select step, loss from samples where sample_id = 'img/8.png' order by step").fetchall()
    np.testing.assert_allclose(found, np.stack([samples.steps[twins], samples.loss[twins]], axis=1))
    assert run.sql("select count(distinct sample_id), count(*) from samples where phase = 'train'").fetchall() == [
        (SAMPLES, 3 * SAMPLES)
    ]


def test_a_run_that_is_being_written_keeps_names_in_memory(tmp_path: Path) -> None:
    made = begin(tmp_path / "run")
    writer = RunWriter(made.path, metadata=about())
    write_samples(made, writer, epochs=1)
    run = made.run
    report = run.identify(made.x["train"], ids=FILES)
    assert not report.kept
    assert "being written" in repr(report)
    write_samples(made, writer, epochs=1)
    assert set(run.samples().ids) == set(FILES)
    assert run.history("img/3.png").num_rows == 2
    writer.close()
    assert set(run.samples().ids) == set(FILES)
    assert tt.open(made.path).samples().ids.dtype == np.int64


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_that_can_not_be_written_keeps_names_in_memory(made: Made) -> None:
    made.path.chmod(0o555)
    try:
        run = made.run
        assert not run.identify(made.x["train"], ids=FILES).kept
        assert set(run.samples().ids) == set(FILES)
    finally:
        made.path.chmod(0o755)


def test_data_that_were_not_recorded(made: Made) -> None:
    with pytest.raises(tt.IdError, match="None of the recorded samples is in these data"):
        made.run.identify(np.ones((4, 4), np.float32))
    assert "names" not in made.run.tables


def test_a_name_that_stands_twice_is_refused(made: Made) -> None:
    with pytest.raises(tt.IdError, match="stand once"):
        made.run.identify(made.x["train"], ids=["a", *FILES[1:19], "a"])


def test_ids_that_were_recorded(tmp_path: Path) -> None:
    """With `tt.with_ids` the samples have ids from the start."""
    made = begin(tmp_path / "run")
    with RunWriter(made.path, metadata=about()) as writer:
        for epoch in range(2):
            for row in steps(made, "train", epoch, 3 * epoch, np.random.default_rng(epoch)):
                made.rows.append(row)
                ids = np.asarray([FILES[which] for which in row["which"]], object)
                put(writer, "samples", sample_columns(row) | {"sample_id": ids})
    run = made.run
    assert run.samples().ids.tolist() == [FILES[row] for row in made.of("which")]
    assert run.history("img/5.png").num_rows == 2
    assert run.history(int(made.prints["train"][5])).num_rows == 2  # by its fingerprint too
    with pytest.raises(tt.IdError, match=r"Received: 'img/15\.pmg'.*Near names: 'img/"):
        run.history("img/15.pmg")
    with pytest.raises(tt.IdError, match=r"Received: 5\."):
        run.history(5)
    with pytest.raises(tt.IdError, match=r"whole number or a string\. Received: 5\.5"):
        run.history(5.5)
    run.identify(made.x["train"], ids=[f"new{row}" for row in range(SAMPLES)])
    assert run.history("new5").num_rows == 2
    assert run.samples(epoch=0).ids[0] == f"new{made.of('which', epochs=[0])[0]}"


def test_sessions_with_and_without_ids(tmp_path: Path) -> None:
    made = begin(tmp_path / "run")
    with RunWriter(made.path, metadata=about()) as writer:
        for row in steps(made, "train", 0, 0, np.random.default_rng(0)):
            put(writer, "samples", sample_columns(row))
        for row in steps(made, "train", 1, 3, np.random.default_rng(1)):
            ids = np.asarray([FILES[which] for which in row["which"]], object)
            put(writer, "samples", sample_columns(row) | {"sample_id": ids})
    ids = made.run.samples().ids
    assert all(item.startswith("fingerprint:") for item in ids[:SAMPLES])
    assert set(ids[SAMPLES:]) == set(FILES)
    assert made.run.sql("select count(distinct sample_id) from samples").fetchall() == [(2 * SAMPLES,)]
    made.run.identify(made.x["train"], ids=FILES)
    assert set(made.run.samples().ids) == set(FILES)
    assert made.run.sql("select count(distinct sample_id) from samples").fetchall() == [(SAMPLES,)]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """The training inputs in batches of five; in another order after each epoch, or not."""

    def __init__(self, x: Any, shuffles: bool) -> None:
        super().__init__()
        self.x, self.shuffles, self.rng = x, shuffles, np.random.default_rng(0)
        self.order = np.arange(len(x))

    def __len__(self) -> int:
        return len(self.x) // 5

    def __getitem__(self, index: int) -> Any:
        rows = self.order[5 * index : 5 * index + 5]
        return self.x[rows], rows

    def on_epoch_end(self) -> None:
        if self.shuffles:
            self.rng.shuffle(self.order)


def test_row_numbers_are_refused_where_the_order_changes(made: Made) -> None:
    x, rng = made.x["train"], np.random.default_rng(1)

    def drawn() -> Any:
        order = rng.permutation(SAMPLES)
        yield from ((x[rows], rows) for rows in np.split(order, 4))

    for data in (Batches(x, shuffles=True), drawn):
        with pytest.raises(tt.IdError, match=r"another order, the second time.*ids=…; or data that carry ids"):
            made.run.identify(data)
    assert "names" not in tt.open(made.path).tables  # nothing wrong was kept


def test_row_numbers_of_data_whose_order_stays(made: Made) -> None:
    x = made.x["train"]
    made.run.identify(Batches(x, shuffles=False))
    expected = made.of("which", epochs=[1]).tolist()
    assert made.run.samples(epoch=1).ids.tolist() == expected
    with pytest.warns(tt.DataWarning, match=r"called by their rows in this pass over the generator"):
        made.run.identify((x[rows], rows) for rows in np.split(np.arange(SAMPLES), 4))
    assert made.run.samples(epoch=1).ids.tolist() == expected
