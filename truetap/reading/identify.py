"""`run.identify`: walks data once, names the recorded samples, and says what it saw on the way.

Cost: one pass over the data (about 1 ms per MB for the fingerprints) and one over the run's
fingerprints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.errors import IdError, StoreError
from truetap.identity import Naming
from truetap.reading.names import IdentifyReport, Names
from truetap.reading.sql import Database
from truetap.reading.tables import Tables
from truetap.store import RunWriter
from truetap.store.place import AnyPlace

__all__ = ["identify", "read_names"]

Array = npt.NDArray[Any]


def read_names(tables: Tables) -> tuple[Names | None, int]:
    """The names that a run holds, and the number of the naming they are of."""
    return Names.from_batches(list(tables.batches("names")))


def identify(
    tables: Tables,
    data: Any,
    ids: Any,
    *,
    steps: int | None,
    columns: tuple[str, ...] | None,
    earlier: Names | None,
    naming: int,
) -> tuple[Names, IdentifyReport]:
    """Names by one walk over the data, and what to say of them; see `Run.identify`.

    Args:
        tables: The run.
        data: Any source that `collect` takes.
        ids: What its samples are called.
        steps: Number of batches to walk.
        columns: Of a dict input, the columns that the model took.
        earlier: Names from other data, which stay.
        naming: The number of this naming.
    """
    walked = Naming.of(data, ids, steps=steps, columns=columns)
    names = Names.of(walked.prints, walked.names, earlier)
    seen = _fingerprints(tables)
    if seen and not any(np.isin(prints, walked.prints).any() for prints in seen.values()):
        raise IdError(
            f"None of the recorded samples is in these data. Received: {len(walked.prints):,} samples. Expected: the "
            "very inputs that were trained on, with the same preprocessing; random augmentation changes them: then "
            "carry names by tt.with_ids."
        )
    why_not = _keep(tables.reader.path, names, naming, tables.reader.complete)
    known = {phase: names.known(prints) for phase, prints in seen.items()}
    both = np.intersect1d(seen.get("train", _NONE), seen.get("val", _NONE))
    report = IdentifyReport(
        named={phase: int(mask.sum()) for phase, mask in known.items()},
        unknown={phase: int((~mask).sum()) for phase, mask in known.items()},
        duplicates=tuple(tuple(names.names_of(twin).tolist()) for twin in names.twins.tolist()),
        leakage=tuple(names.apply(both, both).tolist()),
        kept=why_not is None,
        why_not=why_not or "",
    )
    return names, report


_NONE: Array = np.zeros(0, np.int64)


def _fingerprints(tables: Tables) -> Mapping[str, Array]:
    """The different fingerprints of each phase."""
    if "samples" not in tables:
        raise StoreError(
            f"The run {str(tables.reader.path)!r} holds no samples to name. Received: tables "
            f"{list(tables.reader.tables)}. Expected: a run with tt.Outputs(), or of tt.collect(…, to=…)."
        )
    database = Database(tables, None)
    phases = list(tables.epochs("samples"))
    if not phases:
        found = database.query("select distinct fingerprint from samples", {}).fetchnumpy()
        return {"": np.asarray(found["fingerprint"])} if len(found["fingerprint"]) else {}
    query = "select distinct fingerprint from samples where phase = $phase"
    return {phase: np.asarray(database.query(query, {"phase": phase}).fetchnumpy()["fingerprint"]) for phase in phases}


def _keep(path: AnyPlace, names: Names, naming: int, complete: bool) -> str | None:
    """Writes the names into the run; or why that can't be."""
    try:
        with RunWriter(path, append=True) as writer:
            writer.write("names", names.to_batch(naming))
            writer.close(complete=complete)
    except StoreError as error:
        return str(error)
    return None
