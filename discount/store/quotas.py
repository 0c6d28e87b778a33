"""The quotas of the settings, in the form in which scripts and services take them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from discount.domain.model import QuotaName

OFF = "off"
#: The quotas that scripts enforce, in the order of their arguments.
IN_SCRIPTS: tuple[QuotaName, ...] = ("discounts", "codes", "grants_a_day", "stored_bytes")
#: The estimated bytes of a grant; quotas.lua has the same.
BYTES_OF_GRANT = 300
#: The estimated bytes of a user who waits; quotas.lua has the same.
BYTES_OF_WAIT = 250
#: The estimated bytes of a user on a list; quotas.lua has the same.
BYTES_OF_LISTED = 12
#: All quotas, in the order in which those of a single brand are stored.
NAMES: tuple[QuotaName, ...] = (*IN_SCRIPTS, "emails_a_day")


@dataclass(frozen=True)
class Quotas:
    """The most that any brand may have, by name of the quota: a number as text, or `off`."""

    by_name: Mapping[str, str] = field(default_factory=dict)

    def most(self, name: QuotaName) -> str:
        """Return a quota as the settings give it; `off` if they give none."""
        return self.by_name.get(name, OFF)

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """The arguments `most_…` of the scripts that share quotas.lua."""
        return tuple(map(self.most, IN_SCRIPTS))

    @cached_property
    def grant_arguments(self) -> tuple[str, str]:
        """The arguments `most_…` of the grant script."""
        return self.most("grants_a_day"), self.most("stored_bytes")
