"""How values of layers and weights are distributed, step by step: from what was recorded of them.

Counts of `tt.reducers.Histogram` are shown as they are, between finite edges: the outermost bins, which reach to
infinity, end where the scale would. Between two quantiles lies the share that their probabilities say; what lies beyond
the outer ones isn't shown. Raw values are counted here, those of a step in 64 equal bins, and what isn't finite is left
out. Of statistics that have a value for each feature, the values are counted so. Memory: the statistics of one phase,
and the raw values of one step.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from truetap.columns import decode
from truetap.errors import StoreError, TruetapWarning
from truetap.exporting.chosen import Chosen
from truetap.exporting.series import Curve
from truetap.reading.statistics import Statistics
from truetap.rows import uniform
from truetap.taps import BY_KIND

__all__ = ["Distributions", "Histogram", "raw_paths"]

Array = npt.NDArray[Any]

_BINS = 64
_LEFT_OUT = ("inputs",)
_OF_FEATURES = (
    "mean",
    "std",
    "min",
    "max",
    "l1",
    "l2",
    "norm",
    "ratio",
    "zeros",
    "nonfinite",
    "near_one",
    "near_zero",
    "dead",
)
_LISTED = re.compile(r"(Histogram|Quantiles)\(\[([^\]]*)\]")


@dataclass(frozen=True)
class Histogram:
    """How many values lie between edges, at one step; neither the first bin nor the last is empty.

    Attributes:
        phase: The phase.
        name: "activations/conv", or "gradients/conv/kernel/histogram" of a statistic.
        step: The step.
        edges: Increasing and finite, float64 (k + 1,).
        counts: Of each bin, float64 (k,): counts, or shares between quantiles.
        moments: Number, sum and sum of squares of the values where they are known, as of raw values.
    """

    phase: str
    name: str
    step: int
    edges: Array
    counts: Array
    moments: tuple[float, float, float] | None = None


@dataclass
class Distributions:
    """What was recorded of layers and weights, as curves and histograms.

    Attributes:
        chosen: What is meant.
        untold: Statistics that couldn't be shown, with the reason; filled while they are gone through.
    """

    chosen: Chosen
    untold: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Curve | Histogram]:
        for kind in BY_KIND:
            if kind in self.chosen.tables and kind not in _LEFT_OUT:
                for phase in self.chosen.parts[kind]:
                    yield from self._statistics(kind, phase)
        for table, (kind, path) in raw_paths(self.chosen).items():
            if kind not in _LEFT_OUT:
                for phase in self.chosen.parts[table]:
                    yield from _of_raw(self.chosen, table, phase, f"{kind}/{path}")

    def say_untold(self, tool: str) -> None:
        """Warns of what a tool doesn't show; to be called when all was gone through."""
        if self.untold:
            listed = "; ".join(f"{name}: {why}" for name, why in self.untold.items())
            warnings.warn(f"Not shown in {tool}: {listed}.", TruetapWarning, stacklevel=5)

    def _statistics(self, kind: str, phase: str) -> Iterator[Curve | Histogram]:
        batches = [pa.Table.from_batches([batch]) for batch in self.chosen.of_phase(kind, phase)]
        whole = pa.concat_tables(batches, promote_options="permissive")
        for path in pc.unique(whole.column("path")).to_pylist():
            statistics = Statistics(whole.filter(pc.equal(whole.column("path"), path)), path)
            for name in statistics:
                where = f"{kind}/{path}/{name}"
                try:
                    values = np.asarray(statistics[name], np.float64)
                except StoreError as error:  # its shape changed
                    self.untold[where] = str(error)
                    continue
                yield from self._shown(phase, where, name.partition(" ")[0], statistics.steps(name), values)

    def _shown(self, phase: str, where: str, name: str, steps: Array, values: Array) -> Iterator[Curve | Histogram]:
        if values.ndim == 1:
            yield Curve(phase, where, steps, values)
            return
        if name in _OF_FEATURES:
            for step, several in zip(steps.tolist(), values, strict=True):
                yield from _counted(phase, where, step, several)
            return
        kind = {"histogram": "Histogram", "quantiles": "Quantiles"}.get(name)
        if kind is None:
            self.untold[where] = f"what its values, shape {values.shape[1:]}, mean isn't recorded"
            return
        told = self._told(kind, where.partition("/")[0], values.shape[-1])
        if told is None:
            self.untold[where] = (
                f"the taps of the run don't say which {kind.lower()} of {values.shape[-1]} values it is"
            )
        elif kind == "Histogram":
            for step, several in zip(steps.tolist(), values, strict=True):
                counts = several.reshape(-1, values.shape[-1]).sum(axis=0)
                yield from _filled(phase, where, step, _finite(told), counts)
        elif values.ndim == 2:
            yield from _of_quantiles(phase, where, steps, values, told)
        else:
            self.untold[where] = f"quantiles of each feature, shape {values.shape[1:]}, are no one distribution"

    def _told(self, kind: str, table: str, count: int) -> Array | None:
        """The edges of histograms, or the probabilities of quantiles, of so many values; None if that isn't clear."""
        found = {tuple(_DEFAULTS[kind].tolist())}
        recorder = self.chosen.moment.metadata.get("recorder")
        taps = recorder.get("taps", ()) if isinstance(recorder, Mapping) else ()
        for tap in taps:
            if tap.get("tap") == BY_KIND[table].__name__:
                for which, numbers in _LISTED.findall(str(tap.get("reduce", ""))):
                    if which == kind:
                        found.add(tuple(float(number) for number in numbers.split(",")))
        meant = [each for each in found if len(each) == count + (kind == "Histogram")]
        return np.asarray(meant[0]) if len(meant) == 1 else None


def raw_paths(chosen: Chosen) -> dict[str, tuple[str, str]]:
    """The chosen tables of raw values, each with its kind and path."""
    said = chosen.moment.metadata.get("tensors")
    known = said if isinstance(said, Mapping) else {}
    found = {}
    for table in chosen.tables:
        entry = known.get(table)
        kind, dot, path = table.partition(".")
        if isinstance(entry, Mapping):
            found[table] = (str(entry.get("kind", "")), str(entry.get("path", "")))
        elif dot and kind in BY_KIND:
            found[table] = (kind, path)
    return found


def _filled(phase: str, name: str, step: int, edges: Array, counts: Array) -> Iterator[Histogram]:
    """From the first bin that isn't empty to the last; nothing where all are."""
    filled = np.flatnonzero(counts)
    if len(filled):
        first, last = filled[0], filled[-1]
        yield Histogram(phase, name, step, edges[first : last + 2], counts[first : last + 1])


def _of_raw(chosen: Chosen, table: str, phase: str, name: str) -> Iterator[Histogram]:
    held: list[Array] = []
    step = None
    for batch in chosen.of_phase(table, phase):
        for piece in uniform([batch.select(["step", "values"])]):
            steps, values = np.asarray(piece.column(0)), decode(piece.column(1))
            if values.dtype.kind not in "fiub":
                return
            for part in np.split(np.arange(len(steps)), np.flatnonzero(np.diff(steps)) + 1):
                if step is not None and steps[part[0]] != step:
                    yield from _counted(phase, name, step, np.concatenate(held))
                    held = []
                step = int(steps[part[0]])
                held.append(np.asarray(values[part], np.float64).reshape(-1))
    if step is not None:
        yield from _counted(phase, name, step, np.concatenate(held))


def _counted(phase: str, name: str, step: int, values: Array) -> Iterator[Histogram]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return
    low, high = float(finite.min()), float(finite.max())
    if low == high:  # one bin around the one value, so that it is seen
        width = max(abs(low) * 1e-3, 1e-6)
        edges, counts = np.asarray([low - width, low + width]), np.asarray([float(finite.size)])
    else:
        whole, edges = np.histogram(finite, _BINS)
        counts = whole.astype(np.float64)
    moments = (float(finite.size), float(finite.sum()), float((finite**2).sum()))
    yield Histogram(phase, name, step, edges, counts, moments)


def _of_quantiles(
    phase: str, name: str, steps: Array, values: Array, probabilities: Array
) -> Iterator[Curve | Histogram]:
    for place, probability in enumerate(probabilities.tolist()):
        yield Curve(phase, f"{name}/{probability:g}", steps, values[:, place])
    shares = np.diff(probabilities)
    for step, edges in zip(steps.tolist(), values, strict=True):
        kept = np.flatnonzero(np.diff(edges) > 0)
        if len(kept) and np.isfinite(edges).all():
            last = np.unique(edges)  # equal quantiles have no room between them; their share goes to the bin below
            sums = np.zeros(len(last) - 1)
            np.add.at(sums, np.clip(np.searchsorted(last, edges[1:]) - 1, 0, None), shares)
            yield from _filled(phase, name, step, last, sums)


def _finite(edges: Array) -> Array:
    """The edges with the infinite ones moved to where the next of the scale would be."""
    edges = edges.copy()
    for outer, inner, beyond in ((0, 1, 2), (-1, -2, -3)):
        if np.isinf(edges[outer]):
            ratio = edges[inner] / edges[beyond] if len(edges) > 3 and edges[beyond] * edges[inner] > 0 else 2.0
            further = edges[inner] * ratio if abs(ratio) > 1 else edges[inner] * 2
            sign = -1.0 if outer == 0 else 1.0
            edges[outer] = further if further * sign > edges[inner] * sign else edges[inner] + sign
    return edges


def _powers_of_two() -> Array:
    """The edges of `tt.reducers.Histogram()`, which isn't imported: it would bring Keras with it."""
    powers = np.ldexp(1.0, np.arange(-40, 25))
    return np.concatenate([[-np.inf], -powers[::-1], powers, [np.inf]])


_DEFAULTS = {"Histogram": _powers_of_two(), "Quantiles": np.asarray([0.05, 0.25, 0.5, 0.75, 0.95])}
