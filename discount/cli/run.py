"""The command that runs the whole service."""

import click

from discount.cli.commands import Command
from discount.local.launch import launch


@click.command(cls=Command)
def run() -> None:
    """Run the service on this machine. Unless REDIS_URL names a Redis, it starts one."""
    launch()
