"""`tt.LiveCurves`: the curves of a running `fit`, drawn in the notebook's cell from what the recorder has written.

A thread of its own looks at the run and draws; between two batches nothing of it runs, and the model isn't touched, so
training computes what it computes without it. Cost: milliseconds a look, of which there are fewer as they take longer.
"""

from __future__ import annotations

import atexit
import contextvars
import importlib
import sys
import threading
import time
import warnings
import weakref
from typing import Any

import keras

from truetap.capture.session import calling_list
from truetap.epoch_values.source import find_recorder
from truetap.errors import RecordingWarning, StoreError, TapError
from truetap.notebook.follow import Follower
from truetap.notebook.html import Html, page
from truetap.notebook.svg import Line, chart
from truetap.recorder import Recorder

__all__ = ["LiveCurves"]

_SHARE = 0.05  # of the time, at most, goes into looking
_LONGEST = 4.0  # seconds between two looks while nothing is new
_MOST_CHARTS = 6
_PHASES = ("train", "val")


class LiveCurves(keras.callbacks.Callback):  # type: ignore[misc]
    """Draws curves in a notebook while `fit` runs: each step's own loss, Keras' running mean, metrics by epoch.

    Outside a notebook it draws nothing; it says so once, unless a person sits at a terminal.

    Args:
        recorder: The recorder whose run is drawn; None for the one in the same list of callbacks.
        every: Seconds between two drawings, at least.

    Raises:
        TapError: An argument that can't be; or, when training begins, no recorder comes before it.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> import truetap as tt
        >>> from truetap.notebook.live import LiveCurves
        >>> recorder = tt.Recorder(tempfile.mkdtemp())
        >>> callbacks = [recorder, LiveCurves(recorder, every=0.5)]  # for model.fit(…, callbacks=callbacks)
    """

    def __init__(self, recorder: Recorder | None = None, *, every: float = 1.0) -> None:
        super().__init__()
        if recorder is not None and not isinstance(recorder, Recorder):
            raise TapError(f"recorder= is a tt.Recorder. Received: {recorder!r}.")
        if isinstance(every, bool) or not isinstance(every, int | float) or not 0.1 <= every < float("inf"):
            raise TapError(f"every= is a number of seconds from 0.1. Received: every={every!r}.")
        self.every: float = float(every)
        self._given = recorder
        self._drawing: _Drawing | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        owner = calling_list()
        recorder = find_recorder(self, self._given, owner)
        self._end()
        display = _display()
        if display is None:
            _say_once()
        else:
            self._drawing = _Drawing(recorder.path, self.every, display, owner)

    def on_train_end(self, logs: Any = None) -> None:
        self._end()

    def _end(self) -> None:
        if self._drawing is not None:
            self._drawing.end()
            self._drawing = None


class _Drawing:
    """One cell's output while a call of `fit` runs, and the thread that draws it.

    Args:
        path: The run's folder.
        every: Seconds between two drawings.
        display: IPython's `display`.
        owner: The list of callbacks of the call: when it is gone, the call has ended without a word.
    """

    def __init__(self, path: str, every: float, display: Any, owner: Any) -> None:
        self._follower = Follower(path)
        self._every = every
        self._handle = display(_Shown("Training begins."), display_id=True)
        self._owner = None if owner is None else weakref.ref(owner)
        self._over = threading.Event()
        context = contextvars.copy_context()  # which cell the output belongs to
        self._thread = threading.Thread(target=lambda: context.run(self._follow), name="LiveCurves", daemon=True)
        self._thread.start()
        atexit.register(self._over.set)

    def end(self) -> None:
        """Draws all there is, and ends."""
        atexit.unregister(self._over.set)
        self._over.set()
        self._thread.join()
        self._draw(thorough=True)

    def _follow(self) -> None:
        wait = self._every
        while not self._over.wait(wait) and not (self._owner is not None and self._owner() is None):
            began = time.perf_counter()
            news = self._draw()
            took = time.perf_counter() - began
            wait = max(self._every if news else max(wait, min(2 * wait, _LONGEST)), took / _SHARE)

    def _draw(self, *, thorough: bool = False) -> bool:
        """Whether there was anything new to draw."""
        try:
            news = self._follower.look(thorough=thorough)
        except StoreError as error:  # no run yet; or one that failed, of which the recorder warns
            self._handle.update(_Shown(f"Nothing can be drawn: {error}"))
            return False
        if news:
            self._handle.update(_Shown(_curves(self._follower)))
        return news


class _Shown:
    """What a cell shows."""

    def __init__(self, said: str) -> None:
        self._said = said

    def _repr_html_(self) -> str:
        return page("", self._said)

    def __repr__(self) -> str:
        return "LiveCurves" if isinstance(self._said, Html) else self._said


def _curves(follower: Follower) -> Html:
    charts = []
    for phase in _PHASES:
        own, running = (follower.steps.get((phase, name)) for name in ("own", "running"))
        lines = [Line("each step", own.points, faint=True)] if own else []
        lines += [Line("running mean", running.points)] if running else []
        charts.append(chart(f"{phase}: loss by step", lines))
    names = [name for name in follower.epochs if not name.startswith("val_")][:_MOST_CHARTS]
    names += [name for name in follower.epochs if name.startswith("val_") and name[4:] not in follower.epochs]
    for name in names[:_MOST_CHARTS]:
        both = [(label, follower.epochs.get(key)) for label, key in (("train", name), ("val", f"val_{name}"))]
        charts.append(chart(f"{name} by epoch", [Line(label, it.points) for label, it in both if it], "epoch"))
    return Html("".join(charts))


def _display() -> Any | None:
    """IPython's `display`, if a notebook runs this."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        return None
    return importlib.import_module("IPython.display").display


_said: list[str] = []


def _say_once() -> None:
    if not _said and not sys.stderr.isatty():
        _said.append("")
        warnings.warn(
            "LiveCurves draws in notebooks, and this is none: nothing is drawn. `truetap serve` follows a run from "
            "anywhere.",
            RecordingWarning,
            stacklevel=4,
        )
