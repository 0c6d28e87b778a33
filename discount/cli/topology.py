"""Commands for the nodes of Redis."""

import time
from typing import Any

import click

from discount.cli.commands import CommandGroup
from discount.cli.context import find_settings, open_store
from discount.cli.output import json_option, print_json, print_table, thousands
from discount.config import SettingsError
from discount.domain.placement import Move
from discount.services import topology as service
from discount.store.connection import Store
from discount.store.durability import Durability
from discount.store.topology import MoveError, Moving, Node, slot_of

#: Seconds between two looks at a move.
_PAUSE = 0.1
_MEBIBYTE = 1024 * 1024


class _ShowByDefault(CommandGroup):
    """A group of commands, of which `show` may be left out."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["show", *args]
        return super().parse_args(context, args)


@click.group(cls=_ShowByDefault)
def topology() -> None:
    """Show the nodes of Redis, and place the partitions on them evenly."""


@topology.command("show", example="--json")
@json_option
def show(as_json: bool) -> None:
    """Show the nodes, the partitions, and what is wrong. `discount topology` alone does it, too."""
    store, durability = _open()
    found = service.describe(store, durability)
    if as_json:
        print_json(found)
        return
    print_table(
        ("node", "role", "partitions", ">keys", ">MB", ">lag", "disk", "server"),
        ([*_row(each)] for each in found.nodes),
    )
    click.echo()
    print_table(
        ("partition", "node", ">keys", ">discounts"),
        (
            [f"{each.partition:02x}", each.node, thousands(each.keys), thousands(each.discounts)]
            for each in found.partitions
        ),
    )
    click.echo()
    click.echo(f"Durability: {found.durability}")
    click.echo("\n".join(found.problems) or "Nothing is wrong.")


@topology.command("place", example="--run")
@click.option("--run", "runs", is_flag=True, help="Move the partitions now, one at a time, while the service runs.")
@click.option("--without", multiple=True, metavar="ADDRESS", help="A node that is to have no partitions; repeatable.")
def place(runs: bool, without: tuple[str, ...]) -> None:
    """Print the fewest moves to an even placement of partitions, or make them.

    Valkey 9 and Redis 8.4 move a partition in one step, during which its calls wait for a moment. For older servers,
    the command prints a script. A partition answers 503 while that moves it, so run it in a quiet hour.
    """
    store, durability = _open()
    try:
        moves, masters = service.plan(store, durability, without)
        for move in moves:
            click.echo(f"partition {move.partition:02x}: {move.source} to {move.target}", err=not runs)
            source, target = masters[move.source], masters[move.target]
            atomic = source.moves_atomically and target.moves_atomically
            if not runs:
                slot = slot_of(store.nodes, move.partition)
                click.echo(one_step(slot, source, target) if atomic else step_by_step(slot, source, target))
            elif atomic:
                _run(store, move, source, target)
            else:
                raise SettingsError(
                    f"{source.server} {'.'.join(map(str, source.version))} cannot move a partition in one step."
                    " Run what `discount topology place` prints, in a quiet hour"
                )
    except MoveError as error:
        raise SettingsError(str(error)) from None
    if not moves:
        click.echo("The partitions are placed evenly.", err=True)


def _open() -> tuple[Store, Durability]:
    settings = find_settings()
    return open_store(settings), Durability(settings.durability, settings.durability_replicas)


def _run(store: Store, move: Move, source: Node, target: Node) -> None:
    moving = Moving(store.nodes, move.partition, source, target)
    while not moving.is_done():
        time.sleep(_PAUSE)


def one_step(slot: int, source: Node, target: Node) -> str:
    """Return the command that moves a slot while the service runs."""
    if source.server == "valkey":
        return f"{_client(source)} CLUSTER MIGRATESLOTS SLOTSRANGE {slot} {slot} NODE {target.name}"
    return f"{_client(target)} CLUSTER MIGRATION IMPORT {slot} {slot}"


def step_by_step(slot: int, source: Node, target: Node) -> str:
    """Return a script that moves a slot key by key."""
    host, _, port = target.address.rpartition(":")
    # The target must own the slot before the source gives it up: otherwise no node has it if the script stops.
    # The first two commands are refused if the script runs again and has moved this slot already.
    return f"""{_client(target)} CLUSTER SETSLOT {slot} IMPORTING {source.name} || true
{_client(source)} CLUSTER SETSLOT {slot} MIGRATING {target.name} || true
while keys=$({_client(source)} CLUSTER GETKEYSINSLOT {slot} 100) && [ -n "$keys" ]; do
  printf '%s\\n' "$keys" | tr '\\n' '\\0' | xargs -0 {_client(source)} MIGRATE {host} {port} '' 0 60000 \\
    ${{REDISCLI_AUTH:+AUTH "$REDISCLI_AUTH"}} KEYS
done
{_client(target)} CLUSTER SETSLOT {slot} NODE {target.name}
{_client(source)} CLUSTER SETSLOT {slot} NODE {target.name}"""


def _client(node: Node) -> str:
    host, _, port = node.address.rpartition(":")
    return f"redis-cli -e -h {host} -p {port}"


def _row(node: service.NodeOut) -> list[Any]:
    if not node.answers:
        return [node.address, "away", "", "", "", "", "", ""]
    lag = "" if node.lag_bytes is None else f"{thousands(node.lag_bytes)} B"
    return [
        node.address,
        f"replica of {node.master}" if node.master else node.role,
        " ".join(f"{each:02x}" for each in node.partitions),
        thousands(node.keys),
        thousands(node.memory_bytes // _MEBIBYTE),
        lag,
        node.disk,
        node.server,
    ]
