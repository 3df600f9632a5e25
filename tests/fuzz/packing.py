"""Segments and whole runs in one piece, as the targets take them."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

SEALED = 2**64 - 1


def packed(segment: Path, *, sealed: bool) -> bytes:
    """A segment as `SegmentTarget` takes it."""
    log = segment.with_suffix(".log").read_bytes()
    commits = [struct.unpack_from("<QQ", log, at) for at in range(8, len(log) - 23, 24)]
    content = segment.read_bytes()
    kept = commits if sealed else commits[:-1]
    ends = [struct.pack("<II", end, 2**32 - 1 if rows == SEALED else rows) for end, rows in kept]
    return bytes([len(kept)]) + b"".join(ends) + content


def pack_stream(batches: Sequence[pa.RecordBatch], options: pa.ipc.IpcWriteOptions | None = None) -> bytes:
    """Batches that no writer of ours wrote, as a segment in `SegmentTarget`'s form."""
    sink = io.BytesIO()
    ends = []
    with pa.ipc.new_file(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
            ends.append(struct.pack("<II", sink.tell(), batch.num_rows))
    return bytes([len(ends)]) + b"".join(ends) + sink.getvalue()


def pack_run(folder: Path) -> bytes:
    """A run's files in one piece."""
    return pack_files(
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    )


def pack_files(files: dict[str, bytes]) -> bytes:
    """Files in one piece: a line of names and sizes, and their contents."""
    names = sorted(files)
    return json.dumps([[name, len(files[name])] for name in names]).encode() + b"\n" + b"".join(files[n] for n in names)


def unpack_run(data: bytes) -> dict[str, bytes]:
    """The inverse of `pack_files`."""
    line, _, content = data.partition(b"\n")
    files, at = {}, 0
    for name, size in json.loads(line):
        files[name] = content[at : at + size]
        at += size
    return files
