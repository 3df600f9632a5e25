"""Every source x shuffled or not x kind of id: each row is the right truth beside the right prediction.

The truth comes from NumPy: a model of known weights, so the prediction of row i is a matrix product
of row i, and the label of row i is a number that no other row has.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import datasets
import grain
import jax.numpy as jnp
import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import tensorflow as tf
import torch

import truetap as tt

Array = npt.NDArray[Any]

ROWS, BATCH = 50, 16  # 4 batches, the last one of 2 rows
X = np.random.default_rng(7).normal(size=(ROWS, 6)).astype("float32")
Y = np.stack([np.arange(ROWS), np.arange(ROWS) ** 2], axis=1).astype("float32")
W = np.linspace(0.5, 2.0, ROWS).astype("float32")
KERNEL = np.random.default_rng(8).normal(size=(6, 2)).astype("float32")
IDS: dict[str, Array] = {
    "int64": 2**53 + 1 + 2 * np.arange(ROWS, dtype=np.int64),
    "str": np.asarray([f"images/{row:03d}.png" for row in range(ROWS)], dtype=object),
}

Kind = str
Make = Callable[[bool, Array], tuple[Any, dict[str, Any]]]  # (shuffled, ids) -> data, keywords of collect
SOURCES: dict[str, Make] = {}


@pytest.fixture(scope="module")
def model() -> Any:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, use_bias=False)])
    model.layers[0].set_weights([KERNEL])
    model.compile(loss="mse")
    return model


def source(name: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        SOURCES[name] = make
        return make

    return add


def order(shuffled: bool) -> Array:
    return np.random.default_rng(random.randrange(1 << 30)).permutation(ROWS) if shuffled else np.arange(ROWS)


def batched(shuffled: bool) -> Iterator[Array]:
    rows = order(shuffled)
    for start in range(0, ROWS, BATCH):
        yield rows[start : start + BATCH]


@source("numpy")
def numpy_arrays(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    rows = order(shuffled)
    return (X[rows], Y[rows], W[rows]), {"ids": ids[rows], "batch_size": BATCH}


@source("pandas")
def pandas_frames(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    rows = order(shuffled)
    frame = pd.DataFrame(X, columns=list("abcdef")).iloc[rows]
    return (frame, pd.DataFrame(Y).iloc[rows]), {"ids": pd.Series(ids[rows]), "batch_size": BATCH}


@source("torch tensors")
def torch_tensors(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    rows = order(shuffled)
    return (torch.tensor(X[rows]), torch.tensor(Y[rows])), {"ids": list(ids[rows]), "batch_size": BATCH}


@source("TensorFlow tensors")
def tf_tensors(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    rows = order(shuffled)
    return (tf.constant(X[rows]), tf.constant(Y[rows])), {"ids": tf.constant(ids[rows]), "batch_size": BATCH}


@source("JAX arrays")
def jax_arrays(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    rows = order(shuffled)
    return (jnp.asarray(X[rows]), jnp.asarray(Y[rows])), {"ids": ids[rows], "batch_size": BATCH}


@source("dict of columns")
def columns(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    rows = order(shuffled)
    data = {"pixels": X[rows], "labels": Y[rows], "sample_weight": W[rows], "name": ids[rows]}
    return data, {"ids": "name", "batch_size": BATCH}


@source("tf.data")
def tf_data(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    data = tt.with_ids(tf.data.Dataset.from_tensor_slices((X, Y, W)), ids)
    data = data.shuffle(ROWS) if shuffled else data
    return data.map(lambda x, y, w: (x + 0.0, y, w), num_parallel_calls=2).batch(BATCH).prefetch(2), {}


@source("tf.data with ids in x")
def tf_data_key(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    data = tf.data.Dataset.from_tensor_slices(({"x": X, "name": list(ids)}, Y, W))
    data = data.shuffle(ROWS) if shuffled else data
    return data.batch(BATCH), {"ids": "name"}


class Rows(keras.utils.PyDataset):  # type: ignore[misc]
    """Reshuffles itself before and after an epoch; names its rows by `batch_ids`."""

    def __init__(self, shuffled: bool, ids: Array, **options: Any) -> None:
        super().__init__(**options)
        self.shuffled, self.ids, self.rows = shuffled, ids, order(shuffled)

    def __len__(self) -> int:
        return -(-ROWS // BATCH)

    def _batch(self, index: int) -> Array:
        return self.rows[index * BATCH : (index + 1) * BATCH]

    def __getitem__(self, index: int) -> tuple[Array, Array, Array]:
        rows = self._batch(index)
        return X[rows], Y[rows], W[rows]

    def batch_ids(self, index: int) -> Array:
        return self.ids[self._batch(index)]

    def on_epoch_begin(self) -> None:
        self.rows = order(self.shuffled)

    def on_epoch_end(self) -> None:
        self.rows = order(self.shuffled)


@source("PyDataset")
def pydataset(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    return Rows(shuffled, ids), {}


@source("PyDataset with workers")
def pydataset_workers(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    return Rows(shuffled, ids, workers=4, max_queue_size=3), {}


def batches(shuffled: bool, ids: Array, endless: bool = False) -> Iterator[Any]:
    while True:
        for rows in batched(shuffled):
            yield {"x": X[rows], "name": ids[rows]}, Y[rows], W[rows]
        if not endless:
            return


@source("generator")
def generator(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    return batches(shuffled, ids), {"ids": "name"}


@source("endless generator")
def endless(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    return batches(shuffled, ids, endless=True), {"ids": "name", "steps": -(-ROWS // BATCH)}


@source("generator factory")
def factory(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    return batches, {"args": (shuffled,), "kwargs": {"ids": ids}, "ids": "name"}


@source("list of batches")
def listed(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    def elements() -> Iterator[Any]:
        for rows in batched(shuffled):
            yield X[rows], Y[rows], W[rows]

    kept = list(elements())
    names = {tuple(x[0].tolist()): 0 for x, _, _ in kept}
    assert len(names) == len(kept)
    lookup = {tuple(x.tolist()): name for x, name in zip(X, ids, strict=True)}
    return iter(kept), {"ids": lambda batch: [lookup[tuple(x.tolist())] for x in batch[0]]}


class Items(torch.utils.data.Dataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> tuple[Array, Array]:
        return X[row], Y[row]


@source("torch DataLoader")
def loader(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    return tt.with_ids(torch.utils.data.DataLoader(Items(), BATCH, shuffle=shuffled), ids), {}


@source("Grain")
def grain_map(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    items = [({"x": X[row], "name": row}, Y[row]) for row in range(ROWS)]
    data = grain.MapDataset.source(items)
    data = data.shuffle(seed=random.randrange(1 << 20)) if shuffled else data
    return data.batch(BATCH), {"ids": lambda batch: ids[batch[0].pop("name")]}


@source("Hugging Face datasets")
def hugging_face(shuffled: bool, ids: Array) -> tuple[Any, dict[str, Any]]:
    data = datasets.Dataset.from_dict({"pixels": X, "label": Y, "name": list(ids)})
    return data.shuffle() if shuffled else data, {"ids": "name", "batch_size": BATCH}


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "shuffled"])
@pytest.mark.parametrize("name", SOURCES)
def test_each_row_is_the_right_pair(name: str, shuffled: bool, kind: Kind, model: Any) -> None:
    ids = IDS[kind]
    data, keywords = SOURCES[name](shuffled, ids)
    samples = tt.collect(model, data, **keywords)

    assert len(samples) == ROWS
    row_of = {item: row for row, item in enumerate(ids.tolist())}
    rows = np.asarray([row_of[item] for item in samples.ids.tolist()])  # KeyError: an id that lost its digits
    assert sorted(rows.tolist()) == list(range(ROWS))
    np.testing.assert_array_equal(samples.y_true, Y[rows])
    np.testing.assert_allclose(samples.y_pred, X[rows] @ KERNEL, rtol=1e-5, atol=1e-5)
    error = (X[rows] @ KERNEL - Y[rows]) ** 2
    assert samples.loss is not None
    np.testing.assert_allclose(samples.loss, error.mean(axis=1), rtol=1e-4)
    if samples.sample_weight is not None:
        np.testing.assert_array_equal(samples.sample_weight, W[rows])
    assert (rows.tolist() == list(range(ROWS))) is not shuffled
    assert samples.seen.missing is None or len(samples.seen.missing) == 0


@pytest.mark.parametrize("name", SOURCES)
def test_fingerprints_know_the_rows_of_any_source(name: str, model: Any) -> None:
    data, keywords = SOURCES[name](True, IDS["int64"])
    samples = tt.collect(model, data, **keywords).identify((X, Y), ids=IDS["str"])
    rows = np.asarray([int(item[7:10]) for item in samples.ids])
    np.testing.assert_array_equal(samples.y_true, Y[rows])


@pytest.mark.parametrize("name", SOURCES)
def test_ground_truth_is_in_the_order_of_the_data(name: str) -> None:
    data, keywords = SOURCES[name](False, IDS["int64"])
    keywords.pop("ids", None)
    truth = tt.ground_truth(getattr(data, "elements", data), **keywords)
    np.testing.assert_array_equal(truth, Y)


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in ("generator", "endless generator")])
def test_stream_gives_the_same_rows_a_batch_at_a_time(name: str, model: Any) -> None:
    data, keywords = SOURCES[name](False, IDS["int64"])
    seen = [(batch.ids, batch.y_true, batch.y_pred) for batch in tt.stream(model, data, **keywords)]
    assert [len(ids) for ids, _, _ in seen] == [16, 16, 16, 2]
    np.testing.assert_array_equal(np.concatenate([ids for ids, _, _ in seen]), IDS["int64"])
    np.testing.assert_array_equal(np.concatenate([y for _, y, _ in seen]), Y)
    np.testing.assert_allclose(np.concatenate([p for _, _, p in seen]), X @ KERNEL, rtol=1e-5, atol=1e-5)
