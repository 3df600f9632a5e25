"""`truetap prune RUN`."""

from __future__ import annotations

import json
import re

import click

from truetap.cli.arguments import RUN, as_json
from truetap.cli.commands import Command
from truetap.cli.ends import WRONG, fail, open_run
from truetap.errors import StoreError
from truetap.showing import plain, size_words
from truetap.store.pruning import Pruned
from truetap.store.pruning import prune as remove

__all__ = ["prune"]

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Size(click.ParamType):  # type: ignore[type-arg]  # generic from Click 8.4 on
    """A number of bytes: 10GB, 500MB, 1.5G, 4096."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size. Expected: a number of bytes such as 10GB, 500MB or 4096.", param, ctx)
        return int(float(match[1]) * _UNITS[match[2].upper()])


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=RUN)
@click.option("--max-bytes", type=Size(), help="What the run's files may take, such as 10GB.")
@click.option("--keep-last", type=click.IntRange(1), help="Of how many epochs samples and raw values are kept.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@as_json
def prune(run: str, max_bytes: int | None, keep_last: int | None, dry_run: bool, as_json: bool) -> None:
    """Removes the oldest rows of RUN: samples and raw values first, whole files, the oldest epochs first.

    Exits with 0 when the run takes what it may, 1 when that can't be had, 2 when there is no such run.

    Example:
      truetap prune runs/mnist --keep-last 3 --dry-run
      truetap prune runs/mnist --max-bytes 10GB
    """
    if max_bytes is None and keep_last is None:
        raise click.UsageError("What may stay? Give --max-bytes, --keep-last, or both.")
    opened = open_run(run)
    try:
        found = remove(run, max_bytes=max_bytes, keep_last=keep_last, dry_run=dry_run)
        kept = {table: opened.reader.num_rows(table) for table in opened.tables}
    except StoreError as error:
        fail(error, WRONG)
    if as_json:
        click.echo(json.dumps({"run": run, "dry_run": dry_run, **vars(found), "rows_kept": kept}, indent=2))
    else:
        click.echo(plain(_told(opened.path, found, dry_run)))
    if max_bytes is not None and found.kept_bytes > max_bytes:
        fail(f"What is left takes {size_words(found.kept_bytes)}: names and the last curves are never removed.", WRONG)


def _told(path: str, found: Pruned, dry_run: bool) -> str:
    left = f"{size_words(found.kept_bytes)} {'would be' if dry_run else 'are'} left"
    if not found.files:
        return f"{path}: nothing has to go; {left}."
    rows = ", ".join(f"{count:,} of {table}" for table, count in found.rows.items())
    return (
        f"{path}: {'would remove' if dry_run else 'removed'} {found.files:,} files, {size_words(found.freed_bytes)} "
        f"({rows}); {left}."
    )
