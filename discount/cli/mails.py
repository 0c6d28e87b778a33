"""Commands of the mail sink: catch e-mails instead of sending them, and list them."""

from pathlib import Path

import click

from discount.cli.commands import Command
from discount.cli.output import json_option, minute, print_json, print_table
from discount.environment import read_settings
from discount.local import mail_sink


@click.command("sink", cls=Command, example="./caught --port 1025")
@click.argument("directory", type=click.Path(file_okay=False))
@click.option("--host", metavar="TEXT", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=1025, show_default=True, help="The port to listen on.")
@click.option("--fd", type=int, help="The descriptor of a listening socket to use instead.")
def catch_mails(directory: str, host: str, port: int, fd: int | None) -> None:
    """Run a mail server that writes each e-mail to a file in DIRECTORY and sends nothing."""
    mail_sink.serve(Path(directory), host=host, port=port, fd=fd)


@click.command("mails", cls=Command, example="./var/mail")
@click.argument("directory", type=click.Path(file_okay=False), required=False)
@json_option
def list_mails(directory: str | None, as_json: bool) -> None:
    """List the e-mails that the sink has caught, oldest first; by default those of `discount run`."""
    mails = mail_sink.list_mails(Path(directory or Path(read_settings().data) / "mail"))
    if as_json:
        print_json({"mails": mails})
        return
    rows = ([minute(mail.received_at), mail.to, mail.subject, str(mail.path)] for mail in mails)
    print_table(("received", "to", "subject", "file"), rows)
