"""The result of a restore as people and programs see it."""

import msgspec

from discount.ledger.replayed_entries import Replayed


class RestoreOut(msgspec.Struct):
    """Result of a restore. It counts what this run did, so less if an earlier one was stopped.

    `copy_count` are brands, API keys, contacts, webhooks and other keys that no event tells of.

    `refused` are events that Redis refuses now, each with the reason.
    """

    event_count: int = 0
    grant_count: int = 0
    use_count: int = 0
    copy_count: int = 0
    refused: list[str] = []


def add(out: RestoreOut, done: Replayed) -> None:
    """Add what was restored of a partition."""
    out.event_count += done.entries
    out.grant_count += done.grants
    out.use_count += done.uses
    out.copy_count += done.copies
    out.refused += done.refused
