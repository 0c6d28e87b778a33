"""The commands in doc/command-line.md, made from their own help."""

import re
from collections.abc import Iterator

import click

from discount.cli import main

_PART = re.compile(r"(?<=<!-- commands -->\n).*(?=<!-- end of commands -->)", re.DOTALL)
#: Characters in a line of help.
_WIDTH = 100


def describe() -> str:
    """Return the `--help` of each command."""
    return "".join(_describe(click.Context(main, info_name="discount", terminal_width=_WIDTH)))


def renew(page: str) -> str:
    """Return the page with its commands renewed."""
    return _PART.sub(lambda _: describe() + "\n", page)


def _describe(context: click.Context) -> Iterator[str]:
    if not isinstance(context.command, click.Group):
        yield f"\n### `{context.command_path}`\n\n```text\n{context.command.get_help(context)}\n```\n"
        return
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        if command is not None:
            yield from _describe(click.Context(command, context, name, terminal_width=_WIDTH))
