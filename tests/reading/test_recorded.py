"""`run.activations` and its like: raw values and statistics of layers and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import truetap as tt
from truetap.run import Run
from truetap.store import RunWriter

from .runs import Array, keys, write

HOSTILE = 'enc/"odd"; drop table samples; --/ünïcode 汉字'
TENSORS = {
    "activations.conv": {"kind": "activations", "path": "encoder/conv#1"},
    "activations.odd": {"kind": "activations", "path": HOSTILE},
    "gradients.kernel": {"kind": "gradients", "path": "conv1/kernel"},
}
STEPS = {"train": {0: [0, 2], 1: [4, 6]}, "val": {1: [0]}}  # recorded steps by phase and epoch
ROWS = 3


def raw(phase: str, step: int) -> Array:
    """Raw activations of a step, shape (3, 2, 2)."""
    seed = step + (100 if phase == "val" else 0)
    return np.random.default_rng(seed).random((ROWS, 2, 2), np.float32)


def kernel(step: int) -> Array:
    """A raw gradient of a step, shape (4, 3)."""
    return np.random.default_rng(500 + step).random((4, 3), np.float32)


def at(phase: str, epoch: int, step: int) -> dict[str, Any]:
    return {"phase": phase, "epoch": epoch, "step": step, "batch": step % 4}


def long_rows(where: dict[str, Any], entries: list[tuple[str, str, str, Any]]) -> pa.RecordBatch:
    """Rows of a long table, written as the contract says and by nothing of truetap."""
    values = [np.asarray(value) for *_, value in entries]
    size = len(entries)
    return pa.record_batch(
        {
            "phase": pa.array([where["phase"]] * size),
            "epoch": pa.array([where["epoch"]] * size, pa.int32()),
            "step": pa.array([where["step"]] * size, pa.int64()),
            "batch": pa.array([where["batch"]] * size, pa.int32()),
            "path": pa.array([path for path, *_ in entries]),
            "statistic": pa.array([statistic for _, statistic, *_ in entries]),
            "over": pa.array([over for _, _, over, _ in entries]),
            "value": pa.array([float(v) if v.ndim == 0 else None for v in values], pa.float64()),
            "values": pa.array([None if v.ndim == 0 else v.ravel().tolist() for v in values], pa.list_(pa.float32())),
            "shape": pa.array([list(v.shape) for v in values], pa.list_(pa.int32())),
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "run"
    with RunWriter(path, metadata={"tensors": TENSORS}) as writer:
        for phase, epochs in STEPS.items():
            for epoch, steps in epochs.items():
                for step in steps:
                    where = at(phase, epoch, step)
                    ids = np.arange(ROWS) + 10 * step
                    samples = keys(where, ROWS) | {
                        "position": np.arange(ROWS, dtype=np.int32),
                        "sample_id": ids,
                        "fingerprint": ids,
                    }
                    write(writer, "activations.conv", samples | {"values": raw(phase, step)})
                    write(writer, "activations.odd", samples | {"values": raw(phase, step)[:, 0, 0]})
                    entries: list[tuple[str, str, str, Any]] = [
                        ("encoder/conv#1", "mean", "batch", raw(phase, step).mean()),
                        ("encoder/conv#1", "std", "batch", raw(phase, step).std(axis=0)),
                    ]
                    if step == steps[-1]:
                        entries.append(("dense", "mean", "epoch", float(epoch)))
                    writer.write("activations", long_rows(where, entries))
                    writer.flush()
                    if phase == "train":
                        write(writer, "gradients.kernel", keys(where, 1) | {"values": np.stack([kernel(step)])})
                        writer.write("weights", long_rows(where, [("conv1/kernel", "norm", "batch", step / 2)]))
                        writer.flush()
    return tt.open(path)


def test_raw_values_and_the_rows_they_are_of(run: Run) -> None:
    found = run.activations("encoder/conv#1")
    steps = [0, 2, 4, 6]
    assert (found.kind, found.path, found.phase) == ("activations", "encoder/conv#1", "train")
    np.testing.assert_array_equal(found.values, np.concatenate([raw("train", step) for step in steps]))
    np.testing.assert_array_equal(found.steps, np.repeat(steps, ROWS))
    np.testing.assert_array_equal(found.epochs, np.repeat([0, 0, 1, 1], ROWS))
    np.testing.assert_array_equal(found.positions, np.tile([0, 1, 2], 4))
    np.testing.assert_array_equal(found.ids, np.concatenate([np.arange(ROWS) + 10 * step for step in steps]))
    np.testing.assert_array_equal(found.fingerprints, found.ids)
    np.testing.assert_array_equal(found.recorded_steps, steps)


def test_statistics_over_the_recorded_steps(run: Run) -> None:
    found = run.activations("encoder/conv#1").statistics
    assert list(found) == ["mean", "std"]
    np.testing.assert_allclose(found["mean"], [raw("train", step).mean() for step in (0, 2, 4, 6)])
    np.testing.assert_allclose(found["std"], [raw("train", step).std(axis=0) for step in (0, 2, 4, 6)], rtol=1e-6)
    np.testing.assert_array_equal(found.steps("std"), [0, 2, 4, 6])
    np.testing.assert_array_equal(found.epochs("std"), [0, 0, 1, 1])
    assert found["std"].shape == (4, 2, 2)
    with pytest.raises(tt.StoreError, match=r"No statistic 'maen' .* Near names: 'mean'"):
        found["maen"]
    assert found.get("maximum") is None


def test_a_statistic_over_an_epoch_by_its_full_or_short_name(run: Run) -> None:
    found = run.activations("dense")
    assert list(found.statistics) == ["mean over epoch"]
    np.testing.assert_array_equal(found.statistics["mean"], [0, 1])
    np.testing.assert_array_equal(found.statistics["mean over epoch"], [0, 1])
    np.testing.assert_array_equal(found.steps, [2, 6])
    np.testing.assert_array_equal(found.epochs, [0, 1])
    with pytest.raises(tt.StoreError, match=r"No raw activations of 'dense'.*'mean over epoch'"):
        _ = found.values


@pytest.mark.parametrize(
    ("chosen", "steps"),
    [
        ({"epoch": -1}, [4, 6]),
        ({"epoch": 0}, [0, 2]),
        ({"step": 2}, [2]),
        ({"step": [6, 0]}, [0, 6]),
        ({"step": range(0, 3, 2)}, [0, 2]),
        ({"epoch": 1, "step": np.int64(4)}, [4]),
    ],
)
def test_filters(run: Run, chosen: dict[str, Any], steps: list[int]) -> None:
    found = run.activations("encoder/conv#1", **chosen)
    np.testing.assert_array_equal(found.values, np.concatenate([raw("train", step) for step in steps]))
    np.testing.assert_array_equal(found.ids, np.concatenate([np.arange(ROWS) + 10 * step for step in steps]))
    np.testing.assert_allclose(found.statistics["mean"], [raw("train", step).mean() for step in steps])
    np.testing.assert_array_equal(found.recorded_steps, steps)
    assert found.to_arrow().num_rows == ROWS * len(steps)


def test_another_phase(run: Run) -> None:
    found = run.activations("encoder/conv#1", phase="val")
    np.testing.assert_array_equal(found.values, raw("val", 0))
    with pytest.raises(tt.StoreError, match=r"No gradients of 'conv1/kernel' of that phase .*'train'"):
        run.gradients("conv1/kernel", phase="val")


def test_what_is_missing_is_said_with_what_there_is(run: Run) -> None:
    with pytest.raises(tt.StoreError, match=r"step 1, 3\. Expected: 0, 2, 4, 6\."):
        run.activations("encoder/conv#1", step=[1, 2, 3])
    with pytest.raises(tt.StoreError, match=r"step 4\. Expected: 0, 2\."):
        run.activations("encoder/conv#1", epoch=0, step=4)
    with pytest.raises(tt.StoreError, match=r"epoch 5\. Expected: 0, 1\."):
        run.activations("encoder/conv#1", epoch=5)
    with pytest.raises(tt.StoreError, match=r"No activations of 'encoder/conv'.*Near names: 'encoder/conv#1'"):
        run.activations("encoder/conv")
    with pytest.raises(tt.StoreError, match="whole numbers"):
        run.activations("encoder/conv#1", step="last")  # type: ignore[arg-type]
    with pytest.raises(tt.StoreError, match=r"No updates of 'dense' were recorded\. Expected: tt\.Updates"):
        run.updates("dense")


def test_raw_values_of_a_weight_have_a_row_a_step(run: Run) -> None:
    found = run.gradients("conv1/kernel", epoch=1)
    np.testing.assert_array_equal(found.values, [kernel(4), kernel(6)])
    np.testing.assert_array_equal(found.steps, [4, 6])
    with pytest.raises(tt.StoreError, match="belong to steps"):
        _ = found.ids
    assert len(found.statistics) == 0


def test_all_of_a_kind(run: Run) -> None:
    assert run.activations.paths == ("encoder/conv#1", "dense", HOSTILE)
    assert run.gradients.paths == ("conv1/kernel",)
    everything = run.activations()
    assert set(everything) == set(run.activations.paths)
    assert "dense" in everything
    assert "nothing" not in everything
    table = everything.to_arrow()
    assert table.num_rows == 2 * 5 + 3
    assert run.activations(epoch=-1).to_arrow().num_rows == 2 * 2 + 1
    text = repr(run.activations())
    assert "3 paths" in text
    assert "12 raw rows of shape (2, 2)" in text
    assert "epochs 0, 1; 4 steps from 0 to 6" in text
    assert repr(run.optimizer_state) == (
        "No optimizer variables were recorded, which takes tt.OptimizerState(…) among the recorder's taps."
    )
    with pytest.raises(tt.StoreError, match=r"No reduced gradients"):
        run.gradients().to_arrow()


def test_frames(run: Run) -> None:
    frame = run.activations("encoder/conv#1").to_pandas()
    assert list(frame.columns) == ["epoch", "step", "mean", "std"]
    np.testing.assert_allclose(frame["mean"], [raw("train", step).mean() for step in (0, 2, 4, 6)])
    assert list(run.weights("conv1/kernel").to_pandas().columns) == ["epoch", "step", "norm"]
    assert len(run.gradients("conv1/kernel").to_pandas()) == 4
    assert len(run.weights().to_pandas()) == 4


def test_hostile_names(run: Run) -> None:
    found = run.activations(HOSTILE, step=2)
    np.testing.assert_array_equal(found.values, raw("train", 2)[:, 0, 0])
    assert HOSTILE in repr(found)
    counted = run.sql('select count(*) from "activations.odd" where phase = $phase', phase="train").fetchall()
    assert counted == [(4 * ROWS,)]


def test_sql_over_raw_and_reduced_values(run: Run) -> None:
    found = run.sql('select step, "values" from "activations.conv" where phase = \'val\' order by position').fetchall()
    np.testing.assert_allclose([values for _, values in found], raw("val", 0).reshape(ROWS, 4))
    norms = run.sql("select step, value from weights order by step").fetchall()
    assert norms == [(0, 0.0), (2, 1.0), (4, 2.0), (6, 3.0)]
    assert ("gradients.kernel",) in run.sql("show tables").fetchall()


def test_values_of_one_step_are_mapped(run: Run) -> None:
    values = run.activations("encoder/conv#1", phase="val").values
    assert not values.flags.owndata


def test_half_precision_in_sql(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as writer:
        values = {"values": np.ones((2, 3), np.float16), "scale": np.full(2, 0.5, np.float16)}
        write(writer, "activations.half", keys(at("train", 0, 0), 2) | values)
    found = tt.open(tmp_path / "run").sql('select "values"[2], scale from "activations.half"').fetchall()
    assert found == [(1.0, 0.5)] * 2


def test_a_table_that_the_manifest_says_nothing_of_goes_by_its_name(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run", metadata={"tensors": "nonsense"}) as writer:
        write(writer, "weights.out.kernel", keys(at("train", 0, 0), 1) | {"values": np.ones((1, 2, 3), np.float32)})
    assert tt.open(tmp_path / "run").weights("out.kernel").values.shape == (1, 2, 3)


def test_shapes_that_change(tmp_path: Path) -> None:
    """Sequences padded to the longest of a batch."""
    tensors = {"tensors": {"activations.seq": {"kind": "activations", "path": "seq"}}}
    with RunWriter(tmp_path / "run", metadata=tensors) as writer:
        for step, length in enumerate([2, 3, 4]):
            where = keys(at("train", 0, step), 2)
            ids = {"position": np.arange(2, dtype=np.int32), "sample_id": np.arange(2), "fingerprint": np.arange(2)}
            write(writer, "activations.seq", where | ids | {"values": np.full((2, length), step, np.float32)})
            writer.write(
                "activations",
                long_rows(at("train", 0, step), [("seq", "mean", "batch", np.full(length, 1.0))]),
            )
    run = tt.open(tmp_path / "run")
    assert run.activations("seq").values.shape == (6, 4)
    np.testing.assert_array_equal(run.activations("seq", step=1).values, np.full((2, 3), 1))
    with pytest.raises(tt.StoreError, match=r"The shape of mean of 'seq' changed"):
        _ = run.activations("seq").statistics["mean"]
    assert run.activations("seq", step=2).statistics["mean"].shape == (1, 4)
    assert run.sql('select count(*) from "activations.seq"').fetchall() == [(6,)]
