"""Findings as a command shows them: to a person, to a file, to a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click

from truetap.cli.ends import WRONG
from truetap.showing import plain

if TYPE_CHECKING:
    from truetap.rules.report import Report

__all__ = ["as_grid", "tell"]

_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def tell(report: Report, *, skipped: bool, as_json: bool) -> NoReturn:
    """Prints a report and ends the command: with 0 when there is neither an error nor a warning."""
    from truetap.cli.terminal import for_a_person, show, words  # rich, which a program that reads JSON needs not

    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    elif for_a_person():
        show(words(report.head, "bold green" if report.ok else "bold"))
        show(as_grid([each.to_dict() for each in report.findings]))
        if skipped:
            show(words("Not run", "bold"), *(words(f"  {rule}: {why}", "dim") for rule, why in report.skipped.items()))
    else:
        lines = [f"not run: {rule}: {why}" for rule, why in report.skipped.items()] if skipped else []
        click.echo("\n".join([str(report), *(plain(line) for line in lines)]))
    sys.exit(0 if report.ok else WRONG)


def as_grid(findings: Iterable[Mapping[str, Any]]) -> Any:
    """Findings, as `to_dict` gives them, as a renderable for rich."""
    from rich.console import Group
    from rich.table import Table

    from truetap.cli.terminal import words

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for each in findings:
        head = words(each["rule"], "bold")
        if each["where"] is not None:
            head.append_text(words(f"  at {each['where']}", "dim"))
        said = [words(each["seen"]), words(each["why"], "dim"), words(f"→ {each['do']}")]
        if each["reference"] is not None:
            said.append(words(f"See {each['reference']}", "dim"))
        severity = str(each["severity"])
        grid.add_row(words(severity, _COLOURS.get(severity, "bold")), Group(head, *said, ""))
    return grid
