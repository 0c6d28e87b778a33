"""Which addresses webhooks may be at."""

import ipaddress

from ssrfguard import DEFAULT_DENIED, AddressTable, Block, Policy, Reach, SSRFGuardError

from discount.domain.errors import Invalid

#: Ports that webhooks may be at, besides any of this machine where loopback is allowed.
PORTS = frozenset({443, 8443})
# What a gateway takes for any IPv4 address, one of this machine too. The library's table does not have it.
_TRANSLATED = Block(ipaddress.IPv6Network("::ffff:0:0:0/96"), "IPv4-translated", "RFC2765", Reach.DENIED)
_DENIED = AddressTable((*DEFAULT_DENIED.blocks, _TRANSLATED), snapshot=DEFAULT_DENIED.snapshot)
_LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))


def policy(*, loopback: bool) -> Policy:
    """Which addresses may be reached: public ones by https; with `loopback` also this machine's, by http too."""
    if not loopback:
        return Policy(allowed_schemes=frozenset({"https"}), allowed_ports=PORTS, denied_networks=_DENIED)
    return Policy(
        denied_networks=_DENIED,
        allowed_schemes=frozenset({"https", "http"}),
        allowed_ports=frozenset(range(1, 65536)),
        allowed_networks=_LOOPBACK,
    )


def check_url(allowed: Policy, url: str, field: str) -> None:
    """Refuse an address as it is written; where its name leads is looked at anew for every call.

    Raises:
        Invalid: naming the field.
    """
    try:
        allowed.check_url(url)
    except SSRFGuardError:
        where = (
            "http or https, on this machine or at a public address"
            if "http" in allowed.allowed_schemes
            else "https at a public address, with port 443 or 8443"
        )
        raise Invalid(field, f"is no address that a webhook may have; allowed are URLs with {where}") from None
