"""Inputs as vectors: against the formulas, written out."""

from __future__ import annotations

import numpy as np

from truetap.diagnosis.features import features
from truetap.diagnosis.sampled import Sampled


def test_words_are_counted_and_weighed_by_how_rare_they_are() -> None:
    ids = np.asarray([[1.0, 1.0, 2.0], [1.0, 3.0, 3.0], [1.0, 4.0, 2.0]])
    found = features(Sampled("x", ids, None, looked_up=True))
    # of words 1 to 4: in 3, 2, 1 and 1 of 3 texts
    rare = np.log(3 / np.asarray([3, 2, 1, 1]))
    counts = np.asarray([[2, 1, 0, 0], [1, 0, 2, 0], [1, 1, 0, 1]])
    expected = counts * rare
    assert found is not None
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True))


def test_numbers_are_standardised_and_constants_left_out() -> None:
    values = np.asarray([[[0.5, 7.0]], [[1.5, 7.0]], [[4.0, 7.0]]])
    found = features(Sampled("x", values, None, looked_up=False))
    assert found is not None
    np.testing.assert_allclose(found, (values[:, :, 0] - 2.0) / values[:, :, 0].std())


def test_whole_numbers_that_nothing_looks_up_have_no_distance() -> None:
    assert features(Sampled("x", np.asarray([[3.0, 9.0], [4.0, 1.0]]), None, looked_up=False)) is None


def test_the_same_words_in_all_texts_tell_nothing() -> None:
    assert features(Sampled("x", np.asarray([[1.0, 2.0], [2.0, 1.0]]), None, looked_up=True)) is None
