"""Reducers inside the step against NumPy on the same values, however the step is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from truetap import reducers
from truetap.backends import current
from truetap.errors import TapError
from truetap.reducers.registry import resolve
from truetap.reducers.step import reduce_all, states

from .in_step import BACKEND, WAYS, fetched, tensor

Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)
ALL = ["mean", "std", "min", "max", "l1", "l2", "norm", "zeros", "nonfinite", "near_one", "near_zero", "dead"]
EDGES = np.linspace(-2.0, 2.0, 9)


def dead_units(x: Array) -> Array:
    return np.asarray((x.reshape(-1, x.shape[-1]) == 0).all(axis=0))


def numpy_says(name: str, x: Array, axis: int | None) -> Array:
    x = x.astype(np.float64)
    of: dict[str, Callable[[], Any]] = {
        "mean": lambda: x.mean(axis=axis),
        "std": lambda: x.std(axis=axis),
        "min": lambda: x.min(axis=axis),
        "max": lambda: x.max(axis=axis),
        "l1": lambda: np.abs(x).sum(axis=axis),
        "l2": lambda: np.sqrt((x**2).sum(axis=axis)),
        "norm": lambda: np.sqrt((x**2).sum(axis=axis)),
        "zeros": lambda: (x == 0).mean(axis=axis),
        "nonfinite": lambda: (~np.isfinite(x)).sum(axis=axis),
        "near_one": lambda: (np.abs(x) >= 0.99).mean(axis=axis),
        "near_zero": lambda: (np.abs(x) <= 0.01).mean(axis=axis),
        "dead": lambda: (x == 0).all(axis=0) if axis == 0 or x.ndim < 2 else dead_units(x).mean(),
    }
    with np.errstate(invalid="ignore"):
        return np.asarray(of[name]())


@pytest.fixture(params=list(WAYS))
def compiled(request: pytest.FixtureRequest) -> Any:
    return WAYS[request.param]


def reduced(compiled: Any, x: Array, spec: Any, axis: int | None) -> dict[str, reducers.State]:
    chosen = resolve(spec)

    def step(values: Any) -> dict[str, Any]:
        return reduce_all({"a/b": values}, chosen, axis)  # type: ignore[arg-type]

    return states(fetched(compiled(step)(tensor(x))))["a/b"]


def check(compiled: Any, x: Array, spec: list[str], axis: int | None, rtol: float = 1e-5) -> None:
    found = reduced(compiled, x, spec, axis)
    for each in resolve(spec):
        expected = numpy_says(each.name, x, axis)
        np.testing.assert_allclose(each.result(found[each.name]), expected, rtol=rtol, atol=1e-6, err_msg=each.name)


# --- one batch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (7,), (1, 3), (4, 1000)])
def test_against_numpy(compiled: Any, shape: tuple[int, ...], axis: int | None) -> None:
    x = RNG.normal(loc=3, size=shape).astype("float32")
    x[x < 2] = 0
    check(compiled, x, ALL, axis)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("axis", [None, 0])
def test_other_dtypes(compiled: Any, dtype: str, axis: int | None) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    check(compiled, RNG.integers(0, 3, (50, 40)).astype(kind), ALL, axis)


def test_a_large_float16_tensor_is_summed_in_float32(compiled: Any) -> None:
    x = np.full((100, 1000), 3.0, "float16")
    x[0] = 0
    check(compiled, x, ALL, None)


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf], [np.nan, np.inf]])
@pytest.mark.parametrize("axis", [None, 0])
def test_values_that_are_not_finite_are_as_in_numpy(compiled: Any, bad: list[float], axis: int | None) -> None:
    x = RNG.normal(size=(8, 3)).astype("float32")
    x[3 : 3 + len(bad), 1] = bad
    check(compiled, x, ALL, axis)


def test_a_scalar(compiled: Any) -> None:
    x = np.asarray(-2.5, "float32")
    check(compiled, x, ALL, None)


@pytest.mark.parametrize(
    ("magnitude", "spec"), [(1e-37, ["l2"]), (1e-25, ["l2", "std"]), (1e25, ["l2", "std"]), (1e37, ["l2"])]
)
def test_norms_of_vanished_and_exploded_values(compiled: Any, magnitude: float, spec: list[str]) -> None:
    """Their squares are beyond float32."""
    x = (RNG.uniform(0.5, 1, (40, 5)) * magnitude * 3).astype("float32")
    for axis in (None, 0):
        found = reduced(compiled, x, spec, axis)
        for each in resolve(spec):
            np.testing.assert_allclose(each.result(found[each.name]), numpy_says(each.name, x, axis), rtol=1e-4)


def test_the_smallest_numbers_are_not_zeros(compiled: Any) -> None:
    x = np.asarray([1e-40, 0.0, -0.0, 1.0], "float32")
    assert reducers.Zeros().result(reduced(compiled, x, "zeros", None)["zeros"]) == 0.5


def test_a_scalar_has_no_features() -> None:
    with pytest.raises(TapError, match=r"axis=0 needs a first axis\. Received: 'a', a scalar"):
        reduce_all({"a": tensor(np.asarray(1.0, "float32"))}, resolve("mean"), 0)


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(TapError, match=r"Complex numbers have no order.*'a' of dtype"):
        reduce_all({"a": tensor(np.ones((2, 2), "complex64"))}, resolve("mean"), None)


# --- no batch, and several ----------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0])
def test_an_empty_batch(compiled: Any, axis: int | None) -> None:
    spec = [*ALL, "histogram", "quantiles"]
    empty = reduced(compiled, np.zeros((0, 3), "float32"), spec, axis)
    x = RNG.normal(size=(5, 3)).astype("float32")
    whole = reduced(compiled, x, spec, axis)
    features = () if axis is None else (3,)
    for each in resolve(spec):
        of_nothing = each.result(empty[each.name])
        if each.name in ("l1", "l2", "norm", "nonfinite"):
            np.testing.assert_allclose(of_nothing, np.zeros(features))
        elif each.name != "histogram":
            assert np.isnan(of_nothing).all()
        for one, other in ((empty, whole), (whole, empty)):
            merged = each.merge(one[each.name], other[each.name])
            np.testing.assert_allclose(each.result(merged), each.result(whole[each.name]), rtol=1e-6)
            assert each.result(merged).shape[: len(features)] == features


@pytest.mark.parametrize("axis", [None, 0])
def test_unequal_batches_merge_into_the_whole(compiled: Any, axis: int | None) -> None:
    x = (RNG.normal(size=(300, 4)) * [1, 10, 0.1, 1] + [0, 1000, 0, -5]).astype("float32")
    spec = [*ALL, reducers.Histogram(EDGES), reducers.Quantiles([0.1, 0.5])]
    whole = reduced(compiled, x, spec, axis)
    parts = [reduced(compiled, x[start:stop], spec, axis) for start, stop in ((0, 3), (3, 200), (200, 300))]
    for each in resolve(spec):
        merged = parts[0][each.name]
        for part in parts[1:]:
            merged = each.merge(merged, part[each.name])
        assert {key: value.shape for key, value in merged.items()} == {
            key: value.shape for key, value in whole[each.name].items()
        }
        np.testing.assert_allclose(each.result(merged), each.result(whole[each.name]), rtol=1e-5, atol=1e-6)
        if each.name in ALL:
            np.testing.assert_allclose(each.result(merged), numpy_says(each.name, x, axis), rtol=1e-4, atol=1e-6)


# --- histograms and quantiles -------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("edges", [EDGES, np.asarray([-np.inf, -1, 0, 0.25, np.inf]), np.linspace(-3, 3, 200)])
def test_histogram_of_given_edges(compiled: Any, edges: Array, axis: int | None) -> None:
    x = RNG.normal(size=(200, 3)).astype("float32")
    x[:9, 1] = EDGES
    x[10, 0], x[11, 1], x[12, 2] = np.nan, np.inf, -np.inf
    histogram = reducers.Histogram(edges)
    got = histogram.result(reduced(compiled, x, histogram, axis)["histogram"])
    columns = [x] if axis is None else list(x.T)
    # the edges as the step compares them: in float32
    compared = edges.astype("float32")
    expected = np.stack([np.histogram(each[np.isfinite(each)], compared)[0] for each in columns])
    np.testing.assert_array_equal(got, expected[0] if axis is None else expected)


@pytest.mark.parametrize("axis", [None, 0])
def test_histogram_of_powers_of_two(compiled: Any, axis: int | None) -> None:
    x = (RNG.normal(size=(100, 3)) * np.exp(RNG.normal(size=(100, 3)) * 20)).astype("float32")
    x[:6, 0] = [0, -0.0, np.nan, np.inf, -np.inf, 1e-40]
    histogram = reducers.Histogram()
    got = histogram.result(reduced(compiled, x, histogram, axis)["histogram"])
    columns = [x.reshape(-1)] if axis is None else list(x.T)
    half = len(histogram.edges) // 2  # edges left of zero are those right of it, mirrored
    positive = histogram.edges[half:]
    expected = []
    for each in columns:
        values = each[np.isfinite(each)].astype(np.float64)
        right = np.histogram(values[values >= positive[0]], positive)[0]
        left = np.histogram(-values[-values >= positive[0]], positive)[0]
        expected.append([*left[::-1], (np.abs(values) < positive[0]).sum(), *right])
    np.testing.assert_array_equal(got, np.asarray(expected[0] if axis is None else expected))


@pytest.mark.parametrize("error", [0.02, 0.005, 0.3])
@pytest.mark.parametrize("axis", [None, 0])
def test_quantiles_are_within_their_relative_error(compiled: Any, axis: int | None, error: float) -> None:
    x = (RNG.normal(size=(2000, 3)) * np.exp(RNG.normal(size=(2000, 3)) * 9)).astype("float32")
    x[:3] = [[0, -0.0, np.nan], [np.inf, -np.inf, 0], [3e38, -3e38, 1e-37]]
    quantiles = reducers.Quantiles([0, 0.05, 0.5, 0.9, 1], relative_error=error)
    got = quantiles.result(reduced(compiled, x, quantiles, axis)["quantiles"])
    columns = [x.reshape(-1)] if axis is None else list(x.T)
    exact = np.stack(
        [
            np.quantile(each[np.isfinite(each)].astype(float), quantiles.probabilities, method="lower")
            for each in columns
        ]
    )
    np.testing.assert_allclose(got, exact[0] if axis is None else exact, rtol=error, atol=1e-37)


def test_too_many_features_for_a_sketch_of_each_are_refused() -> None:
    with pytest.raises(
        TapError, match=r"16,384 slots for each feature. Received: axis=0 and features of shape \(30, 9\)"
    ):
        reduce_all({"a": tensor(np.zeros((2, 30, 9), "float32"))}, resolve("quantiles"), 0)


# --- a condition in the step --------------------------------------------------------------------------


def gated(spec: Any, axis: Any = None, jit_compile: bool = False) -> Callable[..., dict[str, Any]]:
    def step(values: Any, active: Any) -> dict[str, Any]:
        return current().conditional(
            active, lambda: reduce_all({"a": values}, resolve(spec), axis), jit_compile=jit_compile
        )

    return step


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("axis", [None, 0])
def test_an_inactive_step_gives_zeros_or_nothing(way: str, axis: int | None) -> None:
    spec = ["mean", "std", "zeros", "histogram"]
    step = WAYS[way](gated(spec, axis, way == "xla"))
    x = tensor(RNG.normal(size=(6, 3)).astype("float32"))
    on = fetched(step(x, keras.ops.convert_to_tensor(True)))
    off = fetched(step(x, keras.ops.convert_to_tensor(False)))
    plain = fetched(reduce_all({"a": x}, resolve(spec), axis))  # type: ignore[arg-type]
    for name, value in plain.items():
        np.testing.assert_allclose(on[name], value, rtol=1e-5)
        if off:
            assert off[name].shape == value.shape
            assert not off[name].any()
    assert bool(off) == (way != "eager")


if BACKEND == "tensorflow":
    import tensorflow as tf

    @pytest.mark.parametrize("jit_compile", [True, False])
    def test_sizes_unknown_while_tracing(jit_compile: bool) -> None:
        """A batch, and steps of a sequence, of any length: statistics per feature are of an unknown shape."""
        spec = ["mean", "std", "min", "max", "l2", "zeros", "nonfinite"]
        signature = [tf.TensorSpec([None, None, 2], tf.float32), tf.TensorSpec([], tf.bool)]
        step = tf.function(gated(spec, 0, jit_compile), input_signature=signature, jit_compile=jit_compile)
        for shape in ((4, 3, 2), (1, 5, 2), (0, 5, 2)):
            x = RNG.normal(size=shape).astype("float32")
            found = states(fetched(step(tf.constant(x), tf.constant(True))))["a"]
            for each in resolve(spec):
                if len(x):
                    expected = numpy_says(each.name, x, 0)
                    np.testing.assert_allclose(each.result(found[each.name]), expected, rtol=1e-4, atol=1e-6)
            off = fetched(step(tf.constant(x), tf.constant(False)))
            assert not any(value.any() for value in off.values())


if BACKEND == "jax":
    import jax

    def test_inside_a_scan() -> None:
        x = RNG.normal(size=(4, 6, 3)).astype("float32")
        step = gated("mean")

        def body(carry: Any, values: Any) -> Any:
            return carry + 1, step(values, carry % 2 == 0)

        _, out = jax.lax.scan(body, 0, jax.numpy.asarray(x))
        total = next(np.asarray(value) for name, value in out.items() if name.endswith("sum"))
        np.testing.assert_allclose(total, [x[0].sum(), 0, x[2].sum(), 0], rtol=1e-4)


if BACKEND == "torch":
    import torch

    def test_no_gradient_is_kept() -> None:
        x = torch.randn(3, 4, requires_grad=True)
        flat = reduce_all({"a": x * 2}, resolve([*ALL, "histogram"]), None)
        assert not any(value.requires_grad for value in flat.values())


# --- units --------------------------------------------------------------------------------------------


def test_twins_are_units_that_fire_alike(compiled: Any) -> None:
    x = RNG.normal(size=(20, 4, 6)).astype("float32")
    x[..., 2] = x[..., 1]
    x[..., 4] = x[..., 5] = 0  # dead units are no twins
    found = reduced(compiled, x, "twins", None)["twins"]
    assert reducers.Twins().result(found) == pytest.approx(1 / 5)


def test_twins_of_one_batch_alone_are_none_of_both(compiled: Any) -> None:
    one, other = (reduced(compiled, x, "twins", None)["twins"] for x in (np.ones((3, 2), "float32"), np.eye(2)))
    twins = reducers.Twins()
    assert [float(twins.result(each)) for each in (one, other, twins.merge(one, other))] == [1, 0, 0]


def test_twins_of_features_are_refused() -> None:
    with pytest.raises(TapError, match=r"compares units with each other\. Received: axis=0"):
        reduce_all({"a": tensor(np.ones((2, 2), "float32"))}, resolve("twins"), 0)
