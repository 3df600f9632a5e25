"""What a recorder keeps of its run, whoever trains: the recording, the clock, the phases, what is to be said.

`Recorder` fills it from Keras' calls, `truetap.loop` from a loop that the user wrote.
"""

from __future__ import annotations

import operator
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from truetap.about import About
from truetap.backends import current
from truetap.backends.training import training
from truetap.capture.feed import Clock, Feed
from truetap.capture.host import Kept, StepRows
from truetap.capture.plan import Plan
from truetap.capture.resume import clock_of
from truetap.capture.step import RecordedStep
from truetap.errors import RecordingWarning, RunExistsError, StoreError, TapError
from truetap.facts.model import model_facts
from truetap.facts.types import ArrayFacts, Facts, FitFacts, PhaseFacts
from truetap.identified import recorded_ids
from truetap.store import Recording, Rows, RunReader
from truetap.store.destination import Upload
from truetap.store.layout import is_url
from truetap.store.place import place_of
from truetap.store.remote.destination import to_go_on
from truetap.taps import Tap, Updates, Weights

__all__ = ["Book", "Tapped"]


@dataclass
class Tapped:
    """A phase of a model, ready to be recorded; reused by later calls of `fit` while the model is compiled as it is."""

    made_for: tuple[Any, ...]
    options: tuple[Any, ...]
    step: RecordedStep
    feed: Feed
    function: Any
    read: Callable[[Any], Any]  # gives the value of a variable after the last step


class Book:
    """One run as it is recorded.

    Args:
        path: The run's folder.
        taps: What is recorded.
        options: Of `truetap.store.Recording`.
        on_error: "warn" once and go on, or "raise".
        resume: Whether to go on in the run that the folder holds, if it holds one.
        lenient: Whether taps that find nothing in a model, or can't be had of it, are passed over.

    Attributes:
        clock: Where the run is.
        last_epoch: The last epoch of training that was begun; -1 for none.
        recording: What is written to, while anything is recorded.
        failed: Whether recording has ended by an error.
        tapped: The phases that were made ready.
        history: The calls that were recorded, for the manifest.

    Raises:
        RunExistsError: The folder holds a run, and `resume` is False.
    """

    def __init__(
        self,
        path: str,
        taps: Sequence[Tap],
        options: Mapping[str, Any],
        on_error: str,
        *,
        resume: bool,
        lenient: bool = False,
    ) -> None:
        self.path = path
        self.taps = tuple(taps)
        self.clock = Clock()
        self.last_epoch = -1
        self.recording: Recording | None = None
        self.failed = False
        self.tapped: dict[str, Tapped] = {}
        self.history: list[dict[str, Any]] = []
        self._fit: FitFacts | None = None
        self._options = dict(options)
        self._on_error = on_error
        self._append = resume
        self._lenient = lenient
        self._stopping = threading.RLock()
        self._is_stopping = False
        self._rows = StepRows(self._announce, self._facts, recorded_ids)
        self._together = self._rows.of
        self._said: list[str] = []
        self._phases: dict[str, PhaseFacts] = {}
        self._spent: dict[str, float] = {}
        self._check_path(resume)

    def ready(self, model: Any, phase: str, *, loop: bool = False) -> Tapped:
        """A phase of a model, ready to be recorded; of a loop of the user's own, without a function for Keras."""
        made_for = (model, getattr(model, "_compile_loss", None), getattr(model, "optimizer", None))
        options = ("loop",) if loop else (model.run_eagerly, model.jit_compile, model.steps_per_execution)
        known = self.tapped.get(phase)
        if known is not None and known.options == options and all(map(operator.is_, known.made_for, made_for)):
            return known
        taps = self.taps
        if self._lenient and not _single_steps(model):
            taps = tuple(tap for tap in taps if not isinstance(tap, Updates))
        plan = Plan.of(model, taps, phase, lenient=self._lenient)
        if not loop:
            _check_executions(model, plan)
        step = RecordedStep(model, plan, jit_compile=not loop and bool(model.jit_compile) and not model.run_eagerly)
        feed = Feed(plan, step, self.clock, self._put_step)
        function = None if loop else training().record(model, phase, step, feed)
        tapped = Tapped(made_for, options, step, feed, function, training().snapshot)
        self.tapped[phase] = tapped
        return tapped

    def begin_fit(self, facts: FitFacts) -> None:
        """A call of `fit` begins."""
        self._fit = facts
        self._rows.tell_again()

    def restart(self, phase: str) -> None:
        """An epoch or a pass begins."""
        self.clock.begin(phase)
        if phase in self.tapped:
            self.tapped[phase].feed.restart()

    def begin_epoch(self, number: int, phases: Sequence[str]) -> None:
        """Ends the passes of an epoch that Keras doesn't count, and begins the one with this number."""
        for phase in phases:
            self.end_pass(phase)
        self.clock.epoch = self.last_epoch = number
        for phase in phases:
            self.restart(phase)

    def end_pass(self, phase: str) -> None:
        """An epoch of training, or a pass of another phase, has ended."""
        tapped = self.tapped.get(phase)
        if tapped is None or self.recording is None:
            return
        tapped.feed.at_epoch_end(tapped.read)
        self._emit("epoch", phase)
        self._overhead(phase, tapped.feed)
        self.say(*tapped.step.learned.said)

    def _emit(self, over: str, phase: str) -> None:
        tapped = self.tapped[phase]
        at = self.clock.at(phase, -1)
        kept = Kept(size=0, values={}, due=set(), limits={}, scalars=False, **at)
        plan = tapped.step.plan
        if any(each.reducers and each.tap.over == over for each in plan.taps) and at["step"] >= 0:
            self.put(lambda: self._rows.end_of(over, kept, plan), 1024)

    def _overhead(self, phase: str, feed: Feed) -> None:
        """Notes what was spent since it was noted last, under the phase and epoch that ends."""
        recording = self.recording
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
        epoch = self.clock.at(phase)["epoch"]
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
        self.put(lambda: [Rows("overhead", columns, part)], 128)

    def _check_path(self, resume: bool) -> None:
        upload = self._options.get("upload") or Upload()
        worker = training().worker()
        try:
            options = upload.storage_options
            reader = RunReader(to_go_on(self.path, upload, worker) if resume else place_of(self.path, options))
        except StoreError as error:
            if is_url(self.path) and not isinstance(error.__cause__, FileNotFoundError):
                raise  # whether there is one can't be told
            return  # there is none; what else may be there is told when it is written to
        if worker.size == reader.workers and worker.rank in reader.absent:
            return  # others of this training have begun
        if not resume:
            if not reader.tables:  # of a call that was refused before its first step: nothing is lost
                self._append = True
                return
            raise RunExistsError(
                f"There is a run at {self.path!r} already, created {reader.created}; it is left as it is. Record to "
                "another path, go on in it with resume=True, read it with tt.open(…), or delete the folder first."
            )
        self.clock, self.last_epoch = clock_of(reader, worker.rank)

    def start(self, model: Any) -> None:
        """Begins to write."""
        try:
            self.recording = Recording(
                self.path,
                metadata=self._metadata(model),
                append=self._append,
                worker=training().worker(),
                **self._options,
            )
        except StoreError as error:
            if is_url(self.path) or isinstance(error, RunExistsError):
                raise  # nothing is trained yet: a wrong path, bucket or key had better be known now
            self._trouble(error)
            return
        self.failed = False
        self._append = True
        self._spent = {}

    def stop(self, *, complete: bool) -> None:
        """Ends what is written to, if anything is."""
        with self._stopping:  # whoever comes second waits, and finds it done
            recording = self.recording
            if recording is not None and not self._is_stopping:
                self._is_stopping = True
                try:
                    self._close_recording(recording, complete)
                finally:
                    self.recording, self._is_stopping = None, False

    def _close_recording(self, recording: Recording, complete: bool) -> None:
        if complete:
            for phase in self.tapped:
                self._emit("run", phase)
        recording.flush()
        notices = [text for tapped in self.tapped.values() for text in tapped.step.learned.said]
        for phase, tapped in self.tapped.items():
            self._overhead(phase, tapped.feed)  # what the writer did since the last epoch's end
        if self._rows.seen_again.never:
            notices.append(_NEVER_AGAIN)
        new = self._new(notices)
        recording.update_metadata(self._metadata(None))
        recording.close(complete=complete, wait=False)
        self._tell(recording)
        if complete:  # else an exception is on its way, which a warning that is an error would hide; they are kept
            _warn(new)

    def _put_step(self, item: tuple[Kept, RecordedStep], nbytes: int) -> None:
        self.put(item, nbytes, self._together)

    def put(self, work: Any, nbytes: int, together: Any = None) -> None:
        """Hands work over to the writer's thread; see `truetap.store.Recording.put`."""
        recording = self.recording
        if recording is None:
            return
        if not recording.put(work, nbytes, together):
            self._tell(recording)
        if recording.notices:
            self.say(*recording.notices)

    def flush(self) -> None:
        """Waits until all that was put can be read."""
        recording = self.recording
        if recording is not None:
            recording.flush()
            self._tell(recording)

    def _tell(self, recording: Recording) -> None:
        if recording.error is not None and not self.failed:
            self._trouble(recording.error)

    def _trouble(self, error: BaseException) -> None:
        """Recording has failed: said once, or raised."""
        self.failed = True
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
            "sessions": self.history,
            "notices": self._said,
        }
        if model is not None:
            self._model_name = model.name
        return {"recorder": about | {"model": self._model_name}}

    def _announce(self, facts: Mapping[str, Any]) -> None:
        if self.recording is not None:
            self.recording.update_metadata(facts)

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
        learned = step.learned
        self._phases[step.plan.phase] = PhaseFacts(
            calls=tuple(learned.training),
            training=dict(learned.training),
            masked=tuple(call for call in learned.training if call in learned.masked),
            without_gradient=tuple(sorted(learned.without_gradient)),
            **{kind: _arrays(learned.shapes, kind) for kind in ("x", "y", "y_pred")},
        )
        model = model_facts(step.model, outputs, learned.losses, learned.makers)
        facts = Facts(model, self._fit, self._phases)
        return {"collect": about.to_json(), "facts": facts.to_json()}

    def say(self, *texts: str) -> None:
        """Warns of what was not said yet, and keeps it."""
        _warn(self._new(texts))

    def _new(self, texts: Sequence[str]) -> list[str]:
        """Notices that were not said yet; they are kept."""
        new = [text for text in dict.fromkeys(texts) if text not in self._said]
        self._said += new
        return new


def _arrays(shapes: Mapping[str, tuple[tuple[int | None, ...], str]], kind: str) -> tuple[ArrayFacts, ...]:
    return tuple(
        ArrayFacts(name.removeprefix(f"{kind}/"), shape, dtype)
        for name, (shape, dtype) in shapes.items()
        if name.startswith(f"{kind}/")
    )


_NEVER_AGAIN = (
    "No sample of one epoch was met again in another: random augmentation ahead of the model changes x, or the data "
    "never repeat. A sample's life over epochs can't be followed by fingerprints. Expected, if they do repeat: data = "
    "tt.with_ids(data) before the augmentation, and fit(data.elements)."
)


def _warn(texts: Sequence[str]) -> None:
    for text in texts:
        warnings.warn(text, RecordingWarning, stacklevel=4)


def _single_steps(model: Any) -> bool:
    """Whether something can be read between two steps."""
    return bool(current().name != "tensorflow" or getattr(model, "steps_per_execution", 1) == 1)


def _check_executions(model: Any, plan: Plan) -> None:
    if _single_steps(model):
        return
    for each in plan.of_kind(Weights, Updates):
        if isinstance(each.tap, Updates) or not each.tap.per_epoch:
            raise TapError(
                f"{type(each.tap).__name__} of single steps can't be had on TensorFlow with steps_per_execution="
                f"{model.steps_per_execution}: the steps of an execution run inside one compiled loop. Expected: "
                "every='epoch' (Weights, OptimizerState), or steps_per_execution=1."
            )
