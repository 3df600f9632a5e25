"""Runs on disk: a folder of Arrow files that other tools read without truetap.

`RunWriter` appends record batches to tables; `RunReader` opens the folder afterwards, while it is
still written, or after its writer was killed. The layout:

    manifest.json                           what the run is; replaced as a whole, never edited
    samples/worker-00000/seg-000000.arrow   Arrow IPC file; without a footer while it is written
    samples/worker-00000/seg-000000.log     commit log: what of the segment counts, with checksums

A row counts once its commit is in the log. Files only ever grow: no one who has them mapped into
memory can be hurt by a writer.
"""

from truetap.store.batches import Batches
from truetap.store.manifest import JSON
from truetap.store.problem import Problem
from truetap.store.reader import RunReader
from truetap.store.recording import Overhead, Recording
from truetap.store.rows import Rows, Work
from truetap.store.writer import RunWriter

__all__ = ["JSON", "Batches", "Overhead", "Problem", "Recording", "Rows", "RunReader", "RunWriter", "Work"]
