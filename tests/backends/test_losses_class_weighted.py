"""tt.losses.ClassWeighted: each element with the weight of its own label, against NumPy (problem D13)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import ops

import truetap as tt
from tests.backends.losses import close, compiled, gradient, slope, value
from tests.backends.models import host

Array = npt.NDArray[Any]

RNG = np.random.default_rng(8)
N, T, C = 4, 4, 3  # n is T: where Keras broadcasts, nothing fails
TABLE = np.asarray([1.0, 20.0, 0.5])
PROBS = RNG.dirichlet(np.ones(C), (N, T)).astype("float32")
TAGS = RNG.integers(0, C, (N, T))
KEEP = np.asarray([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0]], bool)
WEIGHTS: dict[str, Any] = {"none": None, "(n,)": RNG.uniform(0.2, 3, N), "(n, T)": RNG.uniform(0.2, 3, (N, T))}
CLASS_WEIGHTS: dict[str, Any] = {"list": TABLE.tolist(), "array": TABLE, "dict": {2: 0.5, 0: 1.0, np.int64(1): 20}}


def entropy(tags: Array, probs: Array) -> Any:
    probs = probs / probs.sum(-1, keepdims=True)
    return -np.log(np.take_along_axis(probs, tags[..., None], -1)[..., 0])


def over(weight: Any, shape: tuple[int, ...]) -> Array:
    if weight is None:
        return np.ones(shape)
    return np.broadcast_to(np.reshape(weight, weight.shape + (1,) * (len(shape) - weight.ndim)), shape)


def mean(values: Array, by_class: Array, keep: Array, weight: Any, normalize: str) -> float:
    total = by_class * over(weight, values.shape) * keep
    return float((values * total).sum() / (keep.sum() if normalize == "count" else total.sum()))


@pytest.mark.parametrize("normalize", ["count", "weights"])
@pytest.mark.parametrize("masked", ["not", "outside", "inside"])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_tags_with_weights_and_masks(weight: str, masked: str, normalize: Any) -> None:
    """(n, T) tags; sample weights x class weights x masks, which may stand inside and outside."""
    keep = np.ones((N, T), bool) if masked == "not" else KEEP
    tags = np.where(keep, TAGS, -1)
    inner: Any = keras.losses.SparseCategoricalCrossentropy()
    if masked == "inside":
        inner = tt.losses.Masked(inner, mask_value=-1)
    loss: Any = tt.losses.ClassWeighted(inner, TABLE, normalize=normalize)
    if masked == "outside":
        loss = tt.losses.Masked(loss, mask_value=-1)

    def by_hand(probs: Array) -> float:
        return mean(entropy(TAGS, probs), TABLE[TAGS], keep, WEIGHTS[weight], normalize)

    assert value(loss, tags, PROBS, WEIGHTS[weight]) == close(by_hand(PROBS))
    found = gradient(lambda p: loss(tags, p, WEIGHTS[weight]), PROBS)
    np.testing.assert_allclose(found, slope(by_hand, PROBS.astype(float)), rtol=2e-3, atol=1e-5)
    assert not found[~keep].any()


@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, 2, 2), (N, 2, 2, 1)])
@pytest.mark.parametrize("given", CLASS_WEIGHTS)
def test_classes_of_any_rank(given: str, shape: tuple[int, ...]) -> None:
    """One label per sample, and segmentation; indices and one-hot."""
    tags = TAGS.ravel()[: np.prod(shape)].reshape(shape)
    plain = tags[..., 0] if shape[-1] == 1 else tags
    probs = RNG.dirichlet(np.ones(C), plain.shape).astype("float32")
    expected = np.mean(entropy(plain, probs) * TABLE[plain])
    weights = CLASS_WEIGHTS[given]
    sparse = tt.losses.ClassWeighted("sparse_categorical_crossentropy", weights)
    assert value(sparse, tags, probs) == close(expected)
    one_hot = tt.losses.ClassWeighted("categorical_crossentropy", weights)
    assert value(one_hot, np.eye(C, dtype="float32")[plain], probs) == close(expected)


def test_soft_labels_have_the_weight_they_are_expected_to_have() -> None:
    soft = RNG.dirichlet(np.ones(C), N).astype("float32")
    expected = np.mean(-(soft * np.log(PROBS[:, 0])).sum(-1) * (soft @ TABLE))
    loss = tt.losses.ClassWeighted("categorical_crossentropy", TABLE)
    assert value(loss, soft, PROBS[:, 0]) == close(expected)


def binary(y: Array, p: Array) -> Any:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


@pytest.mark.parametrize("shapes", [((N,), (N, 1)), ((N, 1), (N, 1)), ((N,), (N,)), ((N, 4, 4), (N, 4, 4))])
def test_binary(shapes: Any) -> None:
    y = RNG.integers(0, 2, shapes[0]).astype("float32")
    p = RNG.uniform(0.1, 0.9, shapes[1]).astype("float32")
    plain = y.reshape(p.shape)
    expected = np.mean(binary(plain, p) * np.where(plain == 1, 7, 0.5))
    assert value(tt.losses.ClassWeighted("binary_crossentropy", {0: 0.5, 1: 7}), y, p) == close(expected)
    hinge = tt.losses.ClassWeighted("hinge", {0: 0.5, 1: 7})
    expected = np.mean(np.maximum(1 - (2 * plain - 1) * p, 0) * np.where(plain == 1, 7, 0.5))
    assert value(hinge, 2 * y - 1, p) == close(expected)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_several_labels(weight: str) -> None:
    """Each label of each sample with its own weight, not that of the first one that is true."""
    y = np.asarray([[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]], "float32")
    p = RNG.uniform(0.1, 0.9, (N, C)).astype("float32")
    given = WEIGHTS[weight] if weight != "(n, T)" else RNG.uniform(0.2, 3, (N, C))
    loss = tt.losses.ClassWeighted("binary_crossentropy", TABLE)
    expected = np.mean(binary(y, p) * TABLE * over(given, y.shape))
    assert value(loss, y, p, given) == close(expected)
    pairs = np.asarray([[1, 2], [3, 40], [0.5, 6]])
    by_pair = tt.losses.ClassWeighted("binary_crossentropy", pairs)
    own = np.where(y == 1, pairs[:, 1], pairs[:, 0])
    assert value(by_pair, y, p, given) == close(np.mean(binary(y, p) * own * over(given, y.shape)))
    missing = np.where(y == 0, -1, y)
    masked = tt.losses.Masked(by_pair, mask_value=-1)
    counts = mean(binary(y, p), own, y == 1, given, "count")
    assert value(masked, missing, p, given) == close(counts)


def test_a_loss_of_the_users() -> None:
    def focal(y_true: Any, y_pred: Any) -> Any:
        return -ops.sum(y_true * ops.square(1 - y_pred) * ops.log(y_pred), axis=-1)

    tags, probs = TAGS[:, 0], PROBS[:, 0]
    right = probs[np.arange(N), tags]
    expected = np.mean(-((1 - right) ** 2) * np.log(right) * TABLE[tags])
    one_hot = np.eye(C, dtype="float32")[tags]
    for how in ({"labels": "classes"}, {"elementwise": False}):
        loss = tt.losses.ClassWeighted(focal, TABLE, **how)
        assert value(loss, one_hot, probs) == close(expected)


def test_as_class_weight_of_fit() -> None:
    """Where Keras' own class_weight is right, the number is the same."""
    x, y = RNG.normal(size=(10, 4)).astype("float32"), RNG.integers(0, C, 10)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(C, activation="softmax")])
    optimizer = keras.optimizers.SGD(0.0)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    options: dict[str, Any] = {"batch_size": 5, "shuffle": False, "verbose": 0}
    own = model.fit(x, y, class_weight=dict(enumerate(TABLE)), **options).history["loss"]
    model.compile(optimizer, tt.losses.ClassWeighted("sparse_categorical_crossentropy", TABLE))
    np.testing.assert_allclose(model.fit(x, y, **options).history["loss"], own, rtol=1e-5)
    both = model.fit(x, y, class_weight=dict(enumerate(TABLE)), **options).history["loss"]
    probs = host(model(x))
    np.testing.assert_allclose(both, [np.mean(entropy(y, probs) * TABLE[y] ** 2)], rtol=1e-5)


def test_several_outputs() -> None:
    """Each output with the weights of its own classes, which Keras' class_weight refuses."""
    x, tags, yes = RNG.normal(size=(10, 4)).astype("float32"), RNG.integers(0, C, 10), RNG.integers(0, 2, 10)
    inputs = keras.Input((4,))
    heads = {"tags": keras.layers.Dense(C, "softmax"), "yes": keras.layers.Dense(1, "sigmoid")}
    model = keras.Model(inputs, {name: head(inputs) for name, head in heads.items()})
    losses = {
        "tags": tt.losses.ClassWeighted("sparse_categorical_crossentropy", TABLE),
        "yes": tt.losses.ClassWeighted("binary_crossentropy", [1, 5]),
    }
    model.compile(loss=losses)
    found = keras.tree.map_structure(host, model(x))
    expected = np.mean(entropy(tags, found["tags"]) * TABLE[tags])
    expected += np.mean(binary(yes, found["yes"][:, 0]) * np.where(yes == 1, 5, 1))
    assert model.evaluate(x, {"tags": tags, "yes": yes}, verbose=0, return_dict=True)["loss"] == close(expected)


def test_a_label_that_is_no_class_is_seen() -> None:
    def plain(y_true: Any, y_pred: Any) -> Any:
        return y_pred[..., 0]

    loss = tt.losses.ClassWeighted(plain, TABLE, elementwise=False)
    found = host(loss.call(ops.convert_to_tensor(np.asarray([0, 3, -1, 2])), ops.convert_to_tensor(PROBS[:, 0])))
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, False])
    ignoring = tt.losses.ClassWeighted(keras.losses.SparseCategoricalCrossentropy(ignore_class=-1), TABLE)
    tags = np.where(KEEP, TAGS, -1)
    expected = mean(entropy(TAGS, PROBS), TABLE[TAGS], KEEP, None, "count")
    assert value(ignoring, tags, PROBS) == close(expected)
    assert not np.isnan(gradient(lambda p: ignoring(tags, p), PROBS)).any()


def test_compiled_with_an_unknown_batch() -> None:
    loss = tt.losses.ClassWeighted("sparse_categorical_crossentropy", TABLE, normalize="weights")
    step = compiled(lambda y, p, w: loss(y, p, w))
    expected = mean(entropy(TAGS, PROBS), TABLE[TAGS], np.ones((N, T)), WEIGHTS["(n,)"], "weights")
    found = step(*map(ops.convert_to_tensor, (TAGS, PROBS, WEIGHTS["(n,)"])))
    assert float(host(found)) == close(expected)


def weighted(loss: Any, class_weight: Any, **options: Any) -> Any:
    return tt.losses.ClassWeighted(loss, class_weight, **options)


ONE_HOT = np.eye(C, dtype="float32")[TAGS[:, 0]]
REFUSED: dict[str, Any] = {
    "a class missing": (lambda: weighted("mse", {0: 1.0, 2: 1.0}), r"has no weight for \[1\]. Expected: a weight for"),
    "no class": (lambda: weighted("mse", {"cat": 1.0}), r"has the classes \['cat'\]"),
    "none at all": (lambda: weighted("mse", {}), r"has no weight for \[0\]"),
    "no number": (lambda: weighted("mse", ["a"]), r"isn't a list of numbers"),
    "negative": (lambda: weighted("mse", [1, -1]), r"values that are no weights"),
    "its shape": (lambda: weighted("mse", np.ones((2, 3))), r"has shape \(2, 3\)"),
    "labels": (lambda: weighted("mse", [1], labels="multi_label"), r"labels='multi_label'. Near names: 'multilabel'"),
    "normalize": (lambda: weighted("mse", [1], normalize="sum"), r"Expected: 'count' or 'weights'"),
    "reduction": (
        lambda: weighted("mse", [1], normalize="weights", reduction="sum"),
        r"normalize='weights' is a mean. Received: reduction='sum'",
    ),
    "too few": (
        lambda: value(weighted("categorical_crossentropy", [1, 2]), ONE_HOT, PROBS[:, 0]),
        r"has 3 classes \(labels='classes', y_pred of shape \(4, 3\)\) and class_weight is of shape \(2,\)",
    ),
    "two columns, two classes": (
        lambda: value(weighted("binary_crossentropy", [1, 2]), ONE_HOT[:, :2], PROBS[:, 0, :2]),
        r"can't be told from y_true of shape \(4, 2\).*Say labels='classes'",
    ),
    "a function": (
        lambda: value(weighted(lambda y, p: ops.mean(y - p, -1), TABLE), ONE_HOT, PROBS[:, 0]),
        r"can't be told",
    ),
    "values that are averaged already": (
        lambda: value(weighted(lambda y, p: ops.mean(y - p, (1, 2)), TABLE, labels="classes"), np.eye(C)[TAGS], PROBS),
        r"The class weights of shape \(4, 4\) can't be laid over",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(tt.LossError, match=message):
        make()
