"""Problems of pairs (part B): sources that shuffle, race, wrap around, end early or are read once."""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import datasets
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import torch

import truetap as tt

from .summing import ROW, ROWS, Array, X, Y, batches, check_pairs, collect, summing_model


@pytest.fixture(scope="module")
def model() -> Any:
    return summing_model()


# --- B01, B03, B04, B05: one pass, whatever shuffles --------------------------------------------------


def test_b01_labels_and_predictions_in_one_iteration_of_the_data(model: Any) -> None:
    passes = []

    class Once:
        def __iter__(self) -> Iterator[Any]:
            passes.append(1)
            return batches()

    check_pairs(collect(model, Once()))
    assert len(passes) == 1


def test_b03_the_confusion_matrix_is_that_of_the_pairs_and_agrees_with_evaluate() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 60)
    x = np.eye(3, dtype="float32")[labels] + 0.8 * rng.normal(size=(60, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Softmax()])
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    shuffled = tf.data.Dataset.from_tensor_slices((x, labels)).shuffle(60).batch(7)
    evaluation = collect(model, shuffled).evaluate()
    expected = np.zeros((3, 3))
    np.add.at(expected, (labels, x.argmax(axis=1)), 1)
    np.testing.assert_array_equal(evaluation.confusion, expected)
    logs = model.evaluate(shuffled, verbose=0, return_dict=True)
    assert evaluation["accuracy"] == pytest.approx(logs["accuracy"])
    assert evaluation.loss == pytest.approx(logs["loss"], rel=1e-5)


def test_b04_two_passes_in_different_order_are_said(model: Any) -> None:
    shuffled = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(ROWS).batch(8)
    alignment = tt.check_alignment(shuffled)
    assert not alignment
    assert alignment.same_samples
    assert alignment.same_labels
    assert "different orders" in str(alignment)
    check_pairs(collect(model, shuffled))


def test_b04_loader_that_shuffles(model: Any) -> None:
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True, num_workers=0)
    assert not tt.check_alignment(loader)
    samples = collect(model, tt.with_ids(loader))
    check_pairs(samples)
    assert samples.ids.tolist() != ROW.tolist()
    np.testing.assert_array_equal(samples.y_true[:, 0], Y[samples.ids])
    with pytest.raises(tt.IdError, match="shuffles"):
        collect(model, loader, ids=ROW)


def test_b04_loader_with_ids_of_a_table(model: Any) -> None:
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    names = pd.Series([f"n{row}" for row in ROW], index=ROW + 100)  # label 0 isn't in the index
    samples = collect(model, tt.with_ids(loader, names))
    np.testing.assert_array_equal(samples.y_true[:, 0], Y[[int(name[1:]) for name in samples.ids]])


def test_b04_loader_whose_batch_sampler_shuffles_takes_no_list_of_ids(model: Any) -> None:
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    sampler = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(data), 8, drop_last=False)
    loader = torch.utils.data.DataLoader(data, batch_sampler=sampler)
    with pytest.raises(tt.IdError, match="shuffles"):
        collect(model, loader, ids=ROW)
    samples = collect(model, tt.with_ids(loader))
    np.testing.assert_array_equal(samples.y_true[:, 0], Y[samples.ids])


@pytest.mark.parametrize("how", ["argument", "options"])
def test_b04_order_lost_in_a_parallel_map_takes_no_list_of_ids(how: str, model: Any) -> None:
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    options = tf.data.Options()
    options.deterministic = False
    deterministic = False if how == "argument" else None
    mapped = data.map(lambda x, y: (x, y), num_parallel_calls=4, deterministic=deterministic).batch(8)
    with pytest.raises(tt.IdError, match="shuffles"):
        collect(model, mapped.with_options(options) if how == "options" else mapped, ids=ROW)


class Reshuffled(keras.utils.PyDataset):  # type: ignore[misc]
    """Reshuffles at the end of an epoch, sleeps at random, and counts what is asked of it."""

    def __init__(self, with_names: bool = False, sleep: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order = np.random.default_rng(4).permutation(ROWS)
        self.asked: list[int] = []
        self.ended, self.begun, self.sleep = 0, 0, sleep
        if with_names:
            self.batch_ids = lambda index: self.order[8 * index : 8 * index + 8]

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        time.sleep(random.random() * self.sleep)
        rows = self.order[8 * index : 8 * index + 8]
        return X[rows], Y[rows]

    def on_epoch_begin(self) -> None:
        self.begun += 1

    def on_epoch_end(self) -> None:
        self.ended += 1
        self.order = np.random.default_rng(self.ended).permutation(ROWS)


@pytest.mark.parametrize("workers", [1, 4])
def test_b05_b08_dataset_that_reshuffles_with_workers(workers: int, model: Any) -> None:
    data = Reshuffled(with_names=True, sleep=0.02, workers=workers, max_queue_size=3)
    before = data.order
    samples = collect(model, data)
    check_pairs(samples)
    np.testing.assert_array_equal(samples.ids, before)
    np.testing.assert_array_equal(samples.y_true[:, 0], Y[samples.ids])
    assert sorted(data.asked) == [0, 1, 2, 3]
    assert (data.begun, data.ended) == (1, 1)


def test_b05_an_error_in_a_worker_is_the_users_own(model: Any) -> None:
    class Broken(Reshuffled):
        def __getitem__(self, index: int) -> Any:
            if index == 2:
                raise OSError("a file is gone")
            return super().__getitem__(index)

    for workers in (1, 3):
        data = Broken(workers=workers)
        with pytest.raises(OSError, match="a file is gone"):
            collect(model, data)
        assert data.ended == 1


def test_b05_dataset_without_an_end(model: Any) -> None:
    class Endless(Reshuffled):
        @property
        def num_batches(self) -> None:
            return None

        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index % 3)

    with pytest.raises(tt.DataError, match="has no end"):
        collect(model, Endless())
    with pytest.warns(tt.DataWarning, match="From row 24 on the source starts over"):
        assert len(collect(model, Endless(), steps=5)) == 40


# --- B06, B07: counts ---------------------------------------------------------------------------------


def test_b06_what_was_expected_and_what_came(model: Any) -> None:
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=8, drop_last=True)
    seen = collect(model, tt.with_ids(loader)).seen
    assert (seen.samples, seen.expected, seen.unique) == (24, 26, 24)
    assert seen.missing is not None
    assert seen.missing.tolist() == [24, 25]


def test_b06_wrapped_duplicates_are_counted_and_dropped(model: Any) -> None:
    def wrapping() -> Iterator[Any]:
        for at in count(0, 8):
            rows = np.arange(at, at + 8) % ROWS
            yield {"x": X[rows], "row": rows}, Y[rows]

    with pytest.warns(tt.DataWarning, match="From row 26 on the source starts over"):
        samples = collect(model, wrapping(), steps=4, ids="row")
    assert (samples.seen.samples, samples.seen.unique) == (32, 26)
    assert sorted(samples.seen.duplicates.tolist()) == list(range(6))
    kept = samples.drop_duplicates()
    np.testing.assert_array_equal(kept.ids, ROW)
    check_pairs(kept)


def test_b06_an_empty_last_batch_is_no_row(model: Any) -> None:
    def with_an_empty_one() -> Iterator[Any]:
        yield from batches()
        yield X[:0], Y[:0]

    check_pairs(collect(model, with_an_empty_one()))


@pytest.mark.parametrize("how", ["collect", "stream"])
def test_b07_exactly_steps_are_drawn_and_a_second_call_goes_on(how: str, model: Any) -> None:
    drawn = []

    def endless() -> Iterator[Any]:
        for step in count():
            drawn.append(step)
            rows = np.arange(3 * step, 3 * step + 3) % ROWS
            yield X[rows] + step, Y[rows] + 4 * step

    def take(steps: int) -> Array:
        if how == "collect":
            return np.asarray(collect(model, generator, steps=steps).y_true[:, 0])
        return np.concatenate([each.y_true[:, 0] for each in tt.stream(model, generator, steps=steps)])

    generator = endless()
    expected = np.concatenate([Y[np.arange(3 * step, 3 * step + 3) % ROWS] + 4 * step for step in range(5)])
    np.testing.assert_allclose(take(3), expected[:9], rtol=1e-6)
    assert drawn == [0, 1, 2]
    np.testing.assert_allclose(take(2), expected[9:], rtol=1e-6)
    assert drawn == [0, 1, 2, 3, 4]


def test_b07_a_streamed_generator_is_not_drawn_ahead_of_the_user(model: Any) -> None:
    generator = batches()
    stream = tt.stream(model, generator)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(next(generator)[1], Y[8:16])


def test_b07_a_factory_with_arguments(model: Any) -> None:
    def make(low: int, *, high: int) -> Iterator[Any]:
        return batches(ROW[low:high])

    samples = collect(model, make, args=(3,), kwargs={"high": 20})
    np.testing.assert_array_equal(samples.y_true[:, 0], Y[3:20])
    assert tt.check_alignment(make, args=(3,), kwargs={"high": 20})


# --- B11, B12 -----------------------------------------------------------------------------------------


def test_b11_class_names_that_sort_as_text_are_said() -> None:
    features = datasets.Features(
        {"x": datasets.Sequence(datasets.Value("float32")), "label": datasets.ClassLabel(names=["1", "10", "2"])}
    )
    data = datasets.Dataset.from_dict({"x": X.tolist(), "label": (ROW % 3).tolist()}, features=features)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile(loss="sparse_categorical_crossentropy")
    with pytest.warns(tt.DataWarning, match="index 1 is class '10', not '2'"):
        samples = collect(model, data)
    assert samples.class_names == ("1", "10", "2")


def test_b12_labels_in_the_weight_slot_are_said(model: Any) -> None:
    with pytest.warns(tt.DataWarning, match="looks like labels"):
        collect(model, (X[:, ::-1], X, ROW % 2))


@pytest.mark.parametrize(
    "weights",
    [np.ones(ROWS), np.linspace(0.5, 2, ROWS), (ROW % 2).astype("int32"), ROW % 2 == 0],
    ids=["ones", "floats", "integer mask", "bool mask"],
)
def test_b12_weights_get_no_warning(weights: Array, model: Any) -> None:
    samples = collect(model, (X, 2 * Y, weights))
    np.testing.assert_array_equal(samples.sample_weight, weights)
    np.testing.assert_allclose(samples.weighted_loss, Y**2 * weights, rtol=1e-3, atol=1e-5)


# --- B13, B15 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["generator", "dataset"])
def test_b13_stream_holds_one_batch(kind: str, model: Any) -> None:
    made: list[weakref.ref[Any]] = []

    def alive() -> int:
        return sum(ref() is not None for ref in made)

    def big() -> Iterator[Any]:
        for step in range(20):
            x = np.full((64, 4), step, "float32")
            made.append(weakref.ref(x))
            yield x, x.sum(axis=1)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Any:
            return next(islice(big(), index, None))

    most, rows = 0, 0
    for batch in tt.stream(model, big() if kind == "generator" else Batches()):
        rows += len(batch)
        made.append(weakref.ref(batch))
        most = max(most, alive())
    assert rows == 20 * 64
    assert most <= 6


@pytest.mark.parametrize("layer", [keras.layers.LSTM, keras.layers.GRU])
@pytest.mark.parametrize("rank", [2, 3], ids=["labels (n, T)", "labels (n, T, 1)"])
def test_b15_padded_steps_are_no_predictions(layer: Any, rank: int) -> None:
    rng = np.random.default_rng(0)
    lengths = np.asarray([3, 6, 1, 4, 6])
    valid = np.arange(6) < lengths[:, None]
    x = np.where(valid[..., None], rng.normal(size=(5, 6, 2)), 0).astype("float32")
    y = np.where(valid, rng.normal(size=(5, 6)), 0).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((6, 2)),
            keras.layers.Masking(),
            layer(3, return_sequences=True),
            keras.layers.Dense(1, bias_initializer="ones"),
        ]
    )
    model.compile(loss="mse")
    y_pred = keras.ops.convert_to_numpy(model(x, training=False))[..., 0]
    samples = collect(model, (x, y[..., None] if rank == 3 else y), batch_size=2)
    np.testing.assert_array_equal(samples.mask, valid)
    np.testing.assert_allclose(samples.y_pred[..., 0], y_pred, rtol=1e-5, atol=1e-6)
    errors = np.where(valid, (y_pred - y) ** 2, 0)
    np.testing.assert_allclose(samples.loss, errors.sum(axis=1) / lengths, rtol=1e-4)

    flat = samples.flat_valid()
    assert len(flat) == valid.sum()
    np.testing.assert_array_equal(flat.y_true.reshape(-1), y[valid])
    np.testing.assert_allclose(flat.y_pred.reshape(-1), y_pred[valid], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(flat.ids, np.repeat(samples.ids, lengths))
    np.testing.assert_array_equal(flat.timestep, np.nonzero(valid)[1])
    assert samples.evaluate()["mse"] == pytest.approx(errors.sum() / valid.sum(), rel=1e-4)
    assert flat.evaluate()["mse"] == pytest.approx(errors.sum() / valid.sum(), rel=1e-4)


def test_b15_tags_without_padding_and_batches_of_different_length(tmp_path: Path) -> None:
    """Padded to the longest of a batch; accuracy is that of the real tags, on disk too."""
    rng = np.random.default_rng(0)
    sequences = [rng.integers(1, 5, length) for length in (3, 5, 2, 7, 4)]
    tags = [(words % 3).astype(np.int64) for words in sequences]
    inputs = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(5, 3, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
    model.compile(loss="sparse_categorical_crossentropy")

    def padded() -> Iterator[Any]:
        for pair in ([0, 1], [2, 3], [4]):
            width = max(len(sequences[row]) for row in pair)
            yield tuple(np.stack([np.pad(part[row], (0, width - len(part[row]))) for row in pair])
                        for part in (sequences, tags))  # fmt: skip

    table = keras.ops.convert_to_numpy(model(np.arange(5)[None], training=False))[0]
    expected = np.concatenate([table[words] for words in sequences])
    truth = np.concatenate(tags)
    for to in (None, tmp_path / "run"):
        samples = collect(model, padded(), to=to)
        flat = samples.flat_valid()
        np.testing.assert_allclose(flat.y_pred, expected, rtol=1e-5)
        np.testing.assert_array_equal(flat.true_labels, truth)
        accuracy = (expected.argmax(axis=1) == truth).mean()
        assert samples.evaluate()["accuracy"] == pytest.approx(accuracy)
        assert flat.evaluate()["accuracy"] == pytest.approx(accuracy)
        losses = [-np.log(table[words, tag]).mean() for words, tag in zip(sequences, tags, strict=True)]
        np.testing.assert_allclose(samples.loss, losses, rtol=1e-4)
        assert len(samples.hardest(2)) == 2
        assert samples.to_arrow().num_rows == 5
