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

from truetap.columns import decode

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


def two_outputs() -> Any:
    """16 numbers to 4 classes and to 2 numbers, each with a loss of its own."""
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    hidden = keras.layers.Dense(8, activation="relu", name="hidden")(x)
    outputs = {
        "scores": keras.layers.Dense(4, activation="softmax", name="scores")(hidden),
        "place": keras.layers.Dense(2, name="place")(hidden),
    }
    model = keras.Model(x, outputs, name="two_outputs")
    model.compile("adam", {"scores": "sparse_categorical_crossentropy", "place": "mse"})
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


def columns_of(samples: Any) -> dict[str, Array]:
    """All columns as arrays, for comparison."""
    table = samples.to_arrow()
    assert set(COLUMNS) <= {name.partition("/")[0] for name in table.column_names}
    return {name: decode(pa.concat_arrays(table.column(name).chunks)) for name in table.column_names}


def same(found: Any, expected: Any, rtol: float = 1e-5) -> None:
    """The same columns and rows in the same order: names and labels exactly, computed values to float tolerance."""
    ours, theirs = columns_of(found), columns_of(expected)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert values.dtype == theirs[name].dtype, name
        if name.partition("/")[0] in ("y_pred", "loss", "layers"):
            np.testing.assert_allclose(values, theirs[name], rtol=rtol, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(values, theirs[name], err_msg=name)


def once(marker: Path, act: Callable[[], None]) -> None:
    """Acts in the first process that comes here, and in no other."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        act()


def die() -> None:
    """Ends this process as the system does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)
