"""The command that replaces SECRET, on which API keys, webhook secrets and links in e-mails depend."""

import click

from discount.cli.commands import CommandGroup
from discount.cli.context import find_settings, open_store
from discount.config import SettingsError
from discount.security import signing


@click.group(cls=CommandGroup)
def secret() -> None:
    """Replace SECRET, on which API keys, webhook secrets and links in e-mails depend."""


@secret.command("replace", example="--yes")
@click.confirmation_option(
    prompt="All API keys and all links in e-mails will stop working, and all webhooks get new secrets. Replace SECRET?"
)
def replace_secret() -> None:
    """Use the data with the SECRET that is set now. First stop every app and worker."""
    settings = find_settings()
    if not settings.secret:
        raise SettingsError("SECRET: set the new secret, of 32 characters or more")
    signing.replace_secret(open_store(settings, any_secret=True), settings.secret)
    click.echo("SECRET is replaced: start the service and create new API keys")
