"""What `tt.Recorder(path, taps="diagnose")` records: enough for every rule, at steps that grow rarer.

Early steps are looked at closely, since what is wrong with a model shows there; later at one in a hundred. Statistics
are computed inside the compiled step, and only in these steps.
"""

from __future__ import annotations

from truetap.schedule import PHASES
from truetap.taps import Activations, Gradients, Inputs, Outputs, Tap, Updates, Weights

__all__ = ["diagnose_taps"]

_FIRST = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
_EVERY = 100
_SAMPLES = 200  # whose inputs are kept: once a run, of training and of validation
_LABELLED = tuple(phase for phase in PHASES if phase != "predict")
_OF_LAYERS = ("mean", "std", "min", "max", "nonfinite", "near_one", "near_zero", "dead", "twins")


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
