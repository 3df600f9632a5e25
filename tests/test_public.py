"""The public face: its names, and that importing it loads no backend."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata

import pytest

import truetap

NAMES = [
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


def test_names_are_pinned() -> None:
    assert sorted(truetap.__all__) == sorted(NAMES)
    assert dir(truetap) == truetap.__all__


def test_every_name_resolves() -> None:
    for name in NAMES:
        assert getattr(truetap, name) is not None


def test_any_name_may_be_the_first_that_is_used() -> None:
    """A cycle of imports shows only from one of its ends."""
    code = (
        "import sys, importlib\n"
        f"for name in {NAMES!r}:\n"
        "    for module in [m for m in sys.modules if m.split('.')[0] == 'truetap']:\n"
        "        del sys.modules[module]\n"
        "    getattr(importlib.import_module('truetap'), name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_loads_neither_keras_nor_a_backend() -> None:
    code = (
        "import sys, truetap; truetap.TruetapError; "
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'sklearn', 'pandas', 'pyarrow'} & set(sys.modules); "
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_that_of_the_installed_package() -> None:
    try:
        expected = metadata.version("truetap")
    except metadata.PackageNotFoundError:
        expected = "0+not.installed"
    assert truetap.__version__ == expected


def test_importing_looks_up_no_version() -> None:
    """It would take longer than all the rest of importing truetap."""
    code = "import sys, truetap; print('importlib.metadata' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("use", ["Recorder", "losses"])
def test_a_backend_that_is_not_installed_is_named_with_its_extra(use: str) -> None:
    code = f"import sys; sys.modules['torch'] = None; import truetap; truetap.{use}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": "torch"}
    )
    assert done.stderr.strip().splitlines()[-1] == (
        "truetap.errors.ModelError: Keras is set to run on torch, which isn't installed. Expected: pip install "
        "'truetap[torch]'; or another backend: KERAS_BACKEND=tensorflow before Python starts."
    )


def test_a_module_never_hides_a_public_name() -> None:
    """Importing `truetap.x` binds the module to `truetap.x`: a public `x` that is something else would be gone."""
    code = (
        "import pkgutil, truetap; names = {m.name for m in pkgutil.iter_modules(truetap.__path__)}; "
        "print(sorted(names & set(truetap.__all__) - {'losses', 'reducers', 'rules'}))"  # the module is the public name
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
