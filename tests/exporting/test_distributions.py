"""Curves and histograms of what was recorded, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.exporting import made
from truetap.exporting.chosen import Chosen, choose
from truetap.exporting.distributions import Distributions, Histogram
from truetap.exporting.naming import Distinct, valid_text
from truetap.exporting.series import Curve, by_epoch, by_step
from truetap.reducers import Histogram as Reducer
from truetap.reducers import Quantiles
from truetap.run import Run


@pytest.fixture(scope="module")
def chosen(written: made.Made) -> Chosen:
    return choose(written.run, None, None, None)


@pytest.fixture(scope="module")
def shown(chosen: Chosen) -> dict[tuple[str, int], Histogram]:
    return {(each.name, each.step): each for each in Distributions(chosen) if isinstance(each, Histogram)}


def test_curves_have_points_where_something_was_recorded(written: made.Made, chosen: Chosen) -> None:
    found = {(curve.phase, curve.name): curve for curve in by_step(chosen)}
    assert sorted(found) == sorted(
        (phase, name) for phase in ("train", "val") for name in ("loss", "loss_scale", f"running/{made.HOSTILE}")
    )
    loss = found["train", "loss"]
    assert loss.at.tolist() == [0, 1, 2, 3]
    assert np.array_equal(loss.values, [1.0, np.nan, 1 / 3, np.inf], equal_nan=True)
    scale = found["val", "loss_scale"]
    assert (scale.at.tolist(), scale.values.tolist()) == ([0, 2], [2.0, 2.0])
    epochs = {curve.name: curve for curve in by_epoch(chosen)}
    assert sorted(epochs) == ["accuracy", "loss", "val_loss"]
    assert epochs["loss"].values.tolist() == [1.0, 0.5]
    assert np.array_equal(epochs["accuracy"].values, [0.5, np.nan], equal_nan=True)


def test_recorded_histograms_stay_as_they_are(written: made.Made, shown: dict[tuple[str, int], Histogram]) -> None:
    rows = {name: written.column("activations", name) for name in ("path", "statistic", "values", "step")}
    for at in np.flatnonzero(rows["statistic"] == "histogram"):
        found = shown["activations/a_b/histogram", rows["step"][at]]
        counts = np.asarray(rows["values"][at])
        filled = np.flatnonzero(counts)
        assert found.counts.tolist() == counts[filled[0] : filled[-1] + 1].tolist()
        assert found.edges.tolist() == made.EDGES[filled[0] : filled[-1] + 2]


def test_between_quantiles_lies_the_share_of_their_probabilities(
    written: made.Made, chosen: Chosen, shown: dict[tuple[str, int], Histogram]
) -> None:
    rows = {name: written.column("activations", name) for name in ("path", "statistic", "values", "step")}
    curves = {each.name: each for each in Distributions(chosen) if isinstance(each, Curve)}
    at = np.flatnonzero(rows["statistic"] == "quantiles")
    for row in at:
        found = shown["activations/a_b/quantiles", rows["step"][row]]
        assert found.edges == pytest.approx(rows["values"][row])
        assert found.counts == pytest.approx([0.4, 0.4])
    for place, probability in enumerate(made.PROBABILITIES):
        curve = curves[f"activations/a_b/quantiles/{probability:g}"]
        assert curve.values == pytest.approx([rows["values"][row][place] for row in at])


def test_raw_values_are_counted_step_by_step(written: made.Made, shown: dict[tuple[str, int], Histogram]) -> None:
    values, steps = written.column("activations.conv", "values"), written.column("activations.conv", "step")
    for step in range(made.STEPS * made.EPOCHS):
        of_step = values[steps == step].astype(np.float64)
        found = shown["activations/shared#1", step]
        assert found.counts.sum() == of_step.size
        assert (found.edges[0], found.edges[-1]) == (of_step.min(), of_step.max())
        assert np.array_equal(found.counts, np.histogram(of_step, found.edges)[0])
        assert found.moments == pytest.approx((of_step.size, of_step.sum(), (of_step**2).sum()))
        gradient = shown["gradients/conv/kernel", step]
        assert gradient.moments is not None
        assert gradient.moments[0] == 6  # of eight values, one is NaN and one infinite
    assert not [name for name, _ in shown if name.startswith("inputs")]


def test_statistics_of_features_are_counted_and_unknown_ones_said(chosen: Chosen, written: made.Made) -> None:
    found = Distributions(chosen)
    names = {each.name for each in found}
    assert "activations/a_b/min" in names
    assert found.untold == {"activations/a_b/own": "what its values, shape (2,), mean isn't recorded"}


def test_default_edges_and_probabilities_are_those_of_the_reducers(recorded: Run) -> None:
    found = [each for each in Distributions(choose(recorded, None, "train", None)) if isinstance(each, Histogram)]
    default = [each for each in found if each.name == "activations/features/histogram"]
    edges = Reducer().edges
    counts = recorded.activations("features").statistics["histogram"]
    assert len(default) == len(counts) > 1
    for one, other in zip(default, counts, strict=True):
        filled = np.flatnonzero(other)
        assert one.counts.tolist() == other[filled[0] : filled[-1] + 1].tolist()
        assert one.edges.tolist() == edges[filled[0] : filled[-1] + 2].tolist()
    assert [each.edges.tolist() for each in found if each.name == "gradients/digit/kernel/histogram"]
    own = [each for each in found if each.name.startswith("optimizer_state/") and each.name.endswith("/histogram")]
    assert {edge for each in own for edge in each.edges.tolist()} == {-1, -0.01, 0, 0.01, 1}  # the tap's, not defaults
    assert Quantiles().probabilities.tolist() == [0.05, 0.25, 0.5, 0.75, 0.95]


def test_names_stay_apart() -> None:
    names = Distinct(lambda name: name.replace("#", "_"), most=6)
    assert [names(each) for each in ("a#b", "a_b", "a#b", "a_#", "long_name", "long_nx")] == [
        "a_b",
        "a_b-2",
        "a_b",
        "a__",
        "long_n",
        "long-2",
    ]
    assert valid_text("a\ud800é") == "a?é"
