"""`truetap export RUN -o PATH --format F`."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

import click

from truetap.cli.arguments import RUN, as_json
from truetap.cli.commands import Command
from truetap.cli.ends import NOT_THERE, WRONG, fail, open_run
from truetap.cli.terminal import for_a_person, show, working
from truetap.errors import NotRecordedError, StoreError, TruetapError, near_names
from truetap.showing import Table, as_rich, plain, size_words

__all__ = ["export"]

_MOST_SHOWN = 20


class Export(Command):
    """A command whose help lists the formats; they are known by `truetap.exporting`, imported for it."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Formats"):
            formatter.write_dl([(name, str(words)) for name, words in _formats().items()])


@click.command(cls=Export)
@click.argument("run", metavar="RUN", type=RUN)
@click.option("-o", "--output", required=True, type=click.Path(), help="The folder or file to write.")
@click.option("--format", "form", default="parquet", show_default=True, help="One of those below.")
@click.option("--table", "tables", multiple=True, help="Only this table; may be repeated.")
@click.option("--phase", help="Only this phase: train, val, test or predict.")
@click.option("--epoch", "epochs", multiple=True, type=int, help="Only this one; -1 is the last; may be repeated.")
@click.option("--option", "more", multiple=True, metavar="NAME=VALUE", help="Of the format; may be repeated.")
@as_json
def export(run: str, output: str, form: str, tables: tuple[str, ...], as_json: bool, **chosen: Any) -> None:
    """Writes RUN, a run's folder, for other tools.

    Exits with 1 when it can't be written, 2 when there is no such run or format.

    Example:
      truetap export runs/mnist -o mnist-tables
      truetap export runs/mnist -o logs --format tensorboard
      truetap export runs/mnist -o sqlite:///mlflow.db --format mlflow --option experiment=digits
      truetap export runs/mnist -o hard --format csv --table samples --phase val --epoch -1
    """
    known = _formats()
    if form not in known:
        fail(f"There is no format {form!r}. {near_names(form, known)}", NOT_THERE)
    opened = open_run(run)
    options = {"tables": list(tables) or None, "phase": chosen["phase"], "epoch": list(chosen["epochs"]) or None}
    options |= dict(map(_option, chosen["more"]))
    try:
        with working(f"Writing {run} as {form}"):
            files = importlib.import_module("truetap.exporting").export(opened, output, form, **options)
    except NotRecordedError as error:
        fail(error, NOT_THERE)
    except (StoreError, OSError) as error:
        fail(error, WRONG)
    except TruetapError as error:  # the format's package isn't installed
        fail(error, NOT_THERE)
    sizes = {path: os.path.getsize(path) if os.path.isfile(path) else 0 for path in map(str, files)}
    if as_json:
        click.echo(json.dumps({"run": run, "format": form, "files": list(sizes), "bytes": sum(sizes.values())}))
        return
    if for_a_person():
        listed = tuple((path, size_words(size)) for path, size in list(sizes.items())[:_MOST_SHOWN])
        more = f"… {len(sizes) - _MOST_SHOWN:,} more" if len(sizes) > _MOST_SHOWN else ""
        show(as_rich(Table("", ("file", "size"), listed, more=more)))
    else:
        click.echo("\n".join(map(plain, sizes)))
    count = "1 file" if len(sizes) == 1 else f"{len(sizes):,} files"
    click.echo(plain(f"{count}, {size_words(sum(sizes.values()))}, in {output}."), err=not for_a_person())


def _option(given: str) -> tuple[str, Any]:
    """A name and its value: true, false, a whole number, or else text."""
    name, equals, value = given.partition("=")
    if not equals:
        fail(f"An option of a format is NAME=VALUE. Received: {given!r}. Expected: such as npz=true.", NOT_THERE)
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    return name, int(value) if value.lstrip("-").isdigit() else value


def _formats() -> dict[str, str]:
    return dict(importlib.import_module("truetap.exporting").FORMATS)
