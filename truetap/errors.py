"""Every error and warning that truetap raises, in one file.

    TruetapError
    ├── DataError                the data can't be read as (x, y[, sample_weight]) batches
    │   ├── UnlabelledDataError  there are no labels in it
    │   ├── StructureError       labels and outputs can't be paired
    │   ├── LengthError          parts of the data have different lengths
    │   ├── IdError              ids are of the wrong length, repeated or of a wrong type
    │   └── DataEndedEarly       fewer batches than asked for; carries what was collected
    ├── ModelError               the model can't be run: not Keras', not built, not callable
    ├── LayerError               a layer selection matches nothing, or can't be observed
    ├── LossError                a loss that can't be what it should be, or that computes something else
    ├── TapError                 a tap, schedule or reducer that can't be what was asked for
    ├── DiagnosisError           a rule that is none, or what rules found, raised
    ├── TaskError                labels or metrics were asked for that the values don't have
    │   └── UnknownMetricError   a metric that an evaluation doesn't have
    └── StoreError               a run can't be written or read
        ├── NotRecordedError     a path, phase, epoch, step or statistic that the run doesn't have
        ├── RunExistsError       the folder holds another run
        ├── NotUploadedError     a run is whole on this machine, but not in its store
        └── DamagedRunError      what is on disk isn't what was written

    TruetapWarning
    ├── DataWarning              the data are readable, but probably not what was meant
    ├── RecordingWarning         something was not recorded, or not as was probably meant
    └── DiagnosisWarning         what a rule found while training runs, or that a rule failed

A message says what was received, what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from truetap.samples import Samples

__all__ = [
    "DamagedRunError",
    "DataEndedEarly",
    "DataError",
    "DataWarning",
    "DiagnosisError",
    "DiagnosisWarning",
    "IdError",
    "LayerError",
    "LengthError",
    "LossError",
    "ModelError",
    "NotRecordedError",
    "NotUploadedError",
    "RecordingWarning",
    "RunExistsError",
    "StoreError",
    "StructureError",
    "TapError",
    "TaskError",
    "TruetapError",
    "TruetapWarning",
    "UnknownMetricError",
    "UnlabelledDataError",
    "near_names",
]


class TruetapError(Exception):
    """Base of every error raised by truetap."""


class DataError(TruetapError, ValueError):
    """The data can't be read as `(x, y[, sample_weight])` batches.

    Attributes:
        samples: What was collected before it showed, if anything; nothing is lost.
    """

    def __init__(self, message: str, samples: Samples | None = None) -> None:
        super().__init__(message)
        self.samples = samples


class UnlabelledDataError(DataError):
    """The data hold no labels."""


class StructureError(DataError):
    """Labels can't be paired with the model's outputs by name."""


class LengthError(DataError):
    """Parts of the data that should have one row per sample differ in length."""


class IdError(DataError):
    """Sample ids are of the wrong length, repeated, missing or of a wrong type."""


class DataEndedEarly(DataError):
    """The source gave fewer batches than were asked for; what came is in `samples`."""


class ModelError(TruetapError, ValueError):
    """The model can't be run as it is."""


class LayerError(TruetapError, ValueError):
    """A layer selection matches nothing, or names a layer that can't be observed."""


class LossError(TruetapError, ValueError):
    """A loss can't be computed as it was asked for, or computes something else than it seems to."""


class TapError(TruetapError, ValueError):
    """A tap, its schedule or its reducer can't be what was asked for."""


class DiagnosisError(TruetapError, ValueError):
    """Something isn't a rule; or what rules found, where it was to be raised."""


class TaskError(TruetapError, ValueError):
    """Labels or metrics were asked for that the recorded values don't have."""


class UnknownMetricError(TaskError, KeyError):
    """A metric was asked for that this evaluation doesn't have."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError would show the repr of the message


class StoreError(TruetapError, OSError):
    """A run can't be written or read."""


class NotRecordedError(StoreError, KeyError):
    """A path, phase, epoch, step or statistic was asked for that the run doesn't have."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError would show the repr of the message


class RunExistsError(StoreError):
    """The folder already holds a run, or something else that would be mixed up with one."""


class NotUploadedError(StoreError):
    """A run is whole on this machine, but not, or not all of it, in its store.

    Attributes:
        spool: The folder of this machine that holds it; `truetap upload` sends it.
    """

    def __init__(self, message: str, spool: str) -> None:
        super().__init__(message)
        self.spool = spool


class DamagedRunError(StoreError):
    """What is on disk isn't what was written."""


class TruetapWarning(UserWarning):
    """Base of every warning given by truetap."""


class DataWarning(TruetapWarning):
    """The data are readable, but probably not what was meant."""


class RecordingWarning(TruetapWarning):
    """Something was not recorded, or not as was probably meant; training goes on."""


class DiagnosisWarning(TruetapWarning):
    """What a rule found while training runs, or that a rule failed."""


def near_names(name: str, known: Iterable[str]) -> str:
    """Words for an error about an unknown name: the nearest known ones, or all when few.

    Example:
        >>> near_names("dens_1", ["dense", "dense_1", "conv"])
        "Near names: 'dense_1', 'dense'."
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    if near:
        return "Near names: " + ", ".join(map(repr, near)) + "."
    if not names:
        return "There are none."
    shown = ", ".join(map(repr, names[:20]))
    return f"Known names: {shown}" + (f" and {len(names) - 20} more." if len(names) > 20 else ".")
