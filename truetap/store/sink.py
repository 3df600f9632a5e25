"""The file that Arrow writes a segment to: counts bytes and sums them up on their way out.

Arrow writes a batch as many small pieces and a few big ones. Small ones are gathered, so a batch
costs a few system calls; big ones are summed and written slice by slice, while a slice is in the
processor's cache, without a copy.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

_SLICE = 256 << 10
_SMALL = 64 << 10


class ChecksummedFile:
    """A new file, open for appending, with the crc32 of what was written since it was last asked.

    Args:
        path: The file, which must not exist.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115  it lives as long as its segment
        self._gathered = bytearray()
        self._crc = 0
        self.position = 0

    @property
    def closed(self) -> bool:
        """Whether it is closed; Arrow asks."""
        return self._file.closed

    def write(self, data: Any) -> int:
        """Append bytes or an Arrow buffer; small ones are written with what follows."""
        view = memoryview(data)
        if view.nbytes < _SMALL:
            self._gathered += view
            if len(self._gathered) >= _SLICE:
                self._drain()
        else:
            self._drain()
            self._put(view)
        return view.nbytes

    def flush(self) -> None:
        """Hand everything to the operating system: from here a killed process loses none of it."""
        self._drain()

    def take_crc(self) -> int:
        """The crc32 of the bytes written since the last call, after a `flush`."""
        crc, self._crc = self._crc, 0
        return crc

    def sync(self) -> None:
        """Wait until the file is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; what was not flushed is dropped."""
        self._file.close()

    def _drain(self) -> None:
        gathered, self._gathered = self._gathered, bytearray()
        self._put(memoryview(gathered))

    def _put(self, view: memoryview) -> None:
        rest = view.cast("B")
        while rest:
            # Slices end at multiples of their size in the file: half-filled pages cost 15%.
            size = _SLICE - self.position % _SLICE
            part, rest = rest[:size], rest[size:]
            self._crc = zlib.crc32(part, self._crc)
            while part:  # a nearly full disk takes some of it before it says so
                written = self._file.write(part)
                self.position += written
                part = part[written:]
