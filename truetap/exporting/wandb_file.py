"""Whether W&B's service has written all of an offline run: `Run.finish` of wandb 0.31 returns a moment before that.

The file is a log in LevelDB's format (blocks of 32 KB with records in fragments, each behind a checksum, a length and a
kind) behind a header of W&B's own; its last record says that the run ended. Only the last blocks are read.
https://github.com/google/leveldb/blob/main/doc/log_format.md
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from wandb.proto.wandb_internal_pb2 import Record

from truetap.errors import StoreError

__all__ = ["wait_until_whole"]

_BLOCK, _HEAD, _OWN_HEADER = 32768, struct.Struct("<IHB"), 7
_FULL, _FIRST, _LAST = 1, 2, 4
_LOOKED_AT = 4  # blocks: the record of a run's end is small


def wait_until_whole(path: Path, seconds: float = 60.0) -> None:
    """Returns when the run's end stands in the file.

    Raises:
        StoreError: It doesn't come.
    """
    until = time.monotonic() + seconds
    while not _has_ended(path):
        if time.monotonic() > until:
            raise StoreError(
                f"The service of Weights & Biases has not finished its file after {seconds:g} s. Received: "
                f"{str(path)!r}. Expected: the record of the run's end; look into debug-internal.log beside it."
            )
        time.sleep(0.02)


def _has_ended(path: Path) -> bool:
    return any(record.WhichOneof("record_type") == "exit" for record in _last_records(path))


def _last_records(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        begin = max(0, (size - 1) // _BLOCK - _LOOKED_AT + 1) * _BLOCK
        file.seek(begin)
        data = file.read()
    at = _OWN_HEADER if begin == 0 else 0
    held: bytes | None = None  # None until a record begins
    while at + _HEAD.size <= len(data):
        if _BLOCK - at % _BLOCK < _HEAD.size:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = _HEAD.unpack_from(data, at)
        part = data[at + _HEAD.size : at + _HEAD.size + length]
        if len(part) < length or kind == 0:
            return  # it is being written
        at += _HEAD.size + length
        held = part if kind in (_FULL, _FIRST) else None if held is None else held + part
        if kind in (_FULL, _LAST) and held is not None:
            try:
                yield Record.FromString(held)
            except DecodeError:
                return
