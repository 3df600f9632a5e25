"""Pixels or moments in the wrong places: reshape where transpose was meant."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.neighbours import alike, exchangeable, other_layouts, wraps
from truetap.diagnosis.sampled import Sampled, sampled
from truetap.rules.finding import Finding, Severity

__all__ = ["AxesScrambled"]

Array = npt.NDArray[np.float64]

_FEWEST = 8  # samples
_SMALLEST = 4  # places along an axis
_BETTER = 0.3  # how much more alike neighbours are in the other layout: the correlation of a medium effect (Cohen 1988)
_ALIKE = 0.4  # how alike they are there at least
_SIGNIFICANT = 5.0  # standard errors
_CHANNELS = (1, 3)


class AxesScrambled:
    """Images or series whose neighbours are more alike when the same numbers are laid out in another order.

    Compared is the correlation of neighbours along each axis in each sample with that in every other order of the axes
    that `reshape` could have come from: better by 0.3 on the worst axis, and by five standard errors over the samples.
    Of series it must also go on smoothly from the last channel to the first of the next moment. Or, of images, when
    places could be exchanged while samples differ as a whole: the axis of the samples was reshaped too. Or channels
    stand first under a convolution that expects them last.
    """

    name = "axes_scrambled"
    needs = ("inputs",)
    after = ("constant_features", "nan_in_data")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each input."""
        for some in sampled(evidence):
            shape = some.values.shape[1:]
            if some.looked_up or len(some) < _FEWEST or len(shape) not in (2, 3) or not some.finite.all():
                continue
            if min(shape[: len(shape) - 1]) < _SMALLEST and not (len(shape) == 3 and shape[0] in _CHANNELS):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # means of samples that are constant
                found = self._channels_first(evidence, some) or self._reordered(some) or self._mixed(some)
            if found is not None:
                yield found

    def _reordered(self, some: Sampled) -> Finding | None:
        here = alike(some.values)
        if np.isnan(here).all():
            return None
        worst = int(np.nanmean(here, axis=0).argmin())
        best: tuple[float, tuple[int, ...], Array] | None = None
        for order, values in other_layouts(some.values):
            there = alike(values)
            least = float(np.nanmean(there, axis=0).min())
            if best is None or least > best[0]:
                best = least, order, there
        if best is None or best[0] < _ALIKE:
            return None
        gain = best[2].min(axis=1) - here[:, worst]
        gain = gain[np.isfinite(gain)]
        now, then = float(np.nanmean(here[:, worst])), best[0]
        error = float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else np.inf
        if then - now < _BETTER or float(gain.mean()) < _SIGNIFICANT * error:
            return None
        if some.values.ndim == 3:
            inside, onward = wraps(some.values)
            if onward < inside - _BETTER / 2:
                return None
        stored = tuple(some.values.shape[1 + axis] for axis in best[1])
        return self._finding(
            some,
            f"Neighbours in {some.words}, shape {_shape(some)}, have a correlation of {now:.2f}; the same numbers "
            "read as "
            f"(n, {', '.join(map(str, stored))}) and transposed have {then:.2f}.",
            f"Use np.transpose(x, …) to bring (n, {', '.join(map(str, stored))}) to {_shape(some)}: reshape keeps "
            "the order of "
            "the numbers, and so puts them into other places.",
            {"here": now, "there": then},
            0.92,
        )

    def _mixed(self, some: Sampled) -> Finding | None:
        if some.values.ndim != 4 or some.values.shape[-1] > 4 or not exchangeable(some.values):
            return None
        near = float(np.nanmean(alike(some.values)))
        return self._finding(
            some,
            f"Neighbouring pixels of {some.words}, shape {_shape(some)}, have a correlation of {near:.2f}, and no "
            "place in the "
            "image differs from another; images differ in brightness only.",
            "Use np.transpose or np.moveaxis where images stand in the last axis, (height, width, n): reshape(-1, "
            "height, "
            "width) takes one pixel of many images for an image.",
            {"here": near},
            0.85,
        )

    def _channels_first(self, evidence: Evidence, some: Sampled) -> Finding | None:
        """(n, 3, 32, 32) under a convolution whose kernel takes the last axis for channels."""
        shape = some.values.shape[1:]
        if len(shape) != 3 or shape[0] not in _CHANNELS or shape[1] != shape[2] or shape[1] < 2 * _SMALLEST:
            return None
        layers = () if evidence.facts is None else evidence.facts.model.layers
        taken = [
            layer.path
            for layer in layers
            if layer.kind in ("Conv2D", "SeparableConv2D", "DepthwiseConv2D")
            and layer.weights
            and len(layer.weights[0].shape) == 4
            and layer.weights[0].shape[2] == shape[2]
        ]
        last = np.nanmean(alike(some.values.transpose(0, 2, 3, 1)))
        if not taken or last < _ALIKE:
            return None
        return self._finding(
            some,
            f"{some.words[0].upper()}{some.words[1:]} have shape {_shape(some)}, channels first, and {taken[0]!r} "
            "takes the "
            f"last axis of {shape[2]} for channels.",
            "Bring the channels to the end with np.moveaxis(x, 1, -1), or set data_format='channels_first'.",
            {"alike": float(last)},
            0.9,
        )

    def _finding(self, some: Sampled, seen: str, do: str, numbers: dict[str, float], certainty: float) -> Finding:
        return Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=seen,
            why="Convolutions and recurrent layers learn from neighbours, and these are none.",
            do=do,
            where=some.path,
            numbers=numbers,
            certainty=certainty,
        )


def _shape(some: Sampled) -> str:
    return f"(n, {', '.join(map(str, some.values.shape[1:]))})"
