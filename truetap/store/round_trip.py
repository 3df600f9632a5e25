"""Whether rows of a schema come back from Parquet as they were: tried on a few before any is moved.

Parquet takes lists of no values, for one, and can't be read again. Cost: some milliseconds a schema.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from truetap.store.parquet_encoding import options_for
from truetap.store.parquet_reader import as_written

_TRIED = 16  # rows


def comes_back(batch: pa.RecordBatch) -> bool:
    """Whether the first rows of a batch, with their types, come back from Parquet."""
    few = pa.Table.from_batches([batch.slice(0, _TRIED)])
    sink = pa.BufferOutputStream()
    try:
        with pq.ParquetWriter(sink, few.schema, **options_for(few)) as writer:
            writer.write_table(few)
        read = pq.ParquetFile(pa.BufferReader(sink.getvalue())).read()
        found = [as_written(read.column(field.name), field.type) for field in few.schema]
    except pa.ArrowException:
        return False
    # As text, in which NaN equals NaN.
    return all(repr(new.to_pylist()) == repr(old.to_pylist()) for new, old in zip(found, few.columns, strict=True))
