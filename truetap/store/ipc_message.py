"""What an Arrow message says of itself, looked at before Arrow acts on it.

Arrow checks that a message is whole and lies within its bytes. It doesn't ask whether a few bytes stand for a billion
rows, or whether a compressed buffer is a thousand times what lies in the file; and an extension type that another
package has registered is made by that package's code, from bytes of the file. Runs hold nothing of the kind, so it is
refused here. Cost: some 20 us for a batch.

The messages are flatbuffers: https://github.com/apache/arrow/blob/main/format/Message.fbs and Schema.fbs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

_EXTENSION = b"ARROW:extension:name"
EXTENSIONS = frozenset(
    f"arrow.{name}" for name in ("bool8", "fixed_shape_tensor", "json", "opaque", "uuid", "variable_shape_tensor")
)
_ROWS_OF_NOTHING = 1 << 20  # values that may take no byte, such as nulls and tensors of an empty shape
_SMALLEST_FIELD = 24  # bytes of a schema

_HEADER, _FIELDS, _NODES, _BUFFERS, _COMPRESSION = 2, 1, 1, 2, 3
_CHILDREN, _METADATA = 5, 6


class _Table:
    """A table of a flatbuffer: fields by number, each of which may be absent."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, _unsigned(data, 0))

    def table(self, field: int) -> _Table | None:
        at = self._place(field)
        return None if at is None else _Table(self._data, at + _unsigned(self._data, at))

    def text(self, field: int) -> bytes:
        at = self._place(field)
        if at is None:
            return b""
        start = at + _unsigned(self._data, at)
        return self._data[start + 4 : start + 4 + _unsigned(self._data, start)]

    def vector(self, field: int) -> tuple[int, int]:
        """Where the elements of a vector begin, and their number."""
        at = self._place(field)
        if at is None:
            return 0, 0
        start = at + _unsigned(self._data, at)
        return start + 4, _unsigned(self._data, start)

    def tables(self, field: int) -> Iterator[_Table]:
        start, count = self.vector(field)
        for at in range(start, start + 4 * count, 4):
            yield _Table(self._data, at + _unsigned(self._data, at))

    def pairs(self, field: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """A vector of structs of two 64-bit numbers, shape (n, 2)."""
        start, count = self.vector(field)
        return np.frombuffer(self._data, np.int64, 2 * count, start).reshape(count, 2)

    def has(self, field: int) -> bool:
        return self._place(field) is not None

    def _place(self, field: int) -> int | None:
        (back,) = struct.unpack_from("<i", self._data, self._at)
        fields = self._at - back
        if not 0 <= fields <= len(self._data) - 4:
            raise ValueError("a table of the message lies outside of it")
        (size,) = struct.unpack_from("<H", self._data, fields)
        if 4 + 2 * field + 2 > size:
            return None
        (offset,) = struct.unpack_from("<H", self._data, fields + 4 + 2 * field)
        return self._at + offset if offset else None


def check_batch(message: pa.ipc.Message) -> None:
    """Return when the values of a record batch take no more memory than its bytes in the file.

    Args:
        message: As `pyarrow.ipc.read_message` gives it, which has checked that it is whole.

    Raises:
        ValueError: It is compressed, or promises more than it has.
    """
    if message.type != "record batch":
        raise ValueError(f"a message of type {message.type} where a record batch should be")
    header = _header(message)
    if header.has(_COMPRESSION):
        raise ValueError("a compressed batch, whose size in memory the file doesn't bound; runs hold plain ones")
    body = message.body.size if message.body is not None else 0
    values = _sum(header.pairs(_NODES)[:, 0])
    if values > _ROWS_OF_NOTHING + 8 * body:
        raise ValueError(f"{values:,} values in {body:,} bytes")
    used = _sum(header.pairs(_BUFFERS)[:, 1])
    if used > body:
        raise ValueError(f"buffers of {used:,} bytes in a body of {body:,}")


def check_schema(message: pa.ipc.Message) -> None:
    """Return when a schema has no extension type but those of Arrow itself.

    Raises:
        ValueError: It names another: what is registered under it would be given bytes of the file.
    """
    if message.type != "schema":
        raise ValueError(f"a message of type {message.type} where the schema should be")
    left = message.metadata.size // _SMALLEST_FIELD
    waiting = list(_header(message).tables(_FIELDS))
    while waiting:
        left -= 1
        if left < 0:  # fields may be shared: a few of them, each within the next, would stand for millions
            raise ValueError(f"more fields than {message.metadata.size:,} bytes can describe")
        field = waiting.pop()
        _check_extension(field)
        waiting += field.tables(_CHILDREN)


def _header(message: pa.ipc.Message) -> _Table:
    header = _Table.root(message.metadata.to_pybytes()).table(_HEADER)
    if header is None:
        raise ValueError("a message without a header")
    return header


def _sum(sizes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Their sum, of floats: it can't overflow; what is negative counts as large as it is."""
    return int(np.abs(sizes.astype(np.float64)).sum())


def _check_extension(field: _Table) -> None:
    for pair in field.tables(_METADATA):
        if pair.text(0) == _EXTENSION and (name := pair.text(1).decode(errors="replace")) not in EXTENSIONS:
            raise ValueError(
                f"the extension type {name!r}, which code outside of Arrow would have to make; "
                f"expected one of {sorted(EXTENSIONS)}"
            )


def _unsigned(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])
