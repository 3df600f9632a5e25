"""`run.samples`: the rows of phases and epochs, as `Samples`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import truetap as tt
from tests.made_rows import put
from truetap.store import RunWriter

from .runs import CLASSES, SAMPLES, Made, about, begin, keys, make, sample_columns, steps, write_samples


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize(
    ("asked", "epochs"),
    [(None, [0, 1, 2]), (-1, [2]), (0, [0]), (-3, [0]), (range(2), [0, 1]), ([2, 0], [0, 2]), (np.int64(1), [1])],
)
def test_the_rows_of_epochs(made: Made, asked: Any, epochs: list[int]) -> None:
    samples = made.run.samples(epoch=asked)
    np.testing.assert_array_equal(samples.epochs, made.of("epochs", epochs=epochs))
    np.testing.assert_array_equal(samples.steps, made.of("steps", epochs=epochs))
    np.testing.assert_array_equal(samples.ids, made.of("prints", epochs=epochs))
    np.testing.assert_array_equal(samples.fingerprints, made.of("prints", epochs=epochs))
    np.testing.assert_array_equal(samples.y_true, made.of("y_true", epochs=epochs))
    np.testing.assert_array_equal(samples.y_pred, made.of("y_pred", epochs=epochs))
    np.testing.assert_array_equal(samples.loss, made.of("loss", epochs=epochs))
    assert len(samples) == SAMPLES * len(epochs)


def test_phases(made: Made) -> None:
    assert made.run.phases == {"train": [0, 1, 2], "val": [0, 1, 2]}
    np.testing.assert_array_equal(made.run.samples("val", epoch=1).loss, made.of("loss", "val", [1]))
    with pytest.raises(tt.StoreError, match=r"phase='test'\. Expected: 'train', 'val'"):
        made.run.samples("test")
    with pytest.raises(tt.StoreError, match=r"epoch 3\. Expected: 0 to 2"):
        made.run.samples(epoch=3)
    with pytest.raises(tt.StoreError, match=r"epoch -4\. Expected: 0 to 2"):
        made.run.samples(epoch=-4)
    with pytest.raises(tt.StoreError, match="whole numbers"):
        made.run.samples(epoch="last")  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        made.run.samples(epoch=3)


def test_the_only_phase_is_meant_and_of_several_without_train_none(tmp_path: Path) -> None:
    made = begin(tmp_path / "run")
    with RunWriter(made.path, metadata=about()) as writer:
        for phase in ("val", "test")[:1]:
            for row in steps(made, phase, 0, 0, np.random.default_rng(0)):
                put(writer, "samples", sample_columns(row))
        assert len(made.run.samples()) == 12
        for row in steps(made, "val", 0, 0, np.random.default_rng(0)):
            put(writer, "samples", sample_columns(row | {"phase": "test"}))
    with pytest.raises(tt.StoreError, match=r"no phase\. Expected: phase= one of 'val', 'test'"):
        made.run.samples()


def test_what_samples_offer(made: Made) -> None:
    samples = made.run.samples(epoch=-1)
    y_true, y_pred = made.of("y_true", epochs=[2]), made.of("y_pred", epochs=[2])
    np.testing.assert_array_equal(samples.pred_labels, y_pred.argmax(axis=1))
    np.testing.assert_array_equal(samples.true_labels, y_true)
    assert samples.evaluate()["accuracy"] == pytest.approx((y_pred.argmax(axis=1) == y_true).mean())
    worst = np.argsort(-made.of("loss"), kind="stable")[:5]
    hardest = made.run.samples().hardest(5)
    np.testing.assert_array_equal(hardest.ids, made.of("prints")[worst])
    np.testing.assert_array_equal(hardest.epochs, made.of("epochs")[worst])
    assert samples.to_arrow().num_rows == SAMPLES
    frame = made.run.samples().to_pandas()
    assert list(frame.columns[:3]) == ["sample_id", "epoch", "step"]
    np.testing.assert_array_equal(frame["epoch"], made.of("epochs"))
    assert "epoch" in repr(samples)
    assert sum(len(batch) for batch in samples.batches()) == SAMPLES


def test_a_sample_in_each_epoch_is_no_duplicate(made: Made) -> None:
    seen = made.run.samples().seen
    assert (seen.samples, seen.unique, seen.passes, seen.steps) == (3 * SAMPLES, SAMPLES, 3, 9)
    assert len(seen.duplicates) == 0
    assert seen.repeated_steps == ()
    assert seen.wrapped_at is None
    assert "3 epochs" in str(seen)


def test_a_sample_twice_in_an_epoch_is_one(tmp_path: Path) -> None:
    made = begin(tmp_path / "run")
    with RunWriter(made.path, metadata=about()) as writer:
        for epoch in range(2):
            for row in steps(made, "train", epoch, 3 * epoch, np.random.default_rng(0)):  # the same order each time
                put(writer, "samples", sample_columns(row))
                if epoch == 1 and row["batch"] == 2:
                    put(writer, "samples", sample_columns(row | {"step": 6, "batch": 3}))
    samples = made.run.samples()
    assert len(samples.seen.duplicates) == 4
    assert samples.seen.repeated_steps == ((6, 5),)
    assert len(samples.drop_duplicates()) == 2 * SAMPLES
    assert len(made.run.samples(epoch=0).seen.duplicates) == 0


def test_sessions_with_and_without_weights(tmp_path: Path) -> None:
    made = begin(tmp_path / "run")
    rng = np.random.default_rng(0)
    weight = np.arange(8, dtype=np.float32)
    with RunWriter(made.path, metadata=about()) as writer:
        for row in steps(made, "train", 0, 0, rng):
            put(writer, "samples", sample_columns(row))
        for row in steps(made, "train", 1, 3, rng):
            extra = {"sample_weight": weight[: len(row["prints"])], "flag": np.ones(len(row["prints"]), np.int8)}
            put(writer, "samples", sample_columns(row) | {"sample_weight": extra["sample_weight"]})
    samples = made.run.samples()
    expected = np.r_[np.full(SAMPLES, np.nan), weight, weight, weight[:4]]
    np.testing.assert_array_equal(samples.sample_weight, expected)
    assert made.run.samples(epoch=0).sample_weight is None
    counted = made.run.sql("select epoch, count(sample_weight) from samples group by 1 order by 1").fetchall()
    assert counted == [(0, 0), (1, SAMPLES)]


def test_a_column_that_can_not_be_filled_is_refused(tmp_path: Path) -> None:
    made = begin(tmp_path / "run")
    rng = np.random.default_rng(0)
    with RunWriter(made.path, metadata=about()) as writer:
        for epoch in range(2):
            for row in steps(made, "train", epoch, 3 * epoch, rng):
                values = sample_columns(row)
                put(writer, "samples", values if epoch else {n: v for n, v in values.items() if n != "y_true"})
    with pytest.raises(tt.StoreError, match="no column 'y_true'"):
        made.run.samples()
    assert len(made.run.samples(epoch=1).y_true) == SAMPLES


def test_several_outputs(tmp_path: Path) -> None:
    made = begin(tmp_path / "run")
    rng = np.random.default_rng(0)
    facts = about(outputs=("age", "kind"), shape={"age": "age", "kind": "kind"})
    with RunWriter(made.path, metadata=facts) as writer:
        for epoch in range(2):
            for row in steps(made, "train", epoch, 3 * epoch, rng):
                values = sample_columns(row)
                plain = {name: value for name, value in values.items() if not name.startswith("y_")}
                ages = np.arange(len(row["prints"]), dtype=np.float32)[:, None]
                put(
                    writer,
                    "samples",
                    plain
                    | {"y_true/age": ages, "y_pred/age": ages + epoch, "loss/age": ages[:, 0]}
                    | {"y_true/kind": values["y_true"], "y_pred/kind": values["y_pred"], "loss/kind": values["loss"]},
                )
                made.rows.append(row)
    run = made.run
    samples = run.samples(epoch=1)
    np.testing.assert_array_equal(samples["kind"].pred_labels, made.of("y_pred", epochs=[1]).argmax(axis=1))
    np.testing.assert_array_equal(samples["age"].residual, np.ones((SAMPLES, 1)))
    assert set(samples.losses) == {"age", "kind"}
    history = run.history(int(made.prints["train"][0]))
    assert {"true_label/kind", "pred_label/kind", "y_true/age", "y_pred/age"} <= set(history.schema.names)
    assert "true_label/age" not in history.schema.names
    ((found,),) = run.sql('select count(*) from samples where "y_pred/age"[1] - "y_true/age"[1] = 1').fetchall()
    assert found == SAMPLES


def test_runs_of_collect_have_no_phase(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(CLASSES, activation="softmax")])
    model.compile(loss="sparse_categorical_crossentropy")
    x = np.random.default_rng(0).random((SAMPLES, 4), np.float32)
    collected = tt.collect(model, (x, np.arange(SAMPLES) % CLASSES), to=tmp_path / "run", batch_size=8, verbose=0)
    run = tt.open(tmp_path / "run")
    samples = run.samples()
    assert samples.epochs is None
    assert samples.positions is None
    np.testing.assert_array_equal(samples.y_pred, collected.y_pred)
    np.testing.assert_array_equal(samples.steps, np.repeat([0, 1, 2], [8, 8, 4]))
    assert run.phases == {}
    assert "samples: 20 rows" in repr(run)
    with pytest.raises(tt.StoreError, match="no phases and epochs"):
        run.samples(epoch=0)
    history = run.history(int(samples.ids[3]))
    assert history.num_rows == 1
    assert history.column("pred_label").to_pylist() == [int(collected.pred_labels[3])]
    assert run.sql("select count(*) from samples").fetchall() == [(SAMPLES,)]
    report = run.identify(x, ids=[f"{row}.png" for row in range(SAMPLES)])
    assert report.named == {"": SAMPLES}
    assert run.samples().ids.tolist() == [f"{row}.png" for row in range(SAMPLES)]
    assert run.history("7.png").num_rows == 1


def test_a_phase_without_labels(tmp_path: Path) -> None:
    made = begin(tmp_path / "run")
    with RunWriter(made.path, metadata=about()) as writer:
        for row in steps(made, "train", 0, 0, np.random.default_rng(0)):
            values = sample_columns(row | {"phase": "predict"})
            put(writer, "samples", {n: v for n, v in values.items() if n not in ("y_true", "loss")})
    samples = made.run.samples()
    assert samples.y_true is None
    assert samples.loss is None
    assert made.run.history(int(made.prints["train"][0])).schema.names[-1] == "fingerprint"


@pytest.mark.parametrize("tables", [[], ["scalars"]])
def test_a_run_without_samples(tmp_path: Path, tables: list[str]) -> None:
    with RunWriter(tmp_path / "run") as writer:
        for table in tables:
            put(writer, table, keys({"phase": "train", "epoch": 0, "step": 0, "batch": 0}, 1) | {"loss": np.ones(1)})
    run = tt.open(tmp_path / "run")
    with pytest.raises(tt.StoreError, match=r"holds no samples\. Received: tables \["):
        run.samples()
    with pytest.raises(tt.StoreError, match="holds no samples"):
        run.history(1)
    with pytest.raises(tt.StoreError, match="holds no samples"):
        run.identify(np.zeros((2, 2), np.float32))
    with pytest.raises(tt.StoreError, match="holds no overhead"):
        run.overhead()
    assert repr(run)


def test_a_killed_run_and_one_that_goes_on(tmp_path: Path) -> None:
    """Nothing closes it: what was committed is there, and a later look sees more."""
    made = begin(tmp_path / "run")
    writer = RunWriter(made.path, metadata=about())
    run = tt.open(made.path)
    with pytest.raises(tt.StoreError, match="holds no samples"):
        run.samples()
    write_samples(made, writer, epochs=1)
    assert not run.complete
    np.testing.assert_array_equal(run.samples().loss, made.of("loss"))
    assert run.sql("select count(*) from samples").fetchall() == [(32,)]
    before = run.samples()
    write_samples(made, writer, epochs=1)
    np.testing.assert_array_equal(run.samples().steps, made.of("steps"))
    assert run.sql("select max(step) from samples where phase = 'train'").fetchall() == [(5,)]
    assert len(before) == SAMPLES
    assert run.history(int(made.prints["train"][3])).num_rows == 2
    assert "(not complete)" in repr(run)
    writer.close()
    assert run.complete
