"""Fingerprints taken inside the step: the same bits as on the host, for every dtype and every way to compile."""

from __future__ import annotations

from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest

from truetap.backends import current, in_step
from truetap.fingerprint import fingerprint, join, pair

from .in_step import BACKEND, WAYS, tensor

RNG = np.random.default_rng(0)
FLOATS: dict[str, Any] = {"float16": np.uint16, "bfloat16": np.uint16, "float32": np.uint32, "float64": np.uint64}
if BACKEND == "jax":
    del FLOATS["float64"]  # JAX makes float32 of it before a step sees it, unless told otherwise: see below
INTEGERS = [f"{sign}int{size}" for sign in ("", "u") for size in (8, 16, 32, 64)]
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-5, 65504.0, 6e-8, -6e-8, 1e-40, -1e-40, 1e-45, 3.4e38]


@pytest.fixture(params=list(WAYS))
def compiled(request: pytest.FixtureRequest) -> Any:
    return WAYS[request.param]


def of(compiled: Any, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return join(keras.ops.convert_to_numpy(compiled(current().fingerprint)(tensor(x))))


def dtype_of(name: str) -> Any:
    return ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("shape", [(5, 7, 3), (4,), (3, 1)])
def test_floats_of_random_bits(compiled: Any, name: str, shape: tuple[int, ...]) -> None:
    """Random bits hold NaN with payloads, denormals and infinities."""
    bits = RNG.integers(0, np.iinfo(FLOATS[name]).max, shape, FLOATS[name], endpoint=True)
    if name == "float64" and shape[0] == 5:  # most random float64 are beyond float32: take those within
        bits = np.exp2(RNG.uniform(-160, 140, shape)).view(np.uint64)
    x = bits.view(dtype_of(name))
    np.testing.assert_array_equal(of(compiled, x), fingerprint(x))


@pytest.mark.parametrize("name", FLOATS)
def test_special_floats(compiled: Any, name: str) -> None:
    with np.errstate(over="ignore"):
        x = np.asarray(SPECIAL).astype(dtype_of(name)).reshape(-1, 1)
    np.testing.assert_array_equal(of(compiled, x), fingerprint(x))


def test_every_half(compiled: Any) -> None:
    for kind in (np.float16, ml_dtypes.bfloat16):
        x = np.arange(1 << 16, dtype=np.uint16).view(kind).reshape(-1, 1)
        np.testing.assert_array_equal(of(compiled, x), fingerprint(x))


@pytest.mark.parametrize("power", [-127, -130, -149, -150, -151, -1060])
def test_float64_that_are_denormal_as_float32(compiled: Any, power: int) -> None:
    steps = np.ldexp(np.arange(1.0, 17.0), power)
    x = np.concatenate([steps, -steps, np.nextafter(steps, 1), np.nextafter(steps, 0)])[:, None]
    np.testing.assert_array_equal(of(compiled, x), fingerprint(x))


@pytest.mark.parametrize("name", INTEGERS)
def test_integers(compiled: Any, name: str) -> None:
    limits = np.iinfo(name)
    x = RNG.integers(limits.min, limits.max, (6, 5), name, endpoint=True)
    x[0] = [limits.min, limits.max, 0, 1, limits.max // 2]
    np.testing.assert_array_equal(of(compiled, x), fingerprint(x))


def test_bools_and_complex_numbers(compiled: Any) -> None:
    for x in (
        RNG.random((6, 9)) < 0.5,
        (RNG.normal(size=(4, 3, 2)) + 1j * RNG.normal(size=(4, 3, 2))).astype("complex64"),
    ):
        np.testing.assert_array_equal(of(compiled, x), fingerprint(x))


def test_no_rows_and_no_values(compiled: Any) -> None:
    assert of(compiled, np.zeros((0, 3), "float32")).shape == (0,)
    assert of(compiled, np.zeros((3, 0), "float32")).tolist() == [0, 0, 0]


def test_structures_with_none_and_salts(compiled: Any) -> None:
    a = RNG.normal(size=(4, 3)).astype("float32")
    b = RNG.integers(0, 9, (4, 2)).astype("int32")
    for nest in (
        lambda one, two: {"z": one, "a": [two, None]},
        lambda one, two: {"z": two, "a": [one, None]},
        lambda one, two: ({"only": one}, None),
    ):

        def run(one: Any, two: Any, nest: Any = nest) -> Any:
            return current().fingerprint(nest(one, two))

        sums = keras.ops.convert_to_numpy(compiled(run)(tensor(a), tensor(b)))
        np.testing.assert_array_equal(join(sums), fingerprint(nest(a, b)))


def test_coefficients_computed_in_the_step(compiled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for samples of more values than are kept as constants."""
    monkeypatch.setattr(in_step, "CONSTANT_LIMIT", 0)
    x = {"a": RNG.normal(size=(4, 50, 3)).astype("float32"), "b": np.full((4, 1), 7, "int32")}

    def run(a: Any, b: Any) -> Any:
        return current().fingerprint({"a": a, "b": b})

    sums = keras.ops.convert_to_numpy(compiled(run)(tensor(x["a"]), tensor(x["b"])))
    np.testing.assert_array_equal(join(sums), fingerprint(x))


def test_a_leaf_done_on_the_host(compiled: Any) -> None:
    x = {"text": np.asarray(["a film", "a play"], object), "image": RNG.normal(size=(2, 5)).astype("float32")}

    def run(image: Any) -> Any:
        return current().fingerprint({"text": "not looked at", "image": image}, without=["text"])

    in_the_step = keras.ops.convert_to_numpy(compiled(run)(tensor(x["image"])))
    np.testing.assert_array_equal(join(in_the_step + pair(x, only=["text"])), fingerprint(x))


def test_what_has_no_fingerprint_in_the_step_is_refused() -> None:
    backend = current()
    assert backend.fingerprintable(tensor(np.zeros((2, 2), "float32")))
    assert backend.fingerprintable(None)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        words = tf.constant(["a", "b"])
        assert not backend.fingerprintable(words)
        with pytest.raises(TypeError, match=r"The input 'words' has no fingerprint inside the step.*pair\(x, only"):
            backend.fingerprint({"words": words, "x": tf.ones([2, 1])})
    with pytest.raises(TypeError, match=r"nothing to fingerprint in the step. Received: leaves \['a'\]"):
        backend.fingerprint({"a": tensor(np.zeros((2, 2), "float32"))}, without=["a"])


if BACKEND == "tensorflow":
    import tensorflow as tf

    @pytest.mark.parametrize("jit_compile", [True, False])
    def test_unknown_sizes(jit_compile: bool) -> None:
        """Sequences of any length: the size of a sample isn't known while tracing."""
        run = tf.function(
            current().fingerprint,
            input_signature=[tf.TensorSpec([None, None, 2], tf.float32)],
            jit_compile=jit_compile,
        )
        for length in (3, 8):
            x = RNG.normal(size=(4, length, 2)).astype("float32")
            np.testing.assert_array_equal(join(run(tf.constant(x)).numpy()), fingerprint(x))

    def test_ragged_and_sparse() -> None:
        ragged = tf.ragged.constant([[1.0, 2.0], [], [3.0]])
        got = join(tf.function(current().fingerprint)(ragged).numpy())
        np.testing.assert_array_equal(got, fingerprint(np.asarray([[1, 2], [0, 0], [3, 0]], "float32")))
        sparse = tf.sparse.from_dense([[0, 5], [6, 0]])
        got = join(tf.function(current().fingerprint)(sparse).numpy())
        np.testing.assert_array_equal(got, fingerprint(np.asarray([[0, 5], [6, 0]])))


if BACKEND == "jax":
    import jax
    from jax.experimental import sparse

    def test_float64_where_jax_has_it() -> None:
        x = np.concatenate([np.exp2(RNG.uniform(-160, 140, (40, 3))), np.asarray([[0.0, -1e-45, np.nan]])])
        with jax.enable_x64(True):
            got = join(np.asarray(jax.jit(current().fingerprint)(jax.numpy.asarray(x))))
        np.testing.assert_array_equal(got, fingerprint(x))

    def test_sparse() -> None:
        x = np.asarray([[0, 5], [6, 0]], "float32")
        got = join(np.asarray(jax.jit(current().fingerprint)(sparse.BCOO.fromdense(x))))
        np.testing.assert_array_equal(got, fingerprint(x))


if BACKEND == "torch":
    import torch

    @pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own compiler
    def test_compiled_and_on_other_devices_takes_another_form() -> None:
        x = {"a": RNG.normal(size=(4, 30)).astype("float32"), "b": RNG.integers(0, 9, (4, 2))}
        step = torch.compile(current().fingerprint)
        got = step({name: torch.from_numpy(leaf) for name, leaf in x.items()})
        np.testing.assert_array_equal(join(got.numpy()), fingerprint(x))

    def test_views_sparse_and_gradients() -> None:
        x = torch.randn(3, 4, 2).transpose(1, 2).requires_grad_()
        got = join(current().fingerprint(x).numpy())
        np.testing.assert_array_equal(got, fingerprint(x.detach().numpy()))
        sparse = torch.tensor([[0.0, 5.0], [6.0, 0.0]]).to_sparse()
        np.testing.assert_array_equal(
            join(current().fingerprint(sparse).numpy()), fingerprint(sparse.to_dense().numpy())
        )
