"""`truetap serve RUN…`."""

from __future__ import annotations

import importlib
import importlib.util

import click

from truetap.cli.arguments import RUN
from truetap.cli.commands import Command
from truetap.cli.ends import NOT_THERE, WRONG, fail, open_run
from truetap.errors import TruetapError

__all__ = ["serve"]

_NEEDED = ("starlette", "uvicorn", "vl_convert")


@click.command(cls=Command)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=RUN)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; elsewhere, it asks for a token.")
@click.option("--port", default=8118, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--token", help="What a browser has to know; by default made up where one is needed.")
@click.option("--open", "show", is_flag=True, help="Opens it in the browser.")
def serve(runs: tuple[str, ...], host: str, port: int, token: str | None, show: bool) -> None:
    """Shows runs of any size in a browser, also while they are written; Ctrl-C ends it.

    Nothing is written, and nothing can be read but these runs. Needs truetap[serve].

    Example:
      truetap serve runs/mnist
      truetap serve runs/before runs/after --port 0 --open
    """
    for run in runs:
        open_run(run)
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        fail(
            f"To serve runs, packages are needed that aren't installed: {', '.join(absent)}. Expected: "
            "pip install 'truetap[serve]'; or `truetap report`, which needs no server.",
            NOT_THERE,
        )
    server = importlib.import_module("truetap.server")  # Starlette and DuckDB, which no other command needs
    try:
        server.serve(runs, host=host, port=port, token=token, open_browser=show)
    except (TruetapError, OSError) as error:
        fail(error, WRONG)
