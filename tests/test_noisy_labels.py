"""Labels that contradict a model where it is surest, seen on rows made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from truetap.diagnosis.rows import Rows
from truetap.diagnosis.rules.noisy_labels import NoisyLabels

ROWS, STEPS, CLASSES = 3000, 30, 4


def rows(epoch: int, wrong: np.ndarray[Any, Any]) -> Rows:
    """Sure and right answers, but for those named."""
    rng = np.random.default_rng(epoch)
    true = rng.integers(0, CLASSES, ROWS)
    said = np.where(wrong, (true + rng.integers(1, CLASSES, ROWS)) % CLASSES, true)
    pred = 0.02 + 0.94 * np.eye(CLASSES)[said] + rng.uniform(0, 0.01, (ROWS, CLASSES))
    pred /= pred.sum(axis=1, keepdims=True)
    steps = np.arange(ROWS) * STEPS // ROWS + epoch * STEPS
    return Rows("train", epoch, ROWS, true, pred, None, None, None, None, np.arange(ROWS), steps)


class Output:
    """What the rule reads of an output."""

    meant, name, words, loss_name = "classes", "", "the output", ""

    def __init__(self, of: dict[int, Rows]) -> None:
        self.first, self._of = of[0], of


class Recorded:
    """What the rule reads of a run: two epochs of one output."""

    def __init__(self, wrong: np.ndarray[Any, Any]) -> None:
        self._of = {0: rows(0, wrong), 1: rows(1, wrong)}
        self.labelled = [Output(self._of)]
        self.sample_epochs = {"train": [0, 1]}

    def rows(self, output: str, phase: str, epoch: int) -> Rows:
        return self._of[epoch]


@pytest.mark.parametrize(("burst", "said"), [(False, True), (True, False)])
def test_a_bad_moment_of_the_model_is_no_noise(burst: bool, said: bool) -> None:
    rng = np.random.default_rng(9)
    wrong = np.arange(ROWS) < ROWS // 5 if burst else rng.random(ROWS) < 0.2
    evidence: Any = Recorded(wrong)
    assert bool(list(NoisyLabels().check(evidence))) is said
