"""The commands by name, each imported when it is called, and what holds for all: examples, Ctrl-C, closed pipes.

`truetap --help` imports none of them: it takes a tenth of a second, where reading a run imports Arrow and scikit-learn.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import Any, NoReturn

import click

from truetap.cli.ends import CUT_OFF, INTERRUPTED
from truetap.errors import near_names

__all__ = ["COMMANDS", "Command", "Commands"]

COMMANDS = {
    "demo": "Records a small real training with some wrong labels, and shows what is found.",
    "report": "Writes a run as one HTML file that opens anywhere.",
    "serve": "Shows runs of any size in a browser, also while they are written.",
    "diagnose": "Says what is wrong with the training that a run holds.",
    "lint": "Looks at a model and its data before training.",
    "sql": "Asks DuckDB over the tables of a run.",
    "compare": "Says what changed between two runs.",
    "export": "Writes a run for other tools.",
    "verify": "Checks every byte of a run against its checksum.",
    "prune": "Removes the oldest rows of a run, so that it takes less room.",
    "upload": "Sends a run to an object store, or what an interrupted recording left of it.",
    "check-loss": "Checks a loss on every backend that is installed.",
    "completion": "Prints the script that completes commands and runs in a shell.",
}


class Command(click.Command):
    """A command whose examples keep their lines."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.help = inspect.cleandoc(self.help or "").replace("Example:\n", "\b\nExample:\n")


class Commands(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        found = getattr(importlib.import_module(f"truetap.cli.{name}"), name)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}. {near_names(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # an encoding that lacks a character of a name
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # here, where a reader that went away can be told from an error
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            _cut_off()


def _cut_off() -> NoReturn:
    """Ends quietly; what is still to be written when Python ends goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(CUT_OFF)
