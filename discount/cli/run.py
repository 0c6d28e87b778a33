"""The service as one command."""

import click

from discount.cli.verbs import Verb
from discount.local.launch import launch


@click.command(cls=Verb)
def run() -> None:
    """Run the service here, with a Redis of its own unless REDIS_URL names one."""
    launch()
