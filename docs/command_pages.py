"""Makes the page of the command line from what `truetap COMMAND --help` says, when the site is built."""

from __future__ import annotations

from pathlib import Path

import click

from truetap.cli import main

__all__ = ["write"]


def write(page: Path) -> None:
    """Writes the page, one section for each command."""
    with click.Context(main, info_name="truetap") as context:
        parts = ["# Command line", "Each command's `--help` has an example. What a program reads comes with `--json`."]
        for name in main.list_commands(context):
            command = main.get_command(context, name)
            assert command is not None
            if command.hidden:
                continue
            with click.Context(command, info_name=name, parent=context, max_content_width=88) as inner:
                parts.append(f"## truetap {name}\n\n```text\n{command.get_help(inner)}\n```")
    text = "\n\n".join(parts) + "\n"
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")
