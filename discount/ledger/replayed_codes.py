"""Replayed calls that granted codes, took them back or redeemed them."""

from collections.abc import Sequence

from msgspec import structs
from structlog import get_logger

from discount.domain import metadata
from discount.domain.errors import Refusal
from discount.domain.metadata import NO_METADATA
from discount.domain.model import Grant
from discount.domain.rules import NO_CURRENCY, Order
from discount.ledger.replayed_calls import USES, Call
from discount.ledger.replayed_entries import Replayed, ReplayedEntries, raise_refusal
from discount.services import checkouts, discounts, grants, redemptions, revocations
from discount.services.checkouts import Checkout
from discount.services.moved_codes import Row, RowUse, call_of
from discount.store import keys
from discount.store.replay import ReplayStore


class ReplayedCodes:
    """The grants and the redemptions of one partition.

    Args:
        done: what the replay has done so far; this counts in it.
    """

    def __init__(self, store: ReplayStore, entries: ReplayedEntries, done: Replayed) -> None:
        self._store = store
        self._entries = entries
        self._done = done

    def grant_many(self, calls: Sequence[Call]) -> None:
        """Grant the codes of several calls for one discount."""
        discount_id = calls[0].discount_id
        self._load_definition(discount_id)
        self._store.begin({each.fields["user"]: self._entries.past(each, code=each.fields["code"]) for each in calls})
        outcomes = grants.grant_many(self._store, discount_id, [each.fields["user"] for each in calls])
        for call, outcome in zip(calls, outcomes, strict=True):
            raise_refusal(None if isinstance(outcome, Grant) else outcome)
            self._note_grant(call, outcome)

    def grant(self, call: Call) -> None:
        """Grant the code of a call, with its metadata."""
        fields = call.fields
        self._load_definition(call.discount_id)
        self._store.begin({fields["user"]: self._entries.past(call, code=fields["code"])})
        of_grant = metadata.read(fields.get("metadata"))
        self._note_grant(call, grants.grant(self._store, call.discount_id, fields["user"], metadata=of_grant))

    def move_in(self, call: Call) -> None:
        """Grant a code that was moved in, and count what its user used of it before."""
        definition = discounts.get_definition(self._store, call.discount_id)
        rows: list[Row] = []
        for fields in (each.fields for each in call.entries):
            is_grant, user = fields["type"] == "code.granted", fields["user"]
            if is_grant or not rows or rows[-1].user_id != user:
                rows.append(Row(user, fields["code"], fields.get("granted_at", ""), []))
            self._done.grants += is_grant
            self._done.uses += not is_grant
            if not is_grant:
                use = RowUse(
                    fields["redemption"],
                    fields["redeemed_at"],
                    fields["amount"],
                    fields["currency"],
                    fields["discount_amount"],
                    fields["order"],
                    definition.timezone,
                )
                rows[-1].uses.append(use)
        parsed = discounts.parse_id(self._store, call.discount_id)
        let_go = self._store.command("GET", keys.let_go(parsed.partition)) or ""
        currency = next((use.currency for row in rows for use in row.uses), NO_CURRENCY)
        self._store.begin({"": self._entries.past(call)})
        (answer,) = self._store.run_many(
            "move_in",
            [call_of(self._store, parsed, rows, mark=call.fields["imported"], currency=currency, let_go=let_go)],
        )
        raise_refusal(answer.refusal())

    def _load_definition(self, discount_id: str) -> None:
        # A personal code is offered to the script only if the definition is known.
        discounts.get_definition(self._store, discount_id)

    def _note_grant(self, call: Call, outcome: Grant | Refusal) -> None:
        if isinstance(outcome, Grant):
            self._done.grants += 1
            if outcome.code != call.fields["code"]:
                event_id = call.entries[0].event_id
                get_logger().error("a user holds another code than the ledger says", event=event_id)
                self._done.refused.append(f"{event_id} another code")

    def revoke(self, call: Call) -> None:
        """Take a code back, and grant it to the next user if it went to one."""
        fields = call.fields
        given = next((each.fields["code"] for each in call.entries[1:] if each.fields["type"] == "code.granted"), "")
        self._store.begin({"": self._entries.past(call, code=given)})
        revocations.revoke(
            self._store,
            call.discount_id,
            fields["user"],
            reason=fields["reason"],
            back=fields["back"] if fields["next"] or fields["back"] != "next" else "void",  # type: ignore[arg-type]
            next_user_id=fields["next"] or None,
            reissue=fields["reissue"] == "1",
            author=call.author,
        )

    def redeem(self, call: Call) -> None:
        """Count or hold a use, whatever the rule would say of it now."""
        used = next(each.fields for each in call.entries if each.fields["type"] in USES)
        order_id, of_redemption = metadata.of_order(used["order"])
        hold_until = used.get("hold_until")
        seconds = (int(hold_until) - int(used["at"])) // 1_000_000 if hold_until else None
        # It was allowed then, whatever is asked of an order and its user.
        given = {"mode": "redeem", "conditions": ""} | {name: used[name] for name in ("discount_amount", "order")}
        self._store.begin({"": self._entries.past(call, arguments=given)})
        checkout = Checkout(
            used["user"],
            used["code"],
            Order(order_id, int(used["amount"]), used["currency"]),
            discount_id=call.discount_id,
        )
        prepared = checkouts.prepare(self._store, checkout, None)
        # It was redeemed, so neither its rule nor its audience refused it. Its id may be that of one of several codes.
        facts = structs.replace(prepared.facts, redemption_id=used["redemption"])
        prepared = structs.replace(prepared, facts=facts, refusals=[], outside=[])
        redemptions.redeem_prepared(self._store, prepared, hold_seconds=seconds, metadata=of_redemption or NO_METADATA)
        self._done.uses += 1

    def confirm(self, call: Call) -> None:
        """Confirm a hold."""
        self._store.begin({"": self._entries.past(call)})
        redemptions.confirm(self._store, call.fields["redemption"])

    def release(self, call: Call) -> None:
        """Release a hold: for a newer one, whose entry follows, or because it was rolled back."""
        if any(each.fields["type"] in USES for each in call.entries):
            self.redeem(call)
        else:
            self.roll_back(call)

    def roll_back(self, call: Call) -> None:
        """Roll a redemption back."""
        self._store.begin({"": self._entries.past(call)})
        redemptions.roll_back(self._store, call.fields["redemption"], call.fields.get("reason", ""))
