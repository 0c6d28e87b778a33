"""The worker as a command."""

import click

from discount import logs
from discount.cli.context import one_line
from discount.config import read_settings
from discount.worker import service


@click.command()
def worker() -> None:
    """Turn events into webhook calls and e-mails, and make them; any number of these may run."""
    with one_line():
        settings = read_settings()
        logs.configure(settings)
        service.run(settings)
