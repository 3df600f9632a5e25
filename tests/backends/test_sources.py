"""Sources that other libraries make, on whichever backend runs; and what is kept when a source breaks off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import grain
import jax.numpy as jnp
import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
import torch
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from PIL import Image

import truetap as tt

from .summing import ROW, ROWS, X, Y, batches, check_pairs, collect, summing_model


@pytest.fixture(scope="module")
def model() -> Any:
    return summing_model()


# --- B02: Keras' older iterators ----------------------------------------------------------------------


def picture_model() -> Any:
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_b02_flow_from_directory_that_shuffles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "cow", "dog"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name / f"{index}.png")
    flow = ImageDataGenerator().flow_from_directory(
        str(tmp_path), target_size=(8, 8), batch_size=4, shuffle=True, class_mode="sparse"
    )
    samples = collect(picture_model(), flow, inputs=True)
    assert sorted(samples.ids) == sorted(flow.filenames)
    assert list(samples.ids) != flow.filenames
    assert samples.class_names == ("cat", "cow", "dog")
    for name, label, pixels in zip(samples.ids, samples.true_labels, samples.inputs, strict=True):
        assert Path(name).parent.name == samples.class_names[label]
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(tmp_path / name)))


def test_b02_flow_of_arrays_that_shuffles() -> None:
    images = np.random.default_rng(0).random((10, 8, 8, 3)).astype("float32")
    flow = ImageDataGenerator().flow(images, np.arange(10) % 3, batch_size=4, shuffle=True)
    samples = collect(picture_model(), flow, inputs=True)
    assert sorted(samples.ids) == list(range(10))
    np.testing.assert_array_equal(samples.inputs, images[samples.ids])
    np.testing.assert_array_equal(samples.true_labels, samples.ids % 3)


# --- tensors and tables of other libraries ------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [torch.tensor, tf.constant, jnp.asarray, pd.DataFrame, scipy.sparse.csr_matrix, scipy.sparse.coo_array, list],
    ids=["torch", "tf", "jax", "pandas", "csr", "coo", "list"],
)
def test_arrays_of_any_library_on_any_backend(convert: Callable[[Any], Any], model: Any) -> None:
    x = X.tolist() if convert is list else convert(X)
    for y in (Y, torch.tensor(Y), tf.constant(Y), jnp.asarray(Y), pd.Series(Y, index=ROW + 7)):
        samples = collect(model, (x, y), batch_size=8)
        check_pairs(samples)
        np.testing.assert_array_equal(samples.y_true[:, 0], Y)


def test_grain_datasets_and_loaders(model: Any) -> None:
    items = grain.MapDataset.source(list(range(ROWS))).map(lambda row: (X[row], Y[row]))
    check_pairs(collect(model, items.shuffle(seed=1).batch(8)))
    check_pairs(collect(model, items.to_iter_dataset().batch(8)))
    check_pairs(collect(model, items.shuffle(seed=2).repeat().batch(13), steps=2))
    with pytest.raises(tt.DataError, match="has no end"):
        collect(model, items.repeat().batch(8))

    class Pair(grain.transforms.Map):  # type: ignore[misc]
        def map(self, element: int) -> Any:
            return X[element], Y[element]

    loader = grain.DataLoader(
        data_source=list(range(ROWS)),
        sampler=grain.samplers.IndexSampler(ROWS, shuffle=True, seed=3, num_epochs=1),
        operations=[Pair(), grain.transforms.Batch(8)],
    )
    check_pairs(collect(model, loader))


def test_hugging_face_rows_streams_and_dict_batches(model: Any) -> None:
    columns = {"key": [f"k{row}" for row in ROW], "x": X.tolist(), "target": Y.tolist()}
    data = datasets.Dataset.from_dict(columns).shuffle(seed=1)
    for each in (data, data.to_iterable_dataset(), data.with_format("torch")):
        samples = collect(model, each, ids="key", batch_size=8)
        check_pairs(samples)
        np.testing.assert_allclose(samples.y_true[:, 0], Y[[int(key[1:]) for key in samples.ids]], rtol=1e-6)
    dicts = ({"x": x, "labels": y} for x, y in batches())
    check_pairs(collect(model, dicts))
    with pytest.raises(tt.DataError, match="splits"):
        collect(model, datasets.DatasetDict({"test": data}))


# --- interrupts ---------------------------------------------------------------------------------------


def test_an_interrupt_keeps_every_row_that_had_run(model: Any, tmp_path: Path) -> None:
    def interrupted() -> Iterator[Any]:
        yield from islice(batches(), 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(model, interrupted(), to=tmp_path / "run")
    run = tt.open(tmp_path / "run")
    assert not run.complete
    samples = run.samples()
    check_pairs(samples, 24)
    np.testing.assert_array_equal(samples.y_true[:, 0], Y[:24])


def test_a_bad_batch_keeps_every_row_before_it(model: Any) -> None:
    def with_a_bad_one() -> Iterator[Any]:
        yield from islice(batches(), 3)
        yield X[:4], Y[:3]

    with pytest.raises(tt.LengthError, match="different numbers of samples") as caught:
        collect(model, with_a_bad_one())
    assert caught.value.samples is not None
    np.testing.assert_array_equal(caught.value.samples.y_true[:, 0], Y[:24])
