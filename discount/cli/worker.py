"""The command that runs a worker."""

import click

from discount import logs
from discount.cli.commands import Command
from discount.environment import read_settings
from discount.worker import service


@click.command(cls=Command)
def worker() -> None:
    """Run a worker, which makes webhook calls and sends e-mails for events. Any number of workers may run."""
    settings = read_settings()
    logs.configure(settings)
    service.run(settings)
