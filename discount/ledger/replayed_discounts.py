"""Replayed calls that made or changed discounts, and those that imported codes."""

import json

from sqlalchemy import select

from discount.domain import code_kinds
from discount.domain.code_sequence import Sequence as CodeSequence
from discount.domain.code_sequence import canonical
from discount.ledger import LedgerError
from discount.ledger.database import Database
from discount.ledger.replayed_calls import Call
from discount.ledger.replayed_entries import ReplayedEntries, raise_refusal
from discount.ledger.tables import DISCOUNTS, IMPORTS
from discount.security.sealing import Sealer
from discount.services import code_pools, discounts
from discount.store import keys
from discount.store.replay import ReplayStore
from discount.store.scripts import SCRIPTS

_QUOTAS = ("most_discounts", "most_codes", "most_grants_a_day", "most_stored_bytes")


class ReplayedDiscounts:
    """The discounts of one partition."""

    def __init__(
        self, store: ReplayStore, database: Database, sealer: Sealer, partition: int, entries: ReplayedEntries
    ) -> None:
        self._store = store
        self._database = database
        self._sealer = sealer
        self._partition = partition
        self._entries = entries

    def create(self, call: Call) -> None:
        """Create a discount as it was created, with its number and its code key.

        Raises:
            LedgerError: the key is missing or cannot be opened, or Redis has other discounts.
        """
        fields = call.fields
        stored = dict(zip(*[iter(json.loads(fields["definition"]))] * 2, strict=True))
        kind = code_kinds.kind_of(stored)
        code_key, block = "", list[str]()
        if kind.kind == "unique":
            code_key = self._code_key(call.discount_id)
            call = call.with_fields(key=code_key)
            sequence = CodeSequence(code_key, kind.pattern, kind.alphabet)
            block = sequence.codes(0, min(int(stored["total"]), discounts.FIRST_BLOCK))
        brand = fields["brand"]
        names = self._names(call.discount_id, brand)
        self._run(
            "create",
            call,
            names | {"holder": names["discount"], "idempotency": names["absent"], "webhook": names["absent"]},
            {
                "discount_id": call.discount_id,
                "fingerprint": "",
                "keep_seconds": "0",
                "fields": fields["definition"],
                "code_key": code_key,
                "first_block": json.dumps(block),
                "shared_code": canonical(kind.code),
                "webhook_fields": "[]",
                "held_by": "",
            },
        )
        number = self._store.command("HGET", names["discount"], "number")
        if number != fields["number"]:
            raise LedgerError("Redis has discounts that the ledger does not know; restore into an empty Redis")

    def _code_key(self, discount_id: str) -> str:
        with self._database.reading() as connection:
            sealed = connection.execute(
                select(DISCOUNTS.c.key).where(DISCOUNTS.c.id == discount_id)
            ).scalar_one_or_none()
        opened = self._sealer.open(sealed, discount_id) if sealed else None
        if opened is None:
            raise LedgerError(
                f"what the codes of {discount_id} are made with is not in the ledger, or sealed with another SECRET"
            )
        return opened

    def change(self, call: Call) -> None:
        """Change the settings that a call changed."""
        definition = discounts.get_definition(self._store, call.discount_id)
        self._run(
            "change",
            call,
            self._names(call.discount_id, definition.brand_id),
            {
                "fields": call.fields["after"],
                "discount_id": call.discount_id,
                "shared_code": canonical(definition.codes.code),
            },
        )

    def close(self, call: Call) -> None:
        """Close a discount, or void its granted codes."""
        after = json.loads(call.fields["after"])
        granted_codes = dict(zip(after[::2], after[1::2], strict=True))["closed"]
        names = self._names(call.discount_id, call.fields["brand"])
        self._run("close", call, names, {"granted_codes": granted_codes})

    def import_codes(self, call: Call) -> None:
        """Add the codes that a call added."""
        this = (IMPORTS.c.partition == self._partition) & (IMPORTS.c.entry_id == call.entries[0].entry_id)
        with self._database.reading() as connection:
            codes = connection.execute(select(IMPORTS.c.codes).where(this)).scalar_one()
        parsed, call = discounts.parse_id(self._store, call.discount_id), call.with_fields(codes=codes)
        first = [*self._store.quotas.arguments, call.author.by, call.author.request_id]
        self._store.begin({"": self._entries.past(call)})
        (answer,) = self._store.run_many("import", [code_pools.import_call(parsed, codes.split("\n"), first)])
        raise_refusal(answer.refusal())

    def _names(self, discount_id: str, brand_id: str) -> dict[str, str]:
        """Return the keys of the scripts that make and change discounts, by the names that they have there."""
        partition = self._partition
        # No brand has an empty id. What the brand's own record says now did not hold then.
        absent = keys.brand(partition, "")
        return {
            "usage": keys.usage(partition),
            "absent": absent,
            "brand_record": absent,
            "discount": keys.discount(partition, discount_id),
            "discounts": keys.discounts(partition),
            "brand_discounts": keys.brand_discounts(partition, brand_id),
            "numbers": keys.numbers(partition),
            "codes": keys.codes(partition, discount_id),
            "shared": keys.shared(partition, brand_id),
            "events": keys.events(partition),
            "buckets": keys.buckets(partition, discount_id),
            "waits": keys.waits(partition, discount_id),
            "waits_due": keys.waits_due(partition),
        }

    def _run(self, name: str, call: Call, names: dict[str, str], arguments: dict[str, str]) -> None:
        script = SCRIPTS[name]
        quotas = dict(zip(_QUOTAS, self._store.quotas.arguments, strict=True))
        waits = {"next_waits": "", "from": "", "block": "", "discount_id": call.discount_id}
        given = quotas | waits | {"by": call.author.by, "request_id": call.author.request_id} | arguments
        self._store.begin({"": self._entries.past(call)})
        values = [given[each] for each in script.arguments]
        # Nobody waits: a last list of keys is empty.
        used = [names[each] for each in script.keys if not each.endswith("...")]
        (answer,) = self._store.run_many(name, [(used, values)])
        raise_refusal(answer.refusal())
