"""The command line: `truetap COMMAND …`; each command has a file of its own here, imported when it is called.

Exit codes: 0 all is well; 1 something is wrong with the run, the model or the loss, or what was asked for fails; 2
there is no such run, model or loss, an extra isn't installed, or the command was not understood; 130 Ctrl-C ended it;
141 the reader of its output went away. A person at a terminal gets tables, colours (unless NO_COLOR is set) and
progress; a program or a file gets plain text, or JSON.
"""

from __future__ import annotations

import click

from truetap import __version__
from truetap.cli.commands import Commands

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """Records, reads, checks, compares and shows runs; checks models and losses.

    RUN is the folder of a run. Each command's --help has an example.
    """
