"""`check_loss` on each installed backend, in a process of its own: Keras takes one for a process' life.

A process imports the loss by its name and writes what it found as JSON into a file; what the user's module
prints goes where it always goes.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from truetap.backends.loss_probe import Array
from truetap.errors import LossError
from truetap.loss_checks.sample_batches import kind_of, made

__all__ = ["Request", "check_in_process", "main", "named"]


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for.

    Attributes:
        loss: `module:name`, or a name of keras.losses.
        data: `module:name` of a function that gives (y_true, y_pred) or (y_true, y_pred, sample_weight).
        y_true: Path of a .npy file, or a shape such as "8,3" to be filled with random numbers.
        y_pred: The same.
        sample_weight: The same.
        kind: A kind of batch to make up; None to tell it by the loss' name.
        ignore: Rules to leave out.
    """

    loss: str
    data: str | None = None
    y_true: str | None = None
    y_pred: str | None = None
    sample_weight: str | None = None
    kind: str | None = None
    ignore: tuple[str, ...] = ()


def check_in_process(request: Request, backend: str) -> dict[str, Any]:
    """Checks a loss on a backend.

    Returns:
        The report as a dict, with the words for the batch under "batch".

    Raises:
        LossError: The loss or the data can't be had, or the process ended without a report.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "report.json"
        settings = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")}
        command = [sys.executable, "-m", __name__, json.dumps(asdict(request)), str(answer)]
        done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
        if not answer.exists():
            last = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise LossError(f"The check on {backend} ended without a report (exit code {done.returncode}):\n{last}")
        found: dict[str, Any] = json.loads(answer.read_text())
    if "refused" in found:
        raise LossError(found["refused"])
    return found


def main(arguments: Sequence[str]) -> None:
    """Runs in the process: a request as JSON, and the file for the answer."""
    asked = json.loads(arguments[0])
    request = Request(**{**asked, "ignore": tuple(asked["ignore"])})
    sys.path.insert(0, "")  # modules of the folder that the command was called in
    try:
        found = _checked(request)
    except LossError as error:
        found = {"refused": str(error)}
    Path(arguments[1]).write_text(json.dumps(found))


def _checked(request: Request) -> dict[str, Any]:
    checking = importlib.import_module("truetap.loss_checks.checking")  # loads Keras, and with it the backend
    loss = named(request.loss) if ":" in request.loss else request.loss
    y_true, y_pred, weight, words = _batch(request)
    report = checking.check_loss(loss, y_true, y_pred, sample_weight=weight, ignore=request.ignore)
    return {**report.to_dict(), "batch": words, "text": str(report)}


def _batch(request: Request) -> tuple[Any, Any, Any, str]:
    if request.data is not None:
        given = named(request.data)()
        if not isinstance(given, tuple | list) or len(given) not in (2, 3):
            raise LossError(
                f"{request.data} gives (y_true, y_pred) or (y_true, y_pred, sample_weight). Received: "
                f"{type(given).__name__}" + (f" of {len(given)}." if hasattr(given, "__len__") else ".")
            )
        y_true, y_pred, weight = (*given, None)[:3]
        return y_true, y_pred, weight, f"the batch of {request.data}"
    if (request.y_true is None) != (request.y_pred is None):
        raise LossError("--y-true and --y-pred belong together. Received: one of them.")
    weight = None if request.sample_weight is None else _loaded(request.sample_weight, 2)
    if request.y_true is not None and request.y_pred is not None:
        words = f"{request.y_true} and {request.y_pred}"
        return _loaded(request.y_true, 0), _loaded(request.y_pred, 1), weight, words
    batch = made(request.kind or kind_of(request.loss))
    return batch.y_true, batch.y_pred, weight, f"made up: {batch.words}"


def _loaded(path: str, seed: int) -> Array:
    if re.fullmatch(r"\d+(,\d+)*", path):
        return np.random.default_rng(seed).normal(size=tuple(map(int, path.split(",")))).astype(np.float32)
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise LossError(f"{path} is no .npy file that can be read, and no shape such as 8,3: {error}") from None


def named(name: str) -> Any:
    """An attribute of a module, given as module:name."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise LossError(
            f"{name!r} can't be imported: {error}. Expected: module:name, such as my_losses:focal, the module being "
            "installed or in the folder you are in."
        ) from None


if __name__ == "__main__":
    main(sys.argv[1:])
