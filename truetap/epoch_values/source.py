"""The recorder whose record a callback reads, and whether that record will be whole.

Keras tells a callback nothing of the others, so the list is the one that calls it. What can't work is
refused before the first step, not after an epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from truetap.backends.training import training
from truetap.errors import TapError
from truetap.recorder import Recorder
from truetap.taps import Outputs

__all__ = ["check_alone", "check_monitors", "check_recorder", "check_whole", "find_recorder"]


def check_recorder(given: Any) -> None:
    """Whether what was given as `recorder=` is one, or None.

    Raises:
        TapError: It is something else.
    """
    if given is not None and not isinstance(given, Recorder):
        raise TapError(f"recorder= is a tt.Recorder. Received: {given!r}.")


def find_recorder(callback: Any, given: Recorder | None, owner: Any) -> Recorder:
    """The recorder that records the model a callback is called for.

    Args:
        callback: The callback that asks.
        given: The recorder that the user named, or None for the one in the same list.
        owner: The `keras.callbacks.CallbackList` that calls the callback, or None if it can't be told.

    Raises:
        TapError: There is none, it comes later in the list, or it doesn't record this model.
    """
    listed: list[Any] = [] if owner is None else list(owner.callbacks)
    name = type(callback).__name__
    recorder = given if given is not None else next((each for each in listed if isinstance(each, Recorder)), None)
    if recorder is None:
        where = "a callback that no list of callbacks calls" if owner is None else f"callbacks={_names(listed)}"
        raise TapError(
            f"{name} reads what a tt.Recorder has recorded, and there is none. Received: {where}. Expected: "
            f"callbacks=[tt.Recorder(path), tt.{name}(…), …], or {name}(…, recorder=recorder)."
        )
    if _place(recorder, listed) > _place(callback, listed) >= 0:
        raise TapError(
            f"{name} comes before the recorder whose record it reads. Received: callbacks={_names(listed)}. Expected: "
            f"the recorder first, then {name}, then what monitors its value."
        )
    if recorder.recording(callback._model) is None:
        raise TapError(
            f"The recorder of this {name} does not record this model now. Received: {recorder!r} and the model "
            f"{callback._model.name!r}. Expected: the recorder in the same callbacks=, before {name}."
        )
    return recorder


def check_whole(callback: Any, recorder: Recorder, phase: str) -> None:
    """Whether every sample of a phase will be recorded.

    Raises:
        TapError: Only some are, or none.
    """
    taps = [tap for tap in recorder.taps if isinstance(tap, Outputs) and phase in tap.phases]
    if any(tap.always and tap.samples is None for tap in taps):
        return
    name = type(callback).__name__
    what = "only some of them are" if taps else "none is"
    raise TapError(
        f"{name} needs every sample of phase {phase!r}, and {what} recorded. Received: {recorder!r}. Expected: "
        f"tt.Outputs() without samples=, every= and the like among its taps; or {name}(…, phases=…) without {phase!r}."
    )


def check_alone(callback: Any) -> None:
    """Whether one process trains the model alone.

    Raises:
        TapError: Several do: what the others have recorded of an epoch may still be on its way when it ends here.
    """
    worker = training().worker()
    if worker.size > 1:
        raise TapError(
            f"{type(callback).__name__} reads a whole epoch when it ends, and each process has only its own samples "
            f"then. Received: {worker}. Expected: what is computed from the run after training, such as "
            "run.samples(…).evaluate() or run.diagnose()."
        )


def check_monitors(callback: Any, names: Sequence[str], owner: Any) -> None:
    """Whether a callback that monitors one of these names comes too early to see it.

    Raises:
        TapError: One does.
    """
    listed: list[Any] = [] if owner is None else list(owner.callbacks)
    for each in listed[: max(_place(callback, listed), 0)]:
        monitored = getattr(each, "monitor", None)
        if monitored in names:
            raise TapError(
                f"{type(each).__name__} monitors {monitored!r} and comes before the {type(callback).__name__} that "
                f"writes it. Received: callbacks={_names(listed)}. Expected: it behind that in callbacks=."
            )


def _place(callback: Any, listed: Sequence[Any]) -> int:
    """Where a callback stands; -1 where it doesn't: one may be called by another."""
    return next((place for place, each in enumerate(listed) if each is callback), -1)


def _names(listed: Sequence[Any]) -> str:
    return f"[{', '.join(type(each).__name__ for each in listed)}]"
