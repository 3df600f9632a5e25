"""What the taps of a recorder are, as a user gives them; "diagnose" is enough for every rule, at steps that grow rarer.

Early steps are looked at closely, since what is wrong with a model shows there; later at one in a hundred. Statistics
are computed inside the compiled step, and only in these steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from truetap.errors import TapError
from truetap.schedule import PHASES
from truetap.taps import Activations, Gradients, Inputs, Outputs, Tap, Updates, Weights

__all__ = ["chosen_taps", "diagnose_taps"]

_FIRST = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
_EVERY = 100
_SAMPLES = 200  # whose inputs are kept: once a run, of training and of validation
_LABELLED = tuple(phase for phase in PHASES if phase != "predict")
_OF_LAYERS = ("mean", "std", "min", "max", "nonfinite", "near_one", "near_zero", "dead", "twins")


def chosen_taps(given: Any) -> tuple[Tap, ...]:
    """A tap, several, "diagnose", or None for `tt.Outputs()`.

    Raises:
        TapError: It is none of these.
    """
    if given is None:
        return (Outputs(),)
    if isinstance(given, str):
        if given != "diagnose":
            raise TapError(f"taps= takes taps, such as tt.Outputs(), or 'diagnose'. Received: taps={given!r}.")
        return diagnose_taps()
    chosen = tuple(given) if isinstance(given, Iterable) else (given,)
    for tap in chosen:
        if not isinstance(tap, Tap):
            raise TapError(f"taps= takes taps, such as tt.Outputs() or tt.Activations('conv*'). Received: {tap!r}.")
    return chosen


def diagnose_taps() -> tuple[Tap, ...]:
    """The taps; those that find nothing in a model (no layers, no weights) are passed over."""
    return (
        Outputs(),
        Inputs(samples=_SAMPLES, epochs=(0,), phases=_LABELLED),
        Activations("*", reduce=_OF_LAYERS, steps=_FIRST, every=_EVERY, phases=_LABELLED),
        Gradients("*", reduce=("norm", "nonfinite", "zeros"), steps=_FIRST, every=_EVERY),
        Weights("*", reduce=("norm", "mean", "std", "max", "nonfinite")),
        Updates("*", every="epoch"),
    )
