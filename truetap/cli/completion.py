"""`truetap completion bash|zsh|fish`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from truetap.cli.commands import Command

__all__ = ["completion"]


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Prints the script that makes SHELL complete commands, options and the folders of runs.

    Example:
      eval "$(truetap completion bash)"                                      # in ~/.bashrc
      eval "$(truetap completion zsh)"                                       # in ~/.zshrc
      truetap completion fish > ~/.config/fish/completions/truetap.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # Click has all three
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, "truetap", "_TRUETAP_COMPLETE").source())
