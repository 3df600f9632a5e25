"""`truetap compare RUN OTHER`."""

from __future__ import annotations

import json

import click

from truetap.cli.arguments import RUN, as_json
from truetap.cli.commands import Command
from truetap.cli.ends import NOT_THERE, WRONG, fail, open_run
from truetap.cli.terminal import for_a_person, show, working
from truetap.errors import NotRecordedError, TruetapError

__all__ = ["compare"]


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=RUN)
@click.argument("other", metavar="OTHER", type=RUN)
@click.option("--phase", help="Whose samples: val, train, test or predict; by default val, if both have it.")
@click.option("--most", default=100, show_default=True, type=click.IntRange(1), help="Samples whose loss changed most.")
@as_json
def compare(run: str, other: str, phase: str | None, most: int, as_json: bool) -> None:
    """Says what changed from RUN to OTHER: metrics with intervals, classes, samples, findings, settings.

    Exits with 0 whatever changed, 1 when the runs can't be compared, 2 when one isn't there, or no such phase.

    Example:
      truetap compare runs/before runs/after
      truetap compare runs/before runs/after --phase train --json
    """
    here, there = open_run(run), open_run(other)
    try:
        with working(f"Comparing {run} with {other}"):
            found = here.compare(there, phase=phase, most=most)
    except NotRecordedError as error:
        fail(error, NOT_THERE)
    except TruetapError as error:
        fail(error, WRONG)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    elif for_a_person():
        show(found)
    else:
        click.echo(str(found))
