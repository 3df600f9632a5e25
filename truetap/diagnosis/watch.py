"""`tt.Watch`: the rules run live, on what a recorder has so far."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import keras

from truetap.capture.session import calling_list
from truetap.diagnosis.diagnose import diagnose
from truetap.epoch_values.source import check_alone, check_recorder, find_recorder
from truetap.errors import DiagnosisError, DiagnosisWarning
from truetap.recorder import Recorder
from truetap.rules.finding import Finding
from truetap.rules.report import Report
from truetap.rules.rule import Rule
from truetap.run import Run

__all__ = ["Watch"]


class Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Runs rules at the end of epochs of `fit`, on what a `tt.Recorder` in the same list has recorded by then.

    Each rule is told once for each place. Cost: the writer is waited for, and the rules run, some tenths of a second an
    epoch; `every=` makes it rarer.

    Args:
        rules: Rules to run; by default those of `run.diagnose()`.
        on: What to do about errors and warnings: "warn", "stop" (warn, and end training after the epoch), or a
            function that is given the `tt.Finding`; one that returns True ends training.
        every: After how many epochs.
        ignore: Names of rules to leave out.
        recorder: The recorder to read from; None for the one in the same list of callbacks.

    Attributes:
        report: The latest `tt.Report`, or None.
        findings: What was told, in the order of time.

    Raises:
        DiagnosisError: An argument that can't be.
        TapError: When training begins: there is no recorder before it.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> import truetap as tt
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> found = []
        >>> watch = tt.Watch(on=found.append)
        >>> callbacks = [tt.Recorder(tempfile.mkdtemp(), taps="diagnose"), watch]
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> history = model.fit(x, x.sum(-1), epochs=2, verbose=0, callbacks=callbacks)
        >>> watch.report.checked != ()
        True
    """

    def __init__(
        self,
        rules: Sequence[Rule[Any]] | None = None,
        *,
        on: Literal["warn", "stop"] | Callable[[Finding], Any] = "warn",
        every: int = 1,
        ignore: Collection[str] = (),
        recorder: Recorder | None = None,
    ) -> None:
        super().__init__()
        if on not in ("warn", "stop") and not callable(on):
            raise DiagnosisError(f"on= is 'warn', 'stop' or a function of a finding. Received: on={on!r}.")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise DiagnosisError(f"every= is a number of epochs from 1. Received: every={every!r}.")
        check_recorder(recorder)
        self.rules = rules
        self.on = on
        self.every = every
        self.ignore: tuple[str, ...] = tuple(ignore)
        self.report: Report | None = None
        self.findings: list[Finding] = []
        self._given = recorder
        self._recorder: Recorder | None = None
        self._told: set[tuple[Any, ...]] = set()
        self._epochs = 0

    def on_train_begin(self, logs: Any = None) -> None:
        check_alone(self)
        self._recorder = find_recorder(self, self._given, calling_list())
        self._told.clear()
        self._epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._epochs += 1
        if self._epochs % self.every:
            return
        recorder = self._recorder
        if recorder is None or recorder.pass_so_far("train").failed:
            return
        self.report = diagnose(Run(recorder.path), rules=self.rules, ignore=self.ignore)
        for finding in self.report.wrong:
            key = (finding.rule, finding.output, finding.layers)
            if key not in self._told:
                self._told.add(key)
                self.findings.append(finding)
                self._tell(finding, epoch)

    def _tell(self, finding: Finding, epoch: int) -> None:
        if callable(self.on):
            if self.on(finding) is True:
                self._stop()
            return
        warnings.warn(f"After epoch {epoch}: {finding}", DiagnosisWarning, stacklevel=4)
        if self.on == "stop":
            self._stop()

    def _stop(self) -> None:
        self._model.stop_training = True
