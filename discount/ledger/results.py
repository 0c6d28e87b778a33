"""The latest result of each partition's reconciliation, kept in Redis for the worker's metrics and for people."""

import msgspec

from discount.ledger.differences import Result
from discount.services.partitions import ask_each
from discount.store import keys
from discount.store.connection import Store

_DECODER = msgspec.json.Decoder(Result)


def save(store: Store, partition: int, result: Result) -> None:
    """Keep the result of a partition in place of the one before."""
    store.command("SET", keys.reconciled(partition), msgspec.json.encode(result).decode())


def read(store: Store) -> dict[int, Result]:
    """Return the latest result of each partition that has one and can be reached.

    Raises:
        Unavailable: no partition can be reached.
    """
    texts, _ = ask_each(store, lambda partition: ("GET", keys.reconciled(partition)))
    return {partition: _DECODER.decode(text) for partition, text in texts.items() if text}


def joined(results: dict[int, Result]) -> Result:
    """Return the results of partitions as one."""
    whole = Result()
    for each in results.values():
        whole.join(each)
    return whole
