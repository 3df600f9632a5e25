"""tt.losses.Masked: the number, the gradient and what is divided by, against NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.losses import close, compiled, gradient, slope, value
from tests.backends.models import host, sequential

Array = npt.NDArray[Any]

RNG = np.random.default_rng(4)
N, T, C = 6, 5, 3
NAN = float("nan")
CLOSE: dict[str, Any] = {"rtol": 2e-5, "atol": 1e-6}

PRED = RNG.normal(size=(N, T)).astype("float32")
TRUE = RNG.normal(size=(N, T)).astype("float32")
KEEP = RNG.random((N, T)) < 0.6
KEEP[1] = False  # a sample of which nothing counts
KEEP[2] = True
SCORES = RNG.normal(size=(N, T, C)).astype("float32")
PROBS = (np.exp(SCORES) / np.exp(SCORES).sum(-1, keepdims=True)).astype("float32")
TAGS = RNG.integers(0, C, (N, T))
WEIGHTS: dict[str, Any] = {
    "none": None,
    "(n,)": RNG.uniform(0.2, 3, N).astype("float32"),
    "(n, 1)": RNG.uniform(0.2, 3, (N, 1)).astype("float32"),
    "(n, T)": RNG.uniform(0.2, 3, (N, T)).astype("float32"),
}


def over(weight: Any, like: Array) -> Array:
    if weight is None:
        return np.ones(like.shape)
    return np.broadcast_to(np.reshape(weight, weight.shape + (1,) * (like.ndim - weight.ndim)), like.shape)


def batch_mean(values: Array, keep: Array, weight: Any) -> float:
    return float((np.where(keep, values, 0) * over(weight, values) * keep).sum() / max(keep.sum(), 1))


def sample_mean(values: Array, keep: Array, weight: Any) -> float:
    some = keep.any(1)
    means = (values * keep).sum(1) / np.maximum(keep.sum(1), 1)
    return float((means * over(weight, means))[some].sum() / max(some.sum(), 1))


def cross_entropy(tags: Array, probs: Array) -> Any:
    return -np.log(np.take_along_axis(probs, np.clip(tags, 0, C - 1)[..., None], -1)[..., 0])


VALUES: dict[str, Any] = {
    "mse": lambda y, p: (y - p) ** 2,
    "mae": lambda y, p: np.abs(y - p),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(("weight", "missing"), list(zip(WEIGHTS, (-1.0, NAN, -1.0, NAN), strict=True)))
def test_elements(name: str, weight: str, missing: float) -> None:
    """D05, D07, D08 and D15: elements are masked and weighted, though the loss averages over them."""
    y_true = np.where(KEEP, TRUE, missing).astype("float32")
    given = WEIGHTS[weight]

    def by_hand(p: Array) -> float:
        return batch_mean(VALUES[name](TRUE, p), KEEP, given)

    loss = tt.losses.Masked(name, mask_value=missing)
    assert value(loss, y_true, PRED, given) == close(by_hand(PRED))
    found = gradient(lambda p: loss(y_true, p, given), PRED)
    np.testing.assert_allclose(found, slope(by_hand, PRED.astype(float)), rtol=1e-3, atol=1e-5)
    assert not found[~KEEP].any()


@pytest.mark.parametrize("weight", ["none", "(n,)"])
def test_normalize_by_sample(weight: str) -> None:
    y_true = np.where(KEEP, TRUE, -1).astype("float32")
    loss = tt.losses.Masked("mae", mask_value=-1, normalize="sample")
    expected = sample_mean(np.abs(TRUE - PRED), KEEP, WEIGHTS[weight])
    assert value(loss, y_true, PRED, WEIGHTS[weight]) == close(expected)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("sparse", [True, False])
def test_positions_of_classes(sparse: bool, weight: str) -> None:
    """A loss over classes is masked and weighted by position; -1 is no class and never reaches it."""
    name = "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy"
    y_true: Any = np.where(KEEP, TAGS, -1) if sparse else np.where(KEEP[..., None], np.eye(C)[TAGS], -1)
    loss = tt.losses.Masked(name, mask_value=-1)

    def by_hand(p: Array) -> float:
        return batch_mean(cross_entropy(TAGS, p / p.sum(-1, keepdims=True)), KEEP, WEIGHTS[weight])

    assert value(loss, y_true, PROBS, WEIGHTS[weight]) == close(by_hand(PROBS))
    found = gradient(lambda p: loss(y_true, p, WEIGHTS[weight]), PROBS)
    np.testing.assert_allclose(found, slope(by_hand, PROBS.astype(float)), rtol=1e-3, atol=1e-5)


def test_nan_in_one_class_leaves_the_position_out() -> None:
    y_true = np.eye(C, dtype="float32")[TAGS]
    y_true[~KEEP, 1] = NAN
    loss = tt.losses.Masked("categorical_crossentropy", mask_value=NAN)
    expected = batch_mean(cross_entropy(TAGS, PROBS), KEEP, None)
    assert value(loss, y_true, PROBS) == close(expected)


ALL: tuple[str, ...] = ("mse", "mae", "mape", "msle", "huber", "log_cosh", "hinge", "squared_hinge", "poisson")
ALL += ("binary_crossentropy", "binary_focal_crossentropy")


@pytest.mark.parametrize("name", ALL)
def test_every_loss_of_elements(name: str) -> None:
    """Masking all but a part is the loss of that part, of each loss that Keras has."""
    y_true, y_pred = (TRUE > 0).astype("float32"), (1 / (1 + np.exp(-PRED))).astype("float32")
    function = keras.losses.get(name)
    expected = float(host(ops.mean(function(y_true[KEEP][:, None], y_pred[KEEP][:, None]))))
    found = value(tt.losses.Masked(name, mask_value=NAN), np.where(KEEP, y_true, NAN).astype("float32"), y_pred)
    assert found == close(expected)
    own = getattr(keras.losses, "".join(part.capitalize() for part in function.__name__.split("_")))
    assert value(tt.losses.Masked(own), y_true, y_pred) == close(value(own(), y_true, y_pred))


CLASSES: tuple[str, ...] = (
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "kl_divergence",
)
CLASSES += ("cosine_similarity", "sparse_categorical_crossentropy", "categorical_generalized_cross_entropy")


@pytest.mark.parametrize("name", CLASSES)
def test_every_loss_of_classes(name: str) -> None:
    sparse = name.startswith(("sparse", "categorical_gen"))
    y_true: Any = TAGS if sparse else np.eye(C, dtype="float32")[TAGS]
    function = getattr(keras.losses, name)
    kwargs = {"q": 0.5} if "generalized" in name else {}
    kept = ops.convert_to_tensor(y_true[KEEP]), ops.convert_to_tensor(PROBS[KEEP])
    expected = float(host(ops.mean(function(*kept, **kwargs))))
    inner = keras.losses.CategoricalGeneralizedCrossEntropy(0.5) if kwargs else name
    masked = tt.losses.Masked(inner, mask=lambda y: KEEP)
    y_true = np.where(KEEP, TAGS, -7) if sparse else np.where(KEEP[..., None], y_true, NAN)
    assert value(masked, y_true, PROBS) == close(expected)
    found = gradient(lambda p: masked(y_true, p), PROBS)
    assert np.isfinite(found).all()
    assert not found[~KEEP].any()


@pytest.mark.parametrize("shapes", list(itertools.product([(N,), (N, 1)], [(N,), (N, 1)])))
def test_ranks_are_aligned(shapes: Any) -> None:
    """D02: (n,) labels and (n, 1) outputs, for a name, a class of the user's and a function."""
    y_true, y_pred = TRUE[:, 0].reshape(shapes[0]), PRED[:, 0].reshape(shapes[1])
    keep = np.arange(N) != 3
    y_true = np.where(keep.reshape(shapes[0]), y_true, -1).astype("float32")
    expected = np.mean((TRUE[keep, 0] - PRED[keep, 0]) ** 2)
    for loss in ("mse", Squares(), squares)[: 1 if shapes == ((N,), (N,)) else 3]:  # whose last axis is the samples
        weight = np.ones((N, 1), "float32")
        assert value(tt.losses.Masked(loss, mask_value=-1), y_true, y_pred) == close(expected)
        assert value(tt.losses.Masked(loss, mask_value=-1), y_true, y_pred, weight) == close(expected)


class Squares(keras.losses.Loss):  # type: ignore[misc]
    """A loss of the user's own class."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_pred - y_true), axis=-1)


def squares(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_pred - y_true), axis=-1)


class Cubes(keras.losses.MeanSquaredError):  # type: ignore[misc]
    """It says it is Keras' own, and isn't."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.sum(ops.abs(y_true - y_pred) ** 3, axis=-1)


def test_a_mask_of_samples_in_any_shape() -> None:
    keep = np.arange(N) != 2
    for shape in ((N,), (N, 1)):
        loss = tt.losses.Masked("mae", mask=lambda y, shape=shape: ops.convert_to_tensor(keep.reshape(shape)))
        assert value(loss, np.where(keep[:, None], TRUE, NAN), PRED) == close(np.abs(TRUE - PRED)[keep].mean())
    cubes = tt.losses.Masked(Cubes(), mask=lambda y: ops.convert_to_tensor(keep))
    assert value(cubes, TRUE, PRED) == close((np.abs(TRUE - PRED) ** 3).sum(1)[keep].mean())


def test_elementwise_is_said_of_a_function() -> None:
    y_true = np.where(KEEP, TRUE, -1).astype("float32")
    expected = batch_mean((TRUE - PRED) ** 2, KEEP, None)
    for loss in (squares, Squares()):
        assert value(tt.losses.Masked(loss, mask_value=-1, elementwise=True), y_true, PRED) == close(expected)
        with pytest.raises(tt.LossError, match=r"mask of shape \(6, 5\) can't be laid over .* say elementwise=True"):
            value(tt.losses.Masked(loss, mask_value=-1), y_true, PRED)


def test_elementwise_false_is_a_loss_over_classes() -> None:
    def brier(y_true: Any, y_pred: Any) -> Any:
        return ops.sum(ops.square(y_pred - y_true), axis=-1)

    y_true = np.where(KEEP[..., None], np.eye(C)[TAGS], -1)
    expected = batch_mean(((np.eye(C)[TAGS] - PROBS) ** 2).sum(-1), KEEP, None)
    loss = tt.losses.Masked(brier, mask_value=-1, elementwise=False)
    assert value(loss, y_true, PROBS) == close(expected)


@pytest.mark.parametrize("normalize", ["batch", "sample"])
@pytest.mark.parametrize("name", ["mse", "sparse_categorical_crossentropy"])
def test_nothing_counts(name: str, normalize: Any) -> None:
    elements = name == "mse"
    y_true, y_pred = np.full((N, T), NAN if elements else -1, "float32"), PRED if elements else PROBS
    loss = tt.losses.Masked(name, mask_value=NAN if elements else -1, normalize=normalize)
    weight = WEIGHTS["(n,)"]
    assert value(loss, y_true, y_pred, weight) == 0
    assert not gradient(lambda p: loss(y_true, p, weight), y_pred).any()


def test_a_loss_that_is_infinite_where_it_is_masked() -> None:
    """The prediction is replaced too: log(0) of a masked element has no part in the gradient."""

    def surprise(y_true: Any, y_pred: Any) -> Any:
        return ops.mean(-y_true * ops.log(y_pred), axis=-1)

    loss = tt.losses.Masked(surprise, mask=lambda y_true, y_pred: y_pred > 0, elementwise=True)
    y_true, y_pred = np.ones((2, 2), "float32"), np.asarray([[0.5, 0.0], [0.25, 1.0]], "float32")
    assert value(loss, y_true, y_pred) == close(np.log(8) / 3)
    found = gradient(lambda p: loss(y_true, p), y_pred)
    np.testing.assert_allclose(found, np.asarray([[-2, 0], [-4, -1]]) / 3, rtol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_compiled_and_with_a_mask_of_keras(jit: bool) -> None:
    """Keras' own mask, one of the value and weights of samples at once: n is T, so broadcasting would pass."""
    x = np.where(np.arange(T) < np.arange(1, N)[:, None], 1.0, 0.0)[..., None].astype("float32")
    keras_mask = x[..., 0] != 0
    y_true = np.where(KEEP[:T], TRUE[:T], -1).astype("float32")[..., None]
    layer, weight = layers.Masking(), WEIGHTS["(n,)"][:T]
    loss = tt.losses.Masked("mse", mask_value=-1)

    def step(x: Any, y_true: Any, weight: Any) -> Any:
        return loss(y_true, layer(x), weight)

    expected = batch_mean((TRUE[:T] - x[..., 0]) ** 2, KEEP[:T] & keras_mask, weight)
    found = compiled(step, jit)(*map(ops.convert_to_tensor, (x, y_true, weight)))
    assert float(host(found)) == close(expected)


def test_reductions() -> None:
    y_true = np.where(KEEP, TRUE, -1).astype("float32")
    values, weight = np.abs(TRUE - PRED), WEIGHTS["(n,)"]
    weighted = values * KEEP * weight[:, None]
    masked = {how: tt.losses.Masked("mae", mask_value=-1, reduction=how) for how in ("sum", None)}
    assert value(masked["sum"], y_true, PRED, weight) == close(weighted.sum())
    np.testing.assert_allclose(host(masked[None](y_true, PRED, weight)), weighted, **CLOSE)
    by_weights = tt.losses.Masked("mae", mask_value=-1, reduction="mean_with_sample_weight")
    expected = weighted.sum() / (KEEP * weight[:, None]).sum()
    assert value(by_weights, y_true, PRED, weight) == close(expected)


def test_ignore_class_stays() -> None:
    tags = np.where(KEEP, TAGS, -1)
    loss = tt.losses.Masked(keras.losses.SparseCategoricalCrossentropy(ignore_class=2), mask_value=-1)
    expected = batch_mean(cross_entropy(TAGS, PROBS), KEEP & (TAGS != 2), None)
    assert value(loss, tags, PROBS) == close(expected)


def test_logits_that_tensorflow_remembers() -> None:
    """A saturated softmax: the number is that of Keras' own loss, whichever way the backend takes."""
    scores = np.asarray([[30.0, -30.0], [-30.0, 30.0], [1.0, 2.0]], "float32")
    model = sequential(layers.Activation("softmax"), shape=(2,), loss="sparse_categorical_crossentropy")
    tags = np.asarray([1, 1, 0])
    own = model.evaluate(scores, tags, verbose=0)
    model.compile(loss=tt.losses.Masked("sparse_categorical_crossentropy", mask_value=-1))
    assert model.evaluate(scores, tags, verbose=0) == close(own)
    left = model.evaluate(scores, np.asarray([-1, 1, 0]), verbose=0)
    assert left == close((0 + np.log(1 + np.e)) / 2)


def test_half_precision_is_finite() -> None:
    y_true = np.where(KEEP, TRUE, NAN).astype("float16")
    loss = tt.losses.Masked("mse", mask_value=NAN)
    found = loss(ops.convert_to_tensor(y_true), ops.convert_to_tensor(PRED.astype("float16")))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    expected = batch_mean((TRUE - PRED) ** 2, KEEP, None)
    assert float(host(found)) == pytest.approx(expected, rel=1e-2)


MASKED: Any = tt.losses.Masked
REFUSED: dict[str, Any] = {
    "no such loss": (lambda: MASKED("mea"), r"Keras has no loss 'mea'. Near names: .*'mae'"),
    "no loss": (lambda: MASKED(3), r"Received: loss=3. Expected: a name such as 'mae'"),
    "how it is normalised": (lambda: MASKED("mae", normalize="batches"), r"Expected: 'batch' or 'sample'"),
    "no number": (lambda: MASKED("mae", mask_value="x"), r"mask_value='x'. Expected: a number"),
    "an array": (lambda: MASKED("mae", mask=np.ones(3)), r"lie over every batch alike.*from_x"),
    "another reduction": (
        lambda: MASKED(keras.losses.MeanSquaredError(reduction="sum")),
        r"has reduction='sum', and the loss around it.*Give reduction='sum' to the outer one",
    ),
    "compares samples": (lambda: MASKED(keras.losses.Circle()), r"Circle compares the samples"),
    "no call": (lambda: MASKED(NoCall()), r"no method call\(y_true, y_pred\)"),
    "elementwise twice": (
        lambda: MASKED(MASKED("mae"), elementwise=True),
        r"belongs to the innermost loss. Received: a Masked",
    ),
    "a name that there is not": (
        lambda: MASKED("mae", mask=lambda y_true, *, sample_weights: y_true),
        r"asks for 'sample_weights'. Near names: 'sample_weight'",
    ),
    "Dice": (lambda: value(MASKED("dice"), TRUE, PRED), r"reduces the batch itself"),
    "a mask that doesn't fit": (
        lambda: value(MASKED("mae", mask=lambda y: ops.ones((N, 2))), TRUE, PRED),
        r"has shape \(6, 2\). Expected: the leading axes of y_pred, whose shape is \(6, 5\)",
    ),
    "a mask of classes": (
        lambda: value(
            MASKED("categorical_crossentropy", mask=lambda y: y != -1),
            np.eye(C, dtype="float32"),
            PROBS[:3, 0],
        ),
        r"without the last one, which is the classes of one position",
    ),
    "broadcast": (
        lambda: value(MASKED("mae"), TRUE[:, :1], PRED),
        r"y_true of shape \(6, 1\), y_pred of shape \(6, 5\), which would be broadcast",
    ),
    "weights of elements, by sample": (
        lambda: value(MASKED("mae", normalize="sample"), TRUE, PRED, WEIGHTS["(n, T)"]),
        r"The sample weights of shape \(6, 5\) can't be laid over",
    ),
    "weights of other samples": (
        lambda: value(MASKED("mae"), TRUE, PRED, np.ones(T, "float32")),
        r"The sample weights of shape \(5,\) can't be laid over",
    ),
}


class NoCall(keras.losses.Loss):  # type: ignore[misc]
    """A loss that is all in `__call__`."""

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return ops.mean(y_pred)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(tt.LossError, match=message):
        make()
