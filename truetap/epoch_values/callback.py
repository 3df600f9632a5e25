"""What `EpochMetric` and `EpochLoss` share: when a pass ends, its rows are read and a value goes to the logs.

At an epoch's end the callback waits until the writer has committed what was put, so that no step is
missing; what that costs is the time the writer is behind. Nothing is predicted again.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import keras

from truetap.about import About
from truetap.capture.session import calling_list
from truetap.epoch_values.passes import PassRows
from truetap.epoch_values.source import check_alone, check_monitors, check_recorder, check_whole, find_recorder
from truetap.errors import RecordingWarning, StructureError, TapError, TaskError, near_names
from truetap.pairing import declared_outputs
from truetap.recorder import Recorder
from truetap.store import RunReader

__all__ = ["EpochValue"]

_PHASES = ("train", "val", "test")


class EpochValue(keras.callbacks.Callback):  # type: ignore[misc]
    """Base of callbacks that compute values of a whole epoch from what a recorder has.

    Args:
        output: The output that is meant, of a model with several.
        phases: In which phases: of "train", "val" (validation inside `fit`) and "test" (`evaluate`).
        recorder: The recorder to read from; None for the one in the same list of callbacks.

    Attributes:
        results: What was written to the logs last, by name; after `evaluate`, which returns no values of
            callbacks, this is where they are.
    """

    def __init__(self, output: str | None, phases: Collection[str] | str, recorder: Recorder | None) -> None:
        super().__init__()
        self.output = output
        self.phases: tuple[str, ...] = (phases,) if isinstance(phases, str) else tuple(phases)
        for phase in self.phases:
            if phase not in _PHASES:
                raise TapError(f"There is no epoch of phase {phase!r} with labels. {near_names(str(phase), _PHASES)}")
        check_recorder(recorder)
        self.results: dict[str, float] = {}
        self._given = recorder
        self._recorder: Recorder | None = None
        self._testing = "test"
        self._validated = False
        self._given_up = False

    # --- what a kind of value has to say ----------------------------------------------------------------------------

    def _names(self) -> list[str]:
        """The names it writes as far as they are known beforehand, without "val_"."""
        raise NotImplementedError

    def _check_outputs(self, known: tuple[str, ...]) -> None:
        """Refuses an output that there isn't; called before training where the model tells its outputs by then."""
        if self.output is None or self.output in known:
            return
        if known == ("",):
            raise StructureError(
                f"The model has one output. Received: output={self.output!r}. Expected: output= left out."
            )
        raise StructureError(f"There is no output named {self.output!r}. {near_names(self.output, known)}")

    def _values(self, found: PassRows, about: About, where: str) -> Mapping[str, float]:
        """The values of a pass.

        Args:
            found: Its rows: all of them.
            about: What is known of the model's outputs.
            where: Words for the pass, for errors.
        """
        raise NotImplementedError

    # --- Keras' hooks -----------------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        self._given_up = False
        self._find(calling_list())
        self._check("train")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._validated = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        found = self._of("train") if "train" in self.phases else {}
        if self._validated and "val" in self.phases:
            found |= {f"val_{name}": value for name, value in self._of("val").items()}
        self._write(found, logs)
        if self._recorder is not None:
            self._recorder.note(found)

    def on_test_begin(self, logs: Any = None) -> None:
        recorder = self._find(calling_list())
        self._testing = "val" if recorder.recording(self._model) == "fit" else "test"
        self._check(self._testing)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._testing == "val":  # these logs reach nobody; those of the epoch's end do
            self._validated = True
        elif "test" in self.phases:
            self._write(self._of("test"), logs)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _find(self, owner: Any) -> Recorder:
        check_alone(self)
        recorder = self._recorder = find_recorder(self, self._given, owner)
        check_monitors(self, [f"{prefix}{name}" for name in self._names() for prefix in ("", "val_")], owner)
        return recorder

    def _check(self, phase: str) -> None:
        """Refuses before a pass what can't be told after it."""
        if phase not in self.phases or self._recorder is None:
            return
        check_whole(self, self._recorder, phase)
        output = getattr(self._model, "output", None) if hasattr(self._model, "output_names") else None
        if output is not None:  # else they are known when something was recorded
            self._check_outputs(declared_outputs(self._model, output).names)

    def _of(self, phase: str) -> dict[str, float]:
        recorder = self._recorder
        assert recorder is not None  # a pass that ends has begun
        so_far = recorder.pass_so_far(phase)
        where = f"epoch {so_far.epoch} of phase {phase!r}"
        if so_far.failed:
            return self._left_out(f"from {where} on", "recording has failed", for_good=True)
        if not so_far.steps:
            return self._left_out(f"for {where}", "it had no step")
        reader = RunReader(recorder.path)
        found = PassRows.last(reader, phase, so_far.epoch)
        steps = found.steps()
        if steps != so_far.steps:
            said = "of dropped ones run.overhead() tells, of others a RecordingWarning; max_bytes= removes the oldest"
            return self._left_out(f"for {where}", f"{steps} of its {so_far.steps} steps are in the run; {said}")
        plain: Any = reader.metadata["collect"]
        about = About.from_json(plain)
        self._check_outputs(about.outputs)
        return dict(self._values(found, about, where))

    def _left_out(self, when: str, why: str, *, for_good: bool = False) -> dict[str, float]:
        if not self._given_up:
            names = ", ".join(map(repr, self._names()))
            text = f"{names} is left out of the logs {when}: {why}. Training goes on."
            warnings.warn(text, RecordingWarning, stacklevel=5)
        self._given_up = for_good
        return {}

    def _write(self, found: Mapping[str, float], logs: dict[str, Any] | None) -> None:
        taken = [name for name in found if name in (logs or {})]
        if taken:
            raise TaskError(
                f"The logs have a value named {taken[0]!r} already. Received: {list(logs or {})}. Expected: another "
                f"name for this {type(self).__name__}: name='epoch_{taken[0]}'."
            )
        self.results = dict(found)
        if logs is not None:
            logs.update(found)
