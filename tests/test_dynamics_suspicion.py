"""What makes a label suspicious, and which epochs are asked: NumPy alone, no run."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import cohen_kappa_score

from truetap.dynamics.epoch_weights import EpochWeights, Steadiness
from truetap.dynamics.suspicion import evidence, judge

Array = npt.NDArray[Any]


def weights_of(predicted: Array, labels: Array) -> EpochWeights:
    """Of predictions (epochs, n)."""
    steady = Steadiness(range(len(predicted)), int(max(predicted.max(), labels.max())) + 1)
    for epoch, classes in enumerate(predicted):
        steady.add(np.arange(len(labels)), classes, labels, epoch)
    return steady.result()


def by_hand(predicted: Array, labels: Array) -> Array:
    """The squared share of samples with one other class at the visits before, at and after, of informed epochs."""
    count = len(predicted)
    kappa = np.asarray([max(0.0, cohen_kappa_score(epoch, labels)) for epoch in predicted])
    shares = []
    for epoch in range(count):
        first = min(max(epoch - 1, 0), count - 3)
        three = predicted[first : first + 3]
        steady = (three == three[0]).all(axis=0) & (three[0] != labels)
        shares.append(steady.mean() * min(1, 2 * kappa[epoch] / kappa.max()))
    return np.asarray((np.asarray(shares) / max(shares)) ** 2)


def test_weights_against_a_few_lines() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 200)
    predicted = np.where(rng.random((9, 200)) < 0.7, (labels + (rng.random(200) < 0.3)) % 3, rng.integers(0, 3, 200))
    found = weights_of(predicted, labels)
    np.testing.assert_allclose(found.weights, np.maximum(by_hand(predicted, labels), 1e-3))


def test_a_model_that_predicts_one_class_for_all_is_not_asked() -> None:
    """It contradicts all labels but those of one class, and steadily."""
    true, labels = np.arange(300) % 5, np.arange(300) % 5
    labels[:40] = (labels[:40] + 1) % 5
    found = weights_of(np.stack([*[np.zeros(300, np.int64)] * 6, *[true] * 6]), labels)
    assert found.weights[:5].max() == 1e-3
    np.testing.assert_array_equal(found.weights[7:], 1)


def test_agreement_of_the_first_epoch_beyond_chance() -> None:
    labels = np.arange(400) % 4
    right = np.arange(400) < 160
    first = np.where(right, labels, (labels + 1) % 4)  # a quarter would be right by chance
    expected = (160 / 400 - 0.25) / np.sqrt(0.25 * 0.75 / 400)
    assert weights_of(np.stack([first, labels, labels]), labels).beyond_chance == pytest.approx(expected)
    assert weights_of(np.stack([np.zeros(400, np.int64), labels, labels]), labels).beyond_chance == pytest.approx(0)


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


def test_in_such_a_pair_a_label_that_was_learned_early_is_flagged_too() -> None:
    confused = [[0.05, 0.95, 0.0, 0.0]] * 60 + [[0.55, 0.45, 0.0, 0.0]]
    others = [[0.55, 0.0, 0.45, 0.0]] + [[0.9, 0.0, 0.1, 0.0], [0.0, 0.1, 0.9, 0.0], [0.0, 0.0, 0.1, 0.9]] * 200
    labels = np.asarray([0] * 61 + [0] + [0, 2, 3] * 200)
    found = judge(evidence(scores(confused + others), labels), labels, 4, overcome=0.05)
    assert found.flagged[:61].all()
    assert found.suggested[60] == 1
    assert not found.flagged[61:].any()
    np.testing.assert_array_equal(found.suggested[61:], labels[61:])
    often = judge(evidence(scores(confused + others), labels), labels, 4, overcome=0.25)  # pairs say nothing then
    assert not often.flagged[60]


def test_the_score_by_hand() -> None:
    """Of pairs: 30 of 40 samples strongly contradicted, and 0 of 60."""
    rows = scores([[0.1, 0.9, 0.0]] * 30 + [[0.9, 0.1, 0.0]] * 10 + [[0.0, 0.2, 0.8]] * 60)
    labels = np.asarray([0] * 40 + [2] * 60)
    share = (30 + 1) / (100 + 2)
    of_pair = np.asarray([(30 + 10 * share) / 50, (0 + 10 * share) / 70])
    gathered = 1 - (30 * 30 / (30 * 29)) / 6
    shift = gathered * (np.log(of_pair / (1 - of_pair)) - np.log(share / (1 - share)))
    margin = np.asarray([0.8, -0.8, -0.6])
    odds = np.log((1.001 + margin) / (1.001 - margin)) + shift[[0, 0, 1]]
    needed = 0.35 * np.log(1.801 / 0.201)
    found = judge(evidence(rows, labels), labels, 3, overcome=0.1)
    np.testing.assert_allclose(found.score[[0, 30, 40]], 1 / (1 + np.exp(needed - odds)), rtol=1e-5)


def test_where_the_model_is_sure_of_wrong_labels_small_margins_are_left_alone() -> None:
    small = [[0.35, 0.65]]
    labels = np.zeros(21, np.int64)
    sure = judge(evidence(scores([[0.01, 0.99]] * 20 + small), labels), labels, 2, overcome=0.05)
    unsure = judge(evidence(scores([[0.24, 0.76]] * 20 + small), labels), labels, 2, overcome=0.05)
    assert sure.flagged.tolist() == [True] * 20 + [False]
    assert unsure.flagged.all()


@pytest.mark.parametrize(("classes", "overcome"), [(2, 0.28), (3, 0.2)])
def test_where_right_labels_are_contradicted_as_often_next_to_nothing_is_flagged(classes: int, overcome: float) -> None:
    rows = np.zeros((40, classes), np.float32)
    rows[:, 1] = np.linspace(0.5, 0.94, 40)
    rows[:, 0] = 1 - rows[:, 1]
    labels = np.zeros(40, np.int64)
    assert not judge(evidence(rows, labels), labels, classes, overcome).flagged.any()


def test_scores_that_agree_are_never_flagged() -> None:
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.ones(4), 500)
    labels = rows.argmax(axis=1)
    found = judge(evidence(rows, labels), labels, 4, overcome=0.0)
    assert not found.flagged.any()
    np.testing.assert_array_equal(found.suggested, labels)
