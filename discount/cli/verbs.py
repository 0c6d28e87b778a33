"""A command: its help, its example, the operations of HTTP that it does, and one line on what is wrong."""

import re
import sys
from typing import Any

import click

from discount.cli.context import whereabouts
from discount.config import SettingsError
from discount.domain.errors import Invalid, Refusal, Unavailable
from discount.local.redis_server import NoRedisError
from discount.store.connection import LayoutError


class Verb(click.Command):
    """A command. What is wrong is told in one line, and the exit code is 1.

    Args:
        does: the operations of the OpenAPI document that it does.
        example: the words after the command's own.
    """

    def __init__(self, *arguments: Any, does: tuple[str, ...] = (), example: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.does = does
        self.example = example

    def invoke(self, context: click.Context) -> Any:
        try:
            _check_letters(context.params)
            return super().invoke(context)
        except Refusal as error:
            sys.exit(f"discount: {error.slug}: {_reason(error, self)}")
        except (SettingsError, NoRedisError, LayoutError) as error:
            sys.exit(f"discount: {error}")

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write("Example:\n")
        formatter.write(f"  {context.command_path} {self.example}".rstrip() + "\n")


class Noun(click.Group):
    """Commands of one noun."""

    command_class = Verb


_FIELD = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")


def _check_letters(given: dict[str, Any]) -> None:
    """Refuse text that is not UTF-8: it comes from the shell as surrogates."""
    for name, value in given.items():
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, str) and each.encode("utf-8", "replace").decode() != each:
                raise Invalid(name, "is not UTF-8")


def _reason(error: Refusal, command: click.Command) -> str:
    """A refusal's sentence, with options by their names."""
    if isinstance(error, Unavailable):
        return f"{error.detail} {whereabouts()}"
    if not isinstance(error, Invalid):
        return error.detail
    told = []
    for each in error.facts["errors"]:
        # Sentences name other fields too.
        detail = _FIELD.sub(lambda found: _named(found[0], command), each["detail"])
        told.append(f"{_named(each.get('pointer', each.get('parameter', '')), command)} {detail}.")
    return " ".join(told)


def _named(field: str, command: click.Command) -> str:
    """What a field of a request is called on the command line."""
    parts = [part for part in field.replace("-", "_").lower().replace("[...]", "").split("/") if not part.isdigit()]
    path = "__".join(filter(None, parts))
    for param in command.params:
        if param.name in (path, f"{path}s", path.rpartition("__")[2]):
            return param.opts[0] if isinstance(param, click.Option) else param.make_metavar(click.Context(command))
    return field.strip("/").replace("/", " ") or "The command"
