"""The command line: the operations of the HTTP API, run directly on Redis. It prints tables, or JSON with `--json`.

A command's module is imported when the command is called, so that `discount run` starts faster.
"""

from importlib import import_module

import click

# Each command's module and its name there.
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
    "revoke": ("grants", "revoke"),
    "grants": ("grants", "list_grants"),
    "wait": ("waits", "wait"),
    "import": ("codes", "import_codes"),
    "move-in": ("codes", "move_in"),
    "export": ("codes", "export"),
    "redemption": ("redemptions", "redemption"),
    "brand": ("brands", "brand"),
    "key": ("keys", "key"),
    "user": ("users", "user"),
    "list-of-users": ("user_lists", "user_list"),
    "forget": ("users", "forget"),
    "ledger": ("ledger", "ledger"),
    "reconcile": ("ledger", "reconcile"),
    "restore": ("ledger", "restore"),
    "secret": ("secrets", "secret"),
    "webhook": ("webhooks", "webhook"),
    "delivery": ("deliveries", "delivery"),
    "event": ("events", "event"),
    "find": ("history", "find_code"),
    "figures": ("history", "figures"),
    "changes": ("history", "changes"),
    "topology": ("topology", "topology"),
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
    """Create discounts for brands, and grant and redeem their codes.

    Every command except `run` uses the Redis of REDIS_URL. If that is not set, it uses the one that `discount run`
    has started in DATA (./var).
    """
