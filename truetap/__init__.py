"""See what your Keras model really saw, predicted and computed, sample by sample.

The public names are those below. Importing truetap imports neither Keras nor a backend: a name's
module is loaded when the name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from truetap.errors import (
    DamagedRunError,
    DataEndedEarly,
    DataError,
    DataWarning,
    DiagnosisError,
    DiagnosisWarning,
    IdError,
    LayerError,
    LengthError,
    LossError,
    ModelError,
    NotRecordedError,
    NotUploadedError,
    RecordingWarning,
    RunExistsError,
    StoreError,
    StructureError,
    TapError,
    TaskError,
    TruetapError,
    TruetapWarning,
    UnknownMetricError,
    UnlabelledDataError,
    near_names,
)

if TYPE_CHECKING:
    from types import ModuleType

    from truetap import losses, reducers, rules
    from truetap.agreement import Agreement, compare_with_fit
    from truetap.alignment import Alignment, check_alignment
    from truetap.comparison import Comparison
    from truetap.diagnosis.linting import lint
    from truetap.diagnosis.watch import Watch
    from truetap.epoch_values import EpochLoss, EpochMetric
    from truetap.evaluation import Evaluation
    from truetap.identified import with_ids
    from truetap.loss_checks import LossReport, check_loss
    from truetap.notebook.live import LiveCurves
    from truetap.pairs import collect, ground_truth, stream
    from truetap.recorder import Recorder
    from truetap.rules import Finding, Report
    from truetap.run import Run, open  # noqa: A004
    from truetap.samples import Samples
    from truetap.selection import select
    from truetap.store.pruning import Pruned, prune
    from truetap.tapping import tap
    from truetap.taps import (
        ActivationGradients,
        Activations,
        Gradients,
        Inputs,
        OptimizerState,
        Outputs,
        Tapped,
        Updates,
        Weights,
    )
    from truetap.uploading import upload

    __version__: str

_HOMES = {
    "ActivationGradients": "truetap.taps",
    "Activations": "truetap.taps",
    "Agreement": "truetap.agreement",
    "Alignment": "truetap.alignment",
    "Comparison": "truetap.comparison",
    "EpochLoss": "truetap.epoch_values",
    "EpochMetric": "truetap.epoch_values",
    "Evaluation": "truetap.evaluation",
    "Finding": "truetap.rules",
    "Gradients": "truetap.taps",
    "Inputs": "truetap.taps",
    "LiveCurves": "truetap.notebook.live",
    "LossReport": "truetap.loss_checks",
    "OptimizerState": "truetap.taps",
    "Outputs": "truetap.taps",
    "Pruned": "truetap.store.pruning",
    "Recorder": "truetap.recorder",
    "Report": "truetap.rules",
    "Run": "truetap.run",
    "Samples": "truetap.samples",
    "Tapped": "truetap.taps",
    "Updates": "truetap.taps",
    "Watch": "truetap.diagnosis.watch",
    "Weights": "truetap.taps",
    "check_alignment": "truetap.alignment",
    "check_loss": "truetap.loss_checks",
    "collect": "truetap.pairs",
    "compare_with_fit": "truetap.agreement",
    "ground_truth": "truetap.pairs",
    "lint": "truetap.diagnosis.linting",
    "open": "truetap.run",
    "prune": "truetap.store.pruning",
    "select": "truetap.selection",
    "stream": "truetap.pairs",
    "tap": "truetap.tapping",
    "upload": "truetap.uploading",
    "with_ids": "truetap.identified",
}

__all__ = [
    "ActivationGradients",
    "Activations",
    "Agreement",
    "Alignment",
    "Comparison",
    "DamagedRunError",
    "DataEndedEarly",
    "DataError",
    "DataWarning",
    "DiagnosisError",
    "DiagnosisWarning",
    "EpochLoss",
    "EpochMetric",
    "Evaluation",
    "Finding",
    "Gradients",
    "IdError",
    "Inputs",
    "LayerError",
    "LengthError",
    "LiveCurves",
    "LossError",
    "LossReport",
    "ModelError",
    "NotRecordedError",
    "NotUploadedError",
    "OptimizerState",
    "Outputs",
    "Pruned",
    "Recorder",
    "RecordingWarning",
    "Report",
    "Run",
    "RunExistsError",
    "Samples",
    "StoreError",
    "StructureError",
    "TapError",
    "Tapped",
    "TaskError",
    "TruetapError",
    "TruetapWarning",
    "UnknownMetricError",
    "UnlabelledDataError",
    "Updates",
    "Watch",
    "Weights",
    "__version__",
    "check_alignment",
    "check_loss",
    "collect",
    "compare_with_fit",
    "ground_truth",
    "lint",
    "losses",
    "open",
    "prune",
    "reducers",
    "rules",
    "select",
    "stream",
    "tap",
    "upload",
    "with_ids",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        version = globals()[name] = _installed_version()
        return version
    if name in ("losses", "reducers", "rules"):
        return _module(f"truetap.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'truetap' has no attribute {name!r}. {near_names(name, __all__)}")
    found = globals()[name] = getattr(_module(_HOMES[name]), name)
    return found  # the next look finds it without coming here


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:  # most modules import Keras, which imports its backend
        from truetap.backends.installed import refuse_absent

        refuse_absent(error)
        raise


def __dir__() -> list[str]:
    return __all__


def _installed_version() -> str:
    """What was installed: the tag that it was built from, or the commit after it."""
    from importlib import metadata  # 25 ms, more than all the rest of importing truetap

    try:
        return metadata.version("truetap")
    except metadata.PackageNotFoundError:  # a source tree on PYTHONPATH; any number would be a guess
        return "0+not.installed"
