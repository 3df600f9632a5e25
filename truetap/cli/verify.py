"""`truetap verify RUN`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from truetap.cli.arguments import RUN, as_json
from truetap.cli.commands import Command
from truetap.cli.ends import WRONG, fail, open_run
from truetap.cli.terminal import for_a_person, show, words, working
from truetap.errors import StoreError
from truetap.showing import Table, as_rich, plain, size_words

if TYPE_CHECKING:
    from truetap.run import Run
    from truetap.store import Problem

__all__ = ["verify"]


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=RUN)
@as_json
def verify(run: str, as_json: bool) -> None:
    """Checks every committed byte of RUN, a run's folder, against its checksum.

    Exits with 0 when nothing that counts is damaged, 1 when something is, 2 when there is no such run.

    Example:
      truetap verify runs/mnist
      truetap verify runs/mnist --json
    """
    opened = open_run(run)
    sizes = {table: opened.reader.bytes_of(table) for table in opened.tables}
    try:
        with working(f"Checking {size_words(sum(sizes.values()))} of {run}"):
            problems = opened.verify()
        rows = {table: opened.reader.num_rows(table) for table in opened.tables}
    except StoreError as error:
        fail(error, WRONG)
    damaged = [problem for problem in problems if problem.damage]
    if as_json:
        listed = [{"file": p.file, "offset": p.offset, "what": p.what, "damage": p.damage} for p in problems]
        said = {"run": run, "ok": not damaged, "complete": opened.complete, "rows": rows, "problems": listed}
        click.echo(json.dumps(said, indent=2))
    else:
        _tell(opened, problems, rows, sizes)
    sys.exit(WRONG if damaged else 0)


def _tell(opened: Run, problems: list[Problem], rows: dict[str, int], sizes: dict[str, int]) -> None:
    damaged = sum(problem.damage for problem in problems)
    said = [(f"{'damage' if each.damage else 'note'}: {each}", each.damage) for each in problems]
    ended = "" if opened.complete else "; it has not ended, or its writer was interrupted"
    places = f"{damaged:,} damaged place{'' if damaged == 1 else 's'}"
    verdict = places if damaged else "every committed byte is as written"
    last = f"{opened.path}: {sum(rows.values()):,} rows in {len(rows):,} tables; {verdict}{ended}."
    if for_a_person():
        listed = tuple((table, f"{count:,}", size_words(sizes.get(table, 0))) for table, count in rows.items())
        show(as_rich(Table("", ("table", "rows", "size"), listed)))
        show(*(words(text, "red" if harm else "dim") for text, harm in said))
        show(words(last, "bold red" if damaged else "bold green"))
    else:
        click.echo(plain("\n".join([*(text for text, _ in said), last])))
