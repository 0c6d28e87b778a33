"""Each operation of HTTP has a command, and each command has a description and an example."""

import io
import shlex
import subprocess
import sys
import unittest
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import click

from discount.app import create_app
from discount.cli import main
from discount.cli.commands import Command
from discount.config import Settings
from tests.unit.fake import fake_store

ROOT = Path(__file__).parents[2]
#: Operations of HTTP that are no command, and why.
EXCEPTIONS = {
    "show_health": "is asked of a process that serves HTTP",
    "show_readiness": "is asked of a process that serves HTTP",
    "show_metrics": "is asked of a process that serves HTTP",
    "introspect_token": "is of tokens, which only HTTP takes",
    "show_page": "is a page for a browser",
    "show_picture": "is a picture for a screen",
    "ask_unsubscribe": "is the page behind a link in an e-mail",
    "unsubscribe": "is the page behind a link in an e-mail",
}


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[Command, click.Context]]:
    """Yield every command with its context."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        here = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from commands(command, here)
        else:
            assert isinstance(command, Command)
            yield command, here


def tree() -> list[tuple[Command, click.Context]]:
    return list(commands(main, click.Context(main, info_name="discount")))


class Tree(unittest.TestCase):
    def test_no_command_waits_for_the_web_framework(self) -> None:
        modules = "brands, codes, deliveries, discounts, events, grants, keys, mails, redemptions, run, users, webhooks"
        look = f"from discount.cli import {modules}; import sys; print('flask' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "False\n")

    def test_each_operation_of_http_has_its_command(self) -> None:
        settings = Settings(dialects="off")
        document = create_app(settings, fake_store()).test_client().get("/openapi.json").get_json()
        operations = {each["operationId"] for item in document["paths"].values() for each in item.values()}
        done = {name for command, _ in tree() for name in command.operations}
        self.assertEqual(done & set(EXCEPTIONS), set())
        self.assertEqual(done | set(EXCEPTIONS), operations)

    def test_each_command_and_option_has_a_help_text(self) -> None:
        for command, context in tree():
            with self.subTest(context.command_path):
                self.assertTrue(command.help)
                unsaid = [each.opts[0] for each in command.params if isinstance(each, click.Option) and not each.help]
                self.assertEqual(unsaid, [])

    def test_each_command_has_an_example_that_it_reads(self) -> None:
        for command, context in tree():
            with self.subTest(context.command_path):
                help_text = command.get_help(context)
                line = help_text.rpartition("Example:\n")[2].strip()
                self.assertEqual(line, f"{context.command_path} {command.example}".rstrip())
                # A file would have to be there to be read.
                words = ["-" if word.endswith(".csv") else word for word in shlex.split(command.example)]
                with redirect_stderr(io.StringIO()):
                    command.make_context(context.info_name, words)
