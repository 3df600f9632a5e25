"""`truetap lint MODEL DATA`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import Any

import click

from truetap.backends.installed import BACKENDS
from truetap.cli.arguments import as_json
from truetap.cli.commands import Command
from truetap.cli.ends import NOT_THERE, fail
from truetap.cli.findings import tell
from truetap.errors import TruetapError

__all__ = ["lint"]


@click.command(cls=Command)
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="DATA")
@click.option("--backend", type=click.Choice(BACKENDS), help="Keras' backend; by default the one that is configured.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Leaves a rule out; may be repeated.")
@click.option("--skipped", is_flag=True, help="Lists the rules that could not run, with the reason.")
@as_json
def lint(model: str, data: str, backend: str | None, ignore: tuple[str, ...], skipped: bool, as_json: bool) -> None:
    """Looks at MODEL and DATA before training, through one batch of the real training step.

    Each is module:name: a compiled model, and what fit will get; or a function without arguments that gives it.
    Exits with 0 when there is neither an error nor a warning, 1 when there is, 2 when one can't be had.

    Example:
      truetap lint my_training:make_model my_training:train_data
      truetap lint my_training:model my_training:batches --backend jax --json
    """
    if backend is not None:
        os.environ["KERAS_BACKEND"] = backend  # read by Keras when it is imported, below
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes about the machine
    sys.path.insert(0, "")  # modules of the folder that the command was called in
    from truetap.loss_checks.everywhere import named

    try:
        linting = importlib.import_module("truetap.diagnosis.linting")
        report = linting.lint(_made(named(model)), _made(named(data)), ignore=ignore)
    except TruetapError as error:
        fail(error, NOT_THERE)
    tell(report, skipped=skipped, as_json=as_json)


def _made(given: Any) -> Any:
    """What a function without arguments gives, or the thing itself."""
    return given() if inspect.isfunction(given) else given
