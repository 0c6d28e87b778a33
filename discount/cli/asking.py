"""Ask the operations that the API declares, without HTTP: the same shapes in, the same checks, the same answers."""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click

from discount.api.inputs import idempotency_key, read_part
from discount.api.long_calls import Places
from discount.api.paging import Pages
from discount.api.streaming import Stream
from discount.cli.context import find_settings, open_store
from discount.cli.fields import read
from discount.domain.model import Caller
from discount.security import url_policy
from discount.security.signing import Signer

#: The most that one page of a list holds.
PAGE = 1000
#: Who asks at the command line: whoever reaches Redis may do everything.
OPERATOR = Caller(frozenset())

_limit_option = click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="The most to be shown."
)
_cursor_option = click.option("--cursor", metavar="TEXT", help="`next` of the answer before, to go on there.")
key_option = click.option("--idempotency-key", metavar="TEXT", help="The same key gives the first answer again.")


def paged(command: Any) -> Any:
    """Options of a list."""
    return _limit_option(_cursor_option(command))


def ask(noun: Any, operation: str, given: Mapping[str, Any], **arguments: Any) -> Any:
    """The answer to an operation; None, where it has none.

    Args:
        noun: the module that declares it.
        given: what the command was given: parts of the path, fields of the body and of the query by their names.
        arguments: what the operation is given besides.

    Raises:
        Refusal
    """
    view, declared, path = _views(noun)[operation]
    for name in re.findall(r"<(\w+)>", path):
        kind = (declared.get("path_types") or {}).get(name, str)
        arguments[name] = read_part(given[name], kind, name)
    for part in ("body", "query"):
        if declared.get(part):
            arguments.setdefault(part, read(declared[part], given))
    if declared.get("idempotent"):
        headers = {"HTTP_IDEMPOTENCY_KEY": given.get("idempotency_key")}
        arguments["idempotency_key"] = idempotency_key(headers)
    if declared.get("caller"):
        arguments.setdefault("caller", OPERATOR)
    if declared.get("address"):
        arguments["address"] = ""
    if declared.get("hot"):
        arguments["guard"] = None
    answer = view(**arguments)
    return answer if isinstance(answer, Stream) else answer[0]


def ask_list(noun: Any, operation: str, name: str, given: Mapping[str, Any]) -> Any:
    """One page of a list as long as was asked for, whatever fits into a page of HTTP."""
    wanted = given["limit"]
    page = ask(noun, operation, {**given, "limit": str(min(wanted, PAGE))})
    found = list(getattr(page, name))
    while page.next is not None and len(found) < wanted:
        page = ask(noun, operation, {**given, "limit": str(min(wanted - len(found), PAGE)), "cursor": page.next})
        found += getattr(page, name)
    setattr(page, name, found)
    return page


class _Views:
    """Stands where the contract does when operations are declared, and keeps what it is given."""

    def __init__(self) -> None:
        self.taken: dict[str, tuple[Callable[..., Any], dict[str, Any], str]] = {}
        self.waits = Places(1, 1, 1)

    def declare(self, _method: str, path: str, **declared: Any) -> Callable[..., Any]:
        pages = Pages(re.sub(r"<(\w+)>", r"{\1}", path), declared.get("body"), declared.get("query"))

        def take(view: Callable[..., Any]) -> Callable[..., Any]:
            self.taken[view.__name__] = pages.around(view), declared, path
            return view

        return take


def _views(noun: Any) -> dict[str, tuple[Callable[..., Any], dict[str, Any], str]]:
    """The operations that a module declares, made once in a command."""
    known: dict[Any, _Views] = click.get_current_context().meta.setdefault(__name__, {})
    if noun not in known:
        settings = find_settings()
        store = open_store(settings)
        views = known[noun] = _Views()
        parts = {
            "contract": views,
            "store": store,
            "secret": settings.secret,
            "signatures": Signer(store, settings.secret),
            "check_url": partial(url_policy.check_url, url_policy.policy(loopback=settings.webhook_loopback)),
        }
        noun.add_routes(**{name: parts[name] for name in inspect.signature(noun.add_routes).parameters})
    return known[noun].taken
