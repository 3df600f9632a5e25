"""`truetap upload RUN [URL]`."""

from __future__ import annotations

import json

import click

from truetap.cli.arguments import RUN, as_json
from truetap.cli.commands import Command
from truetap.cli.ends import NOT_THERE, WRONG, fail
from truetap.cli.terminal import working
from truetap.errors import NotUploadedError, RunExistsError, StoreError

__all__ = ["upload"]


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=RUN)
@click.argument("url", metavar="[URL]", required=False)
@as_json
def upload(run: str, url: str | None, as_json: bool) -> None:
    """Sends RUN, a run's folder, to URL in an object store; or finishes what an interrupted recording left.

    Such a recording says where its folder is, which knows the URL. What is in the store already isn't sent again.
    Exits with 0 when all is there, 1 when the store refuses or another run is there, 2 when there is no such run.

    Example:
      truetap upload runs/mnist s3://bucket/mnist
      truetap upload ~/.cache/truetap/spool/mnist-0f3a9c1b22d4e5f6
    """
    from truetap.uploading import upload as send  # takes a second, which neither --help nor completion needs

    try:
        with working(f"Sending {run}"):
            there = send(run, url)
    except (RunExistsError, NotUploadedError) as error:
        fail(error, WRONG)
    except StoreError as error:
        fail(error, NOT_THERE if error.__cause__ is None else WRONG)
    click.echo(json.dumps({"run": run, "url": there}) if as_json else f"{there}: all of it is there.")
