"""Arrays of samples as Arrow columns, and back, without copying.

A batch of samples is a `pyarrow.RecordBatch`: it is what `collect` holds in memory, what the store
writes and what readers memory-map. Scalars per sample become plain columns; anything of higher rank
becomes Arrow's canonical `fixed_shape_tensor`, or, when the shape changes from batch to batch
(padding to the longest of a batch), Arrow's canonical `variable_shape_tensor`: a struct of the flat
values and their shape, which newer versions of pyarrow give back as an extension type of that name.
Cost: no copy either way for fixed shapes in C order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[Any]

_VARIABLE = b"arrow.variable_shape_tensor"


def storable(array: Array) -> Array:
    """The array in a dtype that Arrow, and DuckDB behind it, can hold.

    bfloat16 and the float8 kinds become float32 (exact); bool of rank 2 and more becomes uint8,
    since Arrow packs bools to bits; big-endian numbers are swapped; strings stay objects.
    """
    if array.dtype.kind in "SUOT":
        return array
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind == "V" or array.dtype.isbuiltin == 2:  # a dtype that ml_dtypes added to NumPy
        return array.astype(np.float32)
    if array.dtype.kind == "b" and array.ndim > 1:
        return array.view(np.uint8) if array.flags.c_contiguous else array.astype(np.uint8)
    return array


def encode(array: Array, *, variable: bool = False) -> pa.Array:
    """An array of shape `(n, ...)` as an Arrow array of n elements.

    Args:
        array: Values of n samples, any dtype of NumPy, or strings of shape (n,).
        variable: Whether to store each row's shape beside it, for columns whose trailing
            shape differs between batches.
    """
    array = storable(array)
    if array.dtype.kind in "SUOT":
        return _encode_strings(array)
    if array.ndim <= 1:
        return pa.array(array)
    if variable:
        return _encode_variable([array])
    if 0 in array.shape:  # pyarrow refuses to build a tensor array over an empty extent
        value_type = pa.from_numpy_dtype(array.dtype)
        tensor = pa.fixed_shape_tensor(value_type, array.shape[1:])
        width = int(np.prod(array.shape[1:]))
        flat = pa.array(array.reshape(-1))
        storage = (
            pa.FixedSizeListArray.from_arrays(flat, width)
            if width
            else pa.array([[]] * len(array), type=pa.list_(value_type, 0))
        )
        return pa.ExtensionArray.from_storage(tensor, storage)
    flat = np.ascontiguousarray(array).reshape(-1)  # of one row, any stride counts as contiguous; Arrow wants the usual
    return pa.FixedShapeTensorArray.from_numpy_ndarray(flat.reshape(array.shape))


def encode_parts(parts: Sequence[Array], *, variable: bool = False) -> pa.Array:
    """Arrays of shape `(n, ...)`, end to end, as one Arrow array.

    Args:
        parts: One or more arrays of one dtype; of one trailing shape, or with `variable` of one rank.
        variable: Whether to store each row's shape beside it.
    """
    if variable and parts[0].ndim > 1:
        return _encode_variable([storable(part) for part in parts])
    return encode(parts[0] if len(parts) == 1 else np.concatenate(parts))


def decode(column: pa.Array) -> Array:
    """The NumPy array of shape `(n, ...)` behind an Arrow column; zero-copy for numbers.

    Raises:
        ValueError: A variable-shape column whose rows differ in shape; decode it row by row.
    """
    kind = column.type
    if isinstance(kind, pa.FixedShapeTensorType):
        if len(column) == 0 or 0 in kind.shape:
            # Not to_pandas_dtype(), for which older versions of pyarrow need pandas.
            empty = pa.array([], kind.value_type).to_numpy(zero_copy_only=False)
            return np.zeros((len(column), *kind.shape), empty.dtype)
        return np.asarray(column.to_numpy_ndarray())
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name == _VARIABLE.decode():
        return _decode_variable(column.storage)
    if pa.types.is_struct(kind):
        return _decode_variable(column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)
    return np.asarray(column.to_numpy(zero_copy_only=False))


def concatenate(parts: Sequence[Array]) -> Array:
    """Chunks of one column end to end; trailing shapes that differ are padded with zeros.

    Rows of a shorter chunk are filled with zeros (False, empty strings) at the end of each axis;
    the mask column, padded the same way, says what is real.

    Example:
        >>> concatenate([np.ones((1, 2)), np.ones((1, 3))])
        array([[1., 1., 0.],
               [1., 1., 1.]])
    """
    if len({part.shape[1:] for part in parts}) <= 1:
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len({part.ndim for part in parts}) > 1:
        raise ValueError(
            "Chunks of one column have different ranks. Received: shapes "
            f"{sorted({part.shape for part in parts})}. Expected: one rank, with lengths that may "
            "differ from batch to batch."
        )
    shape = np.max([part.shape[1:] for part in parts], axis=0)
    rows = sum(len(part) for part in parts)
    whole = np.zeros((rows, *shape), np.result_type(*parts))
    start = 0
    for part in parts:
        where = (slice(start, start + len(part)), *(slice(0, size) for size in part.shape[1:]))
        whole[where] = part
        start += len(part)
    return whole


def is_variable(field: pa.Field) -> bool:
    """Whether a column holds tensors whose shape is stored with every row."""
    if isinstance(field.type, pa.BaseExtensionType):  # as read back by a pyarrow that knows it
        return bool(field.type.extension_name == _VARIABLE.decode())
    return bool(field.metadata and field.metadata.get(b"ARROW:extension:name") == _VARIABLE)


def record_batch(
    columns: Iterable[tuple[str, Array | pa.Array]], variable: frozenset[str] = frozenset()
) -> pa.RecordBatch:
    """Named arrays of one batch as an Arrow record batch.

    Args:
        columns: Pairs of a column's name and its values, shape (n, ...), all of one length n; an
            Arrow array is taken as it is.
        variable: Names of the columns to store with a shape per row.
    """
    arrays, fields = [], []
    for name, values in columns:
        array = values if isinstance(values, pa.Array) else encode(values, variable=name in variable)
        metadata = None
        if pa.types.is_struct(array.type) and [part.name for part in array.type] == ["data", "shape"]:
            metadata = {b"ARROW:extension:name": _VARIABLE, b"ARROW:extension:metadata": b"{}"}
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=metadata))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _encode_strings(array: Array) -> pa.Array:
    if array.ndim != 1:
        raise ValueError(
            f"Strings can be stored as one per sample. Received: shape {array.shape}. "
            "Expected: shape (n,). Drop that column, or join its strings."
        )
    if array.dtype.kind in "UO":  # pyarrow keeps the padding of "S"
        with contextlib.suppress(pa.ArrowException):  # three times as fast as one by one, where all are strings
            strings = pa.array(array, pa.string())
            if not strings.null_count:
                return strings
    return pa.array([v.decode() if isinstance(v, bytes) else str(v) for v in array], pa.string())


def _encode_variable(parts: Sequence[Array]) -> pa.Array:
    """Parts of one dtype and rank, each of its own shape `(n, ...)`, end to end."""
    rows = np.asarray([len(part) for part in parts])
    shapes = np.asarray([part.shape[1:] for part in parts], np.int32)
    if sum(part.size for part in parts) >= 2**31:  # lists of 32 bits; pyarrow opens no file with larger ones
        raise ValueError(
            "A batch of a column whose shape varies can hold 2**31 values. Received: shape "
            f"{parts[0].shape}{' and others' if len(parts) > 1 else ''}. Expected: fewer samples per batch."
        )
    flats = [np.ascontiguousarray(part).reshape(-1) for part in parts]
    flat = flats[0] if len(flats) == 1 else np.concatenate(flats)
    widths = np.repeat(shapes.prod(axis=1, dtype=np.int32), rows)
    offsets = np.concatenate([np.zeros(1, np.int32), widths.cumsum(dtype=np.int32)])
    data = pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
    extents = pa.FixedSizeListArray.from_arrays(pa.array(shapes.repeat(rows, axis=0).reshape(-1)), shapes.shape[1])
    return pa.StructArray.from_arrays([data, extents], names=["data", "shape"])


def _decode_variable(column: pa.StructArray) -> Array:
    data, shapes = column.field("data"), column.field("shape")
    values = np.asarray(data.flatten().to_numpy(zero_copy_only=False))
    rank = shapes.type.list_size
    if len(column) == 0:
        return np.zeros((0,) * (rank + 1), values.dtype)
    extents = np.asarray(shapes.flatten().to_numpy(zero_copy_only=False)).reshape(-1, rank)
    if (extents != extents[0]).any():
        raise ValueError("The rows of this column differ in shape: slice it to rows of one shape.")
    return values.reshape(len(column), *extents[0])
