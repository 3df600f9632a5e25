"""Sequences and images: padding never counts, steps and classes have tables."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk

from truetap.errors import TaskError
from truetap.evaluation import Chunk, evaluate
from truetap.tasks import OutputTask, Task

from .pairs import run, softmax_rows

RNG = np.random.default_rng(11)
N, T, C = 40, 6, 4
TAGS = OutputTask(Task.MULTICLASS, logits=False, classes=C, positions=1)
LENGTHS = RNG.integers(1, T + 1, N)
MASK = np.arange(T) < LENGTHS[:, None]
Y = np.where(MASK, RNG.integers(0, C, (N, T)), 0)
P = 0.75 * softmax_rows(RNG, N, T, C) + 0.25 * np.eye(C)[Y]
RIGHT = P.argmax(-1) == Y
assert 0.3 < RIGHT.mean() < 0.9


@pytest.mark.parametrize("size", [None, 1, 7])
def test_padding_doesnt_count(size: int | None) -> None:
    got = run(Chunk(Y, P, MASK), TAGS, size)
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(Y[MASK], P.argmax(-1)[MASK]))
    assert got["log_loss"] == pytest.approx(sk.log_loss(Y[MASK], P[MASK]))
    assert got["exact_match"] == pytest.approx((RIGHT | ~MASK).all(1).mean())
    assert (got.num_samples, got.num_valid) == (N, MASK.sum())
    for row in got.per_timestep:
        valid = MASK[:, row.step]
        assert row.count == valid.sum()
        assert row.accuracy == pytest.approx(RIGHT[valid, row.step].mean())
    assert "mean_iou" not in got


def test_weights_of_steps_and_of_sequences() -> None:
    steps = RNG.random((N, T))
    got = run(Chunk(Y, P, MASK.astype(np.uint8), steps), TAGS, 7, weighted=True)
    assert got["accuracy"] == pytest.approx(np.average(RIGHT[MASK], weights=steps[MASK]))
    assert got.per_timestep[0].accuracy == pytest.approx(np.average(RIGHT[:, 0], weights=steps[:, 0]))
    rows = RNG.random(N)
    got = run(Chunk(Y, P, MASK, rows), TAGS, 7, weighted=True)
    spread = np.broadcast_to(rows[:, None], (N, T))
    assert got["accuracy"] == pytest.approx(np.average(RIGHT[MASK], weights=spread[MASK]))
    assert got["exact_match"] == pytest.approx(np.average((RIGHT | ~MASK).all(1), weights=rows))


def test_a_step_of_weight_0_may_be_wrong_in_an_exact_match() -> None:
    got = run(Chunk(Y, P, weight=RIGHT * 1.0), TAGS, 7, weighted=True)
    assert got["exact_match"] == 1


def test_batches_padded_to_lengths_of_their_own() -> None:
    chunks = [Chunk(Y[:9, :3], P[:9, :3], MASK[:9, :3]), Chunk(Y[9:], P[9:], MASK[9:])]
    got = evaluate(lambda: iter(chunks), TAGS)
    kept = MASK.copy()
    kept[:9, 3:] = False
    assert got["accuracy"] == pytest.approx(RIGHT[kept].mean())
    assert len(got.per_timestep) == T


def test_labels_that_mean_ignore_are_left_out_and_said() -> None:
    marked = Y.copy()
    marked[0, 0], marked[1, 0] = -1, 255
    keep = (marked >= 0) & (marked < C)
    got = run(Chunk(marked, P), TAGS, 7)
    assert got["accuracy"] == pytest.approx(RIGHT[keep].mean())
    assert "1 positions with label 255 were left out: it means 'not labelled'." in got.notes
    background = OutputTask(Task.MULTICLASS, False, C, positions=1, ignore_class=0)
    assert run(Chunk(Y, P), background, 7)["accuracy"] == pytest.approx(RIGHT[Y > 0].mean())
    other = np.where(Y == 0, 17, Y)
    background = OutputTask(Task.MULTICLASS, False, C, positions=1, ignore_class=17)
    assert run(Chunk(other, P), background, 7)["accuracy"] == pytest.approx(RIGHT[Y > 0].mean())
    marked[2, 0] = C
    with pytest.raises(TaskError, match="Received: label 4 for an output of 4 classes"):
        run(Chunk(marked, P), TAGS)


def test_regression_by_timestep() -> None:
    t = RNG.normal(size=(N, T))
    p = t + RNG.normal(size=(N, T))
    spec = OutputTask(Task.REGRESSION, logits=False, classes=0, positions=1)
    got = run(Chunk(t, p[..., None], MASK), spec, 7)
    assert got["mae"] == pytest.approx(np.abs(p - t)[MASK].mean())
    assert got["r2"] == pytest.approx(sk.r2_score(t[MASK], p[MASK]))
    for row in got.per_timestep:
        assert row.mae == pytest.approx(np.abs(p - t)[MASK[:, row.step], row.step].mean())
    assert "exact_match" not in got


@pytest.mark.parametrize("channel", [False, True])
def test_segmentation_has_iou(channel: bool) -> None:
    y = RNG.integers(0, C, (5, 8, 9))
    p = 0.75 * softmax_rows(RNG, 5, 8, 9, C) + 0.25 * np.eye(C)[y]
    spec = OutputTask(Task.MULTICLASS, logits=False, classes=C, positions=2)
    got = run(Chunk(y[..., None] if channel else y, p), spec, 2)
    expected = sk.jaccard_score(y.ravel(), p.argmax(-1).ravel(), average=None)
    np.testing.assert_allclose([row.iou for row in got.per_class], expected)
    assert got["mean_iou"] == pytest.approx(expected.mean())
    assert not got.per_timestep


def test_binary_segmentation() -> None:
    y = RNG.integers(0, 2, (5, 8, 9, 1))
    p = 0.3 * y + 0.7 * RNG.random((5, 8, 9, 1))
    got = run(Chunk(y, p), OutputTask(Task.BINARY, logits=False, classes=2, positions=2))
    expected = sk.jaccard_score(y.ravel(), p.ravel() >= 0.5, average=None)
    assert got["mean_iou"] == pytest.approx(expected.mean())
    assert got["roc_auc"] == pytest.approx(sk.roc_auc_score(y.ravel(), p.ravel()))


def test_multilabel_sequences() -> None:
    y = RNG.integers(0, 2, (N, T, 3))
    p = 0.3 * y + 0.7 * RNG.random((N, T, 3))
    got = run(Chunk(y, p, MASK), OutputTask(Task.MULTILABEL, False, 3, positions=1), 7)
    assert got["f1_micro"] == pytest.approx(sk.f1_score(y[MASK], p[MASK] >= 0.5, average="micro"))
    right = (y == (p >= 0.5)).all(-1)
    assert got["exact_match"] == pytest.approx((right | ~MASK).all(1).mean())


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (Chunk(Y, P, MASK[:, :3]), r"mask of an output"),
        (Chunk(Y, P, None, RNG.random((N, T, C))), "weights of an output"),
        (Chunk(Y[:, :3], P), "differ in shape"),
    ],
)
def test_parts_that_dont_fit(chunk: Chunk, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        run(chunk, TAGS, weighted=chunk.weight is not None)
