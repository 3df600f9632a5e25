"""The rows of one output among several, under the names that a single output's columns have."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from truetap.about import column
from truetap.lazy import Lazy
from truetap.rows import column_names, count, only

__all__ = ["OutputView"]

_OF_OUTPUTS = ("y_true", "y_pred", "mask", "loss", "weighted_loss", "sample_weight")


class OutputView(Lazy):
    """Record batches with the columns of other outputs left out; made one at a time, without copies."""

    def __init__(self, batches: Sequence[pa.RecordBatch], output: str) -> None:
        self._batches, self._output = batches, output

    @property
    def num_rows(self) -> int:
        """Rows in all."""
        return count(self._batches)

    @property
    def column_names(self) -> list[str]:
        """The columns, in order."""
        return list(self._chosen(column_names(self._batches)))

    def select(self, columns: Sequence[str]) -> OutputView:
        """The same with some columns only."""
        chosen = self._chosen(column_names(self._batches))
        return OutputView(only(self._batches, [chosen[name] for name in columns]), self._output)

    def __len__(self) -> int:
        return len(self._batches)

    def at(self, place: int) -> pa.RecordBatch:
        batch = self._batches[place]
        chosen = self._chosen(batch.schema.names)
        fields = [batch.schema.field(old).with_name(new) for new, old in chosen.items()]
        return pa.RecordBatch.from_arrays([batch.column(old) for old in chosen.values()], schema=pa.schema(fields))

    def _chosen(self, names: Sequence[str]) -> dict[str, str]:
        """What the columns of the output are called here, and what they are called among others."""
        chosen = {}
        for name in names:
            kind, _, rest = name.partition("/")
            if kind not in _OF_OUTPUTS:
                chosen[name] = name
            elif rest == self._output:
                chosen[kind] = name
            elif name == "sample_weight" and column(name, self._output) not in names:
                chosen[name] = name  # one weight for all outputs
        return chosen
