"""The service as one command."""

import click

from discount.cli.context import one_line
from discount.launch import launch


@click.command()
def run() -> None:
    """Run the service here, with a Redis of its own unless REDIS_URL names one."""
    with one_line():
        launch()
