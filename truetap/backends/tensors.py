"""Values of any array library as NumPy arrays, without importing a library nobody uses here.

A tensor's library is looked for among the modules already loaded: if TensorFlow was never imported,
nothing can be one of its tensors.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.errors import DataError
from truetap.structure import map_leaves

Array = npt.NDArray[Any]

__all__ = ["all_to_host", "is_array", "is_ragged", "is_sparse", "ragged_to_padded", "row_count", "to_host"]


def loaded(name: str) -> Any:
    """A module that somebody has already imported, or None."""
    return sys.modules.get(name)


def is_ragged(value: Any) -> bool:
    """Whether the value is a `tf.RaggedTensor` or a nested `torch` tensor."""
    if type(value) is np.ndarray:
        return False
    tensorflow, torch = loaded("tensorflow"), loaded("torch")
    if tensorflow is not None and isinstance(value, tensorflow.RaggedTensor):
        return True
    return torch is not None and isinstance(value, torch.Tensor) and bool(value.is_nested)


def is_sparse(value: Any) -> bool:
    """Whether the value is a sparse matrix or tensor of SciPy, TensorFlow, JAX or torch."""
    if type(value) is np.ndarray:
        return False
    tensorflow, torch = loaded("tensorflow"), loaded("torch")
    if tensorflow is not None and isinstance(value, tensorflow.SparseTensor):
        return True
    if torch is not None and isinstance(value, torch.Tensor) and bool(value.is_sparse):
        return True
    return type(value).__module__.startswith(("scipy.sparse", "jax.experimental.sparse"))


def is_array(value: Any) -> bool:
    """Whether the value has rows: an array, a tensor, a pandas column or frame."""
    if type(value) is np.ndarray:
        return True
    return (hasattr(value, "shape") and hasattr(value, "__array__")) or is_ragged(value) or is_sparse(value)


def row_count(value: Any) -> int:
    """The number of samples in an array-like, without converting it."""
    if is_ragged(value):
        return int(value.nrows()) if hasattr(value, "nrows") else int(value.size(0))
    shape = value.shape
    if len(shape) == 0:
        raise DataError(
            f"A batch needs a first axis of samples. Received: a scalar ({value!r}). "
            "Expected: shape (n, ...). If the source yields single samples, batch it first."
        )
    return int(shape[0])


def to_host(value: Any) -> Array:
    """An array-like of any library as a NumPy array; no copy where the library allows that.

    Sparse values become dense, ragged ones are padded with zeros (see `ragged_to_padded`),
    bfloat16 torch tensors become float32.
    """
    if isinstance(value, np.ndarray):
        return value
    if is_ragged(value):
        return ragged_to_padded(value)[0]
    tensorflow, torch = loaded("tensorflow"), loaded("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach()
        value = value.to_dense() if value.is_sparse else value
        value = value.float() if value.dtype == torch.bfloat16 else value
        return np.asarray(value.cpu().numpy())
    if tensorflow is not None and isinstance(value, tensorflow.SparseTensor):
        value = tensorflow.sparse.to_dense(value)
    if hasattr(value, "toarray") and is_sparse(value):
        return np.asarray(value.toarray())
    if hasattr(value, "todense") and is_sparse(value):
        return np.asarray(value.todense())
    if hasattr(value, "to_numpy"):  # pandas, Polars, Arrow
        return _column(value)
    return np.asarray(value)


def all_to_host(structure: Any) -> Any:
    """The same structure with every array-like as a NumPy array; None stays None."""
    return map_leaves(lambda leaf: None if leaf is None else to_host(leaf), structure)


def _column(value: Any) -> Array:
    array = np.asarray(value.to_numpy())
    if array.dtype.kind != "O":
        return array
    try:  # mixed numeric columns, nullable integers and floats
        return np.asarray(value.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError):
        if array.ndim == 1:
            return array
        raise DataError(
            f"A table has columns that are not numbers. Received: {_dtypes(value)}. Expected: "
            "numeric columns; encode the others, or pass them as separate inputs."
        ) from None


def _dtypes(table: Any) -> str:
    found = [f"{name!r} of {dtype}" for name, dtype in zip(table.columns, table.dtypes, strict=True)]
    return ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")


def ragged_to_padded(value: Any) -> tuple[Array, Array]:
    """A ragged tensor as a zero-padded array and the mask of what is real.

    Returns:
        The values, shape (n, T, ...), and a bool mask of shape (n, T), T being the longest row.
    """
    if hasattr(value, "nrows"):
        padded = np.asarray(value.to_tensor().numpy())
        lengths = np.asarray(value.row_lengths().numpy())
    else:
        torch = sys.modules["torch"]
        rows = value.unbind()
        lengths = np.asarray([len(row) for row in rows])
        padded = np.asarray(torch.nested.to_padded_tensor(value, 0).numpy())
    return padded, np.arange(padded.shape[1])[None, :] < lengths[:, None]
