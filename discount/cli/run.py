"""The command that runs the whole service."""

import os

import click

from discount.cli.commands import Command
from discount.config import SettingsError
from discount.local.launch import launch


@click.command(cls=Command)
@click.option("--cluster", is_flag=True, help="Start a Redis Cluster: three masters with two replicas each.")
def run(cluster: bool) -> None:
    """Run the service on this machine. Unless REDIS_URL names a Redis, it starts one."""
    if cluster and os.environ.get("REDIS_URL"):
        raise SettingsError("REDIS_URL: is set, and with --cluster the command starts a Redis of its own")
    launch(cluster=cluster)
