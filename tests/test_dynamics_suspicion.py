"""What makes a label suspicious, and which epochs are asked: NumPy alone, no run."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from truetap.dynamics.epoch_weights import EpochWeights, Steadiness
from truetap.dynamics.suspicion import evidence, judge

Array = npt.NDArray[Any]


def weights_of(predicted: Array, labels: Array) -> EpochWeights:
    """Of predictions (epochs, n)."""
    steady = Steadiness(range(len(predicted)))
    for epoch, classes in enumerate(predicted):
        steady.add(np.arange(len(labels)), classes, labels, epoch)
    return steady.result()


def by_hand(predicted: Array, labels: Array) -> Array:
    """The squared share of samples with one other class at the visits before, at and after."""
    count = len(predicted)
    shares = []
    for epoch in range(count):
        first = min(max(epoch - 1, 0), count - 3)
        three = predicted[first : first + 3]
        shares.append(((three == three[0]).all(axis=0) & (three[0] != labels)).mean())
    return np.asarray((np.asarray(shares) / max(shares)) ** 2)


def test_weights_against_a_few_lines() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 200)
    predicted = np.where(rng.random((9, 200)) < 0.7, (labels + (rng.random(200) < 0.3)) % 3, rng.integers(0, 3, 200))
    found = weights_of(predicted, labels)
    np.testing.assert_allclose(found.weights, np.maximum(by_hand(predicted, labels), 1e-3))


def test_epochs_before_anything_is_learned_and_after_all_is_memorised_count_little() -> None:
    rng = np.random.default_rng(2)
    true, labels = np.arange(300) % 5, np.arange(300) % 5
    labels[:40] = (labels[:40] + 1) % 5
    random = [rng.integers(0, 5, 300) for _ in range(4)]
    found = weights_of(np.stack([*random, *[true] * 6, *[labels] * 10]), labels)
    assert found.weights[5:9].min() > 0.9
    assert found.weights[:3].max() < 0.1
    assert found.weights[12:].max() == 1e-3


def test_where_nothing_is_memorised_late_epochs_count() -> None:
    true, labels = np.arange(300) % 5, np.arange(300) % 5
    labels[:40] = (labels[:40] + 1) % 5
    found = weights_of(np.stack([true] * 12), labels)
    np.testing.assert_array_equal(found.weights, 1)
    assert found.overcome == 0


def test_where_nothing_is_contradicted_all_epochs_count() -> None:
    labels = np.arange(10) % 2
    found = weights_of(np.stack([labels] * 4), labels)
    np.testing.assert_array_equal(found.weights, 1)
    assert 0 < found.overcome < 1


def test_contradictions_that_learning_ends_are_counted() -> None:
    labels = np.zeros(10, np.int64)
    first = np.ones(10, np.int64)
    last = np.where(np.arange(10) < 4, 0, 1)
    assert weights_of(np.stack([first, first, first, last]), labels).overcome == pytest.approx(0.4)


def test_fewer_epochs_than_three() -> None:
    labels = np.asarray([0, 0])
    np.testing.assert_array_equal(weights_of(np.asarray([[0, 1]]), labels).weights, [1])
    np.testing.assert_array_equal(weights_of(np.asarray([[0, 1], [0, 1]]), labels).weights, [1, 1])


def scores(rows: list[list[float]]) -> Array:
    return np.asarray(rows, np.float32)


def test_the_more_a_label_is_contradicted_the_higher_the_score() -> None:
    rows = scores([[0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.1, 0.85, 0.05], [0.0, 1.0, 0.0]])
    labels = np.zeros(4, np.int64)
    found = judge(evidence(rows, labels), labels, 3, overcome=0.05)
    assert np.all(np.diff(found.score) > 0)
    assert found.flagged.tolist() == [False, False, True, True]
    assert found.suggested.tolist() == [0, 0, 1, 1]
    assert 0 <= found.score.min() <= found.score.max() <= 1
    np.testing.assert_array_equal(found.flagged, found.score > 0.5)


def test_more_is_needed_where_contradictions_are_often_overcome() -> None:
    rows = scores([[0.25, 0.75], [0.05, 0.95]])
    labels = np.zeros(2, np.int64)
    assert judge(evidence(rows, labels), labels, 2, overcome=0.05).flagged.tolist() == [True, True]
    assert judge(evidence(rows, labels), labels, 2, overcome=0.22).flagged.tolist() == [False, True]


def test_a_pair_of_classes_that_people_confuse_weighs_more() -> None:
    """Sixty strong contradictions of one pair, and weak ones of others: equal margins are not equal evidence."""
    strong, weak = [0.1, 0.9, 0.0, 0.0], [0.38, 0.62, 0.0, 0.0]
    confused = [strong] * 60 + [weak]
    others = [[0.62, 0.0, 0.38, 0.0], [0.0, 0.0, 0.38, 0.62]] * 20
    labels = np.asarray([0] * 61 + [2] * 40)
    found = judge(evidence(scores(confused + others), labels), labels, 4, overcome=0.05)
    assert found.score[60] > found.score[61:].max()
    assert found.flagged[:61].all()
    assert not found.flagged[61:].any()


def test_scores_that_agree_are_never_flagged() -> None:
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.ones(4), 500)
    labels = rows.argmax(axis=1)
    found = judge(evidence(rows, labels), labels, 4, overcome=0.0)
    assert not found.flagged.any()
    np.testing.assert_array_equal(found.suggested, labels)
