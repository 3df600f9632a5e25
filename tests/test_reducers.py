"""Reducers on the host: names, merging, and what they say when they can't be made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from truetap import reducers
from truetap.errors import TapError
from truetap.reducers import Histogram, Quantiles, Reducer
from truetap.reducers.registry import resolve

NAMES = [
    "mean",
    "std",
    "min",
    "max",
    "l1",
    "l2",
    "norm",
    "zeros",
    "nonfinite",
    "near_one",
    "near_zero",
    "dead",
    "twins",
]
NAMES += ["histogram", "quantiles"]


def test_every_name_is_the_statistics_name() -> None:
    assert [each.name for each in resolve(NAMES)] == NAMES


def test_a_name_a_reducer_a_class_or_several() -> None:
    median = Quantiles([0.5], name="median")
    assert resolve(median) == (median,)
    assert [each.name for each in resolve(("mean", median, reducers.Std))] == ["mean", "median", "std"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("men", r"There is no reducer 'men'\. Near names: 'mean'"),
        (3, r"a name or a truetap\.reducers\.Reducer\. Received: 3"),
        (["mean", "mean"], r"names of their own\. Received: 'mean' 2 times"),
        ([], r"reduce=\[\] names no reducer"),
        (Reducer(), r"needs a name, as its attribute\. Received: Reducer\.name=''"),
    ],
)
def test_what_is_no_reducer(spec: Any, message: str) -> None:
    with pytest.raises(TapError, match=message):
        resolve(spec)


@pytest.mark.parametrize("edges", [[1.0], [0.0, 0.0], [2.0, 1.0], [0.0, np.nan], [[0.0, 1.0]], [1.0, 1.0 + 1e-12]])
def test_edges_must_increase(edges: Any) -> None:
    with pytest.raises(TapError, match=r"at least two increasing numbers, apart in float32"):
        Histogram(edges)


def test_probabilities_and_errors_have_limits() -> None:
    with pytest.raises(TapError, match="numbers from 0 to 1"):
        Quantiles([1.5])
    with pytest.raises(TapError, match=r"from 0\.001 to 0\.34\. Received: 0"):
        Quantiles([0.5], relative_error=0)


def test_bins_of_powers_of_two_are_bounded_by_their_edges() -> None:
    edges = Histogram().edges
    assert (np.diff(edges) > 0).all()
    np.testing.assert_array_equal(edges, -edges[::-1])
    assert 2.0**-40 in edges
    assert 2.0**24 in edges


def test_merging_is_the_sum_unless_a_reducer_says_otherwise() -> None:
    one, other = {"a": np.asarray([1.0, 2.0])}, {"a": np.asarray([10.0, 20.0])}
    np.testing.assert_array_equal(Reducer().merge(one, other)["a"], [11, 22])


def test_merging_moments_loses_nothing_to_cancellation() -> None:
    """Means of 1e8 and deviations of 1: sums of squares would leave none of them in float64's 16 digits."""
    rng = np.random.default_rng(0)
    values = 1e8 + rng.normal(size=100_000)
    std, merged = reducers.Std(), None
    for part in np.array_split(values, 17):
        state = {
            "count": np.asarray(float(len(part))),
            "mean": part.mean(),
            "scale": np.asarray(1.0),
            "squares": ((part - part.mean()) ** 2).sum(),
        }
        merged = state if merged is None else std.merge(merged, state)
    assert merged is not None
    np.testing.assert_allclose(std.result(merged), values.std(), rtol=1e-9)


def test_they_show_themselves() -> None:
    assert repr(Histogram([0, 1])) == "Histogram([0.0, 1.0])"
    assert repr(Quantiles([0.5])) == "Quantiles([0.5], relative_error=0.02)"
    assert repr(resolve("norm")) == "(L2(name='norm'),)"
