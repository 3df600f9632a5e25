"""What a recorder puts on a model while Keras runs it: one function a phase, and nothing else.

Between two steps only `model.train_function` (or `test_function`, `predict_function`) is ours. Keras
calls no callback when `fit` ends by an exception, so the function takes itself off when one passes
through it, when the list of callbacks that Keras made for the call is gone, and when another caller than
that call uses it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

import keras

from truetap.backends.training import MAKERS, training
from truetap.errors import ModelError

__all__ = ["Session"]


class Session:
    """One call of `fit`, `evaluate` or `predict`, or one block of `attach`.

    Args:
        model: The model.
        kind: "fit", "evaluate", "predict" or "attach".
        owner: The list of callbacks that Keras made for the call; None if it can't be told.
        ended: Called once when the session ends otherwise than by `end`.

    Attributes:
        kind: As given.
        offset: What the run's number of an epoch is more than Keras'.
    """

    def __init__(self, model: Any, kind: str, owner: Any, ended: Callable[[], None]) -> None:
        self.model = model
        self.kind = kind
        self.offset: int | None = None
        self._ended: Callable[[], None] | None = ended
        self._installed: dict[str, tuple[Any, Any]] = {}
        self._owner = None if owner is None else weakref.ref(owner)
        self._finalizer = None if owner is None else weakref.finalize(owner, self.abort)
        if self._finalizer is not None:
            self._finalizer.atexit = False

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self._ended is not None

    @property
    def is_lost(self) -> bool:
        """Whether the call is over, and Keras has not said so."""
        return self.open and self._owner is not None and self._owner() is None

    def belongs_to(self, owner: Any) -> bool:
        """Whether a list of callbacks is that of this call."""
        return self._owner is None or self._owner() is owner

    def install(self, phase: str, function: Callable[..., Any]) -> None:
        """Puts the recording function of a phase in the place of the model's own.

        Raises:
            ModelError: Another recorder stands there.
        """
        name = f"{MAKERS[phase]}_function"
        other = getattr(getattr(self.model, name), "session", None)
        if other is not None:
            if self._owner is not None and other.belongs_to(self._owner()):
                raise ModelError(
                    f"Two recorders can't tap the same {self.kind}. Expected: one Recorder with the taps of both."
                )
            other.abort()  # left by a call that was interrupted and whose traceback is kept
        plain = getattr(self.model, name)
        ours = self._guarded(phase, function, plain)
        ours.__dict__["session"] = self
        self._installed[phase] = (ours, plain)
        setattr(self.model, name, ours)

    def remove(self, phase: str) -> bool:
        """Puts the model's own function back; whether ours was still there."""
        if phase not in self._installed:
            return False
        name = f"{MAKERS[phase]}_function"
        ours, plain = self._installed.pop(phase)
        there = getattr(self.model, name) is ours
        if there:
            setattr(self.model, name, plain)
        return there

    def end(self) -> None:
        """Ends the session: nothing of it is left on the model."""
        for phase in list(self._installed):
            self.remove(phase)
        self._ended = None
        if self._finalizer is not None:
            self._finalizer.detach()

    def abort(self) -> None:
        """Ends it because the call did, by an exception or an interrupt."""
        ended = self._ended
        self.end()
        if ended is not None:
            ended()

    def _guarded(self, phase: str, function: Callable[..., Any], plain: Any) -> Callable[..., Any]:
        exhausted = training().exhausted
        checked = self.kind != "attach"
        caller: list[int] = []

        def guarded(*args: Any) -> Any:
            if checked:
                frame = id(sys._getframe(1))
                if not caller:
                    caller.append(frame)
                elif caller[0] != frame:  # another call of fit: the one we belong to was interrupted
                    self.abort()
                    return self._plain(phase, plain)(*args)
            try:
                return function(*args)
            except exhausted:
                raise
            except BaseException:
                self.abort()
                raise

        return guarded

    def _plain(self, phase: str, plain: Any) -> Any:
        if plain is not None:
            return plain
        name = f"{MAKERS[phase]}_function"
        getattr(self.model, f"make_{name}")()
        return getattr(self.model, name)


def calling_list() -> Any:
    """The list of callbacks that calls the callback's method from which this is called, or None."""
    frame = sys._getframe(2)
    owner = frame.f_locals.get("self")
    return owner if isinstance(owner, keras.callbacks.CallbackList) else None


__all__ += ["calling_list"]
