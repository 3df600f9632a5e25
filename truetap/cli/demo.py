"""`truetap demo`: what truetap does, on a training that takes seconds."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from truetap.backends.installed import BACKENDS, installed
from truetap.cli.arguments import FOLDER, as_json
from truetap.cli.commands import Command
from truetap.cli.ends import NOT_THERE, WRONG, fail
from truetap.cli.findings import as_grid
from truetap.cli.terminal import for_a_person, show, words, working
from truetap.errors import StoreError, TruetapError
from truetap.showing import Table, as_rich, as_text, plain

if TYPE_CHECKING:
    from truetap.cli.digits import Found, Training
    from truetap.rules.report import Report

__all__ = ["demo"]


@click.command(cls=Command)
@click.option("-o", "--output", type=FOLDER, help="The run's folder; by default a new one in runs/.")
@click.option("--backend", type=click.Choice(BACKENDS), help="Keras' backend; by default the one that is configured.")
@as_json
def demo(output: str | None, backend: str | None, as_json: bool) -> None:
    """Records a small real training on scikit-learn's digits, with some labels made wrong, and shows what is found.

    Takes less than a minute. Exits with 0 when it could be done, whatever is found; 2 when no backend is installed, or
    the folder holds a run already.

    Example:
      truetap demo
      truetap demo -o runs/first --backend jax
    """
    _choose(backend)
    path = output or _new_folder()
    digits = importlib.import_module("truetap.cli.digits")  # loads Keras, and with it the backend
    training: Training = digits.Training(path)
    try:
        with working(f"Training on {training.backend}, recorded into {path}", digits.EPOCHS) as done:
            training.run(lambda: done(1))
        with working("Asking the run"):
            found: Found = training.ask()
    except StoreError as error:
        fail(error, NOT_THERE)
    except TruetapError as error:
        fail(error, WRONG)
    report, why_not = _reported(training)
    if as_json:
        click.echo(json.dumps({**found.to_json(), "run": path, "report": report}, indent=2))
        return
    _tell(found, path)
    last = f"The report: {report}" if report else f"No report was written: {why_not}"
    if for_a_person():
        show(words(last, "bold green" if report else "yellow"))
    else:
        click.echo(plain(last))


def _choose(backend: str | None) -> None:
    """Says to Keras, before it is imported, which backend to take: one that is installed."""
    there = installed()
    if not there or (backend is not None and backend not in there):
        fail(
            f"Keras has no backend to train on. Received: {backend or 'none is installed'}. Expected: one of "
            f"{', '.join(there or BACKENDS)}; `pip install 'truetap[torch]'` installs one.",
            NOT_THERE,
        )
    chosen = backend or os.environ.get("KERAS_BACKEND") or _configured()
    os.environ["KERAS_BACKEND"] = chosen if chosen in there else there[0]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes about the machine
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # else TensorFlow writes a note about that


def _configured() -> str:
    """The backend of Keras' own file; Keras writes it when it is first imported."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return str(json.loads((home / "keras.json").read_text()).get("backend", ""))
    except (OSError, ValueError):  # none yet, or one that Keras will say more of
        return ""


def _new_folder() -> str:
    """A path where there is no run yet."""
    number = 1
    while Path(f"runs/demo-{number}").exists():
        number += 1
    return f"runs/demo-{number}"


def _reported(training: Training) -> tuple[str | None, str]:
    """The report that was written; or why none could be."""
    target = f"{training.path}.html"
    try:
        with working("Writing the report"):
            return training.report(target), ""
    except StoreError as error:
        return None, str(error)


def _tell(found: Found, path: str) -> None:
    _part("Before training, tt.lint: one batch through the real step", found.lint)
    _part(found.trained, found.epochs)
    _part("After it, run.diagnose()", found.diagnosis)
    _part(found.suspects, found.suspected)
    _part(f'More: truetap diagnose {path}; truetap sql {path} "show tables"; truetap serve {path}')


def _part(heading: str, said: Report | Table | None = None) -> None:
    if for_a_person():
        show(words(heading, "bold"))
        if isinstance(said, Table):
            show(as_rich(said))
        elif said is not None:
            show(words(said.head), as_grid([each.to_dict() for each in said.findings]))
        show("")
        return
    lines = as_text(said) if isinstance(said, Table) else [] if said is None else [str(said)]
    click.echo(plain("\n".join([heading, *lines, ""])))
