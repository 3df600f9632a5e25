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
    IdError,
    LayerError,
    LengthError,
    ModelError,
    NotRecordedError,
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
)

if TYPE_CHECKING:
    from truetap import reducers
    from truetap.alignment import Alignment, check_alignment
    from truetap.evaluation import Evaluation
    from truetap.identified import with_ids
    from truetap.pairs import collect, ground_truth, stream
    from truetap.recorder import Recorder
    from truetap.run import Run, open  # noqa: A004
    from truetap.samples import Samples
    from truetap.selection import select
    from truetap.taps import (
        ActivationGradients,
        Activations,
        Gradients,
        Inputs,
        OptimizerState,
        Outputs,
        Updates,
        Weights,
    )

__version__ = "0.1.0.dev0"

_HOMES = {
    "ActivationGradients": "truetap.taps",
    "Activations": "truetap.taps",
    "Alignment": "truetap.alignment",
    "Evaluation": "truetap.evaluation",
    "Gradients": "truetap.taps",
    "Inputs": "truetap.taps",
    "OptimizerState": "truetap.taps",
    "Outputs": "truetap.taps",
    "Recorder": "truetap.recorder",
    "Run": "truetap.run",
    "Samples": "truetap.samples",
    "Updates": "truetap.taps",
    "Weights": "truetap.taps",
    "check_alignment": "truetap.alignment",
    "collect": "truetap.pairs",
    "ground_truth": "truetap.pairs",
    "open": "truetap.run",
    "select": "truetap.selection",
    "stream": "truetap.pairs",
    "with_ids": "truetap.identified",
}

__all__ = [
    "ActivationGradients",
    "Activations",
    "Alignment",
    "DamagedRunError",
    "DataEndedEarly",
    "DataError",
    "DataWarning",
    "Evaluation",
    "Gradients",
    "IdError",
    "Inputs",
    "LayerError",
    "LengthError",
    "ModelError",
    "NotRecordedError",
    "OptimizerState",
    "Outputs",
    "Recorder",
    "RecordingWarning",
    "Run",
    "RunExistsError",
    "Samples",
    "StoreError",
    "StructureError",
    "TapError",
    "TaskError",
    "TruetapError",
    "TruetapWarning",
    "UnknownMetricError",
    "UnlabelledDataError",
    "Updates",
    "Weights",
    "__version__",
    "check_alignment",
    "collect",
    "ground_truth",
    "open",
    "reducers",
    "select",
    "stream",
    "with_ids",
]


def __getattr__(name: str) -> Any:
    if name == "reducers":
        return importlib.import_module("truetap.reducers")
    if name not in _HOMES:
        raise AttributeError(f"module 'truetap' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
