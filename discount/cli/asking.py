"""Call the operations of the API without HTTP: with the same shapes, checks and answers."""

import inspect
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from discount.api.contract import Contract, Operation
from discount.api.inputs import idempotency_key, read_part
from discount.api.long_calls import Places
from discount.api.paging import Pages
from discount.api.streaming import Stream
from discount.api.texts import ENGLISH
from discount.cli.context import find_settings, open_store
from discount.cli.fields import read
from discount.domain.model import COMMAND, Caller
from discount.ledger.history import History
from discount.ledger.past_redemptions import PastRedemptions
from discount.security import url_policy
from discount.security.signing import Signer

#: The most rows of one page.
PAGE = 1000
#: What the gate gives to views. Whoever can reach Redis may do everything.
_FROM_GATE = {"caller": Caller(frozenset()), "author": COMMAND, "guard": None, "address": "", "language": ENGLISH}

_limit_option = click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="The most rows to show."
)
_cursor_option = click.option("--cursor", metavar="TEXT", help="`next` of the previous answer, to continue there.")
key_option = click.option("--idempotency-key", metavar="TEXT", help="A repeat with the same key gets the first answer.")


def paged(command: Any) -> Any:
    """Add the options of a list."""
    return _limit_option(_cursor_option(command))


def ask(noun: Any, name: str, given: Mapping[str, Any], **arguments: Any) -> Any:
    """Call an operation and return its answer; None if it has none.

    Args:
        noun: the module that declares the operation.
        name: the operation's name.
        given: parts of the path and fields of body and query, by name.
        arguments: further arguments of the view.

    Raises:
        Refusal
    """
    operation = _operations(noun)[name]
    for part in re.findall(r"{(\w+)}", operation.path):
        arguments[part] = read_part(given[part], operation.parameters[part], part)
    for argument, shape in (("body", operation.body), ("query", operation.query)):
        if shape is not None:
            arguments.setdefault(argument, read(shape, given))
    if "idempotency_key" in operation.parameters:
        headers = {"HTTP_IDEMPOTENCY_KEY": given.get("idempotency_key")}
        arguments["idempotency_key"] = idempotency_key(headers)
    # A command may name a caller of its own, as `forget --brand` does.
    arguments = {name: value for name, value in _FROM_GATE.items() if name in operation.parameters} | arguments
    view = Pages(operation.path, operation.body, operation.query).around(operation.view)
    answer = view(**arguments)
    return answer if isinstance(answer, Stream) else answer[0]


def ask_list(noun: Any, operation: str, name: str, given: Mapping[str, Any]) -> Any:
    """Return a list of `limit` rows, which may take several pages of HTTP."""
    limit = given["limit"]
    page = ask(noun, operation, {**given, "limit": str(min(limit, PAGE))})
    rows = list(getattr(page, name))
    while page.next is not None and len(rows) < limit:
        page = ask(noun, operation, {**given, "limit": str(min(limit - len(rows), PAGE)), "cursor": page.next})
        rows += getattr(page, name)
    setattr(page, name, rows)
    return page


def _operations(noun: Any) -> dict[str, Operation]:
    """Return the operations that a module declares, by name; they are made once in a process."""
    known: dict[Any, dict[str, Operation]] = click.get_current_context().meta.setdefault(__name__, {})
    if noun not in known:
        settings = find_settings()
        store = open_store(settings)
        history = History.at(settings.ledger_url)
        if settings.ledger_url:
            store.past = PastRedemptions(history.database)
        contract = Contract()
        parts = {
            "contract": contract,
            "store": store,
            "secret": settings.secret,
            "signatures": Signer(store, settings.secret),
            "check_url": partial(url_policy.check_url, url_policy.policy(loopback=settings.webhook_loopback)),
            "waits": Places(1, 1, 1),
            "history": history,
        }
        noun.add_routes(**{name: parts[name] for name in inspect.signature(noun.add_routes).parameters})
        known[noun] = {operation.name: operation for operation in contract.operations}
    return known[noun]
