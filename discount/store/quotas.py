"""The quotas of the settings, as scripts and verbs are given them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from discount.domain.model import QuotaName

OFF = "off"
#: Those that scripts judge, in the order in which they are given them; a brand's own are stored in the order of NAMES.
IN_SCRIPTS: tuple[QuotaName, ...] = ("discounts", "codes", "grants_a_day", "stored_bytes")
NAMES: tuple[QuotaName, ...] = (*IN_SCRIPTS, "emails_a_day")


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much any brand may have, by name: a number, or `off`."""

    texts: Mapping[str, str] = field(default_factory=dict)

    def most(self, name: QuotaName) -> str:
        """A quota as it was set."""
        return self.texts.get(name, OFF)

    @property
    def words(self) -> tuple[str, ...]:
        """What scripts are given."""
        return tuple(map(self.most, IN_SCRIPTS))
