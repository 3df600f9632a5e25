"""`truetap report RUN`."""

from __future__ import annotations

import importlib.util
import json
import os
import webbrowser
from pathlib import Path

import click

from truetap.cli.arguments import FILE, RUN, as_json
from truetap.cli.commands import Command
from truetap.cli.ends import NOT_THERE, WRONG, fail, open_run
from truetap.cli.terminal import working
from truetap.errors import TruetapError
from truetap.showing import plain, size_words

__all__ = ["report"]


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=RUN)
@click.option("-o", "--output", type=FILE, help="The file; by default the run's name with .html, in this folder.")
@click.option("--open", "show", is_flag=True, help="Opens it in the browser.")
@as_json
def report(run: str, output: str | None, show: bool, as_json: bool) -> None:
    """Writes RUN, a run's folder, as one HTML file that opens anywhere, without a network.

    A file that is there is written over. Needs truetap[report].

    Example:
      truetap report runs/mnist
      truetap report runs/mnist -o mnist.html --open
    """
    opened = open_run(run)
    target = output or f"{os.path.basename(os.path.abspath(run))}.html"
    try:
        with working(f"Writing the report of {run}"):
            path = opened.report(target)
    except TruetapError as error:
        fail(error, WRONG if importlib.util.find_spec("vl_convert") else NOT_THERE)
    size = os.path.getsize(path)
    if as_json:
        click.echo(json.dumps({"run": run, "report": path, "bytes": size}))
    else:
        click.echo(plain(f"{path}: {size_words(size)}, the report of {run}."))
    if show and not webbrowser.open(Path(path).absolute().as_uri()):
        fail(f"No browser could be opened. Open {path} by hand.", WRONG)
