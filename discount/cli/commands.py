"""Base classes of the commands: help with an example, and one line on standard error for each failure."""

import re
import sys
from typing import Any

import click

from discount.cli.context import describe_redis
from discount.config import SettingsError
from discount.domain.errors import Invalid, NotYetDurable, Refusal, Unavailable
from discount.ledger import LedgerError
from discount.local.redis_server import NoRedisError
from discount.store.installation import LayoutError


class Command(click.Command):
    """A command. A failure is printed in one line, and the exit code is 1.

    Args:
        operations: the operations of the OpenAPI document that the command covers.
        example: the arguments of the example in the help.
    """

    def __init__(self, *arguments: Any, operations: tuple[str, ...] = (), example: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.operations = operations
        self.example = example

    def invoke(self, context: click.Context) -> Any:
        try:
            _refuse_surrogates(context.params)
            return super().invoke(context)
        except Refusal as error:
            sys.exit(f"discount: {error.slug}: {_explain(error, self)}")
        except (SettingsError, NoRedisError, LayoutError, LedgerError) as error:
            sys.exit(f"discount: {error}")

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write("Example:\n")
        formatter.write(f"  {context.command_path} {self.example}".rstrip() + "\n")


class CommandGroup(click.Group):
    """The commands of one noun."""

    command_class = Command


_FIELD = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")


def _refuse_surrogates(params: dict[str, Any]) -> None:
    """Refuse text that is not UTF-8. Python decodes the invalid bytes of the command line to surrogates."""
    for name, value in params.items():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, str) and item.encode("utf-8", "replace").decode() != item:
                raise Invalid(name, "is not UTF-8")


def _explain(error: Refusal, command: click.Command) -> str:
    """Return the sentence of a refusal, with the names of options instead of fields."""
    if isinstance(error, Unavailable) and not isinstance(error, NotYetDurable):
        return f"{error.detail} {describe_redis()}"
    if not isinstance(error, Invalid):
        return error.detail
    sentences = []
    for fault in error.facts["errors"]:
        # The detail may name other fields.
        detail = _FIELD.sub(lambda match: _parameter_name(match[0], command), fault["detail"])
        sentences.append(f"{_parameter_name(fault.get('pointer', fault.get('parameter', '')), command)} {detail}.")
    return " ".join(sentences)


def _parameter_name(field: str, command: click.Command) -> str:
    """Return the option or argument that sets a field of a request."""
    parts = [part for part in field.replace("-", "_").lower().replace("[...]", "").split("/") if not part.isdigit()]
    path = "__".join(filter(None, parts))
    for param in command.params:
        if param.name in (path, f"{path}s", path.rpartition("__")[2]):
            return param.opts[0] if isinstance(param, click.Option) else param.make_metavar(click.Context(command))
    return field.strip("/").replace("/", " ") or "The command"
