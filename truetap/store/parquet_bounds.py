"""How much memory row groups of a Parquet file take, told from its page headers before a page is decoded.

A page of a few bytes may say that it holds gigabytes of zeros, or one long string a million times. Parquet's reader
takes what the header says. So the headers of the pages that are about to be read are looked at before, and the file's
own copy of the Arrow schema, which names the extension types that Arrow would make. Cost: some 20 us a page.

https://parquet.apache.org/docs/file-format/ and https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
(headers are in Thrift's compact protocol, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md)
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from truetap.store.ipc_message import check_schema

_ALWAYS = 512 << 20  # bytes that may be decoded whatever the file's size is: a run of row groups takes some 64 MB
_TIMES = 32  # and this often the file's size

_END = b"PAR1"
_SCHEMA = b"ARROW:schema"
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12, "BYTE_ARRAY": 16}
_PLAIN, _DICTIONARIES = 0, (2, 8)
_ENCODINGS = {0: "PLAIN", 2: "PLAIN_DICTIONARY", 3: "RLE", 5: "DELTA_BINARY_PACKED", 6: "DELTA_LENGTH_BYTE_ARRAY"}
_ENCODINGS |= {8: "RLE_DICTIONARY", 9: "BYTE_STREAM_SPLIT"}  # but not DELTA_BYTE_ARRAY, where a value repeats another

# fields of a page header: sizes, and what each kind of page says of itself
_UNPACKED, _PACKED, _DATA, _DICTIONARY, _DATA_V2 = 2, 3, 5, 7, 8
_VALUES, _ENCODING, _ENCODING_V2 = 1, 2, 4
_DEEPEST = 8
_HEADERS = (256, 1 << 16, 16 << 20)  # bytes in which a header is sought; statistics may make it long
_OFTEN = 32 << 10  # bytes of most footers


class OpenFile(Protocol):
    """A file that is open for reading."""

    def read_at(self, start: int, size: int, /) -> bytes:
        """Some of its bytes; fewer where it ends."""


def check_footer(file: OpenFile, total: int) -> None:
    """Return when the Arrow schema that a Parquet file carries has no extension type but Arrow's own.

    Args:
        file: The file.
        total: Its size.

    Raises:
        ValueError: It has another, or it isn't where a schema would be.
        OSError: The file can't be read.
    """
    end = file.read_at(max(0, total - _OFTEN), _OFTEN)
    if total < 12 or end[-4:] != _END:
        raise ValueError("the file doesn't end as a Parquet file")
    size = struct.unpack("<I", end[-8:-4])[0]
    if size > total - 8:
        raise ValueError(f"a footer of {size:,} bytes in a file of {total:,}")
    footer = end[-8 - size : -8] if size + 8 <= len(end) else file.read_at(total - 8 - size, size)
    at = footer.find(_SCHEMA)
    while at >= 0:
        at += len(_SCHEMA)
        if at < len(footer) and footer[at] == 0x18:  # the next field, a string: the value to this key
            length, start = _varint(footer, at + 1)
            _check_written(footer[start : start + length])
        else:
            raise ValueError("an Arrow schema where no writer puts one")
        at = footer.find(_SCHEMA, at)


def check_metadata(file: pq.ParquetFile, groups: Sequence[int], leaves: Sequence[int]) -> None:
    """Return when pyarrow can be asked for the metadata of column chunks.

    `RowGroupMetaData.column` ends the process where Parquet's C++ refuses metadata (seen with pyarrow 26 and sizes of
    levels that don't fit the schema). A reader that is begun and reads no row looks at the same, and raises.

    Args:
        file: Opened with `pre_buffer`, so that all groups are looked at when the reader is begun.
        groups: Numbers of the row groups.
        leaves: Numbers of the columns.

    Raises:
        OSError: They are refused.
    """
    if groups and leaves:
        next(file.reader.iter_batches(0, row_groups=list(groups), column_indices=list(leaves), use_threads=False), None)


def leaves_of(metadata: Any, columns: Sequence[str] | None) -> list[int]:
    """Numbers of the leaf columns that make some columns; of all for None."""
    return [leaf for leaf in range(metadata.num_columns) if _is_of(metadata.schema.column(leaf).path, columns)]


def check_rows(metadata: Any, groups: Sequence[int], rows: Sequence[int]) -> None:
    """Return when row groups have as many rows as were written: for so many, Parquet takes memory before it reads one.

    Raises:
        ValueError: One has others.
    """
    for group, expected in zip(groups, rows, strict=True):
        found = metadata.row_group(group).num_rows
        if found != expected:
            raise ValueError(f"{found:,} rows in row group {group} where {expected:,} were written")


def check_groups(file: OpenFile, size: int, chosen: Iterable[Chunk], known: dict[tuple[int, int], int]) -> None:
    """Return when decoding some columns of row groups takes memory in proportion to the file.

    Args:
        file: The file.
        size: How many bytes it has.
        chosen: The columns, as `chunks` gives them.
        known: What was found out by earlier calls; what is new is added.

    Raises:
        ValueError: It would take more, or the pages aren't where the metadata say.
        OSError: The file can't be read.
    """
    allowed = _ALWAYS + _TIMES * size
    needed = 0
    for chunk in chosen:
        if chunk.place not in known:
            known[chunk.place] = _needed(file, chunk, allowed)
        needed += known[chunk.place]
        if needed > allowed:
            raise ValueError(
                f"rows that take {needed:,} bytes of memory or more in a file of {size:,}; "
                f"at most {allowed:,} are decoded together"
            )


class Chunk(NamedTuple):
    """A column of a row group: which, what the metadata say of it, a value's width in memory, and where it lies."""

    place: tuple[int, int]
    metadata: Any
    width: int
    start: int
    end: int


def chunks(size: int, metadata: Any, groups: Iterable[int], leaves: Sequence[int]) -> Iterator[Chunk]:
    """Some leaf columns of some row groups, which `check_metadata` has looked at.

    Raises:
        ValueError: One lies outside of the file.
    """
    widths = {leaf: _width(metadata.schema.column(leaf)) for leaf in leaves}
    for group in groups:
        row_group = metadata.row_group(group)
        for leaf in leaves:
            column = row_group.column(leaf)
            start = column.data_page_offset
            if column.dictionary_page_offset is not None:
                start = min(start, column.dictionary_page_offset)
            end = start + column.total_compressed_size
            if not 0 <= start <= end <= size:
                raise ValueError(f"a column from byte {start:,} to {end:,} in a file of {size:,}")
            yield Chunk((group, leaf), column, widths[leaf], start, end)


def _is_of(path: str, columns: Sequence[str] | None) -> bool:
    return columns is None or any(path == name or path.startswith(f"{name}.") for name in columns)


def _width(column: Any) -> int:
    """Bytes of a value in memory, at least."""
    if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
        return max(1, int(column.length))
    return _WIDTHS[column.physical_type]


def _header(file: OpenFile, at: int, end: int) -> tuple[dict[int, Any], int]:
    """The page header at a byte of a column that ends at another, and where the header ends."""
    for size in _HEADERS:
        window = file.read_at(at, min(size, end - at))
        with contextlib.suppress(IndexError):  # it is longer
            header, length = _struct(window, 0, _DEEPEST)
            if length <= len(window):
                return header, at + length
    raise ValueError(f"no page header at byte {at:,}")


def _needed(file: OpenFile, chunk: Chunk, allowed: int) -> int:
    """Bytes that a column chunk takes when it is decoded."""
    _, column, width, start, end = chunk
    unpacked = values = coded = dictionary = 0
    place = (start, 0)
    at = start
    while at < end:
        header, at = _header(file, at, end)
        size, packed = _whole(header, _UNPACKED), _whole(header, _PACKED)
        if packed < 0 or size < 0 or at + packed > end:
            raise ValueError(f"a page of {packed:,} bytes at byte {at:,}, in a column that ends at {end:,}")
        unpacked += size
        if _DICTIONARY in header:
            dictionary, place = size, (at, packed)
            encoding = _PLAIN
        else:
            second = _DATA_V2 in header
            inner = header.get(_DATA_V2 if second else _DATA, {})
            count = _whole(inner, _VALUES)
            encoding = _whole(inner, _ENCODING_V2 if second else _ENCODING)
            if count < 0:
                raise ValueError(f"a page of {count:,} values")
            values += count
            coded += count if encoding in _DICTIONARIES else 0
        if encoding not in _ENCODINGS:
            raise ValueError(
                f"values in encoding {encoding}, which no run holds; expected one of {list(_ENCODINGS.values())}"
            )
        at += packed
        if unpacked > allowed:
            break
    needed = max(unpacked, values * width)
    if column.physical_type != "BYTE_ARRAY" or needed > allowed or coded * dictionary <= allowed:
        return needed
    return needed + coded * _longest(file.read_at(*place), dictionary, column.compression)


def _longest(packed: bytes, size: int, compression: str) -> int:
    """Bytes of the longest string of a dictionary page."""
    if compression == "UNCOMPRESSED":
        page = packed
    else:
        page = pa.decompress(packed, decompressed_size=size, codec=compression.lower(), asbytes=True)
    longest = at = 0
    while at + 4 <= len(page):
        length = struct.unpack_from("<I", page, at)[0]
        longest = max(longest, length)
        at += 4 + length
    return longest


@lru_cache(maxsize=64)
def _check_written(text: bytes) -> None:
    try:
        message = pa.ipc.read_message(pa.BufferReader(base64.b64decode(text, validate=True)))
    except (binascii.Error, pa.ArrowException, OSError, EOFError) as error:
        raise ValueError(f"an Arrow schema that can't be read ({error})") from error
    check_schema(message)


# --- Thrift's compact protocol ------------------------------------------------------------------------


def _whole(fields: Any, number: int) -> int:
    """A whole number of a struct, 0 when it is absent."""
    value = fields.get(number, 0) if isinstance(fields, dict) else None
    if type(value) is not int:
        raise ValueError(f"a page header without a number in its field {number}")
    return value


def _struct(data: Any, at: int, deepest: int) -> tuple[dict[int, Any], int]:
    """The fields of a struct by number, and where it ends; strings and lists are passed over."""
    if not deepest:
        raise ValueError("a page header of structs within structs")
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head = data[at]
        at += 1
        if not head:
            return fields, at
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(data, at)
        fields[number], at = _value(data, at, kind, deepest)


def _value(data: Any, at: int, kind: int, deepest: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _zigzag(data, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        length, at = _varint(data, at)
        return None, at + length
    if kind == 12:
        return _struct(data, at, deepest - 1)
    raise ValueError(f"a page header with a field of kind {kind}")


def _zigzag(data: Any, at: int) -> tuple[int, int]:
    number, at = _varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def _varint(data: Any, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
    raise ValueError("a number of more than 64 bits")
