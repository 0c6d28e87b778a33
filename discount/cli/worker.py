"""The worker as a command."""

import click

from discount import logs
from discount.cli.verbs import Verb
from discount.config import read_settings
from discount.worker import service


@click.command(cls=Verb)
def worker() -> None:
    """Turn events into webhook calls and e-mails, and make them; any number of these may run."""
    settings = read_settings()
    logs.configure(settings)
    service.run(settings)
