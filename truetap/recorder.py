"""`Recorder`: a callback that keeps what really flowed through the compiled step, sample by sample.

It taps the step that Keras compiles anyway: no second forward pass, no eager execution, nothing of
Keras patched. Cost: what leaves the step beside Keras' own results is handed to a writer's thread in
microseconds; see `benchmarks/overhead.py` for ratios. Not to be used for a custom loop that never calls
Keras' `train_step`.
"""

from __future__ import annotations

import operator
import os
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pyarrow as pa

from truetap.about import About
from truetap.backends import current
from truetap.backends.training import training
from truetap.capture.feed import Clock, Feed
from truetap.capture.host import Kept, StepRows
from truetap.capture.plan import Plan
from truetap.capture.resume import clock_of
from truetap.capture.session import Session, calling_list
from truetap.capture.step import RecordedStep
from truetap.errors import ModelError, RecordingWarning, RunExistsError, StoreError, TapError
from truetap.identified import recorded_ids
from truetap.store import Recording, Rows, RunReader, in_background, wait_for
from truetap.taps import Outputs, Tap, Updates, Weights

__all__ = ["Recorder"]

_ALONE = ("train", "test", "predict")  # the phases that a call of its own can have; "val" is within `fit`


@dataclass
class _Tapped:
    """A phase of a model, ready to be recorded; reused by later calls of `fit` while the model is compiled as it is."""

    made_for: tuple[Any, ...]
    options: tuple[Any, ...]
    step: RecordedStep
    feed: Feed
    function: Any


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Records what flows through `fit`, `evaluate` and `predict`.

    Args:
        path: The run's folder. Nothing is written before something is recorded.
        taps: What to record: a tap or a list of them (`tt.Outputs()`, `tt.Activations("conv*", every=10,
            reduce="mean")`, …); by default `tt.Outputs()`. Scalars of every step are always recorded.
        resume: Whether to go on in the run that the folder holds, if it holds one.
        flush_seconds: What a killed process loses at most.
        queue_bytes: Values that may wait for the writer.
        when_full: What to do when they do: "block" training until there is room, or "drop" what comes
            (counted, see `run.overhead()`).
        on_error: What to do when recording fails, as by a full disk: "warn" once and train on, or
            "raise" and stop training.

    Raises:
        RunExistsError: The folder holds a run, and `resume` is False; or other files.
        TapError: What is given as a tap isn't one.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> import truetap as tt
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> path = tempfile.mkdtemp()
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), epochs=2, verbose=0, callbacks=[tt.Recorder(path)])
        >>> tt.open(path).samples(epoch=-1).y_pred.shape
        (8, 1)
    """

    async_safe = True  # nothing of it runs between two batches

    def __init__(
        self,
        path: str | os.PathLike[str],
        taps: Tap | Sequence[Tap] | None = None,
        *,
        resume: bool = False,
        flush_seconds: float = 1.0,
        queue_bytes: int = 256 << 20,
        when_full: Literal["block", "drop"] = "block",
        on_error: Literal["warn", "raise"] = "warn",
    ) -> None:
        super().__init__()
        if on_error not in ("warn", "raise"):
            raise TapError(f"on_error= is 'warn' or 'raise'. Received: on_error={on_error!r}.")
        if when_full not in ("block", "drop"):
            raise TapError(f"when_full= is 'block' or 'drop'. Received: when_full={when_full!r}.")
        self.path = os.fspath(path)
        self.taps = _checked(taps)
        self._options: dict[str, Any] = {
            "flush_seconds": flush_seconds,
            "queue_bytes": queue_bytes,
            "when_full": when_full,
        }
        self._on_error = on_error
        self._append = resume
        self._clock = Clock()
        self._last_epoch = -1
        self._check_path(resume)
        self._recording: Recording | None = None
        self._stopping = threading.RLock()
        self._is_stopping = False
        self._failed = False
        self._sessions: list[Session] = []
        self._tapped: dict[str, _Tapped] = {}
        self._rows = StepRows(self._announce, self._facts, recorded_ids)
        self._together = self._rows.of
        self._said: list[str] = []
        self._history: list[dict[str, Any]] = []
        self._spent: dict[str, float] = {}

    # --- Keras' hooks --------------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        self._begin("fit", "train", calling_list())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        session = self._session
        if session is None:
            return
        if session.offset is None:
            session.offset = 0 if epoch > self._last_epoch else self._last_epoch + 1 - epoch
            self._history[-1] |= {"first_epoch": epoch + session.offset, "keras_first_epoch": epoch}
        self._clock.epoch = self._last_epoch = epoch + session.offset
        self._restart("train")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        session = self._session
        if session is None or session.kind != "fit":
            return
        self._end_pass("train")
        names = list(logs or {})
        if names:
            values = [float((logs or {})[name]) for name in names]
            columns = {
                "phase": pa.array(["train"] * len(names), pa.string()),
                "epoch": np.full(len(names), self._clock.epoch, np.int32),
                "name": pa.array(names, pa.string()),
                "value": np.asarray(values, np.float64),
            }
            part = ("train", self._clock.epoch)
            self._put(lambda: [Rows("epochs", columns, part)], 64 * len(names))

    def on_train_end(self, logs: Any = None) -> None:
        self._end("train")

    def on_test_begin(self, logs: Any = None) -> None:
        owner = calling_list()
        session = self._session
        if session is not None and session.kind == "fit" and session.belongs_to(owner):
            self._install(session, "val")
            self._restart("val")
            return
        self._begin("evaluate", "test", owner)

    def on_test_end(self, logs: Any = None) -> None:
        session = self._session
        if session is not None and session.kind == "fit":
            session.remove("val")
            self._end_pass("val")
            return
        self._end("test")

    def on_predict_begin(self, logs: Any = None) -> None:
        self._begin("predict", "predict", calling_list())

    def on_predict_end(self, logs: Any = None) -> None:
        self._end("predict")

    # --- train_on_batch and the like -----------------------------------------------------------------------------

    @contextmanager
    def attach(self, model: Any, *, epoch: int = 0) -> Iterator[Recorder]:
        """Records `train_on_batch`, `test_on_batch` and `predict_on_batch` inside the block.

        Args:
            model: A compiled Keras model.
            epoch: The epoch of what is recorded; `recorder.begin_epoch()` begins the next.

        Yields:
            The recorder.

        Raises:
            ModelError: It is no compiled Keras model.
        """
        if not isinstance(model, keras.Model) or not model.compiled:
            raise ModelError(f"attach() takes a compiled Keras model. Received: {type(model).__name__}.")
        session = self._open(model, "attach", None)
        self._clock.epoch = self._last_epoch = max(epoch, self._last_epoch + 1) if self._last_epoch >= 0 else epoch
        for phase in _ALONE:
            self._install(session, phase)
            self._restart(phase)
        try:
            yield self
        except BaseException:
            session.abort()
            raise
        for phase in _ALONE:
            if not session.remove(phase):
                self._say(f"The model was compiled anew inside attach(): what came then in {phase!r} is not recorded.")
            self._end_pass(phase)
        self._close(session)

    def begin_epoch(self) -> None:
        """Inside `attach`: what is recorded from now on belongs to the next epoch."""
        for phase in _ALONE:
            self._end_pass(phase)
        self._clock.epoch = self._last_epoch = self._clock.epoch + 1
        for phase in _ALONE:
            self._restart(phase)

    def finish(self) -> None:
        """Waits until what was recorded is in its final files: small tables become Parquet after `fit` returns."""
        for session in list(self._sessions):
            if session.is_lost:
                session.abort()
        if self._session is None:
            self._stop_recording(complete=False)
        wait_for(Path(self.path))

    # --- sessions ------------------------------------------------------------------------------------------------

    @property
    def _session(self) -> Session | None:
        open_ones = [session for session in self._sessions if session.open]
        return open_ones[-1] if open_ones else None

    def _begin(self, kind: str, phase: str, owner: Any) -> None:
        session = self._open(self._model, kind, owner)
        try:
            self._install(session, phase)
        except BaseException:
            session.abort()
            raise
        self._restart(phase)

    def _open(self, model: Any, kind: str, owner: Any) -> Session:
        left = self._session
        if left is not None and left.belongs_to(owner):
            left.abort()  # of a call that ended without a word
        session = Session(model, kind, owner, lambda: self._interrupted(session))
        if not self._sessions:
            self.finish()  # what an interrupted call may have left to be done
        self._sessions.append(session)
        self._history.append({"kind": kind, "after_epoch": self._last_epoch})
        if self._recording is None:
            self._start_recording(model)
        return session

    def _install(self, session: Session, phase: str) -> None:
        if not self._failed:
            model = session.model
            function = training().once_built(model, phase, lambda: self._ready(model, phase).function)
            session.install(phase, function)

    def _end(self, phase: str) -> None:
        session = self._session
        if session is None:
            return
        session.remove(phase)
        if phase != "train":  # of fit, each epoch's end was seen
            self._end_pass(phase)
        self._close(session)

    def _close(self, session: Session) -> None:
        session.end()
        self._sessions.remove(session)
        if self._session is None:
            self._stop_recording(complete=True)

    def _interrupted(self, session: Session) -> None:
        """The call of a session has ended by an exception; told by whatever thread found its last trace gone."""
        if session in self._sessions:
            self._sessions.remove(session)
        if self._session is not None or self._recording is None:
            return
        if self._recording.is_this_thread:
            in_background(Path(self.path), lambda: self._stop_recording(complete=False))
        else:
            self._stop_recording(complete=False)

    # --- phases --------------------------------------------------------------------------------------------------

    def _ready(self, model: Any, phase: str) -> _Tapped:
        made_for = (model, getattr(model, "_compile_loss", None), getattr(model, "optimizer", None))
        options = (model.run_eagerly, model.jit_compile, model.steps_per_execution)
        known = self._tapped.get(phase)
        if known is not None and known.options == options and all(map(operator.is_, known.made_for, made_for)):
            return known
        plan = Plan.of(model, self.taps, phase)
        _check_executions(model, plan)
        step = RecordedStep(model, plan, jit_compile=bool(model.jit_compile) and not model.run_eagerly)
        feed = Feed(plan, step, self._clock, self._put_step)
        tapped = _Tapped(made_for, options, step, feed, training().record(model, phase, step, feed))
        self._tapped[phase] = tapped
        return tapped

    def _restart(self, phase: str) -> None:
        self._clock.begin(phase)
        if phase in self._tapped:
            self._tapped[phase].feed.restart()

    def _end_pass(self, phase: str) -> None:
        """An epoch of training, or a pass of another phase, has ended."""
        tapped = self._tapped.get(phase)
        if tapped is None or self._recording is None:
            return
        tapped.feed.at_epoch_end(training().snapshot)
        self._emit("epoch", phase)
        self._overhead(phase, tapped.feed)
        self._say(*tapped.step.learned.said)

    def _emit(self, over: str, phase: str) -> None:
        tapped = self._tapped[phase]
        at = self._clock.at(phase, -1)
        kept = Kept(size=0, values={}, due=set(), limits={}, scalars=False, **at)
        plan = tapped.step.plan
        if any(each.reducers and each.tap.over == over for each in plan.taps) and at["step"] >= 0:
            self._put(lambda: self._rows.end_of(over, kept, plan), 1024)

    def _overhead(self, phase: str, feed: Feed) -> None:
        """Notes what was spent since it was noted last, under the phase and epoch that ends."""
        recording = self._recording
        if recording is None:
            return
        total = recording.overhead
        now = {
            "rows": total.rows,
            "bytes": total.bytes,
            "seconds_in_writer": total.seconds_writing,
            "seconds_waiting": total.seconds_waiting,
            "dropped": total.dropped,
        }
        spent = {name: value - self._spent.get(name, 0) for name, value in now.items()}
        steps, seconds = feed.spent()
        epoch = self._clock.at(phase)["epoch"]
        if not (steps or spent["rows"] or spent["dropped"]):
            return
        self._spent = now
        columns: dict[str, Any] = {
            "phase": pa.array([phase], pa.string()),
            "epoch": np.asarray([epoch], np.int32),
            "steps": np.asarray([steps], np.int64),
            "rows": np.asarray([spent["rows"]], np.int64),
            "bytes": np.asarray([spent["bytes"]], np.int64),
            "seconds_in_training_thread": np.asarray([seconds], np.float64),
            "seconds_in_writer": np.asarray([spent["seconds_in_writer"]], np.float64),
            "seconds_waiting": np.asarray([spent["seconds_waiting"]], np.float64),
            "dropped": np.asarray([spent["dropped"]], np.int64),
            "queue_peak_bytes": np.asarray([total.queue_peak_bytes], np.int64),
        }
        part = (phase, epoch)
        self._put(lambda: [Rows("overhead", columns, part)], 128)

    # --- the run -------------------------------------------------------------------------------------------------

    def _check_path(self, resume: bool) -> None:
        try:
            reader = RunReader(self.path)
        except StoreError:
            return  # there is none; what else may be there is told when it is written to
        if not resume:
            raise RunExistsError(
                f"There is a run at {self.path!r} already, created {reader.created}; it is left as it is. Record to "
                "another path, go on in it with resume=True, read it with truetap.open(…), or delete the folder first."
            )
        self._clock, self._last_epoch = clock_of(reader)

    def _start_recording(self, model: Any) -> None:
        try:
            self._recording = Recording(self.path, metadata=self._metadata(model), append=self._append, **self._options)
        except StoreError as error:
            self._trouble(error)
            return
        self._failed = False
        self._append = True
        self._spent = {}

    def _stop_recording(self, *, complete: bool) -> None:
        with self._stopping:  # whoever comes second waits, and finds it done
            recording = self._recording
            if recording is not None and not self._is_stopping:
                self._is_stopping = True
                try:
                    self._close_recording(recording, complete)
                finally:
                    self._recording, self._is_stopping = None, False

    def _close_recording(self, recording: Recording, complete: bool) -> None:
        if complete:
            for phase in self._tapped:
                self._emit("run", phase)
        recording.flush()
        notices = [text for tapped in self._tapped.values() for text in tapped.step.learned.said]
        for phase, tapped in self._tapped.items():
            self._overhead(phase, tapped.feed)  # what the writer did since the last epoch's end
        if self._rows.seen_again.never:
            notices.append(_NEVER_AGAIN)
        new = self._new(notices)
        recording.update_metadata(self._metadata(None))
        recording.close(complete=complete, wait=False)
        if recording.error is not None and not self._failed:
            self._trouble(recording.error)
        if complete:  # else an exception is on its way, which a warning that is an error would hide; they are kept
            _warn(new)

    def _put_step(self, item: tuple[Kept, RecordedStep], nbytes: int) -> None:
        self._put(item, nbytes, self._together)

    def _put(self, work: Any, nbytes: int, together: Any = None) -> None:
        recording = self._recording
        if recording is None:
            return
        if not recording.put(work, nbytes, together) and recording.error is not None and not self._failed:
            self._trouble(recording.error)

    def _trouble(self, error: BaseException) -> None:
        self._failed = True
        if self._on_error == "raise":
            raise error
        warnings.warn(
            f"Recording to {self.path!r} has ended, training goes on: {error} (on_error='raise' stops training.)",
            RecordingWarning,
            stacklevel=2,
        )

    def _metadata(self, model: Any) -> dict[str, Any]:
        about: dict[str, Any] = {
            "format": 1,
            "backend": current().name,
            "taps": [tap.describe() for tap in self.taps],
            "sessions": self._history,
            "notices": self._said,
        }
        if model is not None:
            self._model_name = model.name
        return {"recorder": about | {"model": self._model_name}}

    def _announce(self, facts: Mapping[str, Any]) -> None:
        if self._recording is not None:
            self._recording.update_metadata(facts)

    def _facts(self, step: RecordedStep) -> Mapping[str, Any]:
        outputs = step.learned.outputs
        assert outputs is not None  # asked for when it is known
        about = About(
            outputs=outputs.names,
            shape=outputs.shape,
            hints=step.learned.hints,
            source="fit",
            model=step.model.name,
            backend=current().name,
            notices=tuple(self._said),
        )
        return {"collect": about.to_json()}

    def _say(self, *texts: str) -> None:
        _warn(self._new(texts))

    def _new(self, texts: Sequence[str]) -> list[str]:
        """Notices that were not said yet; they are kept."""
        new = [text for text in dict.fromkeys(texts) if text not in self._said]
        self._said += new
        return new

    def __repr__(self) -> str:
        return f"Recorder({self.path!r}, taps={list(self.taps)})"


_NEVER_AGAIN = (
    "No sample of one epoch was met again in another: random augmentation ahead of the model changes x, or the data "
    "never repeat. A sample's life over epochs can't be followed by fingerprints. Expected, if they do repeat: data = "
    "tt.with_ids(data) before the augmentation, and fit(data.elements)."
)


def _warn(texts: Sequence[str]) -> None:
    for text in texts:
        warnings.warn(text, RecordingWarning, stacklevel=4)


def _checked(taps: Any) -> tuple[Tap, ...]:
    if taps is None:
        return (Outputs(),)
    chosen = tuple(taps) if isinstance(taps, Iterable) and not isinstance(taps, str) else (taps,)
    for tap in chosen:
        if not isinstance(tap, Tap):
            raise TapError(f"taps= takes taps, such as tt.Outputs() or tt.Activations('conv*'). Received: {tap!r}.")
    return chosen


def _check_executions(model: Any, plan: Plan) -> None:
    if current().name != "tensorflow" or model.steps_per_execution == 1:
        return
    for each in plan.of_kind(Weights, Updates):
        if isinstance(each.tap, Updates) or not each.tap.per_epoch:
            raise TapError(
                f"{type(each.tap).__name__} of single steps can't be had on TensorFlow with steps_per_execution="
                f"{model.steps_per_execution}: the steps of an execution run inside one compiled loop. Expected: "
                "every='epoch' (Weights, OptimizerState), or steps_per_execution=1."
            )
