"""The command line: `truetap COMMAND …`; each command has a file of its own here, imported when it is called.

Exit codes: 0 all is well; 1 something is wrong with the run, the model or the loss, or what was asked for fails; 2
there is no such run, model or loss, an extra isn't installed, or the command was not understood; 130 Ctrl-C ended it;
141 the reader of its output went away. A person at a terminal gets tables, colours (unless NO_COLOR is set) and
progress; a program or a file gets plain text, or JSON.
"""

from __future__ import annotations

import click

import truetap
from truetap.cli.commands import Commands

__all__ = ["main"]


def _say_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(truetap.__version__)  # looked up only here: it takes longer than to start the command line
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Records, reads, checks, compares and shows runs; checks models and losses.

    RUN is the folder of a run. Each command's --help has an example.
    """
