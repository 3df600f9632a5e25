"""`truetap sql RUN QUERY`: rows as a table, as tab-separated text, as JSON or CSV; a thousand of them in memory."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from truetap.cli.arguments import RUN
from truetap.cli.commands import Command
from truetap.cli.ends import NOT_THERE, WRONG, ctrl_c_ends, fail, open_run
from truetap.cli.terminal import for_a_person, show, words, working
from truetap.errors import TruetapError
from truetap.showing import plain, printable

if TYPE_CHECKING:
    import duckdb

__all__ = ["sql"]

_AT_ONCE = 1_000
_WIDEST, _FIRST, _FEW_DIGITS = 2_000, 3, 5  # characters, list values and digits at a terminal
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "DECIMAL")


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=RUN)
@click.argument("query", metavar="QUERY")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Rows shown at a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a row.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, with a line of names.")
def sql(run: str, query: str, limit: int, as_json: bool, as_csv: bool) -> None:
    """Asks DuckDB over the tables of RUN, a run's folder; QUERY is one select.

    A table with a dot in its name, and a column with a slash, stand in double quotes. All rows are printed, separated
    by tabs, where stdout is no terminal.

    Example:
      truetap sql runs/mnist "select epoch, avg(loss) from samples group by 1"
      truetap sql runs/mnist "show tables" --json
      truetap sql runs/mnist "select sample_id, loss from samples order by loss desc" --csv > hardest.csv
    """
    if as_json and as_csv:
        fail("--json and --csv are two forms of the same rows. Received: both. Expected: one of them.", NOT_THERE)
    opened = open_run(run)
    import duckdb

    try:
        with ctrl_c_ends():
            found = opened.sql(query)
            if as_json:
                _json(found)
            elif as_csv:
                _csv(found)
            elif for_a_person():
                _table(found, limit)
            else:
                _tabs(found)
    except (TruetapError, duckdb.Error) as error:
        fail(error, WRONG)


def _rows(found: duckdb.DuckDBPyRelation) -> Iterator[tuple[Any, ...]]:
    """The rows, as many at once as a batch has."""
    given = found.arrow(_AT_ONCE)
    for batch in given.to_batches() if hasattr(given, "to_batches") else given:  # a table, before DuckDB 1.4
        columns = [column.to_pylist() for column in batch.columns]
        yield from zip(*columns, strict=True)


def _json(found: duckdb.DuckDBPyRelation) -> None:
    for row in _rows(found):
        cells = {name: _plain(cell) for name, cell in zip(found.columns, row, strict=True)}
        click.echo(json.dumps(cells, default=str, allow_nan=False))


def _csv(found: duckdb.DuckDBPyRelation) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(found.columns)
    for row in _rows(found):
        writer.writerow([json.dumps(_plain(cell), default=str) if _nested(cell) else _unbinary(cell) for cell in row])


def _tabs(found: duckdb.DuckDBPyRelation) -> None:
    click.echo("\t".join(map(printable, found.columns)))
    for row in _rows(found):
        click.echo("\t".join(map(_cell, row)))


def _table(found: duckdb.DuckDBPyRelation, limit: int) -> None:
    with working("Asking"):
        first = found.limit(limit).fetchall()
        count = len(first) if len(first) < limit else _count(found)
    grid = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name, kind in zip(found.columns, map(str, found.types), strict=True):
        heading = Text.assemble(words(name), "\n", words(kind.lower(), "dim"))
        one_number = kind.startswith(_NUMBERS) and "[" not in kind
        grid.add_column(heading, justify="right" if one_number else "left", overflow="fold", no_wrap=one_number)
    for row in first:
        grid.add_row(*(Text(_seen(cell), "dim" if cell is None else "") for cell in row))
    left = count - len(first)
    rows = "1 row" if count == 1 else f"{count:,} rows"
    show(grid, words(f"… {left:,} more; --limit, --json and --csv give them" if left else rows, "dim"))


def _seen(value: Any) -> str:
    """A value as a person wants to see it: of lists the first values, of text that has lines the lines."""
    if isinstance(value, str):
        text = plain(value)
    elif isinstance(value, list | tuple) and len(value) > _FIRST:
        text = f"{_cell(value[:_FIRST], _FEW_DIGITS)[:-1]}, … {len(value):,}]"
    else:
        text = _cell(value, _FEW_DIGITS)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _count(found: duckdb.DuckDBPyRelation) -> int:
    return int(found.count("*").fetchall()[0][0])


def _cell(value: Any, digits: int = 9) -> str:
    """A value on a line; floats of nine digits are the float32 that was recorded."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_cell(each, digits) for each in value)}]"
    return printable(json.dumps(_plain(value), default=str) if isinstance(value, dict) else str(_unbinary(value)))


def _unbinary(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list | tuple)


def _plain(value: Any) -> Any:
    """A value as JSON has it: numbers that aren't finite are null."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
