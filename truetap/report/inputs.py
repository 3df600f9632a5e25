"""Inputs of samples as a person looks at them: pictures, texts, series, rows of a table.

What an input is, is told by its shape and by the layers that read it. Pictures are shrunk until all of them together
fit into what a report may weigh. Inputs that were not recorded are found in the data, where these are at hand, by the
bits of each sample, whatever order they come in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap import rows
from truetap.errors import IdError, TruetapError
from truetap.facts.types import Facts
from truetap.identity import walk
from truetap.report.content import Shown
from truetap.report.images import as_pixels, data_uri, is_picture, shrunk
from truetap.structure import flatten

if TYPE_CHECKING:
    from truetap.run import Run
    from truetap.samples import Samples

__all__ = ["Inputs", "has_inputs", "inputs_in"]

Array = npt.NDArray[Any]

_SIDES = (96, 64, 48, 32, 16)  # pictures are as large as fits
_MOST_BYTES = 2_000_000
_MOST_TEXT, _MOST_POINTS, _MOST_VALUES, _MOST_LINES = 600, 120, 40, 4
_IN_ORDER = ("LSTM", "GRU", "SimpleRNN", "Conv1D", "Bidirectional", "MultiHeadAttention", "Embedding", "ConvLSTM1D")


def has_inputs(run: Run, phase: str) -> Array:
    """Ids of the samples of a phase whose inputs were recorded in a table of their own."""
    for path in run.inputs.paths:
        try:
            return np.asarray(run.inputs(path, phase=phase).ids)
        except TruetapError:  # none of this phase
            continue
    return np.zeros(0, np.int64)


class Inputs:
    """The inputs of a phase's samples.

    Args:
        run: The run.
        phase: The phase.
    """

    def __init__(self, run: Run, phase: str) -> None:
        self._run, self._phase = run, phase
        plain = run.metadata.get("facts")
        layers = Facts.from_json(plain).model.layers if isinstance(plain, Mapping) else ()
        self._in_order = any(layer.kind in _IN_ORDER for layer in layers)
        self._looked_up = any(layer.kind == "Embedding" for layer in layers)

    def recorded(self, wanted: Mapping[int | str, str]) -> dict[str, tuple[Shown, ...]]:
        """By key, what `tt.Inputs` with a cap kept of them."""
        found: dict[str, dict[str, Array]] = {}
        for path in self._run.inputs.paths:
            try:
                recorded = self._run.inputs(path, phase=self._phase)
                ids = recorded.ids
            except TruetapError:  # none of this phase
                continue
            at = {name: row for row, name in enumerate(ids.tolist()) if name in wanted}
            if at:
                values = recorded.values
                found[path] = {wanted[name]: np.asarray(values[row]) for name, row in at.items()}
        return self.shown(found)

    def beside(self, part: Samples, wanted: Mapping[int | str, str]) -> dict[str, tuple[Shown, ...]]:
        """By key, the inputs that stand beside the samples, of `tt.Inputs` without a cap."""
        columns = rows.names(part.record_batches, "inputs")
        keys = [wanted[name] for name in part.ids.tolist()]
        values = {path: rows.array(part.record_batches, column) for path, column in columns.items()}
        return self.shown({path: dict(zip(keys, map(np.asarray, each), strict=True)) for path, each in values.items()})

    def shown(self, found: Mapping[str, Mapping[str, Array]]) -> dict[str, tuple[Shown, ...]]:
        """By key, inputs given by path and key."""
        by_path = {path: self._of_path(path, values) for path, values in found.items()}
        keys = dict.fromkeys(key for values in by_path.values() for key in values)
        return {key: tuple(values[key] for values in by_path.values() if key in values) for key in keys}

    def _of_path(self, path: str, values: Mapping[str, Array]) -> dict[str, Shown]:
        first = next(iter(values.values()))
        if first.dtype.kind in "OSU":
            return {key: Shown(path, "text", _text(each), str(each.shape)) for key, each in values.items()}
        if is_picture(first.shape, in_order=self._in_order):
            return _pictures(path, values)
        return {key: self._numbers(path, each) for key, each in values.items()}

    def _numbers(self, path: str, value: Array) -> Shown:
        shape = str(tuple(value.shape))
        if self._looked_up and value.ndim <= 1 and np.array_equal(value, np.round(value)):
            words = [str(int(each)) for each in value.reshape(-1)]
            return Shown(path, "text", _cut(" ".join(words)), shape)
        if value.ndim == 2 or (value.ndim == 1 and (self._in_order or value.size > _MOST_VALUES)):
            columns = value.reshape(len(value), -1).T[:_MOST_LINES].astype(np.float64)
            every = max(1, -(-len(value) // _MOST_POINTS))
            return Shown(path, "series", [[float(f"{x:.3g}") for x in line[::every]] for line in columns], shape)
        flat = value.reshape(-1)[:_MOST_VALUES].astype(np.float64)
        return Shown(path, "values", [[str(place), float(each)] for place, each in enumerate(flat)], shape)


def inputs_in(
    data: Any, wanted: Mapping[int, Collection[str]], columns: tuple[str, ...] | None
) -> dict[str, dict[str, Array]]:
    """By path and key, inputs found in data by one walk over them.

    Args:
        data: Any source that `collect` takes; labels are not needed.
        wanted: The keys of samples, by their fingerprint.
        columns: Of a dict input, the columns that the model took.

    Raises:
        IdError: None of the samples is in the data.
    """
    prints = np.fromiter(wanted, np.int64, len(wanted))
    found: dict[str, dict[str, Array]] = {}
    seen = 0
    for batch in walk(data, columns=columns):
        seen += len(batch.prints)
        for row in np.flatnonzero(np.isin(batch.prints, prints)).tolist():
            for path, leaf in flatten(batch.x).items():
                if leaf is not None:
                    value = np.array(leaf[row])  # a copy: the batch goes
                    found.setdefault(path or "x", {}).update(dict.fromkeys(wanted[int(batch.prints[row])], value))
    if len(prints) and not found:
        raise IdError(
            f"None of the {len(prints):,} samples that are shown is in these data. Received: {seen:,} samples. "
            "Expected: the very inputs that the model was given, with the same preprocessing; inputs that are changed "
            "at random are to be recorded: tt.Inputs(samples=…)."
        )
    return found


def _pictures(path: str, values: Mapping[str, Array]) -> dict[str, Shown]:
    low, high = _range(values)
    whole = {key: as_pixels(each, low, high) for key, each in values.items()}
    for side in _SIDES:
        drawn = {key: data_uri(shrunk(pixels, side)) for key, pixels in whole.items()}
        if sum(map(len, drawn.values())) <= _MOST_BYTES:
            break
    return {key: Shown(path, "image", uri, str(tuple(values[key].shape))) for key, uri in drawn.items()}


def _range(values: Mapping[str, Array]) -> tuple[float, float]:
    """Which values are black and white: 0 and 1, 0 and 255, or the lowest and the highest."""
    finite = [each[np.isfinite(each)] for each in values.values()]
    low = float(min((each.min() for each in finite if each.size), default=0.0))
    high = float(max((each.max() for each in finite if each.size), default=1.0))
    if low < 0:
        return low, high
    return 0.0, (1.0 if high <= 1 else 255.0 if 16 < high <= 255 else high)


def _text(value: Array) -> str:
    parts = [each.decode(errors="replace") if isinstance(each, bytes) else str(each) for each in value.reshape(-1)]
    return _cut(" ".join(parts))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… ({len(text):,} characters)"
