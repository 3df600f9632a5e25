"""Runs on disk: a folder of Arrow files that other tools read without truetap.

`RunWriter` appends record batches to tables, `Recording` does so from a thread of its own;
`RunReader` opens the folder afterwards, while it is still written, or after its writer was killed.
The layout:

    manifest.json                           what the run is; replaced as a whole, never edited
    samples/worker-00000/seg-000000.arrow   Arrow IPC file; without a footer while it is written
    samples/worker-00000/seg-000000.log     commit log: what of the segment counts, with checksums
    samples/phase=train/epoch=0/part-000000.parquet     small tables of a closed recording instead

Of a training in several processes each writes so beside the others, under names of its own, and the run is all of it:
`manifest-00001.json`, `samples/worker-00001/…`, `part-w00001-000000.parquet`.

A row counts once its commit is in the log, or the manifest names the Parquet file that it is in. Files
only ever grow, and are removed when the manifest says that other files have their rows: no one who
has them mapped into memory can be hurt by a writer.
"""

from truetap.store.background import in_background, wait_for
from truetap.store.batches import Batches
from truetap.store.manifest import JSON
from truetap.store.problem import Problem
from truetap.store.reader import RunReader
from truetap.store.recording import Overhead, Recording
from truetap.store.retention import Retention
from truetap.store.rows import Rows, Work
from truetap.store.worker import Worker
from truetap.store.writer import RunWriter

__all__ = [
    "JSON",
    "Batches",
    "Overhead",
    "Problem",
    "Recording",
    "Retention",
    "Rows",
    "RunReader",
    "RunWriter",
    "Work",
    "Worker",
    "in_background",
    "wait_for",
]
