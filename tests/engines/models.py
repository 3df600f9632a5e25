"""A model and data for it, small enough for a process that is started for a test."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Array = npt.NDArray[Any]

COLUMNS = ("sample_id", "fingerprint", "step", "y_true", "y_pred", "loss")


def classifier(loss: Any = "sparse_categorical_crossentropy", seed: int = 0) -> Any:
    """16 numbers to 4 classes; the same weights in every process."""
    keras.utils.set_random_seed(seed)
    x = keras.Input((16,), name="x")
    hidden = keras.layers.Dense(8, activation="relu", name="hidden")(x)
    model = keras.Model(x, keras.layers.Dense(4, activation="softmax", name="scores")(hidden), name="classifier")
    model.compile("adam", loss)
    return model


def rows(count: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 16)).astype("float32"), rng.integers(0, 4, count)


def write_parquet(folder: Path, x: Array, y: Array, per_file: int, group: int = 50) -> Path:
    """Files of `per_file` rows with columns x, label and key."""
    folder.mkdir()
    for number, start in enumerate(range(0, len(x), per_file)):
        part = slice(start, start + per_file)
        values = pa.array(x[part].reshape(-1))
        keys = [f"key-{index}" for index in range(start, start + len(x[part]))]
        columns = {"x": pa.FixedSizeListArray.from_arrays(values, x.shape[1]), "label": y[part], "key": keys}
        pq.write_table(pa.table(columns), folder / f"part-{number:02d}.parquet", row_group_size=group)
    return folder


def columns_of(samples: Any) -> dict[str, Any]:
    """All columns as arrays, for comparison."""
    table = samples.to_arrow()
    assert set(COLUMNS) <= set(table.column_names)
    return {
        "sample_id": samples.ids,
        "fingerprint": samples.fingerprints,
        "step": samples.steps,
        "y_true": samples.y_true,
        "y_pred": samples.y_pred,
        "loss": samples.loss,
    }


def same(found: Any, expected: Any, rtol: float = 1e-6) -> None:
    """The same rows in the same order: names and labels exactly, computed values to float tolerance."""
    ours, theirs = columns_of(found), columns_of(expected)
    for name in ("sample_id", "fingerprint", "step", "y_true"):
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
        assert ours[name].dtype == theirs[name].dtype, name
    for name in ("y_pred", "loss"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=rtol, atol=1e-7, err_msg=name)


def once(marker: Path, act: Callable[[], None]) -> None:
    """Acts in the first process that comes here, and in no other."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        act()


def die() -> None:
    """Ends this process as the system does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)
