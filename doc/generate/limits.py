"""The highest cost of each operation in doc/limits.md, made from the declarations."""

import re
from collections.abc import Sequence

from discount import logs
from discount.api.contract import Contract, Operation
from discount.app import create_app
from discount.config import Settings
from discount.store.connection import Store

_PARTS = re.compile(r"(?<=<!-- operations -->\n).*(?=<!-- end of operations -->)", re.DOTALL)
_HEAD = "| call | class | exchanges with Redis | what else bounds it |\n|---|---|---|---|\n"


def operations() -> Sequence[Operation]:
    """Return every operation of the service. No Redis is needed."""
    settings = Settings(log_level="error")
    logs.configure(settings)
    contract: Contract = create_app(settings, Store.at("unix:///nowhere", 1, 16)).extensions["contract"]
    return contract.operations


def describe(declared: Sequence[Operation]) -> str:
    """Return a row for each operation."""
    return _HEAD + "".join(
        f"| `{each.method} {each.path}` | {class_of(each)} | {each.cost.exchanges} | {each.cost.most} |\n"
        for each in declared
    )


def class_of(operation: Operation) -> str:
    """Which threads answer an operation."""
    if operation.tag == "health":
        return "health"
    if operation.fast_path:
        return "fast path"
    when = operation.cost.is_long
    return "ordinary" if not when else "long" if when == "always" else f"ordinary; {when} long"


def renew(page: str) -> str:
    """Return the page with its operations renewed."""
    return _PARTS.sub(lambda _: describe(operations()), page)
