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
    RunExistsError,
    StoreError,
    StructureError,
    TaskError,
    TruetapError,
    TruetapWarning,
    UnknownMetricError,
    UnlabelledDataError,
)

if TYPE_CHECKING:
    from truetap.alignment import Alignment, check_alignment
    from truetap.evaluation import Evaluation
    from truetap.identified import with_ids
    from truetap.pairs import collect, ground_truth, stream
    from truetap.run import Run, open  # noqa: A004
    from truetap.samples import Samples
    from truetap.selection import select

__version__ = "0.1.0.dev0"

_HOMES = {
    "Alignment": "truetap.alignment",
    "Evaluation": "truetap.evaluation",
    "Run": "truetap.run",
    "Samples": "truetap.samples",
    "check_alignment": "truetap.alignment",
    "collect": "truetap.pairs",
    "ground_truth": "truetap.pairs",
    "open": "truetap.run",
    "select": "truetap.selection",
    "stream": "truetap.pairs",
    "with_ids": "truetap.identified",
}

__all__ = [
    "Alignment",
    "DamagedRunError",
    "DataEndedEarly",
    "DataError",
    "DataWarning",
    "Evaluation",
    "IdError",
    "LayerError",
    "LengthError",
    "ModelError",
    "Run",
    "RunExistsError",
    "Samples",
    "StoreError",
    "StructureError",
    "TaskError",
    "TruetapError",
    "TruetapWarning",
    "UnknownMetricError",
    "UnlabelledDataError",
    "__version__",
    "check_alignment",
    "collect",
    "ground_truth",
    "open",
    "select",
    "stream",
    "with_ids",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'truetap' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
