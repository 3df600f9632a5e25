"""`Recorder`: a callback that keeps what really flowed through the compiled step, sample by sample.

It taps the step that Keras compiles anyway: no second forward pass, no eager execution, nothing of
Keras patched. Cost: what leaves the step beside Keras' own results is handed to a writer's thread in
microseconds; see `benchmarks/overhead.py` for ratios. A loop that never calls Keras' `train_step` is recorded by
`Recorder.step`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import keras
import numpy as np
import pyarrow as pa

from truetap.backends.autograph import as_it_is
from truetap.backends.loops import loops
from truetap.backends.training import training
from truetap.capture.book import Book
from truetap.capture.session import Session, calling_list
from truetap.errors import ModelError, TapError
from truetap.facts.fit import fit_facts
from truetap.loop.loop import PHASES_OF_LOOPS, Loop
from truetap.loop.step import LoopStep
from truetap.presets import diagnose_taps
from truetap.schedule import PHASES
from truetap.store import Retention, Rows, in_background, wait_for
from truetap.store.destination import Upload
from truetap.taps import Outputs, Tap

__all__ = ["Recorder"]

_ALONE = ("train", "test", "predict")  # the phases that a call of its own can have; "val" is within `fit`


@dataclass(frozen=True)
class PassSoFar:
    """How far an epoch, or a pass of another phase, has come: its number, its steps, whether recording has failed."""

    epoch: int
    steps: int
    failed: bool


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Records what flows through `fit`, `evaluate` and `predict`.

    Args:
        path: The run's folder; or its URL in a store that fsspec reaches, such as "s3://bucket/run". Nothing is written
            before something is recorded. Processes that train one model together give the same path, which all of them
            reach, and write one run.
        taps: What to record: a tap or a list of them (`tt.Outputs()`, `tt.Activations("conv*", every=10,
            reduce="mean")`, …); by default `tt.Outputs()`. "diagnose" is what all rules of `run.diagnose()` need,
            of what the model has. Scalars of every step are always recorded.
        resume: Whether to go on in the run that the folder holds, if it holds one.
        flush_seconds: What a killed process loses at most.
        queue_bytes: Values that may wait for the writer.
        when_full: What to do when they do: "block" training until there is room, or "drop" what comes
            (counted, see `run.overhead()`).
        max_bytes: What the run's files may take: the oldest samples and raw values are removed to make room, then the
            oldest of the curves. None for no limit. At the end of `fit`, while tables become Parquet, one of them is
            there twice for a moment.
        keep_last: Of how many epochs samples and raw values are kept: the last ones of each phase that a table has, the
            one that is being recorded not counted. Curves and statistics of all epochs stay. None for all.
        on_error: What to do when recording fails, as by a full disk: "warn" once and train on, or
            "raise" and stop training.
        storage_options: Of a URL, what fsspec's filesystem is made with, such as `{"endpoint_url": …}`; the rest comes
            from fsspec's configuration and the store's environment variables.
        spool: Of a URL, a folder of this machine in which runs that are on their way are kept, each in a folder of its
            own, which is found again when the run is gone on with; by default one in the user's cache.
        upload_seconds: Of a URL, what a machine that vanishes loses at most, while the store answers.
        upload_patience: Of a URL, how many seconds the end of a run waits for a store that refuses. Then the spool is
            kept, and said where it is; `truetap upload` sends it.

    Raises:
        RunExistsError: The folder holds a run, and `resume` is False; or other files.
        TapError: What is given as a tap isn't one.
        StoreError: `max_bytes` or `keep_last` is no positive whole number.

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
        taps: Tap | Sequence[Tap] | Literal["diagnose"] | None = None,
        *,
        resume: bool = False,
        flush_seconds: float = 1.0,
        queue_bytes: int = 256 << 20,
        when_full: Literal["block", "drop"] = "block",
        max_bytes: int | None = None,
        keep_last: int | None = None,
        on_error: Literal["warn", "raise"] = "warn",
        storage_options: Mapping[str, Any] | None = None,
        spool: str | os.PathLike[str] | None = None,
        upload_seconds: float = 30.0,
        upload_patience: float = 300.0,
    ) -> None:
        super().__init__()
        if on_error not in ("warn", "raise"):
            raise TapError(f"on_error= is 'warn' or 'raise'. Received: on_error={on_error!r}.")
        if when_full not in ("block", "drop"):
            raise TapError(f"when_full= is 'block' or 'drop'. Received: when_full={when_full!r}.")
        self.path: str = os.fspath(path)
        self.taps: tuple[Tap, ...] = _checked(taps)
        upload = Upload(storage_options, spool, upload_seconds, upload_patience)
        options = {
            "flush_seconds": flush_seconds,
            "queue_bytes": queue_bytes,
            "when_full": when_full,
            "retention": Retention(max_bytes, keep_last),
            "upload": upload,
        }
        lenient = isinstance(taps, str)
        self._book = Book(self.path, self.taps, options, on_error, resume=resume, lenient=lenient)
        self._sessions: list[Session] = []
        self._loop = Loop(self._book, lambda model: self._open(model, "loop", None), self._close)

    # --- Keras' hooks --------------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        owner = calling_list()
        self._book.begin_fit(fit_facts(self.params, owner))
        self._begin("fit", "train", owner)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        session = self._session
        if session is None:
            return
        if session.offset is None:
            session.offset = 0 if epoch > self._book.last_epoch else self._book.last_epoch + 1 - epoch
            self._book.history[-1] |= {"first_epoch": epoch + session.offset, "keras_first_epoch": epoch}
        self._book.clock.epoch = self._book.last_epoch = epoch + session.offset
        self._book.restart("train")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        session = self._session
        if session is None or session.kind != "fit":
            return
        self._book.end_pass("train")
        self.note(logs or {})

    def on_train_end(self, logs: Any = None) -> None:
        self._end("train")

    def on_test_begin(self, logs: Any = None) -> None:
        owner = calling_list()
        session = self._session
        if session is not None and session.kind == "fit" and session.belongs_to(owner):
            self._install(session, "val")
            self._book.restart("val")
            return
        self._begin("evaluate", "test", owner)

    def on_test_end(self, logs: Any = None) -> None:
        session = self._session
        if session is not None and session.kind == "fit":
            session.remove("val")
            self._book.end_pass("val")
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
            bare = ", which isn't compiled; call model.compile(…) first" if isinstance(model, keras.Model) else ""
            raise ModelError(f"attach() takes a compiled Keras model. Received: {type(model).__name__}{bare}.")
        self._loop.end()
        session = self._open(model, "attach", None)
        self._book.clock.epoch = self._book.last_epoch = (
            max(epoch, self._book.last_epoch + 1) if self._book.last_epoch >= 0 else epoch
        )
        for phase in _ALONE:
            self._install(session, phase)
            self._book.restart(phase)
        try:
            yield self
        except BaseException:
            session.abort()
            raise
        for phase in _ALONE:
            if not session.remove(phase):
                self._book.say(
                    f"The model was compiled anew inside attach(): what came then in {phase!r} is not recorded."
                )
            self._book.end_pass(phase)
        self._close(session)

    # --- a loop of one's own -------------------------------------------------------------------------------------

    @as_it_is
    def step(self, model: Any, *, epoch: Any = None, phase: str = "train", optimizer: Any = None) -> LoopStep:
        """One step of a loop that you wrote: `with recorder.step(model) as step: …`.

        What the model and its optimizer do inside the block is seen as it is under `fit`; what the loop computes by
        itself it says by `step.log(y_true=y, loss=per_sample, …)`. The block may stand around eager code, or inside the
        function that you compile (`tf.function` without XLA, `jax.jit`), but not around the call of that
        function, unless what the function returns is logged. The same tables are written as by `fit`.

        End the run with `recorder.finish()`, or put the loop into `with recorder:`.

        Args:
            model: A built Keras model.
            epoch: The epoch: a number, or a tensor where a compiled function gets it as an argument. None: it is
                counted by `recorder.begin_epoch()`.
            phase: "train", "val" or "test".
            optimizer: The Keras optimizer that the loop applies; by default the one the model was compiled with.

        Returns:
            A `LoopStep`, to be entered once.

        Raises:
            ModelError: It is no Keras model, or not built.
            TapError: There is no such phase, or something that the taps ask for can't leave this loop.

        Example:
            >>> import keras, numpy as np, tempfile
            >>> import truetap as tt
            >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
            >>> path, x, y = tempfile.mkdtemp(), np.ones((8, 3), "float32"), np.ones((8, 1), "float32")
            >>> with tt.Recorder(path) as recorder:
            ...     with recorder.step(model, phase="test") as step:
            ...         error = keras.ops.convert_to_tensor(y) - model(x)
            ...         step.log(y_true=y, loss=error**2)
            >>> tt.open(path).samples().loss.shape
            (8,)
        """
        if not isinstance(model, keras.Model) or not model.built:
            raise ModelError(
                f"recorder.step() takes a built Keras model. Received: {type(model).__name__}"
                f"{' that is not built; call it on a batch first' if isinstance(model, keras.Model) else ''}."
            )
        if phase not in PHASES_OF_LOOPS:
            raise TapError(
                f"A step of a loop belongs to one of the phases {PHASES_OF_LOOPS}. Received: phase={phase!r}."
            )
        if optimizer is None:
            optimizer = getattr(model, "optimizer", None)
        return self._loop.step(model, phase, epoch, optimizer)

    def begin_epoch(self) -> None:
        """Inside `attach` and in a loop: what is recorded from now on belongs to the next epoch."""
        loops().settle()
        self._book.begin_epoch(self._book.clock.epoch + 1, PHASES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.end(complete=error is None)
        self.finish()

    def finish(self) -> None:
        """Waits until what was recorded is in its final files: small tables become Parquet after `fit` returns."""
        self._loop.end()
        for session in list(self._sessions):
            if session.is_lost:
                session.abort()
        if self._session is None:
            self._book.stop(complete=False)
        wait_for(self.path)

    # --- for callbacks that read what was recorded ---------------------------------------------------------------

    def recording(self, model: Any) -> str | None:
        """Which call of a model is recorded now: "fit", "evaluate", "predict", "attach", "loop"; None if none is."""
        session = self._session
        return session.kind if session is not None and session.model is model else None

    def pass_so_far(self, phase: str) -> PassSoFar:
        """The latest epoch, or pass, of a phase; waits until all that was put of it can be read."""
        self._book.flush()
        at = self._book.clock.at(phase)
        return PassSoFar(at["epoch"], at["batch"], self._book.failed)

    def note(self, values: Mapping[str, Any]) -> None:
        """Adds values to the table `epochs`, for the epoch of training that ends."""
        names = list(values)
        if names:
            columns = {
                "phase": pa.array(["train"] * len(names), pa.string()),
                "epoch": np.full(len(names), self._book.clock.epoch, np.int32),
                "name": pa.array(names, pa.string()),
                "value": np.asarray([float(values[name]) for name in names], np.float64),
            }
            part = ("train", self._book.clock.epoch)
            self._book.put(lambda: [Rows("epochs", columns, part)], 64 * len(names))

    # --- sessions ------------------------------------------------------------------------------------------------

    @property
    def _session(self) -> Session | None:
        open_ones = [session for session in self._sessions if session.open]
        return open_ones[-1] if open_ones else None

    def _begin(self, kind: str, phase: str, owner: Any) -> None:
        self._loop.end()
        session = self._open(self._model, kind, owner)
        try:
            self._install(session, phase)
        except BaseException:
            session.abort()
            raise
        self._book.restart(phase)

    def _open(self, model: Any, kind: str, owner: Any) -> Session:
        left = self._session
        if left is not None and left.belongs_to(owner):
            left.abort()  # of a call that ended without a word
        session = Session(model, kind, owner, lambda: self._interrupted(session))
        if not self._sessions:
            self.finish()  # what an interrupted call may have left to be done
        self._sessions.append(session)
        self._book.history.append({"kind": kind, "after_epoch": self._book.last_epoch})
        if self._book.recording is None:
            self._book.start(model)
        return session

    def _install(self, session: Session, phase: str) -> None:
        if not self._book.failed:
            model = session.model
            function = training().once_built(model, phase, lambda: self._book.ready(model, phase).function)
            session.install(phase, function)

    def _end(self, phase: str) -> None:
        session = self._session
        if session is None:
            return
        session.remove(phase)
        if phase != "train":  # of fit, each epoch's end was seen
            self._book.end_pass(phase)
        self._close(session)

    def _close(self, session: Session) -> None:
        session.end()
        self._sessions.remove(session)
        if self._session is None:
            self._book.stop(complete=True)

    def _interrupted(self, session: Session) -> None:
        """The call of a session has ended by an exception; told by whatever thread found its last trace gone."""
        if session in self._sessions:
            self._sessions.remove(session)
        if self._session is not None or self._book.recording is None:
            return
        if self._book.recording.is_this_thread:
            in_background(self.path, lambda: self._book.stop(complete=False))
        else:
            self._book.stop(complete=False)

    def __repr__(self) -> str:
        return f"Recorder({self.path!r}, taps={list(self.taps)})"


def _checked(taps: Any) -> tuple[Tap, ...]:
    if taps is None:
        return (Outputs(),)
    if isinstance(taps, str):
        if taps != "diagnose":
            raise TapError(f"taps= takes taps, such as tt.Outputs(), or 'diagnose'. Received: taps={taps!r}.")
        return diagnose_taps()
    chosen = tuple(taps) if isinstance(taps, Iterable) else (taps,)
    for tap in chosen:
        if not isinstance(tap, Tap):
            raise TapError(f"taps= takes taps, such as tt.Outputs() or tt.Activations('conv*'). Received: {tap!r}.")
    return chosen
