"""The command line: the operations of HTTP, straight on Redis. Tables for people, `--json` for programs.

A command's module is imported when it is asked for: what runs the service need not wait for what lists discounts.
"""

from importlib import import_module

import click

# Each command: its module, and its name there.
_COMMANDS = {
    "run": ("run", "run"),
    "worker": ("worker", "worker"),
    "sink": ("mails", "catch_mails"),
    "mails": ("mails", "list_mails"),
    "create": ("discounts", "create"),
    "list": ("discounts", "list_discounts"),
    "show": ("discounts", "show"),
    "change": ("discounts", "change"),
    "close": ("discounts", "close"),
    "stats": ("discounts", "stats"),
    "grant": ("grants", "grant"),
    "held": ("grants", "held"),
    "grants": ("grants", "list_grants"),
    "import": ("codes", "import_codes"),
    "export": ("codes", "export"),
    "redemption": ("redemptions", "redemption"),
    "brand": ("brands", "brand"),
    "key": ("keys", "key"),
    "user": ("users", "user"),
    "forget": ("users", "forget"),
    "secret": ("secrets", "secret"),
    "webhook": ("webhooks", "webhook"),
    "delivery": ("deliveries", "delivery"),
    "event": ("events", "event"),
}


class _Commands(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[name]
        command: click.Command = getattr(import_module(f"discount.cli.{module}"), attribute)
        return command


@click.group(cls=_Commands)
def main() -> None:
    """Brands create discounts; users get a code out of one, once.

    Every command but `run` talks to the Redis of REDIS_URL, or to the one that `discount run` has in DATA (./var).
    """
