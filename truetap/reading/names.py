"""Names given to the samples of a run after the fact: fingerprints compared with those of the data.

Kept as table `names` of the run, one row for each sample of the data: what it is called, and the
fingerprint of its input. Identical inputs have several names; they are given out in the order of the
rows of an epoch, as `samples.identify` does, since nothing recorded can tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.errors import IdError, near_names
from truetap.ids import as_ids, check_unique, repeated

__all__ = ["IdentifyReport", "Names"]

Array = npt.NDArray[Any]
_SHOWN = 3


class Names:
    """Names by fingerprint.

    Args:
        prints: Fingerprints, int64 of shape (n,), in the order of the data.
        ids: The name of the sample behind each, int64 or strings.
    """

    def __init__(self, prints: Array, ids: Array) -> None:
        order = np.argsort(prints, kind="stable")
        self.prints: Array = prints[order]
        self.ids: Array = ids[order]
        self._known, self._first, self._count = np.unique(self.prints, return_index=True, return_counts=True)

    @classmethod
    def of(cls, prints: Array, ids: Array, earlier: Names | None = None) -> Names:
        """Names from one walk over data, and those of earlier walks over other data.

        Raises:
            IdError: A name would stand for two samples, or names are of two kinds.
        """
        ids = as_ids(ids)
        if earlier is not None:
            kept = ~np.isin(earlier.prints, prints)
            if kept.any() and (earlier.ids.dtype.kind == "i") != (ids.dtype.kind == "i"):
                raise IdError(
                    f"Names are all whole numbers or all strings. Received: {_kind(ids)}, and the run has "
                    f"{_kind(earlier.ids)} from earlier. Expected: one kind; str(id) makes strings of them."
                )
            prints, ids = np.r_[earlier.prints[kept], prints], np.r_[earlier.ids[kept], ids]
        prints, ids = _without_copies(prints, ids)
        twice = repeated(ids)
        if len(twice) and earlier is not None:
            shown = ", ".join(repr(item) for item in twice[:_SHOWN].tolist())
            raise IdError(
                f"{len(twice):,} names stand for other samples already, such as {shown}. Received: names that an "
                "earlier identify gave to other data (row numbers?). Expected: ids= that differ between data sets, "
                "such as f'val/{row}'."
            )
        check_unique(ids)
        return cls(prints, ids)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def twins(self) -> Array:
        """Fingerprints with more than one name."""
        return np.asarray(self._known[self._count > 1])

    def known(self, prints: Array) -> Array:
        """Which fingerprints have a name, bool."""
        return np.isin(prints, self.prints)

    def apply(self, prints: Array, ids: Array, nth: Array | None = None) -> Array:
        """The names of samples, or the ids that they have where there is no name.

        Args:
            prints: Fingerprints, shape (n,).
            ids: The ids as they were recorded.
            nth: For each row, how many rows of its epoch before it have the same fingerprint.
        """
        at = np.minimum(np.searchsorted(self._known, prints), len(self._known) - 1)
        found = self._known[at] == prints
        place = self._first[at] if nth is None else self._first[at] + nth % self._count[at]
        names = self.ids[place]
        if found.all():
            return names
        if names.dtype.kind == "i" and ids.dtype.kind == "i":
            return np.where(found, names, ids)
        return np.where(found, _strings(names), _strings(ids))

    def prints_of(self, sample_id: Any) -> Array:
        """The fingerprints that bear a name; none when it is unknown."""
        same = isinstance(sample_id, str) == (self.ids.dtype.kind != "i")
        return self.prints[self.ids == sample_id] if same else self.prints[:0]

    def names_of(self, fingerprint: int) -> Array:
        """All names of one input, in the order of the data."""
        first = int(np.searchsorted(self.prints, fingerprint, side="left"))
        return self.ids[first : int(np.searchsorted(self.prints, fingerprint, side="right"))]

    def near(self, sample_id: Any) -> str:
        """Words for an error about an unknown name."""
        return near_names(str(sample_id), [str(item) for item in self.ids[:10_000].tolist()])

    def to_arrow(self) -> pa.Table:
        """One row a name: fingerprint, sample_id; of identical inputs, which (twin) of how many (twins)."""
        twins = np.searchsorted(self.prints, self.prints, side="right")
        first = np.searchsorted(self.prints, self.prints, side="left")
        kind = pa.int64() if self.ids.dtype.kind == "i" else pa.string()
        return pa.table(
            {
                "fingerprint": pa.array(self.prints),
                "sample_id": pa.array(self.ids, kind),
                "twin": pa.array(np.arange(len(self)) - first),
                "twins": pa.array(twins - first),
            }
        )

    def to_batch(self, naming: int) -> pa.RecordBatch:
        """As rows of table `names`; those of the highest `naming` count."""
        kind = pa.int64() if self.ids.dtype.kind == "i" else pa.string()
        return pa.record_batch(
            {
                "fingerprint": pa.array(self.prints),
                "sample_id": pa.array(self.ids, kind),
                "naming": pa.array(np.full(len(self), naming, np.int32)),
            }
        )

    @classmethod
    def from_batches(cls, batches: list[pa.RecordBatch]) -> tuple[Names | None, int]:
        """The names that count, and the number of their naming; None and -1 when there are none."""
        last = -1
        parts: list[tuple[Array, Array]] = []
        for batch in batches:
            namings = np.asarray(batch.column("naming"))
            if len(namings) and int(namings.max()) > last:
                last, parts = int(namings.max()), []
            rows = namings == last
            ids = batch.column("sample_id").to_numpy(zero_copy_only=False)
            parts.append((np.asarray(batch.column("fingerprint"))[rows], ids[rows]))
        if not parts:
            return None, -1
        return cls(np.concatenate([p for p, _ in parts]), np.concatenate([n for _, n in parts])), last


def _without_copies(prints: Array, ids: Array) -> tuple[Array, Array]:
    """Each pair once: a source that was walked over its end gives its samples again."""
    _, codes = np.unique(ids, return_inverse=True)
    pairs = np.stack([prints, codes.astype(np.int64)], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    rows = np.sort(first)
    return prints[rows], ids[rows]


def _strings(ids: Array) -> Array:
    if ids.dtype.kind != "i":
        return ids
    return np.asarray([f"fingerprint:{item}" for item in ids.tolist()], object)


def _kind(ids: Array) -> str:
    return "whole numbers" if ids.dtype.kind == "i" else "strings"


@dataclass(frozen=True)
class IdentifyReport:
    """What `run.identify` found.

    Attributes:
        named: Recorded samples that have a name now, by phase.
        unknown: Recorded samples that are not in any data given so far, by phase.
        duplicates: Names whose samples have the very same input, a tuple for each such input.
        leakage: Names of samples that occur in train and in val, test or predict.
        kept: Whether the names are in the run folder; else they last as long as this Run.
        why_not: Why they are not.
    """

    named: dict[str, int]
    unknown: dict[str, int]
    duplicates: tuple[tuple[Any, ...], ...]
    leakage: tuple[Any, ...]
    kept: bool
    why_not: str = ""

    def __repr__(self) -> str:
        lines = []
        for phase, count in self.named.items():
            whole = count + self.unknown[phase]
            rest = f", {self.unknown[phase]:,} are not in these data" if self.unknown[phase] else ""
            lines.append(f"{phase or 'samples'}: {count:,} of {whole:,} samples have a name{rest}")
        if self.duplicates:
            rows = sum(map(len, self.duplicates))
            lines.append(
                f"{len(self.duplicates):,} inputs stand more than once in the data ({rows:,} samples, such as "
                f"{_few(self.duplicates[0])}): their names may be exchanged among them"
            )
        if self.leakage:
            lines.append(f"{len(self.leakage):,} samples were both trained and validated on: {_few(self.leakage)}")
        lines.append("Names are kept in the run." if self.kept else f"Names are kept in memory only: {self.why_not}")
        return "\n".join(lines)


def _few(names: tuple[Any, ...]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown + (", …" if len(names) > _SHOWN else "")
