"""E-mails that go nowhere: the sink that catches them, and what it caught."""

from pathlib import Path

import click

from discount.cli.output import json_option, minute, print_json, print_table
from discount.cli.verbs import Verb
from discount.config import read_settings
from discount.local import mail_sink


@click.command("sink", cls=Verb, example="./caught --port 1025")
@click.argument("directory", type=click.Path(file_okay=False))
@click.option("--host", metavar="TEXT", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=1025, show_default=True, help="The port.")
@click.option("--fd", type=int, help="A socket that listens already.")
def catch_mails(directory: str, host: str, port: int, fd: int | None) -> None:
    """Take e-mails from anybody and write them into a directory, to be looked at."""
    mail_sink.serve(Path(directory), host=host, port=port, fd=fd)


@click.command("mails", cls=Verb, example="./var/mail")
@click.argument("directory", type=click.Path(file_okay=False), required=False)
@json_option
def list_mails(directory: str | None, as_json: bool) -> None:
    """List the e-mails that the sink has caught, oldest first; without a directory, those of `discount run`."""
    found = mail_sink.list_mails(Path(directory or Path(read_settings().data) / "mail"))
    if as_json:
        print_json({"mails": found})
        return
    rows = ([minute(each.received_at), each.to, each.subject, str(each.path)] for each in found)
    print_table(("received", "to", "subject", "file"), rows)
