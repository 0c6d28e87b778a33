"""Commands of the secret that keys, webhooks and links in e-mails depend on."""

import click

from discount.cli.context import find_settings, open_store
from discount.cli.verbs import Noun
from discount.config import SettingsError
from discount.security import signing


@click.group(cls=Noun)
def secret() -> None:
    """Change what API keys are hashed with, and what webhook secrets and links in e-mails are made from."""


@secret.command("replace", example="--yes")
@click.confirmation_option(
    prompt="Every API key and every link in an e-mail stops working, and every webhook gets another secret. Replace it?"
)
def replace_secret() -> None:
    """Use the data with the SECRET that is set now. Stop every app and worker before."""
    settings = find_settings()
    if not settings.secret:
        raise SettingsError("SECRET: set the new one, 32 characters or more")
    signing.replace_secret(open_store(settings, any_secret=True), settings.secret)
    click.echo("replaced: start the service, and make new API keys")
